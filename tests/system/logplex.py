"""A client that delivers as Logplex does, and remembers what became of each frame.

Each drain has one connection and one request in flight. A frame gets three tries, back to back, of
five seconds each; a 4xx other than 429 drops it at once. A retry carries the same Frame-Id, and yet
other bytes where an L10 line tells of frames dropped before, for that line is made anew each time
(logplex_http_drain.erl, logplex_syslog_utils.erl).

What Logplex sees as one address may be several ingests: a drain has a list of doors, and a retry
may go through another one than the try before.
"""

import dataclasses
import gzip
import http.client
import socket
import threading
import uuid

from drainwatch import PATH, SECRET, frame, now, token

TRIES = 3
TIMEOUT_S = 5


class Door:
    """An ingest as its clients know it."""

    def __init__(self, port):
        self.port = port


@dataclasses.dataclass
class Frame:
    """One delivery. `matches` is how many its lines hold of each rule."""

    body: bytes
    matches: dict = dataclasses.field(default_factory=dict)
    id: str = dataclasses.field(default_factory=lambda: str(uuid.uuid4()))
    lines: int = 1
    tries: list = dataclasses.field(default_factory=list)  # a status or an error for each try
    kept: set = dataclasses.field(default_factory=set)  # Drainwatch-Kept of its answers

    @property
    def answered(self):
        return any(isinstance(t, int) and 200 <= t < 300 for t in self.tries)

    @property
    def final(self):
        """Whether Logplex would not try again, whatever the number of tries."""
        last = self.tries[-1] if self.tries else None
        return isinstance(last, int) and (200 <= last < 300 or 400 <= last < 500 and last != 429)


class LogplexDrain:
    """One drain. `deliver` is for one thread; every thread may read the results.

    doors     where to: a retry goes through a door that `rng` picks
    stubborn  tries again until it is answered, not three times: every frame counts for sure
    cut       the share of first tries whose answer is not waited for, as after a lost packet
    zipped    the share of bodies that are compressed
    """

    def __init__(self, name, doors, rng, stubborn=False, cut=0.0, zipped=0.0, secret=SECRET):
        self.name = name
        self.doors = doors
        self.rng = rng
        self.stubborn = stubborn
        self.cut = cut
        self.zipped = zipped
        self.frames = []  # as delivered or given up, in order
        self.retries = 0
        self.elsewhere = 0  # retries through another door
        self.reports = 0  # tries with an L10 line
        self._path = f"{PATH}?drain_token={token(name, secret)}"
        self._connections = {}
        self._door = rng.choice(doors)
        self._dropped = 0  # lines that nobody took, not reported yet
        self._dropped_since = None
        self.enough = threading.Event()  # set: a stubborn drain gives up, too

    # --- what became of it ---

    @property
    def answered(self):
        return [f for f in self.frames if f.answered]

    @property
    def unanswered(self):
        return [f for f in self.frames if not f.answered]

    @staticmethod
    def sum(frames):
        """The matches of each rule in these frames."""
        total = {}
        for one in frames:
            for rule, n in one.matches.items():
                total[rule] = total.get(rule, 0) + n
        return total

    # --- delivering ---

    def deliver(self, one):
        """Tries as often as Logplex does. Returns whether it was answered 2xx."""
        while not self._is_over(one):
            if one.tries:
                self.retries += 1
                door = self.rng.choice(self.doors)
                self.elsewhere += door is not self._door
                self._door = door
                if len(one.tries) >= TRIES:  # only the stubborn one comes here: it may take breath
                    self.enough.wait(0.02)
            one.tries.append(self._try(one))
        if one.answered:
            self._dropped, self._dropped_since = 0, None
        else:
            self._dropped += one.lines
            self._dropped_since = self._dropped_since or now()
        self.frames.append(one)
        return one.answered

    def _is_over(self, one):
        if one.final:
            return True
        return len(one.tries) >= TRIES and (not self.stubborn or self.enough.is_set())

    def _report(self):
        """The line that reports dropped lines; it has no newline."""
        if not self._dropped:
            return b"", 0
        self.reports += 1
        text = (f"Error L10 (output buffer overflow): {self._dropped} messages dropped since "
                f"{self._dropped_since}.")
        return frame(text, source="heroku", process="logplex", newline=False), 1

    def _try(self, one):
        report, more = self._report()
        body = report + one.body
        headers = {
            "Content-Type": "application/logplex-1", "User-Agent": "Logplex/v1 (stand-in)",
            "Logplex-Drain-Token": self.name, "Logplex-Frame-Id": one.id,
            "Logplex-Msg-Count": str(one.lines + more),
        }
        if self.rng.random() < self.zipped:
            body = gzip.compress(body, 1)
            headers["Content-Encoding"] = "gzip"
        hurry = not one.tries and self.rng.random() < self.cut
        connection = self._connections.get(self._door)
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", self._door.port, timeout=TIMEOUT_S)
            self._connections[self._door] = connection
        try:
            connection.request("POST", self._path, body, headers)
            if hurry:
                raise TimeoutError("the answer was lost")
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException) as fault:
            self._hang_up()
            return repr(fault)
        if answer.status == 204:
            one.kept.add(answer.getheader("Drainwatch-Kept"))
        return answer.status

    def _hang_up(self):
        connection = self._connections.pop(self._door, None)
        if connection:
            connection.close()

    def close(self):
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()


class Burst:
    """Many small deliveries in little time, through some connections at once."""

    def __init__(self, port, drain, connections=16, secret=SECRET):
        self._path = f"{PATH}?drain_token={token(drain, secret)}"
        self._drain = drain
        self._sockets = []
        for _ in range(connections):
            s = socket.create_connection(("127.0.0.1", port), timeout=30)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sockets.append(s)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for s in self._sockets:
            s.close()

    def send(self, n, body, prefix="burst"):
        """`n` deliveries, each a frame of its own. Returns how many got which status."""
        statuses = {}
        head = (f"POST {self._path} HTTP/1.1\r\nHost: x.example\r\n"
                f"Content-Type: application/logplex-1\r\nLogplex-Drain-Token: {self._drain}\r\n"
                f"Content-Length: {len(body)}\r\nLogplex-Frame-Id: ").encode()
        for first in range(0, n, len(self._sockets)):
            busy = self._sockets[:n - first]
            for i, s in enumerate(busy):
                s.sendall(head + f"{prefix}-{first + i}\r\n\r\n".encode() + body)
            for s in busy:
                status = self._answer(s)
                statuses[status] = statuses.get(status, 0) + 1
        return statuses

    @staticmethod
    def _answer(s):
        data = b""
        while b"\r\n\r\n" not in data:
            more = s.recv(4096)
            if not more:
                raise ConnectionError("closed without an answer")
            data += more
        head, _, rest = data.partition(b"\r\n\r\n")
        status, length = int(head[9:12]), 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        while len(rest) < length:
            rest += s.recv(4096)
        return status
