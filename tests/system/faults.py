"""Fails each call that can fail, once, in a run of its own.

A run starts both programs, makes them read their rules again, delivers lines with and without
matches, one body of them compressed and one with wrong credentials, waits for the alerts, and stops
both. In one of the two programs one call fails: of memory, SQLite, ZeroMQ, libcurl or libmicrohttpd
(fail_once.c). A run without a fault lists the places at which there are such calls. In each run:

  * neither program hangs or dies of a signal. It may end by itself with a message and a documented
    exit code, and is then started again. libzmq calls abort() if it has no memory, after a message;
  * both are then started again without a fault. All that was answered 204 is counted exactly once,
    and every alert arrives, as chaos.py checks it.

    python3 tests/system/faults.py --jobs 8                # all places: ten minutes on two cores
    python3 tests/system/faults.py --seconds 60 --seed 7    # as many as there is time for
    python3 tests/system/faults.py --place 'ingest malloc 1c2d 3e4f'

takes the programs from DRAINWATCH_BIN (build/bin if unset). It prints a line for each place at
which a check failed or a program aborted, and how many runs ended how, and exits 0 if every check
passed.
"""

import argparse
import collections
import functools
import multiprocessing
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import time

from chaos import GIVEN_UP, Chaos, marker
from drainwatch import ALERTER, INGEST, OK_LINE, ROOT, frame
from logplex import Frame, LogplexDrain

BOUND_S = 20  # for each step of a run
GRACE_S = 1
EXIT_CODES = (0, 1, 64, 65, 78)  # docs/settings.md
ABORT_OF_LIBZMQ = re.compile(r"OUT OF MEMORY|std::bad_alloc|\(\S*src/\w+\.cpp:\d+\)")
PORT_TAKEN = "in use by another process (stop it, or set PORT"  # by one of the other runs
RELOADED = ("read again", "not reloaded", "refused")
PROGRAMS = {"ingest": INGEST, "alerter": ALERTER}


class Place:
    """A call of a program: its function and the addresses of the innermost frames."""

    def __init__(self, text):
        self.text = text.strip()
        self.program, _, self.at = self.text.partition(" ")

    def __str__(self):
        function, *frames = self.at.split()
        run = subprocess.run(["addr2line", "-fse", str(PROGRAMS[self.program]), *frames],
                             capture_output=True, text=True)
        lines = run.stdout.split("\n") if run.returncode == 0 else []
        names = [f"{name} {at.split(' ')[0]}" for name, at in zip(lines[::2], lines[1::2])]
        return f"{self.text} ({function} < {' < '.join(names)})"


def build_library(folder):
    library = pathlib.Path(folder) / "fail_once.so"
    subprocess.run(["cc", "-O1", "-fPIC", "-shared", "-Wno-builtin-declaration-mismatch", "-o",
                    str(library), str(ROOT / "tests/system/fail_once.c")], check=True)
    return library


class Run(Chaos):
    """The script, with a fault at a place or, with place=None, in search of the places."""

    def __init__(self, folder, library, place=None):
        super().__init__(folder, seconds=0)
        self.library = library
        self.place = place
        self.first = [self.alerter, self.ingests[0]]
        self.aborted = False

    def notes(self, program):
        """The places that the program has written down."""
        file = self.folder / f"{program}.notes"
        return file.read_text().splitlines() if file.exists() else []

    def _run(self):
        for life in self.first:
            self._start(life)
        for life in self.first:
            self._await(life, life.ready)
        self._reload()
        self._deliver_all()
        self._await_alerts()
        for life in self.first:
            if self._has_ended(life):
                self._judge_end(life)
                life.start()  # without the fault
                life.wait_ready()
        for life in reversed(self.first):  # the alerter waits until ingest has said goodbye
            self._stop(life)
        for life in self.lives:
            life.start()
        self._settle()
        self._judge()

    def _start(self, life):
        program = life.name.split()[0]
        if self.place is None or program == self.place.program:
            self.preload = {"LD_PRELOAD": self.library,
                            "FAIL_NOTES": self.folder / f"{program}.notes",
                            **({"FAIL_AT": self.place.at} if self.place else {})}
        life.start()
        self.preload = {}

    def _await(self, life, *texts):
        """Waits until a program has logged one of the texts or has ended. If its call has failed,
        the line may be lost, because a line needs memory."""
        def is_over():
            failed = self._failed_at()
            return self._has_ended(life) or any(map(life.program.said, texts)) or \
                (failed and time.monotonic() > failed + GRACE_S)
        self._wait_for(is_over, f"{texts} of the {life.name}")

    def _failed_at(self):
        """When the call failed, by time.monotonic(); None if it has not."""
        if self.place and self.notes(self.place.program):
            file = self.folder / f"{self.place.program}.notes"
            return time.monotonic() - (time.time() - file.stat().st_mtime)
        return None

    def _wait_for(self, condition, what):
        end = time.monotonic() + BOUND_S
        while not condition():
            assert time.monotonic() < end, \
                f"waited {BOUND_S} s for {what}: {[life.said() for life in self.first]}"
            time.sleep(0.02)

    @staticmethod
    def _has_ended(life):
        return life.program.process.poll() is not None

    def _reload(self):
        with open(self.site.rules, "a") as file:
            file.write("  - name: added\n    match: added\n    more_than: 1\n    within: 5m\n")
        for life in self.first:
            if not self._has_ended(life):
                life.program.signal(signal.SIGHUP)
        for life in self.first:
            self._await(life, *RELOADED)

    def _deliver_all(self):
        plain, zipped = (LogplexDrain(name, self.doors[:1], random.Random(7), zipped=share)
                         for name, share in (("plain", 0), ("zipped", 1)))
        self.drains = [(plain, GIVEN_UP), (zipped, GIVEN_UP)]
        for drain, n, rule in ((plain, 0, 0), (plain, 1, 0), (zipped, 3, 1), (plain, 300, 2)):
            body = frame(OK_LINE) + marker(GIVEN_UP[rule], source="app", process="web.1") * n
            drain.deliver(Frame(body, {GIVEN_UP[rule]: n} if n else {}, lines=n + 1))
        try:
            self.site.post(frame(OK_LINE), secret="wrong", port=self.doors[0].port)
        except OSError:
            pass  # it has ended, or this answer is the one without memory

    def _await_alerts(self):
        rules = set(LogplexDrain.sum(f for drain, _ in self.drains for f in drain.answered))
        self._wait_for(lambda: any(map(self._has_ended, self.first)) or
                       len({m.channel for m in self.slack.delivered}) >= len(rules),
                       f"alerts of {rules}")

    def _stop(self, life):
        life.program.signal(signal.SIGTERM)
        self._wait_for(lambda: self._has_ended(life), f"the end of the {life.name}")
        self._judge_end(life)

    def _judge_end(self, life):
        code = life.program.wait()
        said = "\n".join(life.program.lines + life.program.errors)
        if code == -signal.SIGABRT and ABORT_OF_LIBZMQ.search(said):
            self.aborted = True
        else:
            life.check(code in EXIT_CODES and said, f"ended with {code}")
        # Slack's answer that was on its way when the alerter failed may be lost.
        if life is self.alerter and self._failed_at() and self.place.program == "alerter":
            self.alerter.kills.append(self._failed_at())


def try_place(library, until, place):
    """Runs the script with a fault. Returns what came of it and a text."""
    if time.monotonic() > until:
        return "left out", ""
    with tempfile.TemporaryDirectory(prefix="fault-") as folder:
        run = Run(folder, library, place)
        try:
            run.run()
        except Exception as fault:  # of any kind: the next place has its turn
            return ("port taken" if PORT_TAKEN in repr(fault) else "FAILED"), f"{place}: {fault!r}"
        if not run.notes(place.program):
            return "not reached", str(place)
        if run.result["twice"]:
            return "posted twice", str(place)
        return ("aborted in libzmq", str(place)) if run.aborted else ("passed", "")


def find_places(folder, library):
    run = Run(f"{folder}/search", library)
    run.run()
    return [Place(f"{program} {line}") for program in PROGRAMS for line in run.notes(program)]


def sweep(seed, seconds, jobs, place=None, show=print):
    """Tries all places in random order until the time is over. Returns how many came to what."""
    until = time.monotonic() + seconds
    results = collections.Counter()
    # A Program keeps its pipes, so a process of the pool ends after some runs.
    with tempfile.TemporaryDirectory(prefix="faults-") as folder, \
            multiprocessing.Pool(jobs, signal.signal, (signal.SIGTERM, signal.SIG_DFL),
                                 maxtasksperchild=10) as pool:
        library = build_library(folder)
        places = [Place(place)] if place else pool.apply(find_places, (folder, library))
        random.Random(seed).shuffle(places)
        show(f"seed {seed}: {len(places)} places")
        attempt = functools.partial(try_place, library, until)
        for n, (result, text) in enumerate(pool.imap_unordered(attempt, places), 1):
            results[result] += 1
            if n % 100 == 0:
                show(f"{n} of {len(places)}")
            if text:
                show(f"{result}: {text}")
    return results


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=7, help="decides the order of the places")
    parser.add_argument("--seconds", type=float, default=86400, help="start no run after so long")
    parser.add_argument("--jobs", type=int, default=2 * (os.cpu_count() or 1))
    parser.add_argument("--place", help="try this one alone, as it is printed")
    args = parser.parse_args()

    def show(text):
        print(text, flush=True)

    results = sweep(args.seed, args.seconds, args.jobs, args.place, show)
    show(dict(results))
    return 1 if results["FAILED"] else 0


if __name__ == "__main__":
    sys.exit(main())
