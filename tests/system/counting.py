"""Both programs on rules by which they can be asked how much they have counted."""

import json
import os
import struct
import subprocess
import time

from chaos import Recorded, marker, rules_text
from drainwatch import ALERTER, now, preloaded, wait_for

COUNTED, ASKED = "counted", "asked"
COOLDOWN_S = 1


class Counting:
    """A site whose alerter alerts on every match, with a window of a month. The two programs keep
    their state in folders of their own, and the queue lies beside them."""

    def __init__(self, site, queue=None, **settings):
        site.rules.write_text(rules_text([COUNTED, ASKED], cooldown=f"{COOLDOWN_S}s"))
        if queue or not site.backing:
            site.settings["DRAINWATCH_QUEUE"] = queue or f"ipc://{site.folder}/queue.sock"
        site.settings.update({name: str(value) for name, value in settings.items()})
        self.site = site
        self.ingest_folder = site.folder / "ingest"
        self.alerter_folder = site.folder / "alerter"
        self._asked = 0

    def ingest(self, **settings):
        return self.site.ingest(**{"DRAINWATCH_STATE_DIR": self.ingest_folder, **settings})

    def alerter(self, **settings):
        return self.site.alerter(**{"DRAINWATCH_STATE_DIR": self.alerter_folder, **settings})

    def post(self, n=1, **kw):
        return self.site.post(marker(COUNTED) * n, **kw)

    def rows(self):
        run = self.site.run(ALERTER, "outbox", "--format", "json",
                            DRAINWATCH_STATE_DIR=self.alerter_folder)
        return [json.loads(line) for line in run.stdout.splitlines()]

    def recorded(self):
        """What the alerter's stream holds."""
        run = self.site.run(ALERTER, "export", timeout=60, DRAINWATCH_STATE_DIR=self.alerter_folder)
        assert run.returncode == 0, run.stderr
        return Recorded(run.stdout, self.site.folder)

    def total(self, port=None):
        """How many matches were counted of all that was answered at this port before. One more of
        both kinds is posted, until it makes both alert: the last alert's count is the total."""
        while True:
            time.sleep(max(0, self._asked + COOLDOWN_S + 0.1 - time.monotonic()))
            before = {row["id"] for row in self.rows()}
            at = now()
            body = marker(COUNTED, at=at) + marker(ASKED, at=at)
            wait_for(lambda: self.site.post(body, drain="asking", port=port) == 204,
                     "a 204 to the question")

            def answer():
                return [r for r in self.rows() if r["rule"] == ASKED and r["id"] not in before]
            asked = wait_for(answer, "the alert of the question", timeout=60)[0]
            self._asked = time.monotonic()
            for row in self.rows():  # times have a grain of 1 ms; another alert may be of this turn
                if row["rule"] == COUNTED and (row["at"], row["last"][:23]) == (asked["at"], at[:23]):
                    return row["count"] - asked["count"]


class SmallDisk:
    """A file system of its own, a few megabytes large. Only root may make one."""

    def __init__(self, folder, size):
        self.folder = folder
        self._ballast = folder / "ballast"
        folder.mkdir()
        self.mounted = os.geteuid() == 0 and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
            capture_output=True).returncode == 0

    def fill(self):
        with open(self._ballast, "wb", buffering=0) as file:
            try:
                while file.write(b"x" * 65536) == 65536:
                    pass
            except OSError:
                pass

    def free(self):
        self._ballast.unlink()

    def close(self):
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.folder)], check=True)


class ShiftedClock:
    """Clocks that a test steps while a program runs: its settings are for that program."""

    def __init__(self, folder):
        self._file = open(folder / "shift", "w+b", buffering=0)
        self._slept_s = 0
        self._wall_s = 0
        self._write()
        self.settings = preloaded(folder, SHIFTED_CLOCK=self._file.name)

    def _write(self):
        self._file.seek(0)
        self._file.write(struct.pack("qq", self._wall_s * 10**6, self._slept_s * 10**6))

    def wall(self, seconds):
        """The wall clock is so far from the true time."""
        self._wall_s = seconds
        self._write()

    def sleep(self, seconds):
        """The machine has slept: all clocks go on by so much."""
        self._slept_s += seconds
        self._wall_s += seconds
        self._write()
