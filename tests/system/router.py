"""The alerter's side of the queue, to test ingest against: a ROUTER that takes and acks records.

It speaks proto/drainwatch.proto through Google's protobuf and libzmq's Python binding, so ingest is
held to the protocol and not to our own C code. It can be silent, refuse, vanish and come back; what
it took it remembers over that, as the alerter's journal does.
"""

import importlib
import pathlib
import subprocess
import sys
import threading

import zmq

from drainwatch import PATIENCE, ROOT, h12, wait_for


def load_messages(folder):
    """The messages' classes, made from the .proto in `folder`."""
    if "drainwatch_pb2" not in sys.modules:
        subprocess.run(["protoc", f"--proto_path={ROOT / 'proto'}", f"--python_out={folder}",
                        "drainwatch.proto"], check=True)
        sys.path.insert(0, str(folder))
        importlib.invalidate_caches()
        try:
            importlib.import_module("drainwatch_pb2")
        finally:
            sys.path.remove(str(folder))
    return sys.modules["drainwatch_pb2"]


class RouterStandIn:
    def __init__(self, endpoint, folder):
        self.endpoint = endpoint
        self.pb = load_messages(folder)
        self.silent = False   # receives, and neither takes nor answers
        self.refusing = ""    # answers so, and takes nothing
        self.trouble = ""     # says so in each ack
        self.paused = False   # does not even receive
        self.records = []     # as taken, in order
        self.received = []    # the sequence of each record that came, taken or not
        self.pushes = 0
        self.goodbyes = 0
        self.most = 0         # records in one push
        self.faults = []      # what breaks the protocol
        self.taken = {}       # sender: its last sequence
        self._thread = None
        self._stopping = threading.Event()

    # --- what a test asks for ---

    def start(self):
        bound = threading.Event()
        pathlib.Path(self.endpoint.removeprefix("ipc://")).parent.mkdir(parents=True, exist_ok=True)
        self._stopping.clear()
        self._thread = threading.Thread(target=self._serve, args=(bound,), daemon=True)
        self._thread.start()
        assert bound.wait(PATIENCE), f"cannot bind {self.endpoint}: {self.faults}"
        return self

    def stop(self):
        """Vanishes as a killed process does; start brings it back."""
        if self._thread:
            self._stopping.set()
            self._thread.join(PATIENCE)
            self._thread = None

    def of(self, drain):
        return [r for r in list(self.records) if r.drain == drain]

    def matches(self, rule=None, drain=None):
        """How many matches came, of a rule, of a drain."""
        return sum(len(m.time_deltas_us) for r in list(self.records) for m in r.matches
                   if drain in (None, r.drain) and rule in (None, m.rule))

    def wait_for(self, n, what="records at the stand-in"):
        wait_for(lambda: len(self.records) >= n, f"{n} {what}")
        return list(self.records)

    def sequences(self):
        return [r.sequence for r in list(self.records)]

    # --- the thread ---

    def _serve(self, bound):
        context = zmq.Context()
        socket = context.socket(zmq.ROUTER)
        socket.setsockopt(zmq.LINGER, 0)
        try:
            socket.bind(self.endpoint)
            bound.set()
            while not self._stopping.is_set():
                if self.paused:
                    self._stopping.wait(0.01)
                elif socket.poll(10):
                    self._receive(socket)
        except Exception as fault:  # a thread's exception would pass unseen
            self.faults.append(repr(fault))
        finally:
            socket.close()
            context.term()

    def _receive(self, socket):
        peer, *parts = socket.recv_multipart()
        self.socket, self.peer = socket, peer
        if len(parts) != 1:
            self.faults.append(f"a message of {len(parts)} parts")
            return
        push = self.pb.Push.FromString(parts[0])
        self.pushes += 1
        self.goodbyes += push.goodbye
        self.most = max(self.most, len(push.records))
        if push.version != 1 or len(push.sender) != 16:
            self.faults.append(f"a push of version {push.version}, sender {push.sender!r}")
        again = self._take(push)
        if self.silent:
            return
        ack = self.pb.Ack(version=1, sender=push.sender, taken=self.taken.get(push.sender, 0),
                          refused=self.refusing, again=again, trouble=self.trouble)
        socket.send_multipart([peer, ack.SerializeToString()])

    def _take(self, push):
        """Takes the records that follow the last one taken, or the oldest one beyond it. Returns
        true if there were others."""
        last = self.taken.get(push.sender, 0)
        gap = False
        for i, raw in enumerate(push.records):
            sequence = push.first + i
            record = self.pb.Record.FromString(raw)
            self.received.append(sequence)
            if (record.sequence, record.sender) != (sequence, push.sender):
                self.faults.append(f"record {record.sequence} at the place of {sequence}")
            if sequence <= last or self.silent or self.refusing:
                continue
            if sequence != last + 1 and sequence != push.oldest:
                gap = True
                continue
            last = sequence
            self.records.append(record)
        if last:
            self.taken[push.sender] = last
        return gap


class Pair:
    """An ingest and its stand-in alerter, for tests that share them."""

    def __init__(self, site, folder):
        self.site = site
        self.router = RouterStandIn(site.endpoint, folder)
        self.program = site.ingest()
        self.router.start()
        self._names = 0

    def stop(self):
        code = self.program.stop()
        self.router.stop()
        assert not self.router.faults, self.router.faults
        assert code == 0, self.program.errors[-20:]

    def name(self):
        """A drain that no other test uses."""
        self._names += 1
        return f"drain-{self._names}"

    def fence(self):
        """Returns once all that was answered before is at the stand-in."""
        drain = self.name()
        assert self.site.post(h12(), drain=drain) == 204
        wait_for(lambda: self.router.of(drain), "the fence")

    def records(self, body, status=204, **kw):
        """Delivers a body; the records that came of it."""
        drain = self.name()
        assert self.site.post(body, drain=drain, **kw) == status
        self.fence()
        return self.router.of(drain)

    def record(self, body, **kw):
        """The one record that came of a body."""
        found = self.records(body, **kw)
        assert len(found) == 1, found
        return found[0]

    def raw_record(self, make, status=204):
        """As record, where make(drain) is the request's bytes."""
        drain = self.name()
        with self.site.raw() as client:
            assert client.send(make(drain)).answer()[0] == status
        self.fence()
        found = self.router.of(drain)
        assert len(found) == 1, found
        return found[0]


def count(record, rule="h12-request-timeout"):
    """How many matches of a rule a record holds."""
    return sum(len(m.time_deltas_us) for m in record.matches if m.rule == rule)
