"""The table of measurements: the two things that each compares, the ratio it must reach, and the
function that measures it. `tests/bench/run NAME` repeats one alone."""

import dataclasses
import signal
import typing

import alerter_rows as alerter
import attack_rows
import ingest_rows as ingest
import peers
import postgres_rows as postgres
from attacker import ATTACKS
from rig import Load

DISCARD = "libmicrohttpd that discards"
ITSELF = "itself"
FLASK = "Flask + gunicorn"
EMBEDDED = "the embedded default"


@dataclasses.dataclass
class Row:
    name: str
    what: str
    against: str
    target: str  # ">= 0.75", "<= 16", or "" for no target
    measure: typing.Callable
    unit: str = "×"

    def is_met(self, result):
        """Judged by the median. None without a target."""
        if not self.target:
            return None
        sign, bound = self.target.split()
        median = result.ratio.median
        return median >= float(bound) if sign == ">=" else median <= float(bound)


def cpu(name, what, target, load, **kw):
    return Row(name, f"ingest, CPU a request: {what}", DISCARD, target,
               lambda: ingest.against_discard(load, **kw))


def own(name, what, target, load, other_load=None, against="itself", **kw):
    return Row(name, f"ingest, CPU a request: {what}", against, target,
               lambda: ingest.against_itself(load, other_load, **kw))


HUNDRED = Load(100)
ROWS = [
    cpu("ingest-1", "1 line, no match", "", Load(1)),
    cpu("ingest-100", "100 lines, 2 rules, no match", ">= 0.75", HUNDRED),
    cpu("ingest-1000", "1,000 lines, 2 rules, no match", ">= 0.65", Load(1000)),
    cpu("ingest-100-one", "100 lines, 1 match, to a running alerter", ">= 0.55", Load(100, 10),
        alerter=True),
    cpu("ingest-100-half", "100 lines, 50 matches, to a running alerter", ">= 0.45",
        Load(100, 500), alerter=True),
    cpu("ingest-1000-few", "1,000 lines, 0.5 % match, to a running alerter", "", Load(1000, 5),
        alerter=True),
    cpu("ingest-1000-half", "1,000 lines, 50 % match, to a running alerter", "", Load(1000, 500),
        alerter=True),
    own("rules-20", "20 rules", "", HUNDRED, rules=20, against="2 rules"),
    own("rules-200", "200 rules", "", HUNDRED, rules=200, against="2 rules"),
    own("rules-1000", "1,000 rules, no match", ">= 0.70", HUNDRED, rules=1000, against="2 rules"),
    own("connections-16", "16 connections", ">= 0.80", Load(100, connections=16), HUNDRED,
        against="64 connections"),
    own("connections-256", "256 connections", ">= 0.80", Load(100, connections=256), HUNDRED,
        against="64 connections"),
    own("drains-1000", "1,000 drains", "", Load(100, n_drains=1000), HUNDRED, against="1 drain"),
    Row("stall", "longest time without an answer in a minute, at 16 and at 256 connections",
        ITSELF, "<= 1", ingest.longest_stall, "s"),
    *[Row(f"flask-{lines}", f"ingest, CPU a delivery: {lines:,} line(s)", FLASK,
          f">= {times}", lambda lines=lines: peers.against_flask(Load(lines)))
      for lines, times in ((1, 25), (100, 25), (1000, 12))],
    Row("scan", "`scan` of 1 GB", "GNU grep, two fixed patterns", ">= 3", peers.scan_against_grep),
    Row("replay", "`scan | replay` of 1 GB", "SEC, two rules", ">= 75", peers.replay_against_sec),
    Row("alert", "line to Slack, p50, idle", FLASK, ">= 2", peers.alert_against_flask),
    Row("alert-loaded", "line to Slack, p50, at half load", FLASK, ">= 2",
        peers.alert_under_load_against_flask),
    Row("alert-prometheus", "line to Slack, p50, idle", "mtail, Prometheus, Alertmanager, 1 s",
        ">= 500", peers.alert_against_prometheus),
    Row("alert-p99", "line to Slack, p99 at half load", "its p50, idle", "<= 5",
        peers.alert_under_load),
    Row("records", "alerter, event records a second", "bare ZeroMQ to SQLite", ">= 0.5",
        alerter.alerter_against_bare),
    Row("memory-idle", "resident memory, idle, the larger process", ITSELF, "<= 20",
        alerter.idle_memory, "MB"),
    Row("memory-storm", "growth in a storm of 10 million matches, 1,000 keys",
        "the documented figure a key", "<= 1", alerter.storm_growth),
    Row("engine-window", "engine, a match at windows of 1 minute to 1 day", "the cheapest",
        "<= 2", lambda: alerter.engine_flat(alerter.ENGINE_WINDOWS)),
    Row("start", "start to first accepted delivery, after a week", ITSELF, "<= 200",
        alerter.start_after_a_week, "ms"),
    Row("pg-alert", "line to Slack, p50, idle", EMBEDDED, "<= 1.5",
        postgres.alerts, "ms"),
    Row("pg-alert-1ms", "the same, with 1 ms more of round trip", EMBEDDED, "<= 6.5",
        lambda: postgres.alerts(is_far=True), "ms"),
    Row("pg-204", "delivery with a match to its 204, p50", EMBEDDED, "<= 0.8",
        postgres.answers_to_a_match, "ms"),
    Row("pg-204-1ms", "the same, with 1 ms more of round trip", EMBEDDED, "<= 2.5",
        lambda: postgres.answers_to_a_match(is_far=True), "ms"),
    Row("pg-204-none", "delivery without a match to its 204, p50", EMBEDDED, "<= 1.1",
        postgres.answers_to_no_match),
    Row("pg-sustained", "records at 100 a push, through the database", EMBEDDED, ">= 80000",
        postgres.sustained_against_embedded, "/s"),
    Row("pg-backlog", "records that wait for an alerter", EMBEDDED, ">= 150000",
        postgres.backlog_against_embedded, "/s"),
    Row("pg-bytes", "bytes on disk of a million records, at 100 a push", EMBEDDED, "",
        postgres.bytes_of_a_million, "MB"),
    *[Row(f"pg-takeover-{name}", f"{number.name} of the active alerter to the standby's decision",
          ITSELF, f"<= {seconds}", lambda number=number: postgres.take_overs(number), "s")
      for name, number, seconds in (("term", signal.SIGTERM, 0.5), ("kill", signal.SIGKILL, 2),
                                    ("stop", signal.SIGSTOP, 7))],
    *[Row(f"attack-{name}", f"an honest drain's 204, p95, beside {attack.what}", "no attack",
          "<= 2", lambda name=name: attack_rows.against_calm(name))
      for name, attack in ATTACKS.items()],
]
