"""A rule that floods stays within its budget of messages, other rules' alerts do not wait, and a
digest tells the rest: live, after a crash, and in a replay."""

import json
import signal

import pytest

from alerting import SANITIZED, Both
from counting import ShiftedClock
from drainwatch import ALERTER, INGEST, frame, h12, now, wait_for

FLOOD = "server-errors"
PATHS = 300 if SANITIZED else 2000
LINES = 11  # of a path: one more than the rule allows
BUDGET = 5  # messages in a minute
HEAD = "app: shop\nslack: {channel: C0, mention: here}\nrules:\n"
FLOOD_RULE = (f"  - {{name: {FLOOD}, source: heroku, process: router, field: status=5.., "
              "group_by: path, more_than: 10, within: 1m, cooldown: 15m}\n")
NEW_PATHS_RULE = FLOOD_RULE.replace("more_than: 10", "more_than: 0").replace("15m", "1s")
H12_RULE = "  - {name: h12, source: heroku, field: code=H12, more_than: 3, within: 5m}\n"


def error(path, at):
    return frame(f'at=info method=GET path="{path}" status=503', at=at)


def outage(paths=PATHS, lines=LINES, name="p"):
    """Every path fails; one more often than the others."""
    at = now()
    body = b"".join(error(f"/{name}{n}", at) * lines for n in range(paths))
    return body + error(f"/{name}{paths - 1}", at)


@pytest.fixture
def clocked(site, slack, tmp_path):
    """Both programs; a test moves the alerter's clock."""
    clock = ShiftedClock(tmp_path)

    def make(rules=HEAD + FLOOD_RULE + H12_RULE):
        both = Both(site(rules=rules, **clock.settings), slack)
        both.clock = clock
        return both
    return make


def of_kind(both, kind, rule=FLOOD):
    return [row for row in both.outbox(rule) if row["kind"] == kind]


def wait_digest(both, n=1):
    wait_for(lambda: len(of_kind(both, "digest")) >= n, f"{n} digests")
    return of_kind(both, "digest")[-1]


def withheld(both):
    run = both.site.run(ALERTER, "status", "--format", "json")
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    storm = next(r for r in found["rules"] if r["rule"] == FLOOD)["storm"]
    return storm["withheld"] if storm else 0


def replayed(both):
    """The outbox's alerts, without their delivery, beside the replay of the recorded stream."""
    exported = both.site.run(ALERTER, "export")
    assert exported.returncode == 0, exported.stderr
    run = both.site.run(ALERTER, "replay", "--format", "json", stdin=exported.stdout)
    assert run.returncode == 0, run.stderr
    listed = both.rows()
    for row in listed:
        del row["delivery"]
    return listed, [json.loads(line) for line in run.stdout.splitlines()]


def test_an_outage_of_all_paths_does_not_delay_another_rule(clocked):
    both = clocked()
    both.post(outage())
    both.post(h12(5))
    h12_alert = wait_for(lambda: [m for m in both.slack.delivered if "h12" in m.text], "the H12 alert")[0]
    assert h12_alert.monotonic - both.slack.delivered[0].monotonic < 2
    both.wait_messages(BUDGET + 1, "C0")
    shown = both.site.run(ALERTER, "status").stdout.decode()
    assert f"storm: {PATHS - BUDGET} alerts withheld, digest at " in shown
    both.clock.sleep(60)
    digest = wait_digest(both)
    assert digest["groups"] == PATHS - BUDGET
    assert digest["matches"] == (PATHS - BUDGET) * LINES + 1
    assert digest["app"] == "shop" and len(digest["worst"]) == 5
    assert digest["worst"][0] == {"app": "shop", "group": {"path": f"/p{PATHS - 1}"}, "count": 12}
    assert (digest["window_s"], digest["threshold"]) == (60, 10)
    message = both.wait_messages(BUDGET + 2, "C0")[-1]
    assert f"shop: {FLOOD}, {PATHS - BUDGET:,} more groups in 1 minute · <!here>" in message.text
    assert f"path /p{PATHS - 1}: 12 matches" in message.everything
    assert len(of_kind(both, "breach")) == BUDGET and len(of_kind(both, "digest")) == 1
    line, = both.alerter.wait_said(f"{PATHS - BUDGET:,} more groups in 1 minute")
    assert "alert " + digest["id"] in line
    listed, again = replayed(both)
    assert listed == again


def test_an_outage_of_one_app_hides_no_other_app(clocked):
    both = clocked(HEAD.replace("app: shop", "apps: [{name: shop, drain: a}, {name: blog, drain: b}]")
                   + FLOOD_RULE + H12_RULE)
    for _ in range(2):
        both.post(outage(20), drain="a")
    wait_for(lambda: withheld(both) == 20 - BUDGET, "the storm")
    few = [f"/blog{n}" for n in range(BUDGET)]
    for path in [*few, "/cart"]:
        both.post(error(path, now()) * LINES, drain="b")
    for path in few:
        wait_for(lambda path=path: [m for m in both.slack.delivered
                                    if "blog" in m.text and path in m.text], f"the alert of {path}")
    wait_for(lambda: withheld(both) == 20 - BUDGET + 1, "all")
    both.clock.sleep(60)
    digest = wait_digest(both)
    assert digest["app"] == "" and digest["apps"] == 2
    assert digest["worst"][-1] == {"app": "blog", "group": {"path": "/cart"}, "count": 11}
    message = wait_for(lambda: [m for m in both.slack.delivered if "more groups" in m.text], "it")[0]
    assert digest["by_app"] == [{"app": "shop", "withheld": 20 - BUDGET}, {"app": "blog", "withheld": 1}]
    assert f"Withheld: shop {20 - BUDGET} alerts, blog 1 alert" in message.everything
    assert "🔴 2 apps: " in message.text and "blog, path /cart: 11 matches" in message.everything
    listed, again = replayed(both)
    assert listed == again


def test_new_paths_in_every_delivery_fill_neither_disk_nor_log(clocked):
    both = clocked(HEAD + NEW_PATHS_RULE + H12_RULE)
    paths, deliveries = (500, 3) if SANITIZED else (4000, 5)
    for n in range(deliveries):
        both.post(outage(paths, 1, f"d{n}-"))
    both.post(h12(4))
    both.wait_outbox(lambda row: row["rule"] == "h12", "the H12 alert")
    total = paths * deliveries
    assert withheld(both) == total - BUDGET
    both.clock.sleep(60)
    digest = wait_digest(both)
    assert digest["groups"] == total - BUDGET
    assert len(both.rows()) == BUDGET + 2
    assert len(both.alerter.said("")) < 60
    listed, again = replayed(both)
    assert listed == again


def test_breaches_within_cooldowns_are_logged_by_the_handful(clocked):
    both = clocked(HEAD + FLOOD_RULE + H12_RULE)
    both.post(outage(50))
    wait_for(lambda: withheld(both) == 50 - BUDGET, "the alerts")
    both.post(outage(50))
    line, = both.alerter.wait_said("more groups breached again in their cooldowns")
    assert f"{FLOOD}: and 47 more groups" in line
    assert len(both.alerter.said("breached again, in cooldown until")) == 3


def in_storm(clocked):
    """A pair with a digest of 20 - BUDGET groups in the making."""
    both = clocked()
    both.post(outage(20))
    wait_for(lambda: withheld(both) == 20 - BUDGET, "the alerts")
    return both


@pytest.mark.sqlite
def test_a_digest_survives_a_crash(clocked):
    both = in_storm(clocked)
    both.end_alerter()
    both.clock.sleep(120)  # it was due in between
    both.alerter = both.site.alerter()
    digest = wait_digest(both)
    assert digest["groups"] == 20 - BUDGET
    first = of_kind(both, "breach")[0]
    assert digest["at"][14:16] == f"{(int(first['at'][14:16]) + 1) % 60:02}"
    assert digest["at"][17:] == first["at"][17:]
    listed, again = replayed(both)
    assert listed == again


def test_a_digest_is_decided_once_over_crashes(clocked):
    both = in_storm(clocked)
    both.clock.sleep(60)
    digest = wait_digest(both)
    both.restart_alerter()  # the digest waits for the rule's other messages, a second each
    assert not [m for m in both.slack.delivered if m.id == digest["id"]]
    both.restart_alerter(signal.SIGTERM)
    wait_for(lambda: [m for m in both.slack.delivered if m.id == digest["id"]], "the digest")
    assert [row["id"] for row in of_kind(both, "digest")] == [digest["id"]]
    listed, again = replayed(both)
    assert listed == again


def test_a_storm_that_goes_on_gets_one_digest_a_minute(clocked):
    both = clocked(HEAD + NEW_PATHS_RULE)
    for minute in range(3):
        both.post(outage(30, 1, f"m{minute}-"))
        wait_for(lambda: withheld(both) > 0, "the alerts")
        both.clock.sleep(60)
        wait_digest(both, minute + 1)
    assert [row["groups"] for row in of_kind(both, "digest")] == [30 - BUDGET, 30, 30]
    assert len(of_kind(both, "breach")) == BUDGET
    both.clock.sleep(60)  # a minute of peace
    both.post(outage(3, 1, "later-"))
    wait_for(lambda: len(of_kind(both, "breach")) == BUDGET + 3, "alerts with messages of their own")
    listed, again = replayed(both)
    assert listed == again


def test_rules_that_take_a_rule_away_bring_its_digest(clocked):
    both = in_storm(clocked)
    both.site.rules.write_text(HEAD + H12_RULE)
    both.alerter.signal(signal.SIGHUP)
    assert wait_digest(both)["groups"] == 20 - BUDGET
    listed, again = replayed(both)
    assert listed == again


def scan_log(site, paths=20):
    """A saved log of an outage."""
    line = '2026-05-07T08:06:{:02}+00:00 heroku[router]: at=info path="/{}" status=500'
    log = site.folder / "day.log"
    log.write_text("".join(line.format(n // 11 % 60, n // 11) + "\n" for n in range(paths * 11)))
    return site.run(INGEST, "scan", log).stdout


def test_a_scanned_log_ends_with_its_digest(site):
    s = site(rules=HEAD + FLOOD_RULE)
    capture = scan_log(s)
    run = s.run(ALERTER, "replay", "--format", "json", stdin=capture)
    alerts = [json.loads(line) for line in run.stdout.splitlines()]
    assert [a["kind"] for a in alerts] == ["breach"] * BUDGET + ["digest"]
    assert alerts[-1]["groups"] == 20 - BUDGET and alerts[-1]["at"] == "2026-05-07T08:07:00.000000Z"
    tried = s.run(ALERTER, "replay", "--format", "json", "--rules", s.rules, stdin=capture)
    assert tried.stdout == run.stdout
    text = s.run(ALERTER, "replay", stdin=capture).stdout.decode().splitlines()
    assert text[-1].endswith(f"{FLOOD}: 15 more groups in 1 minute, 165 matches (each more than 10 in "
                             "1 minute), shop")


def test_two_budgets_are_compared(site):
    s = site(rules=HEAD + FLOOD_RULE)
    capture = scan_log(s)
    more = s.folder / "more.yaml"
    more.write_text(HEAD + FLOOD_RULE + "messages: 19/1m\n")
    run = s.run(ALERTER, "replay", "--compare", s.rules, "--rules", more, "--format", "json",
                stdin=capture)
    only = [json.loads(line) for line in run.stdout.splitlines()]
    assert run.returncode == 1
    assert sum(a["only"] == "new" and a["kind"] == "breach" for a in only) == 14
    assert b"both" in run.stderr
    same = s.run(ALERTER, "replay", "--compare", s.rules, "--rules", s.rules, stdin=capture)
    assert same.returncode == 0 and b"0 only old, 0 only new, 6 both" in same.stderr


def test_a_rule_test_expects_a_digest(site):
    s = site(rules=HEAD + FLOOD_RULE.replace("more_than: 10", "more_than: 0"))
    lines = "".join(f"      - {{at: {n}s, line: 'heroku[router]: path=\"/{n}\" status=500'}}\n"
                    for n in range(7))
    alerts = "".join(f"      - {{at: {n}s, rule: {FLOOD}, group: {{path: /{n}}}}}\n" for n in range(5))
    test = s.folder / "storm.test.yaml"

    def run(digest):
        test.write_text(f"rules: rules.yaml\ntests:\n  - name: a storm\n    lines:\n{lines}"
                        f"    alerts:\n{alerts}{digest}")
        return s.run(ALERTER, "test", test)

    good = run(f"      - {{at: 1m, rule: {FLOOD}, groups: 2, count: 2}}\n")
    assert good.returncode == 0, good.stdout
    wrong = run(f"      - {{at: 1m, rule: {FLOOD}, groups: 3}}\n")
    assert wrong.returncode == 1
    assert b"server-errors at 1m differs in groups: expected 3, got 2" in wrong.stdout
    none = run("")
    assert b"unexpected: server-errors at 1m, count 2" in none.stdout
    assert b"a digest of 2 groups" in none.stdout
