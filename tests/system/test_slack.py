"""Delivery of alerts while Slack misbehaves, and after."""

import os
import signal
import sqlite3
import time

import pytest

from alerting import H12_RULE, SANITIZED, TIMEOUT_RULE, Both, rule, rules
from drainwatch import ALERTER, free_port, frame, h12, wait_for, worker_timeout
from slack import SlackStandIn, make_authority

# How long an outage lasts; 120 makes it a real one.
OUTAGE_S = float(os.environ.get("DRAINWATCH_SLACK_OUTAGE_S", "2"))
# From the end of an outage to the next try: less than the outage lasted, but at least 1 s.
PATIENCE = 2 * OUTAGE_S + 30


def kinds(*names):
    """A rule for each, to a channel of its own."""
    return rules(*(rule(name, f"^{name}$", channel=f"C-{name}") for name in names))


def line(name):
    return frame(name, source="app", process="web.1", newline=False)


def state(both, rule=H12_RULE):
    rows = both.outbox(rule)
    return rows[0]["delivery"] if rows else {"state": "not decided"}


def wait_state(both, wanted, rule=H12_RULE):
    wait_for(lambda: state(both, rule)["state"] == wanted, f"{rule} to be {wanted}")
    return state(both, rule)


# ---- outages ------------------------------------------------------------------------------------


# The behaviour of a Slack in trouble, and the outbox's last answer after it.
TROUBLES = {
    "rate": ("429:1", "ratelimited"),
    "error": ("500", "internal_error"),
    "page": ("503", "HTTP 503"),
    "garbage": ("garbage", "the answer is not Slack's"),
    "empty": ("empty", "the answer is not Slack's"),
    "redirect": ("302", "HTTP 302"),
    "huge": ("huge:400000", "no answer: "),
    "heads": ("heads", "no answer: "),
    "trailers": ("trailers", "no answer: "),
    "extension": ("extension", "no answer: "),
    "gone": ("close", "no answer: "),
}


def test_a_slack_in_trouble(site, slack):
    """Each channel in a trouble of its own: the alert arrives afterwards, once, and in its channel
    the one decided meanwhile follows it."""
    both = Both(site(rules=kinds(*TROUBLES, "fine")), slack)
    for name, (behaviour, _) in TROUBLES.items():
        slack.behave(*[behaviour] * 500, channel=f"C-{name}")
    started = time.monotonic()
    both.post(b"".join(map(line, TROUBLES)))
    both.post(line("fine"))
    both.wait_messages(1, "C-fine")
    assert time.monotonic() - started < OUTAGE_S
    while time.monotonic() < started + OUTAGE_S:
        assert both.site.health()[0] == 200
        time.sleep(0.2)
    for name, (_, answer) in TROUBLES.items():
        delivery = state(both, name)
        assert delivery["state"] == "waiting" and delivery["tries"] >= 2, (name, delivery)
        assert delivery["last_answer"].startswith(answer), (name, delivery)
        assert delivery["next_try"] and delivery["last_try"], (name, delivery)
        assert both.alerter.said(f"({name}) to C-{name}: Slack: {answer}")
    assert slack.strays == [], "a redirect was followed"
    slack.recover()
    for name in TROUBLES:
        wait_for(lambda: state(both, name)["state"] == "delivered", name, PATIENCE)
    time.sleep(0.2)
    for name in TROUBLES:
        message, = both.messages(f"C-{name}")
        assert message.id == both.outbox(name)[0]["id"]
    tries = {name: [m for m in slack.posts if m.channel == f"C-{name}"] for name in TROUBLES}
    for name in set(TROUBLES) - {"rate"}:
        waits = [b.monotonic - a.monotonic for a, b in zip(tries[name], tries[name][1:])]
        assert 0.95 < waits[0] < (4 if SANITIZED else 2), (name, waits)
        assert all(0.7 * 2 ** i < wait for i, wait in enumerate(waits)), (name, waits)


def test_a_dead_slack(site):
    """Nothing listens; it comes to life on the same address."""
    port = free_port()
    both = Both(site(rules=rules()), SLACK_API_URL=f"http://127.0.0.1:{port}/api",
                SLACK_BOT_TOKEN="xoxb-stand-in-token")
    both.post(h12(4))
    wait_for(lambda: state(both).get("tries", 0) >= 1, "a try")
    both.post(worker_timeout(3))
    ids = [wait_for(lambda: both.outbox(rule), rule)[0]["id"] for rule in (H12_RULE, TIMEOUT_RULE)]
    delivery = state(both)
    assert delivery["state"] == "waiting" and delivery["last_answer"].startswith("no answer: ")
    assert both.site.health()[0] == 200
    time.sleep(OUTAGE_S)
    with SlackStandIn(port=port) as slack:
        assert [m.id for m in slack.wait_for(2, PATIENCE)] == ids  # in order
        wait_state(both, "delivered", TIMEOUT_RULE)
        assert len(slack.posts) == 2


def test_a_slack_that_hangs_holds_up_nothing(site, slack):
    both = Both(site(rules=kinds("stuck", "slow", "fine", "later")), slack)
    slack.behave("hang", channel="C-stuck")
    slack.behave("slow:6", channel="C-slow")
    both.post(line("stuck") + line("slow"))
    slack.wait_for(2, delivered=False)
    started = time.monotonic()
    both.post(line("fine"))
    assert both.wait_messages(1, "C-fine")[0].monotonic - started < (5 if SANITIZED else 1)
    while not both.messages("C-stuck"):
        assert both.site.health()[0] == 200
        assert time.monotonic() - started < 60, "it never came"
        both.post(h12())
        time.sleep(0.1)
    assert 15 < both.messages("C-stuck")[0].monotonic - started < 20  # the limit, and 1 s
    assert both.alerter.cpu_seconds() < 4, "it waits busily"
    assert "imed out" in both.alerter.said("(stuck) to C-stuck: Slack:")[0]
    wait_state(both, "delivered", "slow")
    both.post(line("later"))
    both.wait_messages(1, "C-later")
    assert [len(both.messages(f"C-{name}")) for name in ("stuck", "slow", "fine")] == [1, 1, 1]
    row, = both.outbox("slow")
    assert row["delivery"]["tries"] == 1
    assert state(both)["state"] == "delivered"  # the storm's, that went on meanwhile


def test_retry_after_is_honoured(site, slack):
    both = Both(site(rules=rules()), slack)
    slack.behave("429:2")
    both.post(h12(4))
    first, second = slack.wait_for(2, delivered=False)
    assert first.behaviour == "429:2" and second.delivered
    assert 2 <= second.monotonic - first.monotonic < (5 if SANITIZED else 3)
    assert first.id == second.id
    wait_state(both, "delivered")


def test_one_message_a_second_and_channel(site, slack):
    names = ["one", "two", "three"]
    both = Both(site(rules=rules(*(rule(name, f"^{name}$") for name in names),
                                 rule("other", "^other$", channel="C2"))), slack)
    both.post(b"".join(map(line, names)) + line("other"))
    messages = both.wait_messages(3)
    assert [m.title for m in messages] == names  # as decided
    for a, b in zip(messages, messages[1:]):
        assert 0.95 < b.monotonic - a.monotonic < (4 if SANITIZED else 1.5)
    assert both.messages("C2")[0].monotonic < messages[1].monotonic


# ---- lost answers -------------------------------------------------------------------------------


@pytest.mark.parametrize("behaviour", ["lost", "truncated"])
def test_a_lost_answer_may_bring_it_twice_and_never_not_at_all(site, slack, behaviour):
    both = Both(site(rules=rules()), slack)
    slack.behave(behaviour)
    both.post(h12(4))
    first, second = both.wait_messages(2)
    row, = both.outbox()
    assert first.id == second.id == row["id"] and first.json == second.json
    assert wait_state(both, "delivered")["tries"] == 2


def test_a_kept_connection_that_was_closed(site, slack):
    """Slack closes idle connections; the next alert goes out all the same, and once."""
    both = Both(site(rules=rules()), slack)
    both.post(h12(4))
    both.wait_messages(1)
    slack.stop()
    with SlackStandIn(port=int(slack.url.split(":")[2].split("/")[0])) as again:
        both.post(worker_timeout(3))
        again.wait_for(1)
        assert wait_state(both, "delivered", TIMEOUT_RULE)["tries"] == 1


# ---- Slack says no ------------------------------------------------------------------------------


REFUSALS = {
    "invalid_auth": "set SLACK_BOT_TOKEN",
    "channel_not_found": "give the channel's id in the rules file",
    "not_in_channel": "invite the bot",
    "missing_scope": "chat:write",
    "is_archived": "unarchive the channel",
}


def test_refused_for_good_it_is_said_once_and_kept(site, slack):
    both = Both(site(rules=kinds(*REFUSALS)), slack)
    for name in REFUSALS:
        slack.behave(f"error:{name}", channel=f"C-{name}")
    both.post(b"".join(map(line, REFUSALS)))
    for name, remedy in REFUSALS.items():
        said, = both.alerter.wait_said(f"({name}) to C-{name} is NOT delivered")
        assert "level=error" in said and f"Slack: {name}: " in said and remedy in said
        delivery = wait_state(both, "failed", name)
        assert (delivery["tries"], delivery["last_answer"], delivery["next_try"]) == (1, name, None)
    time.sleep(1.2)  # longer than the first retry would take
    assert len(slack.posts) == len(REFUSALS)
    both.alerter.signal(signal.SIGHUP)
    for name in REFUSALS:
        both.wait_messages(1, f"C-{name}")
        wait_state(both, "delivered", name)
    assert both.alerter.said(f"retrying {len(REFUSALS)} kept alerts")
    assert len(slack.posts) == 2 * len(REFUSALS)


def test_blocks_that_slack_refuses_go_out_as_plain_text(site, slack):
    both = Both(site(rules=kinds("odd", "worse", "later")), slack)
    slack.behave("error:invalid_blocks", channel="C-odd")
    slack.behave("error:msg_blocks_too_long", "error:msg_too_long", channel="C-worse")
    both.post(line("odd") + line("worse"))
    message, = both.wait_messages(1, "C-odd")
    assert "blocks" not in message.json
    row, = both.outbox("odd")
    for text in ("odd, 1 in 5 minutes (limit 0)", "raxx-console-prod", row["id"], "web.1", "```"):
        assert text in message.text, text
    assert wait_state(both, "delivered", "odd")["tries"] == 2
    assert both.alerter.said("Slack: invalid_blocks: it is sent once more as plain text")
    assert wait_state(both, "failed", "worse")["tries"] == 2
    blocks = ["blocks" in m.json for m in slack.posts if m.channel == "C-worse"]
    assert blocks == [True, False]


def test_no_secret_of_an_answer_is_shown(site, slack):
    """Also if only the secret's beginning is there, or it lies where the answer is cut."""
    both = Both(site(rules=rules()), slack)
    slack.behave(f"error:{'a' * 150} {slack.token} {slack.token[:12]}", f"error:{slack.token[:-1]}")
    both.post(h12(4))
    both.wait_messages(1)
    shown = "\n".join(both.alerter.errors) + str(both.outbox()) + both.site.health()[1]
    assert "try 2 failed" in shown and slack.token[:8] not in shown, shown


def test_kept_alerts_make_healthz_red(site, slack):
    both = Both(site(rules=rules()), slack)
    slack.behave("error:invalid_auth")
    both.post(h12(4))
    red = wait_for(lambda: [text for status, text in [both.site.health()] if status == 503], "503")
    assert "1 alert kept: invalid_auth" in red[0]
    both.alerter.signal(signal.SIGHUP)
    both.wait_messages(1)
    both.site.wait_healthy()


@pytest.mark.sqlite
def test_an_alert_that_is_retried_for_ten_minutes_makes_healthz_red(site, slack):
    """A test cannot set the clock, so it makes the waiting alert ten minutes older."""
    both = Both(site(rules=rules()), slack)
    slack.behave(*["503"] * 100)
    both.post(h12(4))
    wait_for(lambda: state(both).get("tries", 0) >= 1, "a try")
    assert both.site.health() == (200, "ok")
    both.end_alerter()
    with sqlite3.connect(both.site.folder / "state" / "alerter.db") as db:
        db.execute("UPDATE outbox SET decided_us = decided_us - 600000000")
    db.close()
    both.alerter = both.site.alerter()
    red = wait_for(lambda: [text for status, text in [both.site.health()]
                            if text.startswith("1 alert waits since ")], "503")
    assert red[0].endswith(" UTC: HTTP 503")
    assert red[0] in both.site.run(ALERTER, "status").stdout.decode()
    slack.recover()
    both.wait_messages(1)
    both.site.wait_healthy()


def test_the_remedy_for_a_direct_message_is_no_invitation(site, slack):
    both = Both(site(rules=rules()), slack)
    slack.behave("error:channel_not_found")
    both.post(h12(4))
    said, = both.alerter.wait_said("is NOT delivered: Slack: channel_not_found: ")
    assert "a bot cannot be invited to a direct message" in said and "(U…)" in said


# ---- a certificate authority of one's own --------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return make_authority(tmp_path_factory.mktemp("authority"))


def test_a_slack_behind_a_companys_own_authority(site, authority):
    with SlackStandIn(tls=authority) as slack:
        both = Both(site(rules=rules()), slack)
        both.post(h12(4))
        wait_for(lambda: state(both).get("tries", 0) >= 1, "a try")
        answer = state(both)["last_answer"]
        assert answer.startswith("no answer: SSL certificate problem") and "SSL_CERT_FILE" in answer
        both.restart_alerter(SSL_CERT_FILE=authority.certificate)
        slack.wait_for(1)
        wait_state(both, "delivered")


def test_a_folder_of_authorities(site, authority):
    with SlackStandIn(tls=authority) as slack:
        both = Both(site(rules=rules()), slack, SSL_CERT_DIR=authority.folder)
        both.post(h12(4))
        slack.wait_for(1)


def test_an_authority_that_cannot_be_read(site):
    here = site(rules=rules())
    result = here.run(ALERTER, "--check", SSL_CERT_FILE="/nowhere/ca.pem")
    assert result.returncode == 78
    fault, = [line for line in result.stderr.decode().splitlines() if "SSL_CERT_FILE" in line]
    assert "/nowhere/ca.pem" in fault and "can read" in fault


def test_a_wrong_token_is_put_right_by_a_restart(site, slack):
    both = Both(site(rules=rules()), slack, SLACK_BOT_TOKEN="xoxb-of-another")
    both.post(h12(4))
    said, = both.alerter.wait_said("is NOT delivered: Slack: invalid_auth: ")
    assert "SLACK_BOT_TOKEN" in said
    wait_state(both, "failed")
    both.post(worker_timeout(3))  # one that is refused holds up nothing, and is refused as well
    wait_state(both, "failed", TIMEOUT_RULE)
    assert len(slack.refusals) == 2
    both.restart_alerter(SLACK_BOT_TOKEN=slack.token)
    assert [m.id for m in both.wait_messages(2)] == [row["id"] for row in both.outbox()]
    for program in (both.alerter, both.ingest):
        assert not program.said("xoxb-") and not program.said(slack.token)


# ---- restarts -----------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_waits_outlives_a_restart(site, slack, number):
    both = Both(site(rules=kinds("trouble")), slack)
    slack.behave(*["500"] * 500, channel="C-trouble")
    both.post(line("trouble"))
    wait_for(lambda: state(both, "trouble").get("tries", 0) >= 1, "a try")
    both.ingest.stop()
    both.end_alerter(number)
    if number == signal.SIGTERM:
        assert "1 alert is not delivered yet: kept in " in both.alerter.errors[-2]
    tried = state(both, "trouble")["tries"]
    slack.recover()
    both.alerter = both.site.alerter()
    message, = both.wait_messages(1, "C-trouble")
    assert wait_state(both, "delivered", "trouble")["tries"] == tried + 1
    assert message.id == both.outbox("trouble")[0]["id"]


def test_killed_while_it_posts_it_comes_once_more(site, slack):
    both = Both(site(rules=rules()), slack)
    slack.behave("slow:20")
    both.post(h12(4))
    slack.wait_for(1)  # posted, and not answered
    both.end_alerter()
    both.alerter = both.site.alerter()
    first, second = both.wait_messages(2)
    assert first.id == second.id
    wait_state(both, "delivered")
    assert len(both.outbox()) == 1


def test_told_to_stop_it_waits_for_slacks_answer(site, slack):
    both = Both(site(rules=rules()), slack)
    slack.behave("slow:2")
    both.post(h12(4))
    slack.wait_for(1)
    both.ingest.stop()
    assert both.alerter.stop() == 0
    assert state(both)["state"] == "delivered" and len(slack.posts) == 1


@pytest.mark.sqlite
def test_what_cannot_be_delivered_for_a_day_is_given_up(site, slack):
    """A test cannot set the clock, so it makes the waiting alert a day older."""
    both = Both(site(rules=rules()), slack)
    slack.behave(*["503"] * 100)
    both.post(h12(4))
    wait_for(lambda: state(both).get("tries", 0) >= 1, "a try")
    both.ingest.stop()
    both.end_alerter()
    with sqlite3.connect(both.site.folder / "state" / "alerter.db") as db:
        assert db.execute("UPDATE outbox SET decided_us = decided_us - 86400000000").rowcount == 1
    db.close()
    tried = state(both)["tries"]
    both.alerter = both.site.alerter()
    said, = both.alerter.wait_said("could not be delivered for a day and is given up")
    assert "level=error" in said and "HTTP 503" in said
    delivery = wait_state(both, "expired")
    assert (delivery["tries"], delivery["last_answer"]) == (tried, "HTTP 503")
    assert delivery["ended"] and delivery["next_try"] is None


@pytest.mark.sqlite
def test_alerts_of_over_a_day_are_not_posted_however_many_there_are(site, slack):
    """One turn gives up 64, and a day may leave more."""
    both = Both(site(rules=rules()), slack)
    slack.behave("503")
    both.post(h12(4))
    wait_for(lambda: state(both).get("tries", 0) >= 1, "a try")
    both.ingest.stop()
    both.end_alerter()
    with sqlite3.connect(both.site.folder / "state" / "alerter.db") as db:
        db.execute("UPDATE outbox SET decided_us = decided_us - 86400000000, next_try_us = 0")
        names = [row[1] for row in db.execute("PRAGMA table_info(outbox)") if row[1] != "row"]
        copied = ", ".join("channel || n" if name == "channel" else name for name in names)
        db.execute("WITH RECURSIVE times(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM times LIMIT 199) "
                   f"INSERT INTO outbox ({', '.join(names)}) SELECT {copied} FROM outbox, times")
    db.close()
    posted = len(slack.posts)
    both.alerter = both.site.alerter()
    wait_for(lambda: {row["delivery"]["state"] for row in both.outbox()} == {"expired"}, "the end")
    assert len(both.outbox()) == 200 and len(slack.posts) == posted
