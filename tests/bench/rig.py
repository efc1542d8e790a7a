"""The base of every measurement: the build, processes pinned to a core, their processor time by the
kernel's accounts, load, and statistics."""

import base64
import json
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import time

from drainwatch import SECRET, free_port, token

HERE = pathlib.Path(os.path.abspath(__file__)).parent
ROOT = HERE.parents[1]
BUILD = pathlib.Path(os.environ.get("DRAINWATCH_BENCH_BUILD", ROOT / "build-bench")).absolute()
WORK = BUILD / "work"
INGEST = BUILD / "bin" / "drainwatch-ingest"
ALERTER = BUILD / "bin" / "drainwatch-alerter"
TAKEN = "coalesce(sum(taken % 1099511627776), 0)"  # the other bits of a sequence count starts
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]
PATIENCE_S = 20


class BenchError(Exception):
    """A measurement that cannot be made; the message says why."""


def build():
    """The release, and the benchmark's own programs. Quiet, unless it fails."""
    for command in (["cmake", "-S", ROOT, "-B", BUILD, "-G", "Ninja", "-DDRAINWATCH_BENCH=ON"],
                    ["cmake", "--build", BUILD]):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise BenchError(f"the build failed:\n{done.stdout[-3000:]}")


def tool(name):
    """One of the benchmark's own programs."""
    return BUILD / "bench" / name


def run_tool(name, *args, core=None, patience=120):
    """Runs one to its end, and returns its output."""
    done = subprocess.run([str(a) for a in (tool(name), *args)], capture_output=True, text=True,
                          timeout=patience, preexec_fn=pinned(core))
    if done.returncode != 0:
        raise BenchError(f"{name}: {done.stderr.strip()}")
    return done.stdout


# ---- numbers ----

class Spread:
    """Several readings of one thing: the median and the range."""

    def __init__(self, readings):
        self.readings = sorted(readings)
        self.median = statistics.median(self.readings)
        self.least, self.most = self.readings[0], self.readings[-1]

    @classmethod
    def of_ratio(cls, above, below):
        """The ratio of each pair of readings taken in turn."""
        return cls([a / b for a, b in zip(above, below, strict=True)])


def quantile(readings, q):
    ordered = sorted(readings)
    return ordered[round(q * (len(ordered) - 1))]


def in_turn(rounds, *measures):
    """Measures in turn, A B A B, and returns the readings of each. Other work of the machine then
    affects all of them alike. The first round warms up and is not counted."""
    readings = [[] for _ in measures]
    for i in range(rounds + 1):
        for measure, to in zip(measures, readings):
            reading = measure()
            if i > 0:
                to.append(reading)
    return readings


# ---- the host's share ----

class Steal:
    """The share of this machine's processor time that its host gave to others."""

    def __init__(self):
        self.before = self._ticks()

    @staticmethod
    def _ticks():
        """Of all processors: busy (user, nice, system, irq, softirq), stolen."""
        user, nice, system, _, _, irq, softirq, steal = map(
            int, pathlib.Path("/proc/stat").read_text().split()[1:9])
        return user + nice + system + irq + softirq, steal

    def share(self):
        busy, steal = (now - then for now, then in zip(self._ticks(), self.before))
        return steal / max(1, busy + steal)


def quieter_half(slices):
    """Measures slice after slice, and returns the readings of the half in which the host took the
    least. A pause of the host would otherwise hide our own slowest hundredth."""
    taken = []
    for slice_ in slices:
        steal = Steal()
        readings = slice_()
        taken.append((steal.share(), readings))
    taken.sort(key=lambda one: one[0])
    return sum((readings for _, readings in taken[:len(taken) // 2]), [])


# ---- processes ----

def pinned(core, gives_way=False):
    """For a child to run before its program."""
    def before():
        os.sched_setaffinity(0, CORES if core is None else [core])
        if gives_way:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    return before


def wait_for(condition, what, patience=PATIENCE_S, each_s=0.002):
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            raise BenchError(f"waited {patience} s for {what}")
        time.sleep(each_s)


def answers(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


class Process:
    """A program on one core. It prints into a file in the work folder."""

    def __init__(self, name, argv, core=None, gives_way=False, env=None, cwd=None):
        self.name = name
        self.log = WORK / f"{name}.log"
        with open(self.log, "wb") as log:
            self.popen = subprocess.Popen(
                [str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=cwd or WORK, env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **(env or {})},
                preexec_fn=pinned(core, gives_way))

    @property
    def pid(self):
        return self.popen.pid

    def check(self):
        if self.popen.poll() is not None:
            tail = self.log.read_text(errors="replace")[-800:]
            raise BenchError(f"{self.name} ended with {self.popen.returncode}: {tail}")

    def _family(self):
        """Its pid and its children's, because a server may have workers."""
        pids = [self.pid]
        for pid in pids:
            for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
                pids += map(int, (task / "children").read_text().split())
        return pids

    def cpu_ns(self):
        """User and system time of all its threads, in nanoseconds. /proc/PID/stat counts in ticks of
        10 ms, and /proc/PID/schedstat counts the first thread alone."""
        self.check()
        return sum(int((task / "schedstat").read_text().split()[0])
                   for pid in self._family()
                   for task in pathlib.Path(f"/proc/{pid}/task").iterdir())

    def settle(self, patience=PATIENCE_S):
        """Waits until it is idle: almost no processor time within 25 ms."""
        end = time.monotonic() + patience
        before = self.cpu_ns()
        while True:
            time.sleep(0.025)
            now = self.cpu_ns()
            if now - before < 300_000:
                return
            if time.monotonic() > end:
                raise BenchError(f"{self.name} does not come to rest")
            before = now

    def resident_bytes(self):
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise BenchError(f"{self.name} has no VmRSS")

    def said(self, text):
        self.check()
        return text in self.log.read_text(errors="replace")

    def wait_said(self, text):
        wait_for(lambda: self.said(text), f"{text!r} in the log of {self.name}")

    def kill(self):
        self.popen.kill()
        self.popen.wait()

    def stop(self):
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                self.kill()


class Stage:
    """The processes and the folder of one measurement; all gone at its end."""

    def __init__(self, name):
        self.folder = WORK / name
        self.processes = []

    def __enter__(self):
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, *args, **kw):
        process = Process(*args, **kw)
        self.processes.append(process)
        return process

    def start_on_port(self, name, argv, port, **kw):
        process = self.start(name, argv, **kw)

        def ready():
            process.check()
            return answers(port)

        wait_for(ready, f"{name} on port {port}")
        process.port = port
        return process


# ---- ours ----

def rules_text(n):
    """The two shipped rules, and others of common kinds that match no posted line."""
    text = (ROOT / "rules.yaml").read_text()
    kinds = [
        "match: 'job-{i:04d} failed after \\d+ attempts'",
        "match: 'psycopg2\\.errors\\.E{i:04d}'",
        "field: error=E{i:04d}",
        "match: '(timeout|deadline) exceeded in module{i:04d}'",
    ]
    for i in range(2, n):
        text += (f"  - name: other-{i}\n    {kinds[i % len(kinds)].format(i=i)}\n"
                 "    more_than: 3\n    within: 5m\n    cooldown: 5m\n")
    return text


def credentials(name):
    return base64.b64encode(f"{name}:{token(name)}".encode()).decode()


class Ours:
    """Our two programs on a state folder of their own."""

    def __init__(self, stage, name="ours", rules=2, rules_yaml=None, **settings):
        self.stage = stage
        self.name = name
        self.folder = stage.folder / name
        self.folder.mkdir(exist_ok=True)
        rules_file = self.folder / "rules.yaml"
        rules_file.write_text(rules_yaml or rules_text(rules))
        self.port = free_port()
        self.env = {
            "FLAG_CONSOLE_HEROKU_LOG_DRAIN_ALERTING": "true",
            "HEROKU_LOG_DRAIN_HMAC_SECRET": SECRET,
            "PORT": str(self.port),
            "DRAINWATCH_RULES": str(rules_file),
            "DRAINWATCH_STATE_DIR": str(self.folder / "state"),
            **settings,
        }

    def ingest(self, core=SERVER_CORE):
        return self.stage.start_on_port(f"{self.name}-ingest", [INGEST], self.port, core=core,
                                        env=self.env)

    def alerter(self, core=LOAD_CORE):
        process = self.stage.start(f"{self.name}-alerter", [ALERTER], core=core, env=self.env)
        process.wait_said("ready")
        return process

    def taken(self):
        """How many records the alerter has taken so far."""
        db = sqlite3.connect(f"file:{self.folder}/state/alerter.db?mode=ro", uri=True)
        try:
            return db.execute(f"SELECT {TAKEN} FROM senders").fetchone()[0]
        finally:
            db.close()


def discard(stage, core=SERVER_CORE):
    port = free_port()
    return stage.start_on_port("discard", [tool("discard"), port], port, core=core)


# ---- load ----

_pools = {}


def pool(lines, matching=0, count=None, keys=None):
    """A file of bodies of so many lines, `matching` of 1,000 of which match. Bodies that are large
    in all are fewer, yet always more than a cache holds."""
    count = count or {1: 1000, 100: 400, 1000: 200}[lines]
    key = (lines, matching, count, keys)
    if key not in _pools:
        path = WORK / f"bodies-{lines}-{matching}-{keys or 0}"
        with open(path, "wb") as out:
            subprocess.run([tool("bodies"), str(count), str(lines), str(matching), "1",
                            *([str(keys)] if keys else [])], stdout=out, check=True)
        _pools[key] = path
    return _pools[key]


def drains(n):
    path = WORK / f"drains-{n}"
    if not path.exists():
        names = [f"d.{i:08x}-89ab-4cde-8123-456789abcdef" for i in range(n)]
        path.write_text("".join(f"{name} {credentials(name)}\n" for name in names))
    return path


class Load:
    """Bodies to post (see pool), the number of connections, and the number of drains."""

    def __init__(self, lines, matching=0, connections=64, n_drains=1, **bodies):
        self.bodies = {"lines": lines, "matching": matching, **bodies}
        self.connections, self.n_drains = connections, n_drains

    def args(self, port, mode, amount, rate=None):
        """Of `post`."""
        return (port, self.connections, pool(**self.bodies), drains(self.n_drains), mode, amount,
                *([rate] if rate else []))

    def post(self, port, mode, amount, rate=None, core=LOAD_CORE, patience=120):
        """Posts, and returns the report of `post`. A delivery that was not accepted is an error."""
        report = json.loads(run_tool("post", *self.args(port, mode, amount, rate), core=core,
                                     patience=patience))
        if report["accepted"] != report["requests"] or not report["requests"]:
            raise BenchError(f"only {report['accepted']} of {report['requests']} deliveries "
                             "got 204")
        return report


def cpu_per_request(server, load, seconds):
    """Posts for a while, and returns the processor time in µs that the server spent on each request,
    including the work after its answer."""
    server.settle()
    before = server.cpu_ns()
    report = load.post(server.port, "seconds", seconds)
    server.settle()
    return (server.cpu_ns() - before) / report["requests"] / 1000


# ---- results ----

class Result:
    """The ratio that was measured, and both sides of it in words."""

    def __init__(self, ratio, ours, theirs, note=""):
        self.ratio, self.ours, self.theirs, self.note = ratio, ours, theirs, note
