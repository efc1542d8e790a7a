"""A TCP proxy on loopback that misbehaves on demand.

    with Proxy(("127.0.0.1", 5432)) as proxy:
        … proxy.port …
        proxy.stall()      # nothing passes, and connections stay open
        proxy.stall("up")  # requests do not pass; answers do
        proxy.go_on()

Stalled bytes are passed on later, unless their connection is cut meanwhile.
"""

import heapq
import itertools
import select
import socket
import threading
import time

CHUNK = 1 << 16


class _Pipe:
    """One direction of a connection."""

    def __init__(self, source, sink, way):
        self.source, self.sink, self.way = source, sink, way
        self.passed = 0
        self.closed = False
        self.free_at = 0  # when it may pass the next bytes


class Proxy:
    def __init__(self, target, delay_s=0.0):
        """`target` is (host, port), or the path of a Unix socket. `delay_s` holds each way."""
        self.target = target
        self.delay_s = delay_s
        self.rate = None  # bytes a second that each way of a connection passes
        self.accepted = 0
        self._stalled = set()
        self._most_up = None  # bytes of each connection that still pass upwards
        self._refusing = False
        self._pipes = {}  # by source
        self._late = []  # (when, number, pipe, bytes) on their way
        self._number = itertools.count()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._wake_in, self._wake_out = socket.socketpair()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # --- what a test asks for ---

    def stall(self, way="both"):
        """`way` is "up" (to the target), "down" or "both"."""
        self._stalled |= {"up", "down"} if way == "both" else {way}
        self._poke()

    def stall_after(self, n):
        """Each connection stalls once it has passed `n` more bytes up: in mid-statement."""
        with self._lock:
            for pipe in self._pipes.values():
                pipe.passed = 0
            self._most_up = n
        self._poke()

    def refuse(self):
        """New connections are closed at once; the old ones stay."""
        self._refusing = True

    def go_on(self):
        self._stalled.clear()
        self._most_up = None
        self._refusing = False
        self._poke()

    def cut(self):
        """Resets all connections; stalled bytes are lost."""
        with self._lock:
            for pipe in self._pipes.values():
                pipe.closed = True
            self._late.clear()
        self._poke()

    def redirect(self, target):
        """New connections go to another target."""
        self.target = target

    def close(self):
        self._stopping = True
        self._poke()
        self._thread.join()
        self._listener.close()
        self._wake_in.close()
        self._wake_out.close()

    # --- the thread ---

    def _poke(self):
        self._wake_in.send(b"x")

    def _run(self):
        while not self._stopping:
            with self._lock:
                self._drop_closed()
                readable = [self._listener, self._wake_out]
                readable += [p.source for p in self._pipes.values() if self._may_read(p)]
            ready, _, _ = select.select(readable, [], [], self._wait_s())
            for one in ready:
                if one is self._listener:
                    self._accept()
                elif one is self._wake_out:
                    one.recv(CHUNK)
                else:
                    self._read(one)
            self._pass_on()
        with self._lock:
            for pipe in self._pipes.values():
                pipe.closed = True
            self._drop_closed()

    def _may_read(self, pipe):
        spent = pipe.way == "up" and self._most_up is not None and pipe.passed >= self._most_up
        return pipe.way not in self._stalled and not spent and pipe.free_at <= time.monotonic()

    def _wait_s(self):
        now = time.monotonic()
        times = [self._late[0][0]] if self._late else []
        times += [pipe.free_at for pipe in self._pipes.values() if pipe.free_at > now]
        return max(0, min(times) - now) if times else 0.5

    def _accept(self):
        client, _ = self._listener.accept()
        self.accepted += 1
        try:
            if self._refusing:
                raise OSError
            server = self._connect()
        except OSError:
            client.close()
            return
        with self._lock:
            for source, sink, way in ((client, server, "up"), (server, client, "down")):
                if source.family != socket.AF_UNIX:
                    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._pipes[source] = _Pipe(source, sink, way)

    def _connect(self):
        if isinstance(self.target, tuple):
            return socket.create_connection(self.target, timeout=5)
        server = socket.socket(socket.AF_UNIX)
        server.connect(str(self.target))
        return server

    def _read(self, source):
        pipe = self._pipes.get(source)
        if pipe is None:
            return
        most = CHUNK
        if pipe.way == "up" and self._most_up is not None:
            most = min(most, self._most_up - pipe.passed)
        if self.rate:
            most = min(most, max(1, self.rate // 50))
        try:
            data = source.recv(most)
        except OSError:
            data = b""
        pipe.passed += len(data)
        if self.rate:
            pipe.free_at = time.monotonic() + len(data) / self.rate
        at = time.monotonic() + self.delay_s
        heapq.heappush(self._late, (at, next(self._number), pipe, data))

    def _pass_on(self):
        while self._late and self._late[0][0] <= time.monotonic():
            _, _, pipe, data = heapq.heappop(self._late)
            try:
                if data and not pipe.closed:
                    pipe.sink.sendall(data)
                else:
                    pipe.closed = True
            except OSError:
                pipe.closed = True

    def _drop_closed(self):
        for pipe in [p for p in self._pipes.values() if p.closed]:
            for end in (pipe.source, pipe.sink):
                self._pipes.pop(end, None)
                try:  # a reset
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                except OSError:
                    pass
                end.close()
