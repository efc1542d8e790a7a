"""`drainwatch-alerter status`, beside the running programs and without them; and the log line of a
breach within a cooldown."""

import json

import pytest

from alerting import H12_RULE, SHIPPED, TIMEOUT_RULE, Both
from drainwatch import ALERTER, h12, now, wait_for

WIDTH = 80


def status(both):
    result = both.site.run(ALERTER, "status", "--format", "json")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def text(site):
    result = site.run(ALERTER, "status")
    assert result.returncode == 0, result.stderr
    out = result.stdout.decode()
    assert all(len(line) <= WIDTH for line in out.splitlines()), out
    return out


def group(found, name):
    return next(r for r in found["rules"] if r["rule"] == name)


@pytest.mark.sqlite
def test_status_beside_running_programs(site, slack):
    both = Both(site(rules=SHIPPED), slack)
    both.post(h12(2))
    wait_for(lambda: group(status(both), H12_RULE)["groups"], "two matches")
    found = status(both)
    h = group(found, H12_RULE)
    assert h["threshold"] == 3 and h["window_s"] == 300 and h["cooldown_s"] == 300
    (key,) = h["groups"]
    assert key["app"] == "raxx-console-prod" and key["group"] == {} and key["count"] == 2
    assert key["cooldown_left_s"] == 0 and key["last_alert"] is None and key["last_delivery"]
    assert found["alerter"]["running"] and found["queue"]["ingest_running"]
    assert group(found, TIMEOUT_RULE)["groups"] == []
    both.post(h12(3))
    both.wait_messages(1)
    wait_for(lambda: status(both)["outbox"]["delivered"] == 1, "the delivery to be stored")
    found = status(both)
    (key,) = group(found, H12_RULE)["groups"]
    assert key["count"] == 5 and 290 < key["cooldown_left_s"] <= 300 and key["last_alert"]
    assert found["apps"] == [{"app": "raxx-console-prod", "last_delivery": key["last_delivery"]}]
    counts = found["counts"]
    assert (counts["records"], counts["matches"], counts["alerts"]) == (2, 5, 1)
    assert not any(counts[name] for name in counts.keys() - {"records", "matches", "alerts"})
    shown = text(both.site)
    assert "\nrecords: 2, of them 0 repeated and 0 with lost lines\n" in shown
    assert "\nmatches: 5 counted, 0 too late, 0 of unknown rules\n" in shown
    assert "alerter: running" in shown and "ingest is running" in shown
    assert f"{H12_RULE}: more than 3 in 5 minutes\n  5 (breached)  raxx-console-prod\n" in shown
    assert "cooldown left 4 minutes" in shown
    assert f"{TIMEOUT_RULE}: more than 2 in 2 minutes\n  no match recorded\n" in shown
    assert "1 delivered" in shown


def test_status_without_running_programs(site):
    both = Both(site(rules=SHIPPED))
    both.post(h12(4))
    both.wait_outbox(lambda row: row["rule"] == H12_RULE, "the alert")
    both.ingest.stop()
    both.alerter.stop()
    shown = text(both.site)
    assert "alerter: NOT running" in shown or "alerter: NONE is active" in shown
    assert "ingest is not running" in shown or "NO ingest is heard" in shown
    assert "  4 (breached)  raxx-console-prod" in shown


@pytest.mark.sqlite
@pytest.mark.sqlite
def test_status_before_any_alerter_ran(site):
    result = site().run(ALERTER, "status")
    assert result.returncode == 1
    assert b"no alerter ever ran" in result.stderr


@pytest.mark.parametrize("arguments", [["--format", "xml"], ["extra"], ["--nonsense"]])
def test_status_called_wrongly(site, arguments):
    assert site().run(ALERTER, "status", *arguments).returncode == 64


def test_a_breach_within_a_cooldown_is_logged_once(site):
    both = Both(site(rules=SHIPPED))
    both.post(h12(4))
    both.wait_outbox(lambda row: row["rule"] == H12_RULE, "the alert")
    both.post(h12(1))
    both.post(h12(5))
    said = f"raxx-console-prod: {H12_RULE} breached again, in cooldown until "
    wait_for(lambda: group(status(both), H12_RULE)["groups"][0]["count"] == 10, "all to be taken")
    both.alerter.wait_said(said)
    assert len(both.alerter.said(said)) == 1


def test_status_shows_the_largest_groups(site):
    both = Both(site(rules=SHIPPED.replace("    field: code=H12\n",
                                           "    field: code=H12\n    group_by: [path, dyno]\n")))
    for n in range(8):
        both.post(h12(n + 1).replace(b"/slow", b"/sl%02d" % n))
    wait_for(lambda: len(group(status(both), H12_RULE)["groups"]) == 8, "eight groups")
    found = group(status(both), H12_RULE)
    assert [g["count"] for g in found["groups"]] == [8, 7, 6, 5, 4, 3, 2, 1]
    assert found["groups"][0]["group"] == {"path": "/sl07", "dyno": "web.1"}
    assert found["more_groups"] == 0
    shown = text(both.site)
    assert "/sl07" in shown and "/sl02" not in shown and "  and 3 more, see --format json" in shown


def test_lines_that_arrive_hours_late_are_marked(site, slack):
    both = Both(site(rules=SHIPPED), slack)
    both.post(b"".join(h12(1, at=now(-3600 * hours)) for hours in (5, 4, 3, 2)))
    (message,) = both.wait_messages(1)
    assert "4 in 5 minutes (limit 3; arrived late)" in message.text
    assert "Matches arrived late, from" in message.everything
    (row,) = both.outbox(H12_RULE)
    assert row["arrived_late"] is True
    shown = both.site.run(ALERTER, "outbox").stdout
    assert b"(more than 3; arrived late)" in shown
