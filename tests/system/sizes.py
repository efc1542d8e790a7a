"""What many records leave in a database.

Deliveries with a match each go through an ingest and an alerter as fast as they are answered. The
tables are measured each second. At the end each record was taken once; the inbox never took more
than 64 MiB on the server's disk, the history no more than its bound and a fifth; and the tables
whose rows change all the time stayed small.

    python3 tests/system/sizes.py --records 10000000

takes the programs from DRAINWATCH_BIN (build/bin if unset), prints the figures as one JSON object,
and exits 0 if every check passed.
"""

import argparse
import collections
import random
import select
import socket
import sys
import tempfile
import threading
import time

from chaos import report
from drainwatch import Site, frame, wait_for, whole
from postgres import Cluster, Schema

CONNECTIONS = 64
IN_A_ROW = 16  # requests of a connection, sent at once
BODIES = 4096  # more than a row of the history holds, so that nothing compresses too well
BOUND_MB = 512
INBOX_MB = 64
SMALL_MB = 1
HISTORY = ("stream", "part")
SMALL = ("lease", "senders", "ingests", "alerters", "outbox", "channels")


def requests():
    """A record of 300 bytes comes of each."""
    rng = random.Random(7)
    lines = (f'at=error code=H12 desc="Request timeout" path="/{rng.randbytes(65).hex()}"'
             for _ in range(BODIES))
    return [whole(frame(line), drain=f"d.{n % CONNECTIONS:036d}") for n, line in enumerate(lines)]


class Crowd:
    """Connections that send several requests at once, and the next ones when all are answered."""

    def __init__(self, port):
        self.all = requests()
        self.next = 0
        self.answers = {}
        self.poll = select.epoll()
        self.sockets = {}
        for _ in range(CONNECTIONS):
            s = socket.create_connection(("127.0.0.1", port), timeout=30)
            self.sockets[s.fileno()] = s
            self.poll.register(s.fileno(), select.EPOLLIN)

    def post(self, n):
        left = n
        for s in self.sockets.values():
            left -= self._send(s, left)
        while self.answers:
            for fd, _ in self.poll.poll(30):
                if self._take(self.sockets[fd]):
                    left -= self._send(self.sockets[fd], left)

    def _send(self, s, most):
        n = min(IN_A_ROW, most)
        if n:
            batch = [self.all[(self.next + i) % BODIES] for i in range(n)]
            self.next += n
            self.answers[s] = [n, b""]
            s.sendall(b"".join(batch))
        return n

    def _take(self, s):
        """Whether all are answered."""
        self.answers[s][1] += s.recv(1 << 16)
        n, data = self.answers[s]
        if data.count(b"\r\n\r\n") < n:
            return False
        assert data.count(b"HTTP/1.1 204 ") == n, data
        del self.answers[s]
        return True


class Sizes:
    def __init__(self, folder, cluster, records, bound_mb=BOUND_MB):
        self.records = records
        self.bound_mb = bound_mb
        self.database = Schema(cluster)
        self.site = Site(folder, **self.database.settings,
                         DRAINWATCH_HISTORY_MAX_BYTES=f"{bound_mb}MiB")
        self.most = collections.Counter()  # of each table, in bytes
        self.done = threading.Event()
        self.result = {"records": records, "bound_mb": bound_mb}

    def run(self):
        with self.database:
            try:
                self._run()
            finally:
                self.done.set()
                self.site.close()
        return self.result

    def _run(self):
        self.site.alerter(), self.site.ingest()
        watch = threading.Thread(target=self._watch)
        watch.start()
        began = time.monotonic()
        Crowd(self.site.port).post(self.records)
        wait_for(lambda: self._taken() == self.records, lambda: f"{self.records}, not {self._taken()}",
                 timeout=120)
        took_s = time.monotonic() - began
        self.done.set()
        watch.join()
        self.result.update(took_s=round(took_s, 1), records_a_second=round(self.records / took_s),
                           most_kb={name: size >> 10 for name, size in self.most.items()})
        self._judge()

    def _taken(self):
        """Each start of an ingest counts anew in the lower 40 bits."""
        return int(self.database.sql("SELECT coalesce(sum(taken & ((1::bigint<<40)-1)), 0) FROM senders"
                                     )[0][0])

    def _watch(self):
        names = ("inbox", *HISTORY, *SMALL)
        query = "SELECT " + ", ".join(f"pg_total_relation_size('{name}')" for name in names)
        while not self.done.wait(1):
            sizes = dict(zip(names, map(int, self.database.sql(query)[0])))
            sizes["history"] = sum(sizes[name] for name in HISTORY)
            self.most |= collections.Counter(sizes)

    def _judge(self):
        mb = {name: size / (1 << 20) for name, size in self.most.items()}
        assert mb["inbox"] <= INBOX_MB, self.result
        assert mb["history"] <= 1.2 * self.bound_mb, self.result
        assert all(mb[name] <= SMALL_MB for name in SMALL), self.result


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=10_000_000)
    parser.add_argument("--bound", type=int, default=BOUND_MB, help="of the history, in MiB")
    args = parser.parse_args()
    with Cluster() as cluster, tempfile.TemporaryDirectory(prefix="sizes-") as folder:
        return report(Sizes(folder, cluster, args.records, args.bound))


if __name__ == "__main__":
    sys.exit(main())
