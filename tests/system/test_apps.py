"""Whose drain is whose, rules that are read again while ingest runs, and drains that send what is
damaged."""

import gzip
import signal
import threading

import pytest

from counting import ShiftedClock
from drainwatch import (DRAIN, INGEST, OK_LINE, PATIENCE, frame, h12, head, wait_for, whole)
from router import count

LISTED = """
apps:
  - {name: shop, drain: [d.shop-1, d.shop-2]}
  - {name: web, drain: web-basic}
slack: {channel: C01234567}
rules:
  - {name: h12-request-timeout, field: code=H12, more_than: 0, within: 5m, cooldown: 1s}
"""
GOOD = frame(OK_LINE)
NO_APP = 'is authenticated, but no app of the rules lists it: add it to apps, or set app'


# ---- apps ----

def test_only_listed_drains_may_deliver(site, router):
    s = site(rules=LISTED)
    r = router(s).start()
    program = s.ingest()
    assert s.post(h12(), drain="d.shop-1") == s.post(h12(2), drain="d.shop-2") == 204
    assert s.post_basic(h12(3), name="web-basic") == 204
    assert s.post(h12(), drain=DRAIN) == s.post_basic(h12(), name="shop") == 401
    assert s.post(h12(), drain="d.shop-1", secret="x" * 40) == 401
    r.wait_for(3)
    assert program.stop() == 0
    assert {(record.drain, count(record)) for record in r.records} == {
        ("d.shop-1", 1), ("d.shop-2", 2), ("web-basic", 3)}


def test_a_drain_that_no_app_lists_is_told_from_a_stranger(site):
    s = site(rules=LISTED)
    program = s.ingest()
    assert s.post(GOOD, drain="d.new") == 401
    said, = program.wait_said(NO_APP)
    assert 'drain \\"d.new\\" ' in said and "level=warning" in said
    assert s.post(GOOD, drain="d.new", secret="x" * 40) == 401  # the first of another kind
    program.wait_said("is not HMAC-SHA256(secret, Logplex-Drain-Token)")
    assert len(program.said("401:")) == 2


def test_it_is_decided_on_the_headers_and_before_other_faults(site):
    s = site(rules=LISTED, DRAINWATCH_MAX_BODY_BYTES="64 KiB")
    s.ingest()
    for headers in ({"Content_Length": 1000}, {"Content_Length": 1 << 30},
                    {"Content_Length": 1000, "Content_Encoding": "br"}):
        with s.raw() as client:
            code, answer, text = client.send(head(drain="d.new", **headers)).answer()
        assert code == 401 and "www-authenticate" in answer and b"no app of the rules" in text


def test_refused_drains_are_summed_up_each_minute(site, tmp_path):
    s = site(rules=LISTED)
    clock = ShiftedClock(tmp_path)
    program = s.ingest(**clock.settings)
    for i in range(5):
        assert s.post(GOOD, drain=f"d.{i}") == 401
    assert len(program.wait_said(NO_APP)) == 1
    clock.sleep(61)
    assert s.post(GOOD, drain="d.shop-1") == 204
    said, = program.wait_said("401: 4 more deliveries were refused")
    assert 'drain \\"d.4\\" ' in said


def test_the_ready_line_names_the_apps(site):
    line, = site("one", rules=LISTED).ingest().said("listening on port")
    assert "1 rule for shop, web, other drains are refused;" in line
    line, = site("two", rules="app: rest\n" + LISTED).ingest().said("listening on port")
    assert "1 rule for rest, shop, web;" in line
    line, = site("three").ingest().said("listening on port")
    assert "2 rules for raxx-console-prod;" in line
    many = "".join(f"  - {{name: a{i}, drain: d.{i}}}\n" for i in range(100))
    line, = site("four", rules=LISTED.replace("apps:\n", "apps:\n" + many)).ingest().said(
        "listening on port")
    assert "a7 and 94 more apps, other drains" in line


# ---- rules read again ----

def version(n, more=""):
    """Rules that say of each match which version of them it went through."""
    return ("app: a\nslack: {channel: C01234567}\nrules:\n"
            f"  - {{name: v{n}, match: STORM, more_than: 0, within: 1m, cooldown: 1s}}\n" + more)


def storm(n=1):
    return frame("STORM") * n


def rewrite(s, program, text, said="was read again"):
    before = len(program.said(said))
    s.rules.write_text(text)
    program.signal(signal.SIGHUP)
    wait_for(lambda: len(program.said(said)) > before, said)


def rules_of(records):
    return [{m.rule: len(m.time_deltas_us) for m in r.matches} for r in records]


def test_what_begins_after_a_reload_uses_the_new_rules(site, router):
    s = site(rules=version(1))
    r = router(s).start()
    program = s.ingest()
    assert s.post(storm()) == 204
    rewrite(s, program, version(2, "  - {name: also, match: T.RM, more_than: 0, within: 1m}\n"))
    assert s.post(storm(3)) == 204
    assert rules_of(r.wait_for(2)) == [{"v1": 1}, {"v2": 3, "also": 3}]
    said, = program.said("was read again")
    assert str(s.rules) in said and "2 rules for a;" in said
    assert program.stop() == 0


def begin(s, length, **headers):
    """A client whose delivery has begun: ingest has read the head, and asked for the body."""
    client = s.raw().send(head(Content_Length=length, Expect="100-continue", **headers))
    assert client.answer()[0] == 100
    return client


@pytest.mark.parametrize("encoding", [None, "gzip"])
def test_what_has_begun_ends_with_the_rules_that_it_began_with(site, router, encoding):
    s = site(rules=version(1))
    r = router(s).start()
    program = s.ingest()
    body = gzip.compress(storm(1000)) if encoding else storm(1000)
    cuts = [0, 1, len(body) // 2, len(body) - 1]
    begun = [begin(s, len(body), Logplex_Frame_Id=f"begun-{cut}", Content_Encoding=encoding)
             for cut in cuts]
    for client, cut in zip(begun, cuts):
        client.send(body[:cut])
    for n in range(2, 5):
        rewrite(s, program, version(n))
        assert s.post(storm(n)) == 204
    for client, cut in zip(begun, cuts):
        client.send(body[cut:])
        assert client.answer()[0] == 204
        client.send(whole(storm(7)))  # the next one on the same connection is of the newest
        assert client.answer()[0] == 204
        client.close()
    records = r.wait_for(3 + 2 * len(cuts))
    assert rules_of(x for x in records if x.frame_id) == [{"v1": 1000}] * len(cuts)
    assert rules_of(x for x in records if not x.frame_id) == (
        [{"v2": 2}, {"v3": 3}, {"v4": 4}] + [{"v4": 7}] * len(cuts))
    assert program.stop() == 0


def test_a_stalled_delivery_is_dropped_with_its_old_rules(site, router):
    s = site(rules=version(1))
    router(s).start()
    program = s.ingest()
    client = begin(s, 100_000).send(storm(100))
    rewrite(s, program, version(2))
    client.close()
    assert s.post(storm()) == 204
    assert program.stop() == 0


def test_reloads_under_load(site, router):
    """No delivery is refused, and each went through one version of the rules, whole."""
    s = site(rules=version(0))
    r = router(s).start()
    program = s.ingest()
    statuses, done = [], threading.Event()

    def deliver():
        connection = s.connect()
        while not done.is_set():
            statuses.append(s.post(storm(50), connection=connection))
    crowd = [threading.Thread(target=deliver, daemon=True) for _ in range(4)]
    for thread in crowd:
        thread.start()
    for n in range(1, 11):
        rewrite(s, program, version(n))
        seen = len(statuses)
        wait_for(lambda: len(statuses) > seen + 20, "deliveries")
    done.set()
    for thread in crowd:
        thread.join(PATIENCE)
    assert set(statuses) == {204}
    records = rules_of(r.wait_for(len(statuses)))
    assert all(list(found.values()) == [50] for found in records)
    assert {name for found in records for name in found} >= {f"v{n}" for n in range(1, 11)}
    assert program.stop() == 0


def slow_rules():
    """Rules that take a second or more to compile."""
    return "".join(f"  - {{name: slow-{i}, match: 'w{i * 7919 % 1000}[0-9]+ x{i}.*(error|timeout)', "
                   "more_than: 0, within: 1m}\n" for i in range(300))


def test_deliveries_go_on_while_rules_are_compiled(site, router):
    s = site(rules=version(1))
    r = router(s).start()
    program = s.ingest()
    s.rules.write_text(version(2, slow_rules()))
    program.signal(signal.SIGHUP)
    posted = 0
    while not program.said("was read again"):
        assert s.post(storm()) == 204
        posted += 1
    assert s.post(storm()) == 204
    found = [name for x in rules_of(r.wait_for(posted + 1)) for name in x]
    assert found.count("v1") >= min(10, posted - 1) > 1
    assert found[-1] == "v2" and found == sorted(found)
    assert program.stop() == 0


def test_the_file_changes_once_more_while_it_is_compiled(site, router):
    s = site(rules=version(1))
    r = router(s).start()
    program = s.ingest()
    s.rules.write_text(version(2, slow_rules()))
    program.signal(signal.SIGHUP)
    for _ in range(2):  # once the second is answered, the signal was taken
        assert s.post(storm()) == 204
    (s.folder / "next.yaml").write_text(version(3))
    (s.folder / "next.yaml").replace(s.rules)  # never half written, because it may be read right now
    program.signal(signal.SIGHUP)
    wait_for(lambda: len(program.said("was read again")) == 2, "both reloads")
    assert s.post(storm()) == 204
    assert rules_of(r.wait_for(3)) == [{"v1": 1}, {"v1": 1}, {"v3": 1}]
    s.rules.write_text(version(4, slow_rules()))
    program.signal(signal.SIGHUP)
    assert program.stop() == 0  # also while it compiles


def test_a_file_with_faults_changes_nothing(site, router):
    s = site(rules=version(1))
    r = router(s).start()
    program = s.ingest()
    faulty = version(2).replace("within: 1m", "within: 1").replace("more_than: 0", "more_than: -")
    rewrite(s, program, faulty, "old rules stay in force")
    faults = program.said(f"{s.rules}:")
    assert len([f for f in faults if "level=error" in f]) >= 2
    assert any("within" in f for f in faults) and any("more_than" in f for f in faults)
    s.rules.unlink()
    program.signal(signal.SIGHUP)
    wait_for(lambda: len(program.said("old rules stay in force")) == 2, "the missing file")
    assert s.post(storm()) == 204
    assert rules_of(r.wait_for(1)) == [{"v1": 1}]
    rewrite(s, program, version(3))
    assert s.post(storm()) == 204
    assert rules_of(r.wait_for(2))[1] == {"v3": 1}
    assert program.stop() == 0


def test_a_drain_may_be_listed_while_ingest_runs(site):
    s = site(rules=LISTED)
    program = s.ingest()
    assert s.post(GOOD, drain="d.new") == 401
    rewrite(s, program, LISTED.replace("d.shop-2", "d.new"))
    assert s.post(GOOD, drain="d.new") == 204
    assert s.post(GOOD, drain="d.shop-2") == 401


def test_a_drain_is_shut_out_while_ingest_runs(site):
    s = site(rules=LISTED)
    program = s.ingest()
    assert s.post(GOOD, drain="d.shop-1") == s.post_basic(GOOD, name="web-basic") == 204
    rewrite(s, program, LISTED + "refuse: [d.shop-1, web-basic]\n")
    assert s.post(GOOD, drain="d.shop-1") == s.post_basic(GOOD, name="web-basic") == 401
    assert s.post(GOOD, drain="d.shop-2") == 204
    said, = program.wait_said("stands under refuse in the rules")
    assert 'drain \\"d.shop-1\\" ' in said and "level=warning" in said
    with s.raw() as client:
        code, answer, text = client.send(whole(GOOD, drain="d.shop-1")).answer()
    assert code == 401 and "www-authenticate" in answer and b"the rules refuse this drain" in text
    rewrite(s, program, LISTED)
    assert s.post(GOOD, drain="d.shop-1") == 204


def test_in_a_solo_run_both_read_the_rules_anew(site):
    s = site(rules=version(1), DRAINWATCH_SOLO="true")
    program = s.start(INGEST)
    program.wait_said("listening on port")
    s.wait_healthy()
    rewrite(s, program, version(2))

    def alerted():
        assert s.post(storm()) == 204
        return program.said("drainwatch alert: v2")
    wait_for(alerted, "an alert of the new rule")
    assert program.stop() == 0


# ---- damaged deliveries ----

def test_malformed_frames_are_said(site, tmp_path):
    s = site()
    clock = ShiftedClock(tmp_path)
    program = s.ingest(**clock.settings)
    bad = b"99999 <158>1 x\n" + GOOD
    assert s.post(bad) == 204
    said, = program.wait_said("malformed frame")
    assert f'drain \\"{DRAIN}\\": a delivery with 1 malformed frame (' in said
    assert "level=warning" in said
    for _ in range(3):
        assert s.post(bad * 2) == 204
    assert s.post(bad, drain="another") == 204
    program.wait_said('drain \\"another\\": a delivery with')
    assert len(program.said("malformed frame")) == 2
    clock.sleep(61)
    said, = program.wait_said("within a minute")
    assert f'drain \\"{DRAIN}\\": 6 malformed frames in 3 more deliveries within a minute' in said


def test_damaged_gzip_is_said_with_what_could_be_read(site, router):
    s = site()
    r = router(s).start()
    program = s.ingest()
    whole_body = gzip.compress(b"".join(h12() + frame(f"{i}" * 50) for i in range(200)))
    for drain, body in (("cut", whole_body[:-20]), ("rubbish", b"no gzip at all")):
        assert s.post(body, drain=drain, headers={"Content-Encoding": "gzip"}) == 204
        said, = program.wait_said(f'drain \\"{drain}\\"')
        assert "1 damaged gzip body" in said
    assert s.post(whole_body, headers={"Content-Encoding": "gzip"}) == 204
    assert s.post(b"", headers={"Content-Encoding": "gzip"}) == 204
    assert count(r.wait_for(2)[0]) > 100
    assert len(program.said("damaged gzip")) == 2


def test_a_wrong_count_is_nobodys_fault(site):
    """Clients with garbage counts exist (docs/facts.md)."""
    s = site()
    program = s.ingest()
    assert s.post(GOOD, headers={"Logplex-Msg-Count": "4711"}) == 204
    assert program.stop() == 0
    assert all("as shipped" in line or "as root" in line for line in program.said("level=warning"))


def test_what_is_held_back_is_said_at_the_end(site):
    s = site()
    program = s.ingest()
    for _ in range(3):
        assert s.post(b"99999 <158>1 x\n") == 204
    assert program.stop() == 0
    assert program.said("2 malformed frames in 2 more deliveries")


def test_a_refused_delivery_is_no_damaged_one(site):
    """It comes again, and would be told of each time."""
    s = site(DRAINWATCH_MAX_BODY_BYTES="64 KiB")
    program = s.ingest()
    with s.raw() as client:
        assert client.send(whole(b"99999 <158>1 x\n" * 10_000)).answer()[0] == 413
    assert s.post(b"99999 <158>1 x\n", secret="x" * 40) == 401
    assert program.stop() == 0
    assert not program.said("malformed frame")
