"""Two alerters on one database: one is active, the other stands by and takes over."""

import json
import re
import shutil
import signal
import time

import pytest

from alerting import SHIPPED
from drainwatch import ALERTER, h12, wait_for

# Of a take-over in the test, on a busy machine. The usual time is a tenth.
SOON_S = 5


class Workers:
    """A site on a database with an ingest and two alerters, of which the first one is active."""

    def __init__(self, site, slack, database, **settings):
        self.slack = slack
        self.site = site(rules=SHIPPED, **database.settings, SLACK_API_URL=slack.url,
                         SLACK_BOT_TOKEN=slack.token, **settings)
        self.active = self.site.alerter()
        self.standby = self.start("second")
        self.standby.wait_said("standing by: ")
        self.ingest = self.site.ingest()
        self.site.wait_healthy()

    def start(self, name, **settings):
        return self.site.alerter(ready=False, DRAINWATCH_STATE_DIR=self.site.folder / name,
                                 **settings)

    def post(self, n):
        assert self.site.post(h12(n)) == 204

    def wait_messages(self, n):
        wait_for(lambda: len(self.slack.delivered) >= n, f"{n} messages")
        return self.slack.delivered

    def wait_counted(self, n):
        wait_for(lambda: self.status()["counts"]["matches"] == n, f"{n} matches to be counted")

    def status(self):
        result = self.site.run(ALERTER, "status", "--format", "json")
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    def text(self):
        return self.site.run(ALERTER, "status").stdout.decode()


@pytest.fixture
def workers(site, slack, database):
    return Workers(site, slack, database)


def test_status_shows_who_is_active_and_who_stands_by(workers):
    workers.post(1)
    workers.wait_counted(1)
    found = workers.status()
    first, second = sorted(found["alerter"]["instances"], key=lambda one: not one["active"])
    assert first["active"] and not second["active"] and found["alerter"]["running"]
    assert first["name"].endswith(f":{workers.active.process.pid}")
    assert second["name"].endswith(f":{workers.standby.process.pid}")
    ingest, = found["queue"]["ingests"]
    assert found["queue"]["ingest_running"] and ingest["waiting"] == 0 and not ingest["left"]
    assert found["database"]["total_bytes"] > found["database"]["history_bytes"] > 0
    shown = workers.text()
    assert "alerter: running\n" in shown
    assert re.search(rf"  {first['name']}: active for [a-z0-9 ]+, heard \d s ago\n", shown)
    assert re.search(rf"  {second['name']}: standing by, \d entr[a-z]+ behind, heard \d s ago\n", shown)
    assert "queue: ingest is running; 0 messages wait in the database (0.0 kB)\n" in shown
    assert f"  {ingest['name']}: running, heard " in shown and "\ndatabase: " in shown
    assert all(len(line) <= 80 for line in shown.splitlines())


def test_a_stopped_alerter_hands_over_at_once(workers):
    workers.post(3)
    workers.wait_counted(3)
    workers.active.signal(signal.SIGTERM)
    since = time.monotonic()
    workers.standby.wait_said("active since")
    assert time.monotonic() - since < SOON_S
    assert workers.standby.said("which stopped")
    assert workers.active.wait() == 0
    workers.post(1)  # the fourth
    assert ", 4 in 5 minutes" in workers.wait_messages(1)[0].text


def test_status_calls_nobody_active_who_is_gone_or_silent(workers, database):
    def lines():
        return [line for line in workers.text().splitlines() if "lease" in line or "silent" in line]

    assert workers.standby.said(f":{workers.active.process.pid} is active")
    workers.standby.kill()
    silent = wait_for(lines, "the silent standby", timeout=10)
    assert re.fullmatch(rf"  \S+:{workers.standby.process.pid}: silent for [78] seconds", silent[0])
    workers.active.kill()
    _, gone = sorted(wait_for(lambda: len(lines()) == 2 and lines(), "the holder"), key=lambda x: "lease" in x)
    assert re.search(rf":{workers.active.process.pid}: gone, has the lease, heard \d s ago", gone)
    assert "alerter: NONE is active\n" in workers.text()
    assert not any(one["active"] for one in workers.status()["alerter"]["instances"])
    third = workers.start("third")
    third.wait_said("active since")
    database.sql("REVOKE UPDATE ON lease FROM drainwatch")
    third.wait_said("the database cannot be used, so nothing is decided or posted: PostgreSQL on")
    assert third.said("this user lacks a right")
    wait_for(lambda: "alerter: NONE is active\n" in workers.text(), "status to call it silent")
    assert f":{third.process.pid}: silent for " in workers.text()
    wait_for(lambda: re.fullmatch(r"no alerter has been active for \d+ seconds", workers.site.health()[1]),
             "ingest to say the same")
    database.sql("GRANT UPDATE ON lease TO drainwatch")
    third.wait_said("the database can be used again")
    workers.site.wait_healthy()
    wait_for(lambda: f":{third.process.pid}: active for" in workers.text(), "status to call it active")


def test_a_holder_that_may_be_gone_is_not_called_active(workers, database):
    """Its connection stands, and nothing is heard of it."""
    workers.active.signal(signal.SIGSTOP)
    third = workers.start("third")
    third.wait_said("has the lease, but nothing is heard of it")
    assert not third.said("is active")
    workers.active.signal(signal.SIGCONT)


@pytest.mark.parametrize("number", (signal.SIGKILL, signal.SIGSTOP))
def test_an_alerter_that_is_gone_or_frozen_is_replaced(workers, number):
    workers.post(4)
    workers.wait_messages(1)
    workers.active.signal(number)
    workers.standby.wait_said("which was gone or silent")
    workers.post(4)  # in the cooldown of the first alert
    workers.wait_counted(8)
    assert len(workers.slack.delivered) == 1
    if number == signal.SIGSTOP:
        workers.active.signal(signal.SIGCONT)
        workers.active.wait_said("has taken over: this one stands by")
        workers.standby.signal(signal.SIGTERM)
        workers.post(1)
        workers.wait_counted(9)
        assert len(workers.slack.delivered) == 1


def test_nothing_is_decided_while_the_database_is_away(workers, database):
    database.proxy.refuse()
    database.proxy.cut()
    workers.active.wait_said("the database cannot be used, so nothing is decided or posted")
    workers.standby.wait_said("the database cannot be used, so nothing is decided or posted")
    workers.post(4)
    time.sleep(0.5)
    assert not workers.slack.delivered
    database.proxy.go_on()
    workers.wait_messages(1)
    alerters = (workers.active, workers.standby)
    wait_for(lambda: all(one.said("the database can be used again") for one in alerters), "both to be back")
    workers.post(1)
    workers.wait_counted(5)
    assert len(workers.slack.delivered) == 1


def test_an_alerter_starts_and_stops_without_the_database(site, database):
    database.proxy.refuse()
    alerter = site(**database.settings).alerter(ready=False)
    alerter.wait_said("the database cannot be used")
    assert alerter.stop() == 0
    assert not alerter.said("is not delivered")


def test_only_the_active_alerter_binds_the_queue(site, slack, database):
    """ZeroMQ carries the records, the database keeps the rest."""
    queue = f"ipc://{site('queue').folder}/queue.sock"
    workers = Workers(site, slack, database, DRAINWATCH_QUEUE=queue)
    workers.post(3)
    workers.wait_counted(3)
    workers.active.kill()
    workers.standby.wait_said("active since")
    workers.post(1)
    assert ", 4 in 5 minutes" in workers.wait_messages(1)[0].text
    third = workers.start("third")
    third.wait_said("standing by: ")
    workers.standby.signal(signal.SIGTERM)
    third.wait_said("which stopped", timeout=40)
    workers.post(1)
    workers.wait_counted(5)


@pytest.mark.parametrize("meanwhile", [0, 2])
def test_commits_that_the_database_loses_come_again_over_the_queue(site, slack, database, meanwhile):
    tables = ("lease", "senders", "stream", "part", "outbox", "channels")
    workers = Workers(site, slack, database,
                      DRAINWATCH_QUEUE=f"ipc://{site('queue').folder}/queue.sock")
    assert workers.standby.stop() == 0
    workers.post(1)
    workers.wait_counted(1)
    database.sql("; ".join(f"CREATE TABLE copy_{name} AS TABLE {name}" for name in tables))
    workers.post(1)
    workers.post(1)
    workers.wait_counted(3)
    database.proxy.refuse()
    database.proxy.cut()
    workers.active.wait_said("the database cannot be used")
    database.sql("BEGIN; " + "; ".join(f"DELETE FROM {name}; INSERT INTO {name} TABLE copy_{name}"
                                       for name in tables) + "; COMMIT")
    for _ in range(meanwhile):
        workers.post(1)
    database.proxy.go_on()
    workers.active.wait_said("the database lost its newest commits")
    workers.ingest.wait_said("the database lost 2 records that it had taken")
    workers.post(1)
    workers.wait_counted(4 + meanwhile)
    workers.wait_messages(1)


@pytest.mark.parametrize("disk", ["kept", "gone"])
def test_what_the_database_carried_before_the_queue_is_taken_too(site, slack, database, disk):
    workers = Workers(site, slack, database)
    assert workers.standby.stop() == 0 and workers.active.stop() == 0
    for _ in range(3):
        workers.post(1)
    assert workers.ingest.stop() == 0
    if disk == "gone":
        shutil.rmtree(workers.site.folder / "state")
    workers.site.settings["DRAINWATCH_QUEUE"] = f"ipc://{site('queue').folder}/queue.sock"
    workers.site.ingest()
    workers.post(1)
    workers.site.alerter()
    workers.wait_counted(4)
    assert len(workers.wait_messages(1)) == 1
    assert "queue: ingest is running; 0 messages wait in the database" in workers.text()
    elsewhere = workers.site.run(ALERTER, "status", DRAINWATCH_STATE_DIR=workers.site.folder / "other")
    assert b"others at DRAINWATCH_QUEUE are not listed" in elsewhere.stdout


def test_rules_of_a_standby_come_into_force_with_its_term(workers):
    workers.site.rules.write_text(re.sub("more_than: .*", "more_than: 100", SHIPPED))
    workers.standby.signal(signal.SIGHUP)
    workers.standby.wait_said("come into force once this alerter is active")
    workers.post(4)
    workers.wait_messages(1)
    workers.active.kill()
    workers.standby.wait_said("active since")
    wait_for(lambda: all(rule["threshold"] == 100 for rule in workers.status()["rules"]),
             "the new rules")


@pytest.mark.parametrize("is_active_killed", [False, True])
def test_history_that_is_deleted_beside_the_alerters_is_noticed(workers, database, is_active_killed):
    """The next alerter finds the rules in the history that is left, and so does a replay."""
    workers.post(3)
    workers.wait_counted(3)
    one, other = workers.active, workers.standby
    if is_active_killed:
        one.kill()
        one = other
    database.sql("TRUNCATE stream, part")
    one.wait_said("history was deleted from the database")
    if is_active_killed:
        other = workers.start("third")
        other.wait_said("standing by: ")
    workers.post(3)
    workers.wait_counted(3)
    one.kill()
    other.wait_said("active since")
    workers.post(1)
    messages = workers.wait_messages(1)
    assert "4 in 5 minutes" in messages[0].text
    stream = workers.site.run(ALERTER, "export").stdout
    replay = workers.site.run(ALERTER, "replay", "--format", "json", stdin=stream)
    assert [json.loads(line)["id"] for line in replay.stdout.splitlines()] == [messages[0].id]


def test_a_schema_that_was_dropped_ends_the_alerter(workers, database):
    database.sql(f"SET client_min_messages = error; DROP SCHEMA {database.name} CASCADE")
    assert workers.active.wait() == 1
    assert workers.standby.wait() == 1
