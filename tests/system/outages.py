"""A database that fails over, loses commits, or is away for long.

chaos.py's drains deliver through two ingests, and two alerters share one database. Nobody is killed
but the database. At the end all that was answered was counted exactly once, wherever the answer said
that it lay; each alert was decided once; and each is on Slack.

    python3 tests/system/outages.py failover --rounds 5
    python3 tests/system/outages.py loss --rounds 5
    python3 tests/system/outages.py away --minutes 10

failover   The server dies, and a replica that has all commits takes its place at the same address.
loss       The same, but the replica lacks the last commits, because the way to it stood still. The
           ingests send those records again. Alerts of that time were posted, and are decided again
           under other ids: they are on Slack and not in the outbox.
away       Nobody reaches the database. All deliveries are answered 204 meanwhile, and all records are
           decided within half a minute afterwards. With fewer minutes the journals are as much
           smaller.

Each takes the programs from DRAINWATCH_BIN (build/bin if unset), prints the figures as one JSON
object, and exits 0 if every check passed.
"""

import argparse
import sys
import tempfile
import time

from chaos import NEAR_S, report
from chaos_postgres import DATABASE, PostgresChaos
from drainwatch import wait_for
from postgres import Cluster, Replica
from proxy import Proxy

MANY = 200  # deliveries
LOST = repr(TimeoutError("the answer was lost"))  # of a drain that did not wait for it
SPOOL_BYTES = 256 << 20  # for AWAY_S
AWAY_S = 600
CAUGHT_UP_S = 30


class Outage(PostgresChaos):
    def _kept(self):
        """How many deliveries were in the database when they were answered."""
        return sum(DATABASE in f.kept for drain, _ in self.drains for f in drain.frames)

    def _wait_kept(self):
        most = self._kept() + MANY
        wait_for(lambda: self._kept() >= most or self.faults, f"{MANY} deliveries in the database")

    def _judge_frames(self, drains, recorded):
        super()._judge_frames(drains, recorded)
        assert self.result["lost_with_a_disk"] == 0, self.result


class Failover(Outage):
    def __init__(self, folder, cluster, seed=7, rounds=1, loses=False):
        super().__init__(folder, cluster, seed)
        self.rounds = rounds
        self.loses = loses
        self.replicas = []
        self.lost = []  # from when to when commits were lost, by time.monotonic()
        self.switched = []
        # The commands follow to the new server, too.
        self.site.settings["DRAINWATCH_DATABASE_URL"] = cluster.url(port=self.ingests[0].proxy.port)

    def run(self):
        try:
            return super().run()
        finally:
            for replica in self.replicas:
                replica.close()

    def _wreck(self):
        for _ in range(self.rounds):
            self._wait_kept()
            with Proxy(self.cluster.socket) as way:
                replica = self._replicate(way)
                if self.loses:
                    self._lose(way)
                self.cluster.stop("immediate")
            self._switch_to(replica)
            self._wait_kept()
            if self.loses:
                wait_for(lambda: any(one.program.said("the database lost") for one in self.ingests),
                         "an ingest that finds its records lost")
            self._change_alerters()
            self._wait_kept()
        self.result["failovers"] = len(self.switched)

    def _replicate(self, way):
        replica = Replica(self.cluster, way.port)
        self.replicas.append(replica)
        if not self.loses:
            self.cluster.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
            self.cluster.sql("SELECT pg_reload_conf()")
        state = "streaming|async" if self.loses else "streaming|sync"
        wait_for(lambda: self.cluster.sql("SELECT state, sync_state FROM pg_stat_replication")
                 == [state.split("|")], f"a replica that is {state}")
        self._wait_kept()
        return replica

    def _lose(self, way):
        """Until deliveries were answered and alerts were posted that the replica has not got."""
        way.stall("down")
        begin, posted = time.monotonic(), len(self.slack.delivered)
        self._wait_kept()
        wait_for(lambda: len(self.slack.delivered) > posted, "an alert on Slack")
        self.lost.append((begin, time.monotonic() + NEAR_S))

    def _switch_to(self, replica):
        replica.promote()
        for life in self.lives:
            life.proxy.redirect(("127.0.0.1", replica.port))
            life.proxy.cut()
        self.cluster.close()
        self.cluster = replica
        self.switched.append(time.monotonic())

    def _change_alerters(self):
        """The one that stood by must know the same as the other."""
        holder, = self.cluster.sql(f"SELECT holder FROM {self.schema}.lease", "drainwatch")[0]
        active, = (life for life in self.alerters if holder.endswith(f":{life.program.process.pid}"))
        active.stop()
        active.start()

    def _is_lost(self, at):
        return any(begin - NEAR_S < at < end for begin, end in self.lost)

    def _may_be_strange(self, post):
        return self._is_lost(post.monotonic)

    def _may_be_twice(self, one, again):
        """Its answer could not be noted, or the note was lost."""
        return (super()._may_be_twice(one, again) or self._is_lost(one.monotonic)
                or any(one.monotonic - NEAR_S < at < again.monotonic for at in self.switched))


class Away(Outage):
    def __init__(self, folder, cluster, seed=7, seconds=AWAY_S):
        super().__init__(folder, cluster, seed, seconds)
        self.site.settings["DRAINWATCH_SPOOL_MAX_BYTES"] = str(int(SPOOL_BYTES * seconds / AWAY_S))

    def _make_drains(self):
        """Without repeats through the other ingest: after a long outage its copy comes later than the
        8,192 Frame-Ids of a drain that the alerter remembers, and counts twice."""
        super()._make_drains()
        for drain, _ in self.drains:
            drain.cut = 0

    def _wreck(self):
        self._wait_kept()
        for life in self.lives:
            life.proxy.refuse()
            life.proxy.cut()
        time.sleep(self.seconds)
        for life in self.lives:
            life.proxy.go_on()
        began = time.monotonic()
        wait_for(self._is_caught_up, "the records of the outage", timeout=CAUGHT_UP_S)
        self.result["caught_up_s"] = round(time.monotonic() - began, 1)

    def _is_caught_up(self):
        healthy = all(self.site.health(port=door.port)[0] == 200 for door in self.doors)
        return healthy and self.cluster.sql(
            f"SELECT count(*) FROM {self.schema}.inbox", "drainwatch") == [["0"]]

    def _judge_frames(self, drains, recorded):
        super()._judge_frames(drains, recorded)
        others = {t for d in drains for f in d.frames for t in f.tries} - {204, LOST}
        assert not others, others


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("outage", choices=("failover", "loss", "away"))
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--rounds", type=int, default=1, help="of failover and loss")
    parser.add_argument("--minutes", type=float, default=AWAY_S / 60, help="of away")
    args = parser.parse_args()
    with Cluster() as cluster, tempfile.TemporaryDirectory(prefix="outage-") as folder:
        if args.outage == "away":
            return report(Away(folder, cluster, args.seed, 60 * args.minutes))
        return report(Failover(folder, cluster, args.seed, args.rounds, args.outage == "loss"))


if __name__ == "__main__":
    sys.exit(main())
