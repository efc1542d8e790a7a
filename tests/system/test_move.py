"""`drainwatch-alerter move`: from a state folder into a database and back, with nothing lost."""

import itertools
import json
import signal
import sqlite3
import threading

import pytest

from alerting import SHIPPED, rules
from drainwatch import ALERTER, DRAIN, PATH, h12, token, wait_for, worker_timeout


def contents(site, **settings):
    """All that the alerter keeps, as its commands print it."""
    export = site.run(ALERTER, "export", **settings)
    outbox = site.run(ALERTER, "outbox", "--format", "json", **settings)
    assert export.returncode == outbox.returncode == 0, export.stderr + outbox.stderr
    return export.stdout, [json.loads(line) for line in outbox.stdout.splitlines()]


def move(site, source, target, **settings):
    result = site.run(ALERTER, "move", source, target, **settings)
    return result.returncode, (result.stdout + result.stderr).decode()


def rows(folder, table):
    with sqlite3.connect(folder / "alerter.db") as db:
        return sorted(db.execute(f"SELECT * FROM {table}"))


@pytest.fixture
def kept(site, slack):
    """A site with a state of each kind: alerts delivered, refused and waiting; refused records; a
    snapshot."""
    one = site(rules=rules(text=SHIPPED, cooldown="1s"), SLACK_API_URL=slack.url,
               SLACK_BOT_TOKEN=slack.token)
    alerter, ingest = one.alerter(), one.ingest()
    one.wait_healthy()
    for n, behaviour in enumerate(("ok", "error:invalid_auth", "hang")):
        slack.behave(behaviour)
        assert one.post(h12(4) if n % 2 == 0 else worker_timeout(4)) == 204
        wait_for(lambda: len(slack.posts) > n, "the post")
    ingest.stop()
    alerter.kill()
    state = one.folder / "state"
    with sqlite3.connect(state / "alerter.db") as db:
        db.execute("INSERT INTO refused (sender, sequence, bytes, reason, at_us) "
                   "VALUES (zeroblob(16), ?, x'00ff', 'no record', 7)", (2**62,))
    return one, state


def test_a_state_is_the_same_after_a_move_there_and_back(kept, database):
    site, state = kept
    before = contents(site)
    assert len(before[1]) >= 2
    code, said = move(site, state, "database", **database.settings)
    assert code == 0 and said.startswith("copied ") and ", 1 sender, 1 refused record" in said, said
    assert contents(site, **database.settings) == before
    back = site.folder / "back"
    code, said = move(site, "database", back, **database.settings)
    assert code == 0, said
    assert [path.name for path in back.iterdir()] == ["alerter.db"]
    assert contents(site, DRAINWATCH_STATE_DIR=back) == before
    for table in ("senders", "refused", "channels"):
        assert rows(back, table) == rows(state, table)
    assert [row[1:] for row in rows(back, "outbox")] == [row[1:] for row in rows(state, "outbox")]


def test_an_alerter_goes_on_from_a_moved_state(kept, database, slack):
    site, state = kept
    code, said = move(site, state, "database", **database.settings)
    assert code == 0, said
    slack.behave("ok")
    seen = len(slack.delivered)
    site.settings.update(database.settings)
    site.alerter()
    site.ingest()
    site.wait_healthy()
    wait_for(lambda: len(slack.delivered) > seen, "the alert that waited")
    assert site.post(h12(4)) == 204
    wait_for(lambda: len({message.id for message in slack.delivered}) == 4, "a new alert")


def test_what_is_in_the_way_is_named(kept, database):
    site, state = kept
    code, said = move(site, state, "database")
    assert code == 78 and "set DRAINWATCH_DATABASE_URL" in said
    assert move(site, state, state)[0] == 64
    assert move(site, state, site.folder / "nowhere" / "else")[0] == 0
    code, said = move(site, site.folder / "nothing", site.folder / "new")
    assert code == 1 and "name the state folder of an alerter" in said
    assert move(site, state, "database", **database.settings)[0] == 0
    code, said = move(site, state, "database", **database.settings)
    assert code == 78 and "set DRAINWATCH_SCHEMA to a new name" in said
    code, said = move(site, "database", state, **database.settings)
    assert code == 78 and "move its alerter.db away" in said


def test_a_folder_that_cannot_be_used_is_named_with_its_remedy(kept, database):
    """The setting of the state folder has nothing to do with it."""
    site, state = kept
    file, link, shared = (site.folder / name for name in ("file", "link", "shared"))
    file.write_text("")
    shared.mkdir()
    shared.chmod(0o777)
    for folder, why in ((file / "new", "Not a directory (name a folder that can be written)"),
                        (shared, "other users can write to it (chmod go-w it")):
        code, said = move(site, state, folder)
        assert code == 78 and f'"{folder}": ' in said and why in said, said
        assert "DRAINWATCH_STATE_DIR" not in said
    link.mkdir(mode=0o700)
    (link / "alerter.db").symlink_to(state / "alerter.db")
    code, said = move(site, link, site.folder / "new")
    assert code == 78 and "is a symbolic link (put the file itself there" in said, said
    assert "DRAINWATCH_STATE_DIR" not in said


def test_a_storage_in_use_is_not_moved(kept, database):
    site, state = kept
    alerter = site.alerter()
    code, said = move(site, state, "database", **database.settings)
    assert code == 1 and "alerter.db: an alerter uses it (stop all alerters first)" in said
    alerter.stop()
    alerter = site.alerter(**database.settings)
    code, said = move(site, state, "database", **database.settings)
    assert code == 1 and "(stop all alerters first" in said
    assert alerter.stop() == 0
    code, said = move(site, "database", site.folder / "other", **database.settings)
    assert code == 0, said


def age(database):
    """Nothing was heard of the alerters for a while."""
    database.sql("UPDATE alerters SET seen = now() - interval '1 minute'")


def test_an_alerter_that_was_frozen_during_a_move_does_nothing_more(site, database, slack):
    one = site(rules=rules(text=SHIPPED, cooldown="1s"), SLACK_API_URL=slack.url,
               SLACK_BOT_TOKEN=slack.token, **database.settings)
    frozen = one.alerter()
    ingest = one.ingest()
    one.wait_healthy()
    slack.behave("error:invalid_auth")
    assert one.post(h12(4)) == 204
    frozen.wait_said("is NOT delivered")
    frozen.signal(signal.SIGSTOP)
    assert one.post(worker_timeout(3)) == 204
    slack.behave("ok")
    age(database)
    back = one.folder / "back"
    code, said = move(one, "database", back)
    assert code == 0 and "no alerter starts on database again" in said, said
    frozen.signal(signal.SIGCONT)
    for alerter in frozen, one.alerter(ready=False):
        assert alerter.wait() == 78
        assert alerter.said(f"was moved to {back}: unset DRAINWATCH_DATABASE_URL")
    assert not slack.delivered
    wait_for(lambda: one.health()[1].startswith("what the database kept was moved to another place"),
             "ingest to say so")
    assert ingest.stop() == 0
    for name in database.settings:
        del one.settings[name]
    one.ingest()
    one.alerter(DRAINWATCH_STATE_DIR=back, DRAINWATCH_QUEUE=f"ipc://{one.folder}/state/queue.sock")
    wait_for(lambda: len(slack.delivered) == 2, "the alert that was refused, and the one to come")
    assert len(contents(one, DRAINWATCH_STATE_DIR=back)[1]) == 2


def counted(site, **settings):
    status = site.run(ALERTER, "status", "--format", "json", **settings)
    return json.loads(status.stdout)["counts"]["matches"]


def post_kept(site, body):
    """Posts it and returns the header that tells where the records are kept."""
    status, headers, _ = site.request("POST", f"{PATH}?drain_token={token(DRAIN)}", body,
                                      {"Logplex-Drain-Token": DRAIN})
    assert status == 204
    return headers.get("Drainwatch-Kept")


def test_records_that_lie_in_the_database_alone_are_decided_on(site, database, slack):
    """The ingest is gone for good, with its disk."""
    one = site(rules=SHIPPED, SLACK_API_URL=slack.url, SLACK_BOT_TOKEN=slack.token,
               **database.settings)
    alerter, ingest = one.alerter(), one.ingest()
    one.wait_healthy()
    assert alerter.stop() == 0
    assert [post_kept(one, h12(1)) for _ in range(4)] == ["database"] * 4
    ingest.kill()
    back = one.folder / "back"
    code, said = move(one, "database", back)
    assert code == 0 and "and 1 alert\n" in said, said
    assert counted(one, DRAINWATCH_STATE_DIR=back) == 4
    for name in database.settings:
        del one.settings[name]
    one.alerter(DRAINWATCH_STATE_DIR=back)
    wait_for(lambda: len(slack.delivered) == 1, "the alert")


def test_a_flood_that_lies_in_the_database_is_moved(site, database):
    """It is more than an ingest keeps to send it again."""
    one = site(rules=SHIPPED, DRAINWATCH_SPOOL_MAX_BYTES="4MiB", **database.settings)
    alerter, ingest = one.alerter(), one.ingest()
    one.wait_healthy()
    assert alerter.stop() == 0
    sure = sum(200 for _ in range(60) if post_kept(one, h12(200)) == "database")
    assert sure > 0
    back = one.folder / "back"
    code, said = move(one, "database", back)
    assert code == 0, said
    assert ingest.stop() == 0
    assert sure <= counted(one, DRAINWATCH_STATE_DIR=back) <= 60 * 200


def test_no_record_is_put_into_a_database_that_was_moved(site, database):
    one = site(rules=SHIPPED, **database.settings)
    alerter, ingest = one.alerter(), one.ingest()
    one.wait_healthy()
    assert alerter.stop() == 0
    back = one.folder / "back"
    code, said = move(one, "database", back)
    assert code == 0, said
    assert post_kept(one, h12(1)) == "disk"
    assert one.health()[1].startswith("what the database kept was moved to another place")
    assert ingest.stop() == 0
    for name in database.settings:
        del one.settings[name]
    one.ingest()
    one.alerter(DRAINWATCH_STATE_DIR=back, DRAINWATCH_QUEUE=f"ipc://{one.folder}/state/queue.sock")
    wait_for(lambda: counted(one, DRAINWATCH_STATE_DIR=back) == 1, "the record")


def test_pushes_that_run_during_a_move_are_there_or_kept(site, database):
    one = site(rules=SHIPPED, **database.settings)
    alerter, ingest = one.alerter(), one.ingest()
    one.wait_healthy()
    assert alerter.stop() == 0
    kept, stop = [], threading.Event()

    def post_on():
        while not stop.is_set():
            kept.append(post_kept(one, h12(1)))

    poster = threading.Thread(target=post_on)
    poster.start()
    wait_for(lambda: len(kept) > 20, "some posts")
    back = one.folder / "back"
    code, said = move(one, "database", back)
    stop.set()
    poster.join()
    assert code == 0, said
    assert kept[-1] == "disk"
    assert counted(one, DRAINWATCH_STATE_DIR=back) >= kept.count("database")
    assert ingest.stop() == 0
    for name in database.settings:
        del one.settings[name]
    one.ingest()
    one.alerter(DRAINWATCH_STATE_DIR=back, DRAINWATCH_QUEUE=f"ipc://{one.folder}/state/queue.sock")
    wait_for(lambda: counted(one, DRAINWATCH_STATE_DIR=back) == len(kept), "all of them")


def test_records_of_a_database_without_an_alerter_are_not_left_there(site, database):
    one = site(rules=SHIPPED, **database.settings)
    ingest = one.ingest()
    wait_for(lambda: one.health()[0] == 200, "the database")
    assert post_kept(one, h12(1)) == "database"
    code, said = move(one, "database", one.folder / "back")
    assert code == 1 and "no alerter was ever active there (start one until status" in said
    assert not (one.folder / "back" / "alerter.db").exists()
    alerter = one.alerter()
    wait_for(lambda: counted(one) == 1, "the record to be taken")
    assert post_kept(one, h12(1)) == "database"
    assert alerter.stop() == ingest.stop() == 0
    code, said = move(one, "database", one.folder / "back")
    assert code == 0, said


def test_no_alerter_goes_on_with_a_folder_that_was_moved(kept, database):
    site, state = kept
    code, said = move(site, state, "database", **database.settings)
    assert code == 0 and f"no alerter starts on {state} again" in said, said
    alerter = site.alerter(ready=False)
    assert alerter.wait() == 78
    schema = database.settings["DRAINWATCH_SCHEMA"]
    assert alerter.said(f"was moved to the schema {schema} of the database: set "
                        "DRAINWATCH_DATABASE_URL")
    new, other = site.folder / "new", site.folder / "other"
    assert move(site, "database", new, **database.settings)[0] == 0
    assert move(site, new, other)[0] == 0
    alerter = site.alerter(ready=False, DRAINWATCH_STATE_DIR=new)
    assert alerter.wait() == 78
    assert alerter.said(f"was moved to {other}: set DRAINWATCH_STATE_DIR to that folder")
    site.alerter(DRAINWATCH_STATE_DIR=other)


def test_an_alerter_goes_on_with_a_folder_whose_move_broke_off(kept, database):
    site, state = kept
    database.proxy.stall_after(11_000)
    cut = threading.Timer(1, database.proxy.cut)
    cut.start()
    assert move(site, state, "database", **database.settings)[0] != 0
    cut.cancel()
    site.alerter()


def test_a_move_that_ends_before_its_folder_has_a_name_can_be_run_again(kept, database):
    site, state = kept
    assert move(site, state, "database", **database.settings)[0] == 0
    database.sql("UPDATE lease SET moved = '/somewhere'")
    before = contents(site, **database.settings)
    code, said = move(site, "database", site.folder / "back", **database.settings)
    assert code == 0, said
    assert contents(site, DRAINWATCH_STATE_DIR=site.folder / "back") == before


def is_empty(database):
    tables = ("stream", "part", "senders", "refused", "outbox", "channels")
    there = [table for table in tables if database.sql(f"SELECT to_regclass('{table}')") != [[""]]]
    return not any(database.sql(f"SELECT * FROM {table}") for table in there)


def test_a_move_that_breaks_off_leaves_nothing(kept, database):
    """However late it breaks off. The next one succeeds."""
    site, state = kept
    before, broken = contents(site), 0
    for n in itertools.count(2000, 3100):
        database.proxy.stall_after(n)
        cut = threading.Timer(1, database.proxy.cut)
        cut.start()
        code, said = move(site, state, "database", **database.settings)
        cut.cancel()
        database.proxy.go_on()
        if code == 0:
            break
        assert is_empty(database), (n, said)
        broken += 1
    assert broken > 3
    assert contents(site, **database.settings) == before
