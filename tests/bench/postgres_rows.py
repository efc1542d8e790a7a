"""With PostgreSQL, beside the embedded default: the time to Slack and to the 204, records a second,
the take-over by a standby, bytes on the disk. The database waits for the disk at each commit."""

import contextlib
import os
import statistics
import subprocess
import tempfile
import time

from drainwatch import RawClient, frame, whole
from peers import breaches, on_one_core, slack_settings
from postgres import Cluster
from proxy import Proxy
from rig import (ALERTER, TAKEN, BenchError, Load, Ours, Result, Spread, Stage, drains, free_port,
                 in_turn, quantile, tool, wait_for)

ROUNDS = 5


def database():
    return Cluster(fsync=True)


class Sql:
    """A session that is kept, because a new one for each question would be work for the machine."""

    def __init__(self, cluster, port=None):
        self.psql = subprocess.Popen(
            [cluster.programs / "psql", "-XAtq", cluster.url(port=port)], text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def value(self, text):
        self.psql.stdin.write(text + ";\n")
        return self.psql.stdout.readline().strip()

    def round_trip_s(self):
        """The median."""
        def once():
            began = time.monotonic()
            self.value("SELECT 1")
            return time.monotonic() - began
        return statistics.median(once() for _ in range(200))

    def stop(self):
        self.psql.communicate()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Embedded(Ours):
    """Our two programs as they are without a database."""

    def carrier(self):
        """Where `push` finds the alerter."""
        return [f"ipc://{self.folder}/state/queue.sock"]

    def leave(self, push):
        """Only the alerter takes the pushes."""

    def end(self, alerter):
        alerter.kill()  # on SIGTERM it would wait for ingest


class OnDatabase(Ours):
    """Our two programs on a schema of their own; through a proxy, if its port is given."""

    def __init__(self, stage, cluster, port=None, **settings):
        self.url = cluster.url(port=port)
        super().__init__(stage, "database", DRAINWATCH_DATABASE_URL=self.url, **settings)
        self.sql = Sql(cluster)
        stage.processes.append(self.sql)

    def taken(self):
        return int(self.sql.value(f"SELECT {TAKEN} FROM drainwatch.senders"))

    def megabytes(self, table):
        return int(self.sql.value(f"SELECT pg_total_relation_size('drainwatch.{table}')")) / 1e6

    def carrier(self):
        return [self.url, "drainwatch"]

    def leave(self, push):
        """The database takes all of them."""
        if push.popen.wait(60) != 0:
            push.check()

    def end(self, alerter):
        alerter.stop()  # it gives the lease back


# ---- latency ----

ROUND_TRIP_S = 0.001


class Network(Proxy):
    """The database at the other end of a network: each answer comes ROUND_TRIP_S later."""

    def __init__(self, cluster):
        super().__init__(("127.0.0.1", cluster.port))
        with Sql(cluster) as near, Sql(cluster, self.port) as far:
            for _ in range(5):  # the proxy itself takes its time, too
                self.later_s = far.round_trip_s() - near.round_trip_s()
                self.delay_s = max(0, self.delay_s + (ROUND_TRIP_S - self.later_s) / 2)
        if self.later_s > 1.2 * ROUND_TRIP_S:
            raise BenchError(f"the proxy alone takes {1000 * self.later_s:.1f} ms")


def told(readings):
    p50, p99 = zip(*readings)
    return f"{Spread(p50).median:.2f} / {Spread(p99).median:.2f} ms"


def sync_ms():
    """The median time in which the disk takes a page for good, without a database."""
    took = []
    with tempfile.TemporaryFile(dir="/tmp", buffering=0) as file:  # where the clusters are
        for _ in range(100):
            began = time.monotonic()
            os.pwrite(file.fileno(), bytes(8192), 0)
            os.fdatasync(file.fileno())
            took.append(time.monotonic() - began)
    return 1000 * statistics.median(took)


def beside(mine, embedded):
    """Of pairs of p50 and p99. The median p50 in ms is judged; its ratio stands beside it."""
    p50 = [[p50 for p50, _ in readings] for readings in (mine, embedded)]
    return Result(Spread(p50[0]), f"{told(mine)} (p50 / p99)", told(embedded),
                  f"{Spread.of_ratio(*p50).median:.2f} × embedded; a page takes the disk "
                  f"{sync_ms():.2f} ms")


@contextlib.contextmanager
def both_ingests(is_far, on_database=None, embedded=None):
    """With and without a database; their alerters run, too."""
    with database() as cluster, contextlib.ExitStack() as network:
        port = network.enter_context(Network(cluster)).port if is_far else None
        with Stage("latency") as stage:
            yield (on_one_core(OnDatabase(stage, cluster, port, **(on_database or {}))),
                   on_one_core(Embedded(stage, **(embedded or {}))))


ALERT_LINES = 200


def alert_times(ingest, slack_port):
    took = breaches(("post", ingest.port, drains(1)), slack_port, 0, ALERT_LINES)
    return quantile(took, 0.5), quantile(took, 0.99)


def alerts(is_far=False):
    """From the line to Slack."""
    slack = free_port(), free_port()
    with both_ingests(is_far, *[slack_settings(port, ALERT_LINES) for port in slack]) as both:
        return beside(*in_turn(ROUNDS, *[lambda place=place: alert_times(*place)
                                         for place in zip(both, slack)]))


ANSWER_SLICE_S = 1
ANSWER_RATE = 200


def answer_times(ingest, load):
    report = load.post(ingest.port, "seconds", ANSWER_SLICE_S, rate=ANSWER_RATE)
    if report["on_disk"] > report["requests"] / 100:
        raise BenchError(f"{report['on_disk']} of {report['requests']} deliveries did not wait for "
                         "the database")
    return report["p50_us"] / 1000, report["p99_us"] / 1000


def answers(load, is_far=False):
    """From a delivery to its 204."""
    with both_ingests(is_far) as both:
        return in_turn(ROUNDS, *[lambda ingest=ingest: answer_times(ingest, load)
                                 for ingest in both])


def answers_to_a_match(is_far=False):
    return beside(*answers(Load(1, 1000, connections=1), is_far))


def answers_to_no_match():
    readings = answers(Load(1, connections=1))
    return Result(Spread.of_ratio(*[[p50 for p50, _ in side] for side in readings]),
                  f"{told(readings[0])} (p50 / p99)", told(readings[1]))


# ---- records a second ----

RECORDS, RECORDS_A_PUSH = 200_000, 100
RATE_ROUNDS = 3


def start_push(ours):
    return ours.stage.start("push", [tool("push"), *ours.carrier(), RECORDS, RECORDS_A_PUSH])


def wait_taken(ours, since, before):
    """Records a second since a time."""
    wait_for(lambda: ours.taken() >= before + RECORDS, "the records to be taken", each_s=0.005)
    return RECORDS / (time.monotonic() - since)


def sustained(ours):
    """The alerter runs already."""
    before, since = ours.taken(), time.monotonic()
    push = start_push(ours)
    rate = wait_taken(ours, since, before)
    push.popen.wait()
    return rate


def backlog(ours):
    """The alerter starts when the pushes wait for it."""
    push = start_push(ours)
    ours.leave(push)
    since, before = time.monotonic(), ours.taken()
    alerter = ours.alerter(core=None)
    rate = wait_taken(ours, since, before)
    push.popen.wait()
    ours.end(alerter)
    return rate


def rates(mine, embedded):
    return Result(Spread(mine), f"{Spread.of_ratio(mine, embedded).median:.2f} × embedded",
                  f"{Spread(embedded).median:,.0f}/s")


_sustained = {}


def sustained_and_bytes():
    """Measured once for the rows that need it."""
    if not _sustained:
        with database() as cluster, Stage("sustained") as stage:
            both = OnDatabase(stage, cluster), Embedded(stage)
            for ours in both:
                ours.alerter(core=None)
            _sustained["rates"] = in_turn(RATE_ROUNDS, *[lambda ours=ours: sustained(ours)
                                                         for ours in both])
            tables = {table: both[0].megabytes(table) for table in ("stream", "inbox", "part")}
            files = sum(f.stat().st_size for f in (both[1].folder / "state").glob("alerter*")) / 1e6
            _sustained["bytes"] = tables, files, both[0].taken() / 1e6
    return _sustained


def sustained_against_embedded():
    return rates(*sustained_and_bytes()["rates"])


def bytes_of_a_million():
    tables, files, millions = sustained_and_bytes()["bytes"]
    others = ", ".join(f"{name} {size:.1f} MB" for name, size in tables.items() if name != "stream")
    return Result(Spread([tables["stream"] / millions]),
                  f"stream {tables['stream']:.0f} MB of {millions:.1f} million records; {others}",
                  f"{files / millions:.0f} MB a million")


def backlog_against_embedded():
    with database() as cluster, Stage("backlog") as stage:
        both = OnDatabase(stage, cluster), Embedded(stage)
        for ours in both:
            ours.end(ours.alerter())  # it makes the tables
        return rates(*in_turn(RATE_ROUNDS, *[lambda ours=ours: backlog(ours) for ours in both]))


# ---- a standby ----

TAKE_OVER_RULES = """app: bench
slack: {channel: C0}
rules:
  - name: each
    field: code=H12
    group_by: path
    more_than: 0
    within: 1m
    cooldown: 1m
    messages: 1000/1s
"""
TAKE_OVERS = 3


class Lines:
    """Lines of which each is an alert."""

    def __init__(self, port):
        self.client, self.n = RawClient(port), 0

    def post(self):
        self.n += 1
        if self.client.send(whole(frame(f"at=error code=H12 path=/{self.n}"))).answer()[0] != 204:
            raise BenchError("a delivery was not accepted")


def has_decided(alerter):
    return alerter.said('msg="alert ')


def take_over(ours, number, lines, n, active):
    """Returns the alerter that took over, and how long after the signal it decided."""
    standby = ours.stage.start(f"alerter-{n}", [ALERTER], env=ours.env)
    standby.wait_said("standing by: ")
    lines.post()
    wait_for(lambda: has_decided(active), "the active alerter to decide")
    since = time.monotonic()
    active.popen.send_signal(number)
    while not has_decided(standby):
        lines.post()
        time.sleep(0.005)
        if time.monotonic() - since > 20:
            raise BenchError("no alerter took over within 20 s")
    took = time.monotonic() - since
    active.kill()
    return standby, took


def take_overs(number):
    """Seconds from the signal of the active alerter until the other one decides."""
    with database() as cluster, Stage("take-over") as stage:
        ours = OnDatabase(stage, cluster, rules_yaml=TAKE_OVER_RULES)
        active, took = ours.alerter(core=None), []
        lines = Lines(ours.ingest(core=None).port)
        for n in range(TAKE_OVERS):
            active, seconds = take_over(ours, number, lines, n, active)
            took.append(seconds)
    return Result(Spread(took), ", ".join(f"{s:.3f} s" for s in took), "itself")
