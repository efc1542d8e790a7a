"""One drain floods both programs; other drains are answered 204, and their alerts do not wait."""

import signal
import time

from alerting import SANITIZED, Both, rule
from counting import COUNTED, Counting
from drainwatch import PATIENCE, frame, now, wait_for, whole
from chaos import marker
from load import Crowd
from logplex import Burst

FLOOD, HONEST = "d.flood", "d.honest"
GROUPS = 3 if SANITIZED else 30
TIMES = 4096 if SANITIZED else 65536  # as many as a window holds
LINES = 4096  # of a delivery
PROBES = 8
VOLLEYS = 40  # before each probe
AT_ONCE_S = 10 if SANITIZED else 2

HEAD = "app: honest\nslack: {channel: C-HONEST}\nrules:\n"
FLOOD_RULE = rule("flood", "flood", group_by="process", more_than=1000, within="2h", cooldown="1h",
                  channel="C-FLOOD")
PROBE_RULES = [rule(f"probe-{n}", f"^PROBE {n}$", channel=f"C-{n}") for n in range(2 * PROBES)]


def fill_windows(both):
    """Gives each group as many distinct times as a window holds, an hour old."""
    lines = [frame("flood", source="app", process="web.00", at=now(-3500 + n / 1000))
             for n in range(TIMES)]
    for first in range(0, TIMES, LINES):
        body = b"".join(lines[first:first + LINES])
        for group in range(GROUPS):
            both.post(body.replace(b"web.00", b"web.%02d" % group), drain=FLOOD)


def touch_all(at):
    """A delivery with one line for each group."""
    return b"".join(frame("flood", source="app", process=f"web.{group:02d}", at=at)
                    for group in range(GROUPS))


def probe(both, n):
    """How long an alert of the other drain takes from its delivery to Slack. By then all that was
    posted before is decided."""
    began = time.monotonic()
    both.post(frame(f"PROBE {n}", source="app", process="web.1"), drain=HONEST)
    return both.wait_messages(1, f"C-{n}")[0].monotonic - began


def flood(both, crowd, body, first):
    """Posts the body again and again, with a probe now and then. Returns the alerter's seconds of
    processor time and the seconds that each probe took."""
    request, used = whole(body, drain=FLOOD), both.alerter.cpu_seconds()
    took = []
    for n in range(first, first + PROBES):
        for _ in range(VOLLEYS):
            crowd.volley([request], PATIENCE)
        took.append(probe(both, n))
    assert crowd.statuses.keys() == {"204"}
    return both.alerter.cpu_seconds() - used, took


def test_late_lines_cost_what_others_cost(site, slack):
    both = Both(site(rules=HEAD + FLOOD_RULE + "".join(PROBE_RULES)), slack)
    fill_windows(both)
    crowd = Crowd(both.site.port, 8)
    new_s, _ = flood(both, crowd, touch_all(now(-60)), 0)
    old_s, took = flood(both, crowd, touch_all(now(-3550)), PROBES)
    crowd.close()
    assert old_s < 3 * new_s + 0.1
    assert max(took) < AT_ONCE_S


# ---- lanes ----

LANE_RULES = "".join(rule(f"probe-{n}", f"^PROBE {n}$", channel=f"C-{n}") for n in range(3))


def post_probe(both, n, drain):
    return both.site.post(frame(f"PROBE {n}", source="app", process="web.1"), drain=drain)


def with_backlog(site, slack):
    """A pair whose alerter stands still while one drain delivered much."""
    both = Both(site(rules=HEAD + FLOOD_RULE + LANE_RULES), slack)
    both.alerter.signal(signal.SIGSTOP)
    body = b"".join(frame("flood", source="app", process=f"web.{n}") for n in range(200))
    with Burst(both.site.port, FLOOD) as burst:
        assert burst.send(1000, body) == {204: 1000}
    return both


def test_a_drain_does_not_wait_behind_another(site, slack):
    """One drain delivers much, and then another one a line."""
    both = with_backlog(site, slack)
    assert post_probe(both, 0, FLOOD) == 204
    assert post_probe(both, 1, HONEST) == 204
    began = time.monotonic()
    both.alerter.signal(signal.SIGCONT)
    honest = both.wait_messages(1, "C-1")[0].monotonic
    assert honest - began < AT_ONCE_S
    assert honest < both.wait_messages(1, "C-0")[0].monotonic


def test_sigterm_is_heard_during_a_backlog(site, slack):
    both = with_backlog(site, slack)
    both.alerter.signal(signal.SIGTERM)
    both.alerter.signal(signal.SIGCONT)
    both.alerter.wait_said("stopping", AT_ONCE_S)


def test_a_drain_that_fills_the_journal_is_answered_503_alone(site, slack):
    both = Both(site(rules=HEAD + FLOOD_RULE + LANE_RULES, DRAINWATCH_SPOOL_MAX_BYTES="2 MiB"), slack)
    both.end_alerter()
    body = b"".join(frame("flood " + "x" * 900, source="app", process=f"web.{n}") for n in range(200))
    statuses = {}
    assert post_probe(both, 1, HONEST) == 204
    with Burst(both.site.port, FLOOD, 1) as burst:
        while 503 not in statuses:
            statuses = burst.send(20, body)
    for n in range(100):
        assert post_probe(both, 1, HONEST) == 204
    assert FLOOD in both.ingest.said("503: a delivery was refused")[0]
    assert not both.ingest.said("deliveries with matches are answered 503")
    assert "full" not in both.site.health()[1]
    assert sum(f.stat().st_size for f in (both.site.folder / "state").glob("ingest*")) < 3 << 20
    both.alerter = both.site.alerter()
    began = time.monotonic()
    assert both.wait_messages(1, "C-1")[0].monotonic - began < AT_ONCE_S
    wait_for(lambda: post_probe(both, 2, FLOOD) == 204, "a 204 once there is room")


def test_a_journal_full_of_one_drains_records_is_full_once_another_is_refused(site, slack):
    both = Both(site(rules=HEAD + FLOOD_RULE + LANE_RULES, DRAINWATCH_SPOOL_MAX_BYTES="4 MiB"), slack)
    both.end_alerter()
    body = b"".join(frame("flood " + "x" * 900, source="app", process=f"web.{n}") for n in range(100))
    with Burst(both.site.port, FLOOD, 1) as burst:
        while 503 not in burst.send(20, body):
            pass
    assert both.ingest.said("503: a delivery was refused")
    assert "full" not in both.site.health()[1]
    with Burst(both.site.port, HONEST, 1) as burst:
        while 503 not in burst.send(1, body):
            pass
    assert both.site.health()[0] == 503 and "is full" in both.site.health()[1]


def test_a_delivery_too_large_for_any_lane_makes_no_journal_full(site, slack):
    both = Both(site(rules=HEAD + FLOOD_RULE + LANE_RULES, DRAINWATCH_SPOOL_MAX_BYTES="1 MiB"), slack)
    lines = (frame("flood " + "x" * 900, source="app", process=f"web.{n}") for n in range(1500))
    both.site.wait_healthy()
    assert both.site.post(b"".join(lines), drain=FLOOD) == 503
    assert both.site.health() == (200, "ok")
    assert post_probe(both, 1, HONEST) == 204


def test_a_delivery_too_large_for_the_quick_lane_takes_the_other(site, slack):
    both = Both(site(rules=HEAD + FLOOD_RULE + LANE_RULES, DRAINWATCH_SPOOL_MAX_BYTES="8 MiB"), slack)
    both.end_alerter()
    lines = (frame("flood " + "x" * 900, source="app", process=f"web.{n}") for n in range(1500))
    assert both.site.post(b"".join(lines), drain=FLOOD) == 204
    assert (both.site.folder / "state" / "ingest-bulk.db").exists()
    assert "full" not in both.site.health()[1]
    assert post_probe(both, 1, HONEST) == 204


def test_both_lanes_outlive_their_processes(site):
    c = Counting(site())
    ingest = c.ingest()
    for n in range(3):
        assert c.post(9000, drain=FLOOD, frame_id=f"flood-{n}") == 204
    assert c.post(1, drain=HONEST, frame_id="one") == 204
    assert (c.ingest_folder / "ingest-bulk.db").exists()
    ingest.kill()
    ingest = c.ingest()
    alerter = c.alerter()
    wait_for(lambda: c.recorded().records, "a record")
    alerter.kill()
    c.alerter()
    c.site.wait_healthy()
    wait_for(lambda: c.recorded().total(COUNTED) == 27001, "all that was answered 204")
    assert c.total() == 27001
    assert ingest.stop() == 0
