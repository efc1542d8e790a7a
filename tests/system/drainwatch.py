"""Starts the real programs and speaks to them as a user would.

A Site is a state folder with settings; it starts ingest and alerter on it, collects their output,
and stops them. wait_for asks again until a condition holds, for a bounded time.
"""

import base64
import datetime
import fcntl
import hashlib
import hmac
import http.client
import os
import pathlib
import select
import signal
import socket
import struct
import subprocess
import termios
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("DRAINWATCH_BIN", ROOT / "build" / "bin")).resolve()
INGEST = BIN / "drainwatch-ingest"
ALERTER = BIN / "drainwatch-alerter"
SECRET = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
DRAIN = "d.01234567-89ab-cdef-0123-456789abcdef"
PATH = "/api/internal/heroku-log-drain"
# A sanitizer makes everything several times slower, and the machine may be busy.
PATIENCE = 30


def wait_for(condition, what, timeout=PATIENCE):
    """Calls `condition` until its result is true, and returns that. `what`, a text or a function that
    returns one, names the condition in the error."""
    end = time.monotonic() + timeout
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(
                f"waited {timeout} s in vain for {what() if callable(what) else what}")
        time.sleep(0.01)


def token(name, secret=SECRET):
    return hmac.new(secret.encode(), name.encode(), hashlib.sha256).hexdigest()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def now(offset_s=0):
    at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=offset_s)
    return at.strftime("%Y-%m-%dT%H:%M:%S.%f+00:00")


def frame(message, source="heroku", process="router", at=None, newline=True):
    """One octet-counted frame as Logplex sends it: no STRUCTURED-DATA, hostname "host"."""
    line = f"<158>1 {at or now()} host {source} {process} - {message}" + ("\n" if newline else "")
    raw = line.encode("utf-8", "surrogateescape")
    return str(len(raw)).encode() + b" " + raw


H12 = 'at=error code=H12 desc="Request timeout" method=GET path="/slow" host=x.example dyno=web.1'
OK_LINE = 'at=info method=GET path="/" host=x.example fwd="192.0.2.1" dyno=web.1 status=200'
TIMEOUT = "[2026-05-07 08:06:12 +0000] [4] [CRITICAL] WORKER TIMEOUT (pid:17)"


def h12(n=1, **kw):
    return b"".join(frame(H12, **kw) for _ in range(n))


def worker_timeout(n=1, **kw):
    kw = {"source": "app", "process": "web.1", **kw}
    return b"".join(frame(TIMEOUT, **kw) for _ in range(n))


def preloaded(folder, **settings):
    """The settings of a program that runs with faults.c."""
    library = folder / "faults.so"
    if not library.exists():
        subprocess.run(["cc", "-O1", "-fPIC", "-shared", "-o", str(library),
                        str(ROOT / "tests/system/faults.c")], check=True)
    asan = os.environ.get("ASAN_OPTIONS", "")
    return {"LD_PRELOAD": library, "ASAN_OPTIONS": f"{asan}:verify_asan_link_order=0".strip(":"),
            **settings}


def inspectable(folder):
    """The settings of a program whose /proc/PID/fd an ordinary user may read. The programs forbid
    that, as it protects their memory, too."""
    return preloaded(folder, DUMPABLE="yes")


class Program:
    """A process whose lines are collected as they come."""

    def __init__(self, argv, env, cwd):
        self.lines = []
        self.errors = []
        self._reading = threading.Lock()
        self.times = {}  # of each line: its first appearance, by time.monotonic()
        self.process = subprocess.Popen(
            [str(a) for a in argv], env=env, cwd=cwd, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self._threads = [
            threading.Thread(target=self._read, args=(self.process.stdout, self.lines), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stderr, self.errors), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, stream, lines):
        rest, more = b"", True
        ready = select.poll()  # select takes no descriptor above 1023
        ready.register(stream, select.POLLIN)
        while more:
            ready.poll()
            with self._reading:  # bytes that left the pipe are in the list
                data = os.read(stream.fileno(), 1 << 16)
                more = bool(data)
                *whole, rest = (rest + data).split(b"\n")
                for raw in whole + ([rest] if rest and not more else []):
                    line = raw.decode("utf-8", "replace")
                    self.times.setdefault(line, time.monotonic())
                    lines.append(line)

    def _catch_up(self):
        """Waits until the pipes are empty."""
        end = time.monotonic() + PATIENCE
        pipes = [pipe for pipe in (self.process.stdout, self.process.stderr) if not pipe.closed]
        while any(struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"    "))[0]
                  for pipe in pipes) and time.monotonic() < end:
            time.sleep(0.001)
        with self._reading:
            pass

    def said(self, text, errors=True):
        """The lines so far that hold `text`."""
        self._catch_up()
        lines = self.lines + (self.errors if errors else [])
        return [line for line in lines if text in line]

    def wait_said(self, text, timeout=PATIENCE):
        def look():
            if self.process.poll() is not None:
                self.drain()
                if not self.said(text):
                    raise AssertionError(
                        f"ended with {self.process.returncode} before it said {text!r}: "
                        f"{self.lines[-20:]} {self.errors[-20:]}")
            return self.said(text)
        return wait_for(look, f"{text!r} in {self.process.args[0]}", timeout)

    def drain(self):
        for thread in self._threads:
            thread.join(PATIENCE)
        if not any(thread.is_alive() for thread in self._threads):
            self.process.stdout.close()
            self.process.stderr.close()

    def cpu_seconds(self):
        """What the process used of the processors so far."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def sockets(self):
        """How many it has open; needs root or `inspectable`."""
        n = 0
        for fd in pathlib.Path(f"/proc/{self.process.pid}/fd").iterdir():
            try:
                n += os.readlink(fd).startswith("socket:")
            except FileNotFoundError:  # closed meanwhile
                pass
        return n

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.drain()

    def wait(self, timeout=PATIENCE):
        code = self.process.wait(timeout)
        self.drain()
        return code

    def stop(self, timeout=60):
        """SIGTERM; returns the exit code."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.wait(timeout)


class RawClient:
    """A connection whose every byte the test decides."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.file.close()
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)
        return self

    def answer(self):
        """The next answer: status, headers by their names in lower case, body."""
        line = self.file.readline()
        if not line:
            raise ConnectionError("closed without an answer")
        status = int(line.split()[1])
        headers = {}
        while (line := self.file.readline().strip()):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return status, headers, self.file.read(int(headers.get("content-length", 0)))

    def is_closed(self):
        """Whether nothing more comes; waits for the end."""
        try:
            return self.file.read(1) == b""
        except ConnectionError:
            return True


def head(method="POST", path=PATH, version="1.1", drain=DRAIN, secret=SECRET, **headers):
    """A request's head with drain_token in the URL; drain=None: without credentials. In headers'
    names `_` stands for `-`; a value of None leaves a header out."""
    fields = {"Host": "x.example", "Content-Type": "application/logplex-1"}
    if drain is not None:
        path += f"?drain_token={token(drain, secret)}"
        fields["Logplex-Drain-Token"] = drain
    fields.update({name.replace("_", "-"): value for name, value in headers.items()})
    lines = [f"{method} {path} HTTP/{version}"]
    lines += [f"{name}: {value}" for name, value in fields.items() if value is not None]
    return "\r\n".join(lines + ["", ""]).encode("latin-1")


def whole(body, **kw):
    """A whole request."""
    return head(Content_Length=len(body), **kw) + body


def chunked(body, size):
    """A body in chunks of `size` bytes, with its end."""
    pieces = [body[i:i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"


class Site:
    backing = None  # a function that returns the settings of a new database for each site

    def __init__(self, folder, rules=None, **settings):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.rules = self.folder / "rules.yaml"
        self.rules.write_text(rules if rules else (ROOT / "rules.yaml").read_text())
        self.settings = {
            "FLAG_CONSOLE_HEROKU_LOG_DRAIN_ALERTING": "true",
            "HEROKU_LOG_DRAIN_HMAC_SECRET": SECRET,
            "PORT": str(self.port),
            "DRAINWATCH_RULES": str(self.rules),
            "DRAINWATCH_STATE_DIR": str(self.folder / "state"),
            **(Site.backing() if Site.backing else {}),
            **{name: str(value) for name, value in settings.items()},
        }
        self.programs = []

    def env(self, **settings):
        keep = {k: v for k, v in os.environ.items()
                if k in ("PATH", "HOME", "LANG", "TMPDIR") or k.startswith(("ASAN_", "UBSAN_", "LSAN_"))}
        return {**keep, **self.settings, **{k: str(v) for k, v in settings.items()}}

    def start(self, program, *args, **settings):
        p = Program([program, *args], self.env(**settings), self.folder)
        self.programs.append(p)
        return p

    def ingest(self, ready=True, **settings):
        p = self.start(INGEST, **settings)
        if ready:
            p.wait_said("listening on port")
        return p

    def alerter(self, ready=True, **settings):
        p = self.start(ALERTER, **settings)
        if ready:
            p.wait_said("ready")
        return p

    def run(self, program, *args, timeout=PATIENCE, stdin=b"", **settings):
        """Runs a command to its end."""
        return subprocess.run([str(program), *map(str, args)], env=self.env(**settings),
                              cwd=self.folder, capture_output=True, timeout=timeout, input=stdin)

    def stop(self):
        """Stops what still runs, ingest first, for the alerter waits until it has said goodbye;
        returns the exit codes."""
        running = [p for p in self.programs if p.process.poll() is None]
        running.sort(key=lambda p: p.process.args[0] != str(INGEST))
        return [p.stop() for p in running]

    def close(self):
        """Stops what still runs, without patience; fails where a sanitizer or an assert spoke."""
        left = [p for p in self.programs if p.process.poll() is None]
        for p in left:
            p.signal(signal.SIGTERM)
        end = time.monotonic() + 3
        for p in left:
            try:
                p.wait(max(0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                p.kill()
        for p in self.programs:
            p.drain()
            broken = p.said("Sanitizer") + p.said("runtime error") + p.said("Assertion")
            assert not broken, p.errors

    def connect(self, port=None):
        return http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=PATIENCE)

    def raw(self):
        return RawClient(self.port)

    @property
    def endpoint(self):
        return f"ipc://{self.settings['DRAINWATCH_STATE_DIR']}/queue.sock"

    def request(self, method, path, body=None, headers=None, connection=None, port=None):
        c = connection or self.connect(port)
        c.request(method, path, body=body, headers=headers or {})
        answer = c.getresponse()
        text = answer.read()
        if connection is None:
            c.close()
        return answer.status, dict(answer.getheaders()), text

    def post(self, body, drain=DRAIN, secret=SECRET, frame_id=None, headers=None, **kw):
        """A delivery with drain_token in the URL; returns the status."""
        all_headers = {"Content-Type": "application/logplex-1", "Logplex-Drain-Token": drain,
                       **({"Logplex-Frame-Id": frame_id} if frame_id else {}), **(headers or {})}
        return self.request("POST", f"{PATH}?drain_token={token(drain, secret)}", body,
                            all_headers, **kw)[0]

    def post_basic(self, body, name="console", secret=SECRET, headers=None, **kw):
        pair = base64.b64encode(f"{name}:{token(name, secret)}".encode()).decode()
        return self.request("POST", PATH, body,
                            {"Authorization": f"Basic {pair}", **(headers or {})}, **kw)[0]

    def health(self, **kw):
        status, _, text = self.request("GET", "/healthz", **kw)
        return status, text.decode().strip()

    def wait_healthy(self, **kw):
        return wait_for(lambda: self.health(**kw)[0] == 200, "GET /healthz to answer 200")
