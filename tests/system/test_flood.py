"""One drain floods both programs; the others' alerts do not wait for it."""

import time

from alerting import SANITIZED, Both, rule
from drainwatch import PATIENCE, frame, now, whole
from load import Crowd

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
