"""Decisions, from the POST to the message: thresholds, cooldowns, restarts, storms."""

import datetime
import os
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import time

import pytest
import zmq

from alerting import (CHANNEL, H12_RULE, SANITIZED, SHIPPED, TIMEOUT_RULE, Both, rss_kb, rule,
                      rules)
from drainwatch import (ALERTER, DRAIN, H12, INGEST, OK_LINE, PATH, SECRET, TIMEOUT, frame, free_port,
                        h12, inspectable, now, token, wait_for, worker_timeout)
from router import load_messages
from slack import texts

MISSION_LINE = '2026-05-07T08:06:12Z heroku[router]: at=error code=H12 desc="Request timeout"'
RUNBOOK = "docs/ops/runbooks/console-status-poller.md — Failure mode H"


def curl(site, line=MISSION_LINE):
    """The mission's command; returns the status."""
    result = subprocess.run(
        ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}",
         f"http://127.0.0.1:{site.port}{PATH}?drain_token={token(DRAIN)}",
         "-H", f"Logplex-Drain-Token: {DRAIN}", "-H", "Content-Type: application/logplex-1",
         "--data-binary", line], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return int(result.stdout)


# ---- how many it takes --------------------------------------------------------------------------


def test_the_missions_line(site, slack):
    both = Both(site(rules=rules()), slack)
    for _ in range(3):
        assert curl(both.site) == 204
    both.ingest.wait_said("heroku_log_drain: processed 1 lines from logplex delivery")
    assert both.decided() == []
    assert curl(both.site) == 204
    message, = both.wait_messages(1)
    assert "H12" in message.text and "4 in 5 minutes" in message.text
    both.fence()
    assert len(both.outbox()) == 1 and len(both.messages()) == 1


@pytest.mark.parametrize("deliveries", ["one", "each"])
def test_a_fifth_to_a_hundredth_bring_no_more(site, slack, deliveries):
    both = Both(site(rules=rules()), slack)
    both.post(h12(4))
    both.wait_messages(1)
    for body in [h12(96)] if deliveries == "one" else [h12()] * 96:
        both.post(body)
    assert [row["count"] for row in both.decided()] == [4]
    assert len(both.messages()) == 1


def test_one_delivery_tells_the_size_of_the_storm(site, slack):
    both = Both(site(rules=rules()), slack)
    both.post(h12(250))
    assert ", 250 in " in both.wait_messages(1)[0].text
    assert [row["count"] for row in both.decided()] == [250]


def test_a_storm_that_goes_on_alerts_again_after_the_cooldown(site, slack):
    both = Both(site(rules=rules(cooldown="2s")), slack)
    both.post(h12(4))
    both.wait_messages(1)
    sent = 0
    while len(both.messages()) < 2:
        both.post(h12())
        sent += 1
        time.sleep(0.02)
    first, second = both.outbox()[:2]
    at = [json_time(row["at"]) for row in (first, second)]
    assert 2 <= at[1] - at[0] < 2.5 or SANITIZED and at[1] - at[0] >= 2
    assert first["suppressed"] == 0 and first["count"] == 4
    assert second["count"] == second["suppressed"] + 5  # what went before, and the line itself
    assert second["suppressed"] <= sent
    assert f"{second['suppressed']} more matches were suppressed" in both.messages()[1].everything


def json_time(text):
    """Seconds since the epoch."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def test_three_worker_timeouts_within_two_minutes(site, slack):
    both = Both(site(rules=rules()), slack)
    both.post(worker_timeout(1, at=now(-121)))  # two minutes and a second before the last
    both.post(worker_timeout(1, at=now(-60)))
    both.post(worker_timeout())
    assert both.decided() == []
    both.post(worker_timeout())
    message, = both.wait_messages(1)
    assert "Gunicorn worker timeouts" in message.text and "3 in 2 minutes" in message.text


def test_each_kind_has_its_own_cooldown(site, slack):
    both = Both(site(rules=rules()), slack)
    both.post(h12(4))
    both.post(h12(4) + worker_timeout(3))
    both.post(worker_timeout(3))
    assert [row["rule"] for row in both.decided()] == [H12_RULE, TIMEOUT_RULE]
    assert [m.title for m in both.wait_messages(2)] == [
        "H12 request timeouts", "Gunicorn worker timeouts"]


def test_late_lines_count_where_they_belong(site, slack):
    """Logplex may hold lines back: four that are twenty minutes old are a storm of that time."""
    both = Both(site(rules=rules()), slack)
    both.post(h12(2))
    both.post(b"".join(h12(at=now(-1200 + s)) for s in (3, 1, 2)))
    assert both.decided() == []
    both.post(h12(at=now(-1200)))
    row, = both.decided()
    assert row["count"] == 4 and json_time(row["at"]) - json_time(row["first"]) > 1100


def test_a_repeated_frame_counts_once(site, slack):
    both = Both(site(rules=rules()), slack)
    for _ in range(3):
        both.post(h12(3), frame_id="frame-1")
    assert both.decided() == []
    both.post(h12(1), frame_id="frame-2")
    assert [row["count"] for row in both.decided()] == [4]


# ---- which lines count --------------------------------------------------------------------------


FAKES = {
    "path": frame('at=info method=GET path="/?code=H12" host=x.example fwd="192.0.2.1" status=200'),
    "header": frame('at=info method=GET path="/" host=x.example fwd="a code=H12 b" status=200'),
    "escaped": frame(r'at=info method=GET path="/\" code=H12 \"" fwd="192.0.2.1" status=200'),
    "app": frame("code=H12 says the app", source="app", process="web.1"),
    "app, plain": b"2026-05-07T08:06:12Z app[web.1]: at=error code=H12\n",
    "another code": frame(H12.replace("H12", "H13")),
    "a longer code": frame(H12.replace("H12", "H123")),
    "timeouts by the router": frame(TIMEOUT),
}


@pytest.mark.parametrize("kind", FAKES)
def test_fakes_count_for_nothing(site, kind):
    both = Both(site(rules=rules()))
    both.post(FAKES[kind] * 20)
    both.post(h12(3))
    assert both.decided() == []


REAL = {
    "bare": b"at=error code=H12\n",
    "heroku logs": MISSION_LINE.encode() + b"\n",
    "octet-counted": h12(),
    "without newline": h12(newline=False),
}


@pytest.mark.parametrize("kind", REAL)
def test_real_lines_count(site, kind):
    both = Both(site(rules=rules()))
    both.post(REAL[kind] * 3 + frame(OK_LINE))
    both.post(REAL[kind])
    assert [row["count"] for row in both.decided()] == [4]


# ---- what the message holds ---------------------------------------------------------------------


def test_the_message(site, slack):
    both = Both(site(rules=rules(cooldown="1s")), slack)
    started = time.time()
    both.post(h12(6))
    first, = both.wait_messages(1)
    row, = both.outbox()
    assert first.json["channel"] == CHANNEL
    assert first.json["unfurl_links"] is False and first.json["unfurl_media"] is False
    assert first.headers["Authorization"] == f"Bearer {slack.token}"
    assert first.id == row["id"] and re.fullmatch("[0-9a-f]{16}", first.id)
    for text in ("6 matches in 5 minutes", "more than 3", "raxx-console-prod", RUNBOOK,
                 "H12 request timeouts", "heroku[router]", H12):
        assert text in first.everything, text
    assert "suppressed" not in first.everything
    assert first.text == "🔴 raxx-console-prod: H12 request timeouts, 6 in 5 minutes (limit 3)"
    at, = set(re.findall(r"Time\*\n(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC", first.everything))
    assert abs(json_time(at.replace(" ", "T") + "Z") - started) < 60
    assert at == row["at"][:19].replace("T", " ")
    assert {k: row[k] for k in ("kind", "rule", "app", "group", "count", "at_least", "window_s",
                                "threshold", "suppressed")} == {
        "kind": "breach", "rule": H12_RULE, "app": "raxx-console-prod", "group": {}, "count": 6,
        "at_least": False, "window_s": 300, "threshold": 3, "suppressed": 0}

    time.sleep(max(0, json_time(row["at"]) + 1 - time.time()))
    both.post(h12())
    second = both.wait_messages(2)[1]
    assert second.id != first.id and "0 more matches" not in second.everything


def test_what_a_line_holds_is_shown_and_does_nothing(site, slack):
    both = Both(site(rules=rules()), slack)
    nasty = ('at=error code=H12 path="/<!channel>&<@U1>```*b*" drain_token=feedbeef '
             'fwd="\x1b[31m\udcff" 😀')
    both.post(frame(nasty) * 4)
    message, = both.wait_messages(1)
    assert "<!channel>" not in message.everything and "<@U1>" not in message.everything
    assert "/&lt;!channel&gt;&amp;&lt;@U1&gt;" in message.everything
    assert "feedbeef" not in message.everything and "[31m" not in message.everything
    sample, = [text for text in texts(message.json) if "code=H12" in text]
    assert sample.startswith("```\n") and sample.endswith("\n```")
    assert sample.count("```") == 2 and "😀" in sample


def test_the_first_byte_comes_soon(site, slack):
    """Information: from the POST to the request at Slack."""
    n = 30
    both = Both(site(rules=rules(*(
        rule(f"kind-{i}", f"^kind {i}$", channel=f"C{i}") for i in range(n)))), slack)
    connection = both.site.connect()
    took_us = []
    for i in range(n):
        body = frame(f"kind {i}", source="app", newline=False)
        started = time.monotonic()
        assert both.site.post(body, connection=connection) == 204
        message, = both.wait_messages(1, f"C{i}")
        took_us.append((message.monotonic - started) * 1e6)
    print(f"\nPOST to Slack: median {statistics.median(took_us):.0f} µs, "
          f"max {max(took_us):.0f} µs of {n}")


# ---- storms -------------------------------------------------------------------------------------


def test_a_million_lines(site, slack):
    """Each alert's `suppressed` and `count` are exact, and memory stays flat. The sample tells
    which delivery decided an alert."""
    total, spread_s = 1_000_000, 5.5
    dice = random.Random(12)
    sizes = []
    while sum(sizes) < total:
        sizes.append(min(dice.randint(1000, 5000), total - sum(sizes)))
    both = Both(site(rules=rules(cooldown="1s")), slack)
    connection = both.site.connect()
    started, sent, early = time.monotonic(), 0, 0
    for number, size in enumerate(sizes):
        line = frame(f'at=error code=H12 desc="Request timeout" n={number} path="/"')
        assert both.site.post(line * size, connection=connection) == 204
        sent += size
        if early == 0 and sent > total * 0.3:
            early = rss_kb(both.alerter)
        time.sleep(max(0, started + spread_s * sent / total - time.monotonic()))
    seconds = time.monotonic() - started
    decided = both.decided()
    late = rss_kb(both.alerter)

    messages = {m.id: m for m in both.wait_messages(len(decided))}
    by = [int(re.search(r" n=(\d+) ", messages[row["id"]].everything)[1]) for row in decided]
    assert by[0] == 0 and len(by) >= 4 and by == sorted(set(by))
    print(f"\n{total} lines in {len(sizes)} deliveries and {seconds:.1f} s: {len(by)} alerts, "
          f"alerter {early} kB, then {late} kB")
    for row, number, before in zip(decided, by, [None] + by):
        assert row["suppressed"] == (0 if before is None else sum(sizes[before + 1:number]))
        assert row["count"] == sum(sizes[:number + 1])
    assert SANITIZED or late < early + 4096, "ASan keeps what was freed"


def test_more_times_than_are_kept_are_counted_about(site, slack):
    """Above 65,536 distinct milliseconds the oldest merge: no match is lost, and the alert says
    that its window is not exact."""
    both = Both(site(rules=rules(cooldown="1s")), slack)
    start = time.time() - 120
    lines = []
    for i in range(100_000):
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(start + i // 1000))
        lines.append(f"{at}.{i % 1000:03d}Z heroku[router]: at=error code=H12\n")
    for i in range(0, len(lines), 5000):
        both.post("".join(lines[i:i + 5000]).encode())
    first = both.decided()[0]
    assert first["count"] == 5000
    time.sleep(max(0, json_time(first["at"]) + 1 - time.time()))
    before = len(both.outbox())
    both.post(lines[-1].encode())
    assert both.decided()[before]["count"] == 100_001
    message = both.wait_messages(before + 1)[-1]
    assert "about 100001 in" in message.text and "about" not in both.messages()[0].text


# ---- away, and back -----------------------------------------------------------------------------


@pytest.mark.sqlite
def test_an_alerter_away_is_said_and_loses_nothing(site):
    killed = Both(site("killed", rules=rules()))
    stuck = Both(site("stuck", rules=rules()))
    killed.alerter.kill()
    stuck.alerter.signal(signal.SIGSTOP)
    gone = time.monotonic()
    for both in (killed, stuck):
        for _ in range(4):
            both.post(h12())
    for both in (killed, stuck):
        both.ingest.wait_said("no answer from the alerter")
        status, reason = both.site.health()
        assert status == 503 and "\n" not in reason
        assert re.search(r"no answer from the alerter for 1\d seconds?, "
                         r"4 deliveries wait", reason), reason
        both.post(h12())  # it is taken all the same
    assert time.monotonic() - gone < 30
    killed.alerter = killed.site.alerter()
    stuck.alerter.signal(signal.SIGCONT)
    for both in (killed, stuck):
        both.site.wait_healthy()
        both.ingest.wait_said("the alerter answers again")
        both.fence()
        row, = both.outbox()
        assert row["count"] in (4, 5) and len(both.ingest.said("no answer from the alerter")) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_keeps_windows_and_cooldowns(site, slack, number):
    both = Both(site(rules=rules()), slack)
    both.post(h12(2))
    both.post(worker_timeout(3))
    both.wait_messages(1)
    started = time.monotonic()
    both.restart_alerter(number)
    assert time.monotonic() - started < 15  # an ingest that lives on is not waited for
    both.post(worker_timeout(3))  # within the cooldown
    both.post(h12())
    assert [row["rule"] for row in both.decided()] == [TIMEOUT_RULE]
    both.post(h12())
    assert [row["count"] for row in both.decided(H12_RULE)] == [4]
    both.restart_alerter(signal.SIGKILL)
    both.post(h12(50))
    assert len(both.decided()) == 2
    assert len(both.wait_messages(2)) == 2


def test_both_killed_lose_nothing(site):
    both = Both(site(rules=rules()))
    both.post(h12(2))
    both.end_alerter()
    both.post(h12())
    both.ingest.kill()
    both.alerter = both.site.alerter()
    both.ingest = both.site.ingest()
    both.post(h12())
    assert [row["count"] for row in both.decided()] == [4]


def test_a_lower_threshold_keeps_the_window(site):
    both = Both(site(rules=rules()))
    both.post(h12(3))
    assert both.decided() == []
    both.site.rules.write_text(rules(more_than=1))
    both.restart_alerter()
    assert both.decided() == []  # a rule change alone decides nothing
    both.post(h12())
    row, = both.decided()
    assert row["count"] == 4 and row["threshold"] == 1


def test_what_a_rule_matches_starts_a_new_window(site):
    both = Both(site(rules=rules()))
    both.post(h12(3))
    assert both.decided() == []
    both.site.rules.write_text(rules().replace("code=H12", "code=H13"))
    both.restart_alerter()
    both.ingest.stop()
    both.ingest = both.site.ingest()
    both.site.wait_healthy()
    both.post(frame(H12.replace("H12", "H13")))
    assert both.decided() == []


# ---- switched off, and printed ------------------------------------------------------------------


FLAG = "FLAG_CONSOLE_HEROKU_LOG_DRAIN_ALERTING"


def test_switched_off_it_records_and_posts_nothing_later_either(site, slack):
    both = Both(site(rules=rules()), slack)
    both.end_alerter()
    both.alerter = both.site.alerter(**{FLAG: "off"})
    both.alerter.wait_said("alerting is off")
    both.site.wait_healthy()
    both.post(h12(4))
    row, = both.decided()
    assert row["delivery"]["state"] == "expired" and row["delivery"]["tries"] == 0
    assert row["delivery"]["last_answer"] == "alerting was switched off"
    both.restart_alerter()
    both.post(worker_timeout(3))
    assert [m.title for m in both.wait_messages(1)] == ["Gunicorn worker timeouts"]
    assert [row["delivery"]["state"] for row in both.outbox()] == ["expired", "delivered"]


def test_without_a_token_alerts_are_printed(site):
    both = Both(site(rules=rules()))
    both.alerter.wait_said("alerts are printed")
    both.post(frame(H12 + "\nand\r\x1b[0m more") * 4)
    both.alerter.wait_said("drainwatch alert: sample")
    both.fence()
    lines = [line for line in both.alerter.lines if "FENCE" not in line]
    assert lines and all(line.startswith("drainwatch alert: ") for line in both.alerter.lines)
    row, = both.outbox()
    assert row["delivery"]["state"] == "delivered" and row["delivery"]["last_answer"].startswith("printed")
    text = "\n".join(lines)
    for part in ("4 matches in 5 minutes (more than 3)", "raxx-console-prod", row["id"], RUNBOOK,
                 f"heroku[router]: {H12} ⏎ and ⏎  more"):
        assert part in text, part


def test_alerts_that_cannot_be_printed_wait(site):
    both = Both(site(rules=rules()))
    both.end_alerter()
    full = both.site.start("/bin/sh", "-c", f"exec {ALERTER} >/dev/full")
    both.site.wait_healthy()
    both.post(h12(4))
    line = full.wait_said("cannot be printed")[0]
    assert "level=error" in line and "No space left" in line
    assert both.outbox()[0]["delivery"]["state"] == "waiting"
    full.kill()
    both.alerter = both.site.alerter()
    both.alerter.wait_said("drainwatch alert: H12")


def test_closed_standard_streams(site, tmp_path):
    """Output goes nowhere: not into a file that was opened in their place. An alert does not count as
    printed."""
    here = site(rules=rules())
    for program in (ALERTER, INGEST):
        here.start("/bin/sh", "-c", f"exec {program} <&- >&- 2>&-", **inspectable(tmp_path))
    wait_for(lambda: can_connect(here.port), "ingest to listen")
    here.wait_healthy()
    for program in here.programs:
        streams = [os.readlink(f"/proc/{program.process.pid}/fd/{fd}") for fd in range(3)]
        assert streams == ["/dev/null"] * 3
    for _ in range(4):
        assert here.post(h12()) == 204
    wait_for(lambda: b'"state":"waiting"' in here.run(ALERTER, "outbox", "--format",
                                                      "json").stdout, "the alert")
    assert [p.stop() for p in reversed(here.programs)] == [0, 0]


def test_a_reader_that_stopped_reading_stops_nobody(site, tmp_path):
    """Standard output and error are pipes that are full: deliveries are still answered."""
    here = site(rules=rules())
    os.mkfifo(tmp_path / "pipe")
    pipe = os.open(tmp_path / "pipe", os.O_RDWR | os.O_NONBLOCK)
    try:
        while os.write(pipe, b"x" * 4096):
            pass
    except BlockingIOError:
        pass
    for program in (ALERTER, INGEST):
        here.start("/bin/sh", "-c", f"exec {program} >{tmp_path}/pipe 2>&1")
    wait_for(lambda: can_connect(here.port), "ingest to listen")
    here.wait_healthy()
    for _ in range(20):
        assert here.post(h12()) == 204
        assert here.post(h12(), secret="wrong") == 401
    wait_for(lambda: b'"state":"waiting"' in here.run(ALERTER, "outbox", "--format",
                                                      "json").stdout, "the alert")
    assert [p.stop() for p in reversed(here.programs)] == [0, 0]
    os.close(pipe)


@pytest.mark.sqlite
def test_a_state_folder_that_is_removed_is_noticed(site):
    both = Both(site(rules=rules()))
    shutil.rmtree(both.site.folder / "state")
    for program in (both.alerter, both.ingest):
        assert program.wait() == 1
        assert program.said("was removed or replaced while in use")


def test_matches_of_a_rule_that_the_alerter_does_not_have_are_said(site):
    both = Both(site(rules=rules()))
    both.site.rules.write_text(rules(rule("new", "KABOOM")))
    both.ingest.stop()
    both.site.ingest()
    assert both.site.post(b"KABOOM\n") == 204
    both.alerter.wait_said("ignored 1 match of rules that this alerter does not know")


@pytest.mark.sqlite
def test_two_ingests(site):
    """Each with a journal of its own; the alerter counts what both found."""
    both = Both(site(rules=rules()))
    other = site("other", rules=rules(), DRAINWATCH_QUEUE=both.site.endpoint)
    other.ingest()
    other.wait_healthy()
    both.post(h12(2))
    assert other.post(h12(2)) == 204
    wait_for(lambda: [row["count"] for row in both.outbox()] == [4], "the alert")
    other.stop()


def test_a_drain_may_watch_drainwatch_itself(site):
    """What both programs print comes in as lines of their own app, though a rule would match."""
    both = Both(site(rules=rules(rule("any", "code=H12|WORKER TIMEOUT|alert", cooldown="1s"))))
    both.post(h12(4) + worker_timeout(3))
    both.alerter.wait_said("drainwatch alert: sample")
    before = both.decided()
    assert len(before) == 3
    receipts = len(both.ingest.said("heroku_log_drain:"))
    time.sleep(max(0, json_time(before[-1]["at"]) + 1.1 - time.time()))
    for _ in range(3):
        lines = [(both.ingest, "web.1"), (both.alerter, "worker.1")]
        body = b"".join(frame(line, source="app", process=process)
                        for program, process in lines for line in program.lines + program.errors)
        assert body.count(b"code=H12") >= 1 and b"WORKER TIMEOUT" in body
        both.post(body)
        both.post(b"".join(frame(f'at=info method=POST path="{PATH}?drain_token=…" status=204')
                           for _ in range(4)))
    wait_for(lambda: len(both.ingest.said("heroku_log_drain:")) >= receipts, "receipts")
    both.ingest.stop()  # says the receipts that are summed up
    said = [int(n) for line in both.ingest.said("processed") for n in
            re.findall(r"processed (\d+) lines", line)]
    both.alerter.stop()
    assert both.outbox() == before
    assert sum(said) == 7 + both.fences, both.ingest.lines


# ---- one owner of folder and endpoint -----------------------------------------------------------


def can_connect(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


def ends(program, code, text):
    assert program.wait() == code, program.errors
    line, = [line for line in program.errors if text in line]
    assert line.startswith("drainwatch-")
    return line


@pytest.mark.sqlite
def test_a_second_alerter_on_the_folder(site):
    both = Both(site(rules=rules()))
    second = both.site.alerter(ready=False, DRAINWATCH_QUEUE=f"tcp://127.0.0.1:{free_port()}")
    assert str(both.site.folder) in ends(second, 1, "alerter.db")
    both.post(h12(4))
    assert len(both.decided()) == 1


@pytest.mark.sqlite
@pytest.mark.parametrize("scheme", ["ipc", "tcp"])
def test_an_endpoint_in_use(site, tmp_path, scheme):
    queue = (f"ipc://{tmp_path}/queue.sock" if scheme == "ipc" else
             f"tcp://127.0.0.1:{free_port()}")
    both = Both(site(rules=rules()), DRAINWATCH_QUEUE=queue)
    other = site("other", DRAINWATCH_QUEUE=queue).alerter(ready=False)
    assert queue in ends(other, 1, queue)
    both.post(h12(4))
    assert len(both.decided()) == 1


OLD, NEW = SECRET, SECRET[::-1]


@pytest.mark.parametrize("alerter, ingest", [(OLD, OLD), (f"{NEW},{OLD}", f"{OLD},{NEW}"),
                                             (f"{OLD},{NEW}", f"{NEW},{OLD}")])
def test_the_queue_over_tcp(site, alerter, ingest):
    both = site(rules=rules(), DRAINWATCH_QUEUE=f"tcp://127.0.0.1:{free_port()}")
    both.settings["HEROKU_LOG_DRAIN_HMAC_SECRET"] = alerter
    program = both.alerter()
    both.settings["HEROKU_LOG_DRAIN_HMAC_SECRET"] = ingest
    both.ingest()
    both.wait_healthy()
    for _ in range(4):
        assert both.post(h12(), secret=OLD) == 204
    program.wait_said("drainwatch alert: H12")


def test_the_queue_over_tcp_with_a_wrong_secret(site):
    here = site(rules=rules(), DRAINWATCH_QUEUE=f"tcp://127.0.0.1:{free_port()}")
    alerter = here.alerter()
    time.sleep(1.5)  # it is logged at once, and not at the next full minute
    wrong = here.ingest(HEROKU_LOG_DRAIN_HMAC_SECRET=NEW)
    assert here.post(h12(4), secret=NEW) == 204
    line, = alerter.wait_said("refused: the peer does not hold the secret")
    assert "level=warning" in line
    assert here.health()[0] == 503
    assert not alerter.said("drainwatch alert")
    wrong.kill()  # in order it would try to hand over for 25 s
    here.ingest()
    alerter.wait_said("drainwatch alert: H12")


@pytest.mark.sqlite
def test_records_that_this_build_cannot_take(site, tmp_path):
    """A newer build's record stays with its ingest, and both sides log it at once. Rubbish is set
    aside with an error and holds up nothing."""
    here = site(rules=rules())
    alerter = here.alerter()
    time.sleep(1.5)
    pb = load_messages(tmp_path)
    sender = b"sixteen bytes, s"
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.connect(here.endpoint)

        def push(sequence, record):
            message = pb.Push(version=1, sender=sender, oldest=1, first=sequence, records=[record])
            dealer.send(message.SerializeToString())
            assert dealer.poll(30_000)
            return pb.Ack.FromString(dealer.recv())

        def record(version, sequence):
            return pb.Record(version=version, sender=sender, sequence=sequence, drain="d",
                             received_us=int(time.time() * 1e6)).SerializeToString()

        assert push(1, record(1, 1)).taken == 1
        ack = push(2, record(99, 2))
        assert ack.taken == 1 and "99" in ack.refused
        assert "level=error" in alerter.wait_said("records are NOT taken", timeout=5)[0]
        ack = push(2, b"\xff\xff")
        assert ack.taken == 2 and ack.refused == ""
        assert "level=error" in alerter.wait_said("is unreadable and is set aside")[0]
        assert push(3, record(1, 3)).taken == 3
    alerter.kill()  # in order it would wait until this ingest is silent for long enough


# ---- faults of rules and settings ---------------------------------------------------------------


# A fault: how to put it into the shipped rules, the line that has it, and the message.
FAULTS = {
    "duration": (("within: 5m", "within: 5x"), "within: 5x", '"5x" is not a duration (try'),
    "unknown key": (("    title: H12", "    titel: H12"), "titel: H12", '(did you mean "title"?)'),
    "no pattern": (("    field: code=H12", ""), "- name: h12", 'neither "field" nor "match" (add'),
    "expression": (("'WORKER TIMEOUT'", "'WORKER (TIMEOUT'"), "match: ", "close parenthesis"),
}


@pytest.mark.parametrize("program", [INGEST, ALERTER])
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_the_rules(site, program, fault):
    change, line, part = FAULTS[fault]
    text = SHIPPED.replace(*change)
    number = 1 + next(i for i, at in enumerate(text.splitlines()) if at.strip().startswith(line))
    here = site(rules=text)
    for arguments in ((), ("--check",)):
        result = here.run(program, *arguments)
        said = result.stderr.decode().splitlines()
        assert result.returncode == 78 and len(said) == 1, result
        assert said[0].startswith(f"{program.name}: {here.rules}:{number}: ") and part in said[0]
    assert not (here.folder / "state").exists()


@pytest.mark.parametrize("program", [INGEST, ALERTER])
def test_no_rules_file(site, program):
    here = site()
    here.rules.unlink()
    result = here.run(program)
    assert result.returncode == 78
    assert f"{here.rules}: No such file" in result.stderr.decode()
    assert "DRAINWATCH_RULES" in result.stderr.decode()


@pytest.mark.parametrize("program", [INGEST, ALERTER])
def test_check(site, program):
    here = site()
    result = here.run(program, "--check", SLACK_BOT_TOKEN="xoxb-a-token")
    text = result.stdout.decode()
    assert result.returncode == 0 and result.stderr == b"", result
    for part in ("alerting is on", "raxx-console-prod", "more than 3 in 5 minutes", CHANNEL,
                 "Slack token set"):
        assert part in text, part
    assert SECRET not in text and "xoxb" not in text
    assert not (here.folder / "state").exists()


@pytest.mark.parametrize("name, value", [("SLACK_BOT_TOKEN", "xoxb a"),
                                         ("SLACK_API_URL", "slack.com/api"),
                                         ("DRAINWATCH_QUEUE", "udp://x"),
                                         ("DRAINWATCH_QUEUE", "tcp://127.0.0.1"),
                                         ("DRAINWATCH_HISTORY", "7"),
                                         ("DRAINWATCH_SYNC", "always")])
@pytest.mark.parametrize("arguments", [(), ("--check",)])
def test_faults_of_settings(site, name, value, arguments):
    result = site().run(ALERTER, *arguments, **{name: value})
    line, = [line for line in result.stderr.decode().splitlines() if name in line]
    assert result.returncode == 78 and line.startswith("drainwatch-alerter: ")
    assert (value in line) != (name == "SLACK_BOT_TOKEN"), line


# ---- the outbox command -------------------------------------------------------------------------


def test_outbox(site, slack):
    both = Both(site(rules=rules()), slack)
    slack.behave("error:is_archived")
    both.post(h12(4))
    both.wait_outbox(lambda row: row["delivery"]["state"] == "failed", "a failed alert")
    both.post(worker_timeout(3))
    both.wait_outbox(lambda row: row["delivery"]["state"] == "delivered", "a delivered alert")
    both.ingest.stop()
    for running in (True, False):
        if not running:
            both.alerter.stop()
        rows = both.outbox()
        assert [(r["rule"], r["delivery"]["state"], r["delivery"]["tries"],
                 r["delivery"]["last_answer"], r["delivery"]["channel"]) for r in rows] == [
            (H12_RULE, "failed", 1, "is_archived", CHANNEL),
            (TIMEOUT_RULE, "delivered", 1, "ok", CHANNEL)]
        assert list(rows[0]) == ["id", "kind", "rule", "app", "group", "at", "count", "at_least",
                                 "window_s", "threshold", "suppressed", "first", "last", "delivery"]
        assert json_time(rows[1]["delivery"]["ended"]) >= json_time(rows[1]["at"])
        assert rows[0]["delivery"]["ended"] is None and rows[0]["delivery"]["next_try"] is None
        result = both.site.run(ALERTER, "outbox")
        lines = result.stdout.decode().splitlines()
        assert result.returncode == 0 and len(lines) == 2
        for line, row in zip(lines, rows):
            assert row["id"] in line and row["rule"] in line and row["delivery"]["state"] in line
            assert "1 try," in line
        assert "is_archived" in lines[0]


@pytest.mark.parametrize("arguments", [["--format", "xml"], ["--format"], ["more"], ["--json"]])
def test_outbox_called_wrongly(site, arguments):
    result = site().run(ALERTER, "outbox", *arguments)
    assert result.returncode == 64 and result.stdout == b""
    assert b"--help" in result.stderr and result.stderr.count(b"\n") == 1


@pytest.mark.sqlite
def test_outbox_without_a_state(site):
    here = site()
    result = here.run(ALERTER, "outbox")
    assert result.returncode == 1 and result.stdout == b""
    assert result.stderr.count(b"\n") == 1 and b"alerter.db" in result.stderr
    assert not (here.folder / "state").exists()


def test_outbox_that_cannot_be_written(site):
    both = Both(site(rules=rules()))
    both.post(h12(4))
    both.fence()
    for form in ("text", "json"):
        with open("/dev/full", "w") as full:
            result = subprocess.run([ALERTER, "outbox", "--format", form], env=both.site.env(),
                                    stdout=full, stderr=subprocess.PIPE, timeout=60)
        assert result.returncode == 1 and b"standard output" in result.stderr
