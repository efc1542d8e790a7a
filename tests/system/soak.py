"""Runs both programs for long, under load, faults and attacks, and looks for growth.

chaos.py's drains deliver through two ingests, and one more brings a storm now and then. Slack
misbehaves all the time. The second ingest is killed again and again, and in the first third all
three programs are. If the caller is root, the first ingest's disk is full now and then. Meanwhile

  * a hundred connections to the first ingest send a byte of a head each second;
  * a drain sends late lines of ever new groups.

In the last two thirds the first ingest and the alerter are not killed. Their resident memory,
descriptors and files must not grow: the medians of the first and the last third of that time are
compared. During the first hour the alerter's memory may grow by the Frame-Ids and times that it
remembers. At the end all that was answered is counted, as in chaos.py.

    python3 tests/system/soak.py --minutes 60

takes the programs from DRAINWATCH_BIN (build/bin if unset), prints the figures as one JSON object,
and exits 0 if every check passed.
"""

import argparse
import os
import random
import statistics
import sys
import tempfile
import threading
import time

from alerting import rss_kb, rule
from chaos import STUBBORN, Chaos, marker, report
from counting import SmallDisk
from drainwatch import RawClient, frame, inspectable, now
from logplex import Frame, LogplexDrain
from test_hostile_http import PARTIAL_HEAD, is_open

DRIPPING = 100
GROUPS = 1_000_000
LATE_S = 3590
STORM = 20  # deliveries
STORM_LINES = 500  # of each
CALM_S = 15
DISK_FULL_S = 3
GROWTH = {"memory_kb": 8 << 10, "descriptors": 4, "disk_kb": 4 << 10}
# Of memory, for an hour: so long the alerter remembers Frame-Ids and late times.
REMEMBERED_KB_A_MINUTE = 2 << 10


class Soak(Chaos):
    def __init__(self, folder, seed=7, minutes=60):
        super().__init__(folder, seed, 60 * minutes, history="1MiB")
        self.preload = inspectable(self.folder)
        self.pause_s = 0.1
        with open(self.site.rules, "a") as file:
            file.write(rule("flood", "^flood", group_by="process", more_than=1000000, within="1m"))
        self.disk = SmallDisk(self.folder / "ingest-0", "32m")
        os.chmod(self.disk.folder, 0o700)
        self.samples = []

    def run(self):
        try:
            return super().run()
        finally:
            self.disk.close()

    def _make_drains(self):
        super()._make_drains()
        storms = LogplexDrain("storm", self.doors, random.Random(7), zipped=0.5, stubborn=True)
        self.drains.append((storms, STUBBORN))

    def _deliver(self, drain, rules, rng):
        if drain.name != "storm":
            super()._deliver(drain, rules, rng)
        else:
            self._go_on(lambda: self._storm(drain, rng), CALM_S)

    @staticmethod
    def _storm(drain, rng):
        for _ in range(STORM):
            rule_of_storm = rng.choice(STUBBORN)
            one = Frame(marker(rule_of_storm) * STORM_LINES, {rule_of_storm: STORM_LINES},
                        lines=STORM_LINES)
            drain.deliver(one)
            one.body = b""

    def _go_on(self, act, pause_s):
        """Acts again and again until the end; a thread's exception would pass unseen."""
        try:
            while not self.stopping.wait(pause_s):
                act()
        except Exception as fault:
            self.faults.append(repr(fault))

    # --- the attacks, both at the first ingest ---

    def _drip(self, clients):
        for client in clients:
            try:
                client.socket.send(b"x")
            except OSError:
                pass  # closed
        clients[:] = [client for client in clients if is_open(client)]
        try:
            while len(clients) < DRIPPING:
                clients.append(RawClient(self.doors[0].port).send(PARTIAL_HEAD))
        except OSError:
            pass  # the ingest is away

    def _send_groups(self, rng):
        body = b"".join(frame("flood", source="app", process=f"web.{rng.randrange(GROUPS)}",
                              at=now(-rng.uniform(0, LATE_S))) for _ in range(100))
        try:
            self.site.post(body, drain="hostile", port=self.doors[0].port)
        except OSError:
            pass  # the ingest is away

    # --- faults and samples ---

    def _wreck(self):
        clients = []
        attacks = [threading.Thread(target=self._go_on, args=args, daemon=True)
                   for args in ((lambda: self._drip(clients), 1),
                                (lambda: self._send_groups(random.Random()), 0.2))]
        for thread in attacks:
            thread.start()
        began = time.monotonic()
        until = began + self.seconds
        while time.monotonic() < until and not self.faults:
            warm = time.monotonic() > began + self.seconds / 3
            time.sleep(1)
            self._upset_slack(until)
            self._kill_some(self.ingests[1:] if warm else self.lives)
            if self.disk.mounted and self.rng.random() < 0.03:
                self._fill_disk()
            if warm:
                self.samples.append(self._sample())
        self.stopping.set()
        for thread in attacks:
            thread.join()
        for client in clients:
            client.close()
        if not self.faults:
            self._judge_growth()

    def _kill_some(self, lives):
        if self.rng.random() < 0.2:
            victim = self.rng.choice(lives)
            victim.kill()
            victim.start()

    def _fill_disk(self):
        self.disk.fill()
        time.sleep(DISK_FULL_S)
        self.disk.free()
        self.result["disks_filled"] = self.result.get("disks_filled", 0) + 1

    def _sample(self):
        figures = {}
        for life, folder in ((self.ingests[0], self.disk.folder),
                             (self.alerter, self.site.folder / "state")):
            program = life.program
            figures[life.name] = {
                "memory_kb": rss_kb(program),
                "descriptors": len(os.listdir(f"/proc/{program.process.pid}/fd")),
                "disk_kb": sum(file.stat().st_blocks for file in folder.iterdir()) // 2,
            }
        return figures

    def _judge_growth(self):
        third = len(self.samples) // 3
        minutes_apart = self.seconds * 2 / 3 * 2 / 3 / 60
        grown = []
        for name in self.samples[0]:
            for what, most in GROWTH.items():
                values = [sample[name][what] for sample in self.samples]
                first, last = (int(statistics.median(part))
                               for part in (values[:third], values[-third:]))
                self.result[f"{name} {what}"] = [first, last]
                if name == "alerter" and what == "memory_kb":
                    most += REMEMBERED_KB_A_MINUTE * min(minutes_apart, 60)
                if last - first > most:
                    grown.append(f"{what} of {name}: from {first} to {last}")
        assert not grown, grown


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--minutes", type=float, default=60, help="the end takes longer")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        return report(Soak(folder, args.seed, args.minutes))


if __name__ == "__main__":
    sys.exit(main())
