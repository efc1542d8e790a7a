"""How an alert's group, severity, mentions, time and sample look: on Slack, printed, in lists and in
the log; and the alerter's notices of groups and losses."""

import datetime
import json
import re

import pytest

from alerting import Both, rule, rules
from drainwatch import ALERTER, frame, h12

CHANNEL = "C01234567"
GROUPED = rule("slow", "^slow", group_by="[process, path]", severity="critical", channel=CHANNEL,
               mention="[here, U012AB, S012AB]", more_than=1)
DATE = r"<!date\^(\d+)\^\{date_short_pretty\} \{time_secs\}\|([^>]*)>"
PLAIN = rule("plain", "^plain", channel=CHANNEL)
L10 = "Error L10 (output buffer overflow): 7 messages dropped since 2026-05-07T08:06:12+00:00."


def slow(path, process="web.3"):
    return frame(f'slow path="{path}"', source="app", process=process)


def lost():
    return frame(L10, process="logplex", newline=False)


def section_texts(message):
    return [block["text"]["text"] for block in message.json["blocks"]
            if block["type"] == "section" and "text" in block]


def test_group_severity_and_mentions(site, slack):
    both = Both(site(rules=rules(GROUPED)), slack)
    both.post(slow("/a") + slow("/b") + slow("/a") + slow("/a", "web.4"))
    message, = both.wait_messages(1, CHANNEL)
    header = message.json["blocks"][0]["text"]
    assert header["text"] == "🔴 [critical] slow (process web.3, path /a)"
    assert message.text.startswith("🔴 raxx-console-prod: slow (process web.3, path /a), 2 in 5 minutes "
                                   "(limit 1)")
    mentions = "<!here> <@U012AB> <!subteam^S012AB>"
    assert message.text.endswith(" · " + mentions)
    assert mentions in section_texts(message)
    fields = [field["text"] for block in message.json["blocks"] for field in block.get("fields", [])]
    assert "process\nweb.3" in fields and "path\n/a" in fields
    row, = both.decided()
    assert list(row["group"].items()) == [("process", "web.3"), ("path", "/a")]
    both.alerter.wait_said("slow (process web.3, path /a): 2 (more than 1)")
    listed = both.site.run(ALERTER, "outbox").stdout.decode()
    capture = both.site.run(ALERTER, "export").stdout
    replayed = both.site.run(ALERTER, "replay", stdin=capture).stdout.decode()
    for lines in listed, replayed:
        assert f"{row['id']}  [critical] slow (process web.3, path /a): 2 in 5 minutes" in lines
    assert not slack.refusals


def test_a_group_mentions_nobody(site, slack):
    """A visitor chooses the path of a page."""
    both = Both(site(rules=rules(rule("slow", "^slow", group_by="path", channel=CHANNEL))), slack)
    both.post(slow("/<!channel> <@U1>, process web.9"))
    message, = both.wait_messages(1, CHANNEL)
    assert "<" not in re.sub(DATE, "", message.everything)
    assert '(path "/&lt;!channel&gt; &lt;@U1&gt;, process web.9")' in message.text


def test_a_rule_without_any_of_it(site, slack):
    both = Both(site(rules=rules(PLAIN)), slack)
    both.post(frame("plain", source="app"))
    message, = both.wait_messages(1, CHANNEL)
    assert message.text == "🔴 raxx-console-prod: plain, 1 in 5 minutes (limit 0)"
    assert message.json["blocks"][0]["text"]["text"] == "🔴 plain"
    assert message.json["blocks"][-1]["elements"][0]["text"] == f"id {message.id} · rule plain"


def test_the_time_is_shown_in_utc_and_in_the_readers_zone(site, slack):
    both = Both(site(rules=rules(PLAIN)), slack)
    both.post(frame("plain", source="app"))
    message, = both.wait_messages(1, CHANNEL)
    unix, fallback = re.search(DATE, message.everything).groups()
    at = datetime.datetime.fromtimestamp(int(unix), datetime.timezone.utc)
    assert fallback == f"{at:%Y-%m-%d %H:%M:%S} UTC"
    assert f"*Time*\n{fallback}\n<!date^" in message.everything
    assert both.outbox()[0]["at"][:19] == f"{at:%Y-%m-%dT%H:%M:%S}"


TRACE = ("\x1b[31mplain java.lang.IllegalStateException: no\x1b[0m\r\n"
         "\tat shop.Cart.pay(Cart.java:42)\n\tat shop.Main.main(Main.java:7) \x07\n")


def test_a_stack_trace_reads_as_it_was_written(site, slack):
    both = Both(site(rules=rules(rule("plain", "IllegalState", channel=CHANNEL))), slack)
    both.post(frame(TRACE, source="app"))
    message, = both.wait_messages(1, CHANNEL)
    assert ("```\nplain java.lang.IllegalStateException: no\n at shop.Cart.pay(Cart.java:42)\n"
            " at shop.Main.main(Main.java:7) \\x07\n```") in message.everything


def test_a_stack_trace_is_printed_as_one_line(site):
    both = Both(site(rules=rules(rule("plain", "IllegalState"))))
    both.post(frame(TRACE, source="app"))
    said, = both.alerter.wait_said("drainwatch alert: sample")
    assert ("plain java.lang.IllegalStateException: no ⏎  at shop.Cart.pay(Cart.java:42) ⏎  "
            "at shop.Main.main(Main.java:7) \\x07") in said


TURNED = "\u202e\u2066\u200f\u061c"


def test_characters_that_turn_text_are_shown_by_their_bytes(site, slack):
    """In group values and samples, wherever an alert is shown."""
    both = Both(site(rules=rules(GROUPED)), slack)
    both.post(slow(f"/{TURNED}a") * 2)
    message, = both.wait_messages(1, CHANNEL)
    assert "path\n/\\xe2\\x80\\xae\\xe2\\x81\\xa6" in message.everything
    listed = [json.dumps(row, ensure_ascii=False) for row in both.outbox()]
    shown = [message.everything] + listed + both.alerter.lines + both.alerter.errors
    assert not [text for text in shown if set(TURNED) & set(text)]


def test_printed(site):
    both = Both(site(rules=rules(GROUPED)))
    both.post(lost() + slow("/a") * 2)
    first, = both.alerter.wait_said("drainwatch alert: [critical]")
    assert "[critical] slow (process web.3, path /a): at least 2 matches in 5 minutes" in first
    assert both.alerter.wait_said("drainwatch alert: path /a")
    assert not [line for line in both.alerter.lines if "<!" in line]


def test_lines_that_were_lost(site, slack):
    both = Both(site(rules=rules(cooldown="1s")), slack)
    both.post(lost() + h12(4))
    message, = both.wait_messages(1)
    assert ", at least 4 in 5 minutes" in message.text
    row, = both.outbox()
    assert row["at_least"] is True and row["count"] == 4
    assert "h12-request-timeout: at least 4 in" in both.site.run(ALERTER, "outbox").stdout.decode()
    said, = both.alerter.wait_said("lines that were lost on the way")
    assert "level=warning" in said and "1 delivery tells" in said
    both.post(lost())
    both.fence()
    assert len(both.alerter.said("lines that were lost on the way")) == 1  # a minute has to pass
    both.restart_alerter()
    both.post(h12())
    both.fence()
    assert not both.alerter.said("lines that were lost on the way")  # logged before the restart


def test_more_groups_than_are_kept(site):
    both = Both(site(rules=rules(rule("slow", "^slow", group_by="path", more_than=100))))
    both.post(b"".join(slow(f"/{i}") for i in range(2100)))
    both.post(b"".join(slow(f"/{i}") for i in range(2100, 4200)))
    said, = both.alerter.wait_said("groups were forgotten to make room")
    assert "104 groups" in said and "more than 4096 values" in said and "level=warning" in said


def test_the_ready_line_names_what_it_runs_with(site):
    ready, = site("one").alerter().said("ready;")
    assert "ready; 2 rules for raxx-console-prod; queue ipc://" in ready
    apps = "app: rest\napps:\n  - {name: shop, drain: d.1}\n  - {name: blog, drain: d.2}\n"
    text = apps + "slack: {channel: C01234567}\nrules:\n" + PLAIN
    ready, = site("two", rules=text).alerter().said("ready;")
    assert "ready; 1 rule for 3 apps; queue ipc://" in ready


@pytest.mark.parametrize("command", ["outbox", "export"])
def test_a_state_folder_that_is_not_the_alerters(site, command):
    here = site()
    result = here.run(ALERTER, command)
    assert result.returncode == 1 and result.stdout == b""
    said, = result.stderr.decode().splitlines()
    assert f"{here.folder}/state/alerter.db" in said and "DRAINWATCH_STATE_DIR" in said
    here.alerter().stop()
    assert here.run(ALERTER, command).returncode == 0


@pytest.mark.parametrize("command", ["outbox", "export", "replay"])
def test_each_command_helps(site, command):
    result = site().run(ALERTER, command, "--help")
    assert result.returncode == 0 and result.stderr == b""
    assert f"drainwatch-alerter {command}" in result.stdout.decode()
