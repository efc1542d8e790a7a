"""Both programs on PostgreSQL, on machines that vanish, against exact counts.

chaos.py's drains deliver through two ingests. Two alerters share one database: one is active, the
other stands by. A kill takes the state folder with it, as the end of a dyno does. Besides kills
there are freezes, backends that are ended or killed, and restarts of the server; and a proxy before
each program stalls, delays, cuts, and swallows the answer to a commit.

At the end each delivery that was answered `Drainwatch-Kept: database` was counted once, each alert
was decided once and is on Slack, and a replay of the recorded stream decides the same alerts.

    python3 tests/system/chaos_postgres.py --seconds 120

(with --pool through PgBouncer) takes the programs from DRAINWATCH_BIN (build/bin if unset), prints
the figures as one JSON object, and exits 0 if every check passed.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time

import postgres
from chaos import NEAR_S, RULES, Chaos, Life, report
from drainwatch import wait_for
from pgbouncer import Bouncer
from postgres import Cluster
from proxy import Proxy

DATABASE = "database"


class Dyno(Life):
    """A program behind a proxy of its own, whose state folder ends with it."""

    def __init__(self, name, start, ready, proxy, folder):
        super().__init__(name, start, ready)
        self.proxy = proxy
        self.folder = folder
        self.active_since = []  # when it took the lease, by time.monotonic()

    def _note(self):
        times = self.program.times
        self.active_since += [at for line, at in list(times.items()) if "active since" in line]

    def wait_ready(self):
        wait_for(lambda: any(self.program.said(text) for text in self.ready),
                 lambda: f"{self.name} to start: {self.said()}")

    def kill(self):
        self._note()
        super().kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def stop(self):
        self._note()
        super().stop()


class PostgresChaos(Chaos):
    def __init__(self, folder, cluster, seed=7, seconds=20, pool=None):
        """`pool`: the programs connect through this Bouncer, which is killed now and then, too."""
        self.cluster = cluster
        self.pool = pool
        self.schema = f"chaos_{os.getpid()}_{seed}"
        super().__init__(folder, seed, seconds)
        self.result["queue"] = DATABASE
        self.result["faults"] = {}
        settings = self.site.settings
        del settings["DRAINWATCH_QUEUE"]
        settings.update(DRAINWATCH_DATABASE_URL=cluster.url(), DRAINWATCH_SCHEMA=self.schema)
        self.ingests = [self._dyno("ingest", n, self.site.ingest, ["listening on port"],
                                   PORT=str(door.port)) for n, door in enumerate(self.doors)]
        self.alerters = [self._dyno("alerter", n, self.site.alerter, ["ready", "standing by"])
                         for n in range(2)]
        self.alerter = self.alerters[0]
        self.lives = [*self.ingests, *self.alerters]

    def _dyno(self, kind, n, start, ready, **settings):
        proxy = Proxy(("127.0.0.1", (self.pool or self.cluster).port))
        folder = self.folder / f"{kind}-{n}"
        url = self.cluster.url(port=proxy.port)
        return Dyno(f"{kind} {n}",
                    lambda: start(ready=False, DRAINWATCH_DATABASE_URL=url,
                                  DRAINWATCH_STATE_DIR=folder, **settings), ready, proxy, folder)

    def run(self):
        try:
            return super().run()
        finally:
            for life in self.lives:
                life.proxy.close()

    # --- the chaos ---

    def _wreck(self):
        until = time.monotonic() + self.seconds
        acts = {self._kill: 8, self._kill_several: 3, self._freeze_one: 2, self._end_backend: 4,
                self._kill_backend: 1, self._crash_server: 1, self._cut: 4, self._stall: 3,
                self._swallow: 4, self._slow_down: 1}
        if self.pool:
            acts[self._kill_pool] = 4
        while time.monotonic() < until and not self.faults:
            time.sleep(self.rng.uniform(0, 0.5))
            self._upset_slack(until)
            act, = self.rng.choices(list(acts), list(acts.values()))
            name = act.__name__.strip("_")
            self.result["faults"][name] = self.result["faults"].get(name, 0) + 1
            act()
        for life in self.lives:
            life.proxy.delay_s = 0
            life.proxy.go_on()

    def _kill(self, victims=None):
        victims = victims or [self.rng.choice(self.lives)]
        for life in victims:
            life.kill()
        time.sleep(self.rng.choice((0, self.rng.uniform(0, 0.6), self.rng.uniform(0, 2))))
        for life in self.rng.sample(victims, len(victims)):
            life.start()

    def _kill_several(self):
        self._kill(self.rng.sample(self.lives, self.rng.randint(2, 4)))

    def _freeze_one(self):
        life = self.rng.choice(self.lives)
        life.program.signal(signal.SIGSTOP)
        time.sleep(self.rng.uniform(1, 7))
        life.program.signal(signal.SIGCONT)

    def _backends(self):
        return [int(row[0]) for row in self.cluster.sql(
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'drainwatch%'")]

    def _end_backend(self):
        for pid in self.rng.sample(self._backends(), 1) if self._backends() else []:
            self.cluster.sql(f"SELECT pg_terminate_backend({pid})")

    def _kill_backend(self):
        """The server ends all its sessions and recovers."""
        backends = self._backends()
        if backends:
            try:
                os.kill(self.rng.choice(backends), signal.SIGKILL)
            except ProcessLookupError:
                return
            self._wait_server()

    def _crash_server(self):
        self.cluster.stop("immediate")
        time.sleep(self.rng.uniform(0, 1))
        self.cluster.start()
        self._wait_server()

    def _kill_pool(self):
        self.pool.kill()
        time.sleep(self.rng.uniform(0, 1))
        self.pool.start()

    def _wait_server(self):
        def works():
            try:
                return self.cluster.sql("SELECT 1")
            except RuntimeError:
                return False
        wait_for(works, "the server")

    def _cut(self):
        self.rng.choice(self.lives).proxy.cut()

    def _stall(self):
        proxy = self.rng.choice(self.lives).proxy
        proxy.stall(self.rng.choice(("both", "up", "down")))
        time.sleep(self.rng.uniform(0.1, 6))
        proxy.go_on()

    def _swallow(self):
        """A statement reaches the server, and its answer does not come back."""
        proxy = self.rng.choice(self.lives).proxy
        proxy.stall("down")
        time.sleep(self.rng.uniform(0, 0.2))
        proxy.cut()
        proxy.go_on()

    def _slow_down(self):
        self.rng.choice(self.lives).proxy.delay_s = self.rng.choice((0, 0.001, 0.005))

    # --- the end ---

    def _settle(self):
        self.slack.recover()
        for life in self.lives:
            life.wait_ready()
        first, second = self.ingests
        second.stop()  # only when the database has all that it holds
        wait_for(self._is_all_taken, "all records taken", timeout=90)
        self._ask()
        wait_for(lambda: all(a["delivery"]["state"] == "delivered" for a in self._outbox()),
                 "everything on Slack", timeout=60)
        self.site.wait_healthy(port=self.doors[0].port)
        for life in (first, *self.rng.sample(self.alerters, 2)):
            life.stop()

    def _is_all_taken(self):
        """Then the alerter takes nothing of another ingest after the last frame."""
        return self.cluster.sql(f"SELECT count(*) FROM {self.schema}.inbox i WHERE last > coalesce("
                                f"(SELECT taken FROM {self.schema}.senders s WHERE s.sender ="
                                " i.sender), 0)", postgres.DATABASE) == [["0"]]

    def _judge_counts(self, drains, counts):
        """Compares the engine's counts with the deliveries that the database had when they were
        answered. The others lay on a disk that may have gone."""
        for rule in RULES:
            sure = sum(f.matches.get(rule, 0) for d in drains for f in d.answered
                       if DATABASE in f.kept)
            most = sum(f.matches.get(rule, 0) for d in drains for f in d.frames)
            assert sure <= counts[rule] <= most, (rule, sure, most, counts, self.result)

    def _judge_frames(self, drains, recorded):
        sent = {(d.name, f.id): f for d in drains for f in d.frames}
        answered = [(key, f) for key, f in sent.items() if f.answered and f.matches]
        lost = [(key, f.tries) for key, f in answered
                if DATABASE in f.kept and key not in recorded.frames]
        assert not lost, f"{len(lost)} answered from the database and not recorded: {lost[:5]}"
        wrong = [(key, sent[key].matches, found) for key, found in recorded.frames.items()
                 if sent[key].matches != found]
        assert not wrong, f"{len(wrong)} with other matches: {wrong[:5]}"
        self.result.update(
            kept_in_database=sum(DATABASE in f.kept for _, f in answered),
            kept_on_disk=sum(DATABASE not in f.kept for _, f in answered),
            lost_with_a_disk=sum(key not in recorded.frames for key, _ in answered),
            take_overs=len(self._take_overs()))

    def _take_overs(self):
        return sorted({at for life in self.alerters for at in life.active_since})

    def _may_be_twice(self, one, again):
        """A post whose answer came to nobody: its alerter was killed, or lost the lease."""
        return any(one.monotonic - NEAR_S < at < again.monotonic for at in self._take_overs())


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=120, help="of chaos; the end takes longer")
    parser.add_argument("--pool", action="store_true", help="through PgBouncer")
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(Cluster(fsync=True))
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-"))
        pool = stack.enter_context(Bouncer(cluster, size=4)) if args.pool else None
        return report(PostgresChaos(folder, cluster, args.seed, args.seconds, pool))


if __name__ == "__main__":
    sys.exit(main())
