"""Nothing lost, nothing twice: everything at random in little time, and then each fault by itself.

The long form of the first is `python3 tests/system/chaos.py --help`.
"""

import os
import random
import shutil
import signal
import socket
import sqlite3
import threading
import time

import pytest
import zmq

from alerting import SANITIZED, rss_kb
from chaos import BAD, GIVEN_UP, RULES, Chaos, marker, rules_text
from counting import COUNTED, Counting, ShiftedClock
from drainwatch import (DRAIN, OK_LINE, SECRET, Site, frame, free_port, inspectable, now,
                        wait_for)
from logplex import Burst, Door, Frame, LogplexDrain
from router import load_messages

DAY_S = 86400


@pytest.fixture
def counting(site):
    return lambda name="site", **kw: Counting(site(name), **kw)


# ---- everything at once ----

def judge(result):
    print(result)
    assert result["kills"] >= 24 and result["kills_of_alerter"] >= 8, result
    assert result["answered"] >= 500 and result["retries"] >= 50, result


def test_chaos(tmp_path):
    result = Chaos(tmp_path, seed=7, seconds=20, slow_disk=300).run()
    judge(result)
    assert result["repeats"] >= 10, "the dedupe had nothing to do"


def test_chaos_over_tcp_with_a_short_history(tmp_path):
    judge(Chaos(tmp_path, seed=8, seconds=12, queue="tcp", history="256KiB").run())


# ---- one of the two is away ----

def test_50000_deliveries_while_the_alerter_is_away(counting):
    c = counting()
    ingest = c.ingest()
    with Burst(c.site.port, DRAIN, 32) as burst:
        assert burst.send(30000, marker(COUNTED), "a") == {204: 30000}
    ingest.kill()
    c.ingest()  # what the start before left over comes first
    with Burst(c.site.port, DRAIN, 32) as burst:
        assert burst.send(20000, marker(COUNTED), "b") == {204: 20000}
    alerter = c.alerter()
    wait_for(lambda: c.rows(), "the first alert")
    alerter.kill()  # most likely in the middle of it
    c.alerter()
    assert c.total() == 50000


@pytest.mark.parametrize("first", ["ingest", "alerter"])
def test_they_may_start_in_either_order(counting, first):
    c = counting()
    if first == "alerter":
        alerter = c.alerter()
        c.ingest()
    else:
        c.ingest()
        assert c.post(3) == 204
        alerter = c.alerter()
    assert c.post(4) == 204
    assert c.total() == (7 if first == "ingest" else 4)
    assert not alerter.said("refused: the peer")


def test_a_repeat_through_another_ingest_counts_once(counting):
    c = counting()
    alerter = c.alerter()
    ports = [c.site.port, free_port()]
    first = c.ingest()
    c.ingest(PORT=ports[1], DRAINWATCH_STATE_DIR=c.site.folder / "other")
    for i in range(20):
        assert c.post(2, frame_id=f"f-{i}", port=ports[i % 2]) == 204
    assert c.post(2, drain="d.other", frame_id="f-0") == 204  # another drain's frame
    c.total(ports[0]), c.total(ports[1])
    alerter.kill()
    c.alerter()
    first.kill()
    c.ingest()
    for i in range(20):  # now through the other one, and with an L10 line before it
        body = frame("Error L10 (output buffer overflow): 1 messages dropped since "
                     f"{now()}.", process="logplex", newline=False) + marker(COUNTED) * 2
        assert c.site.post(body, frame_id=f"f-{i}", port=ports[1 - i % 2]) == 204
    c.total(ports[0])
    assert c.total(ports[1]) == 42


# ---- something is full ----

def fill_until_503(c, most=20000):
    """Returns how many deliveries of one match were answered 204."""
    taken, sent = 0, 0
    with Burst(c.site.port, "d.fill", 16) as burst:
        while sent < most:
            statuses = burst.send(400, marker(COUNTED), f"fill-{sent}-{time.monotonic()}")
            assert set(statuses) <= {204, 503}, statuses
            sent, taken = sent + 400, taken + statuses.get(204, 0)
            if statuses.get(204, 0) == 0:
                return taken
    raise AssertionError(f"{taken} deliveries were taken, and still no 503")


def goes_on(c, taken):
    """After the 503: back to 204 by itself, and every 204 is counted."""
    wait_for(lambda: c.post(frame_id="again") == 204, "a 204 again")
    assert c.total() == taken + 1


@pytest.mark.sqlite
def test_a_full_spool(counting):
    c = counting(DRAINWATCH_SPOOL_MAX_BYTES="512KiB")
    c.ingest()
    taken = fill_until_503(c)
    assert c.site.post(frame(OK_LINE)) == 204  # nothing to record
    c.alerter()
    goes_on(c, taken)


@pytest.mark.sqlite
def test_a_full_disk_of_ingest(counting, small_disk):
    c = counting()
    disk = small_disk("16m")
    c.ingest_folder = disk.folder / "state"
    ingest = c.ingest()
    disk.fill()
    taken = fill_until_503(c)
    assert ingest.said("disk is full") and "disk is full" in c.site.health()[1]
    ingest.kill()
    (c.ingest_folder / "ingest-bulk.db").touch()  # as if its tables had found no room
    c.ingest()  # a start needs no room
    taken += fill_until_503(c)
    c.alerter()
    goes_on(c, taken)  # the disk is still full, but records that were handed over made room
    disk.free()
    assert c.post(3) == 204
    assert c.total() == taken + 4


@pytest.mark.sqlite
def test_a_full_disk_of_the_alerter(counting, small_disk, tmp_path):
    c = counting(DRAINWATCH_HISTORY="1h")
    disk = small_disk("24m")
    clock = ShiftedClock(tmp_path)
    c.alerter_folder = disk.folder / "state"
    alerter = c.alerter(**clock.settings)
    c.ingest()
    sent = 0

    def storm(n):
        nonlocal sent
        with Burst(c.site.port, DRAIN, 32) as burst:
            assert burst.send(n, marker(COUNTED), f"s-{sent}") == {204: n}
        sent += n
        assert c.total() == sent

    for _ in range(3):
        storm(1500)
        clock.sleep(11 * 60)  # a snapshot is due every ten minutes
    disk.fill()
    for _ in range(5):  # several times what there is room for
        storm(6000)
    assert alerter.said("dropped the oldest history")
    alerter.kill()
    alerter = c.alerter(**clock.settings)
    storm(1000)  # and as if nothing had happened: the windows are whole
    disk.free()
    storm(1000)
    assert not [line for word in BAD for line in alerter.said(word)]


# ---- Slack is away ----

def test_slack_is_dead_over_restarts_of_the_alerter(counting, slack):
    c = counting(SLACK_API_URL=slack.url, SLACK_BOT_TOKEN=slack.token)
    c.site.rules.write_text(rules_text(GIVEN_UP, cooldown="1s"))
    alerter = c.alerter()
    c.ingest()
    for mode, number in (("close", signal.SIGKILL), ("503", signal.SIGTERM)):
        slack.mode = mode
        assert c.site.post(b"".join(marker(rule) for rule in GIVEN_UP)) == 204
        wait_for(lambda: c.rows() and all(r["delivery"]["tries"] for r in c.rows()[:len(GIVEN_UP)]),
                 "a first try of each")
        alerter.signal(number)
        alerter.wait()
        tries = [row["delivery"]["tries"] for row in c.rows()]
        alerter = c.alerter()
        time.sleep(1.1)  # the cooldown
        assert all(a <= b["delivery"]["tries"] for a, b in zip(tries, c.rows()))
    assert not slack.delivered
    slack.mode = "ok"
    wait_for(lambda: {row["delivery"]["state"] for row in c.rows()} == {"delivered"},
             "all on Slack", timeout=60)
    alerts = [row["id"] for row in c.rows()]
    assert len(alerts) == 2 * len(GIVEN_UP)
    assert sorted(m.id for m in slack.delivered) == sorted(alerts)
    for channel in {m.channel for m in slack.delivered}:
        seen = [m.id for m in slack.delivered if m.channel == channel]
        assert seen == [i for i in alerts if i in seen]


# ---- a restart of all at once, as Heroku does it ----

@pytest.mark.sqlite
@pytest.mark.parametrize("first", ["ingest", "alerter"])
def test_sigterm_to_both_hands_over_everything(counting, slack, first):
    c = counting(SLACK_API_URL=slack.url, SLACK_BOT_TOKEN=slack.token)
    c.site.rules.write_text(rules_text(RULES, cooldown="2s"))
    drains = [LogplexDrain(f"d-{n}", [Door(c.site.port)], random.Random(n), stubborn=True)
              for n in range(3)]
    stopping = threading.Event()

    def deliver(drain):
        rng = random.Random(drain.name)
        while not stopping.is_set():
            rule = rng.choice(RULES)
            drain.deliver(Frame(marker(rule) * 2, {rule: 2}, lines=2))
        drain.close()

    threads = [threading.Thread(target=deliver, args=(drain,), daemon=True) for drain in drains]
    try:
        for round_ in range(2):
            both = {"alerter": c.alerter(), "ingest": c.ingest()}
            for thread in threads[:0 if round_ else None]:
                thread.start()
            time.sleep(1)
            both.pop(first).signal(signal.SIGTERM)
            time.sleep(0.2)
            both.popitem()[1].signal(signal.SIGTERM)
            codes = [p.wait(40) for p in c.site.programs[-2:]]
            assert codes == [0, 0], [p.errors[-5:] for p in c.site.programs[-2:]]
            assert not c.site.programs[-1].said("not handed over")
    finally:
        stopping.set()
        for drain in drains:
            drain.enough.set()
        for thread in threads:
            thread.join()
    recorded = c.recorded()
    for drain in drains:
        assert drain.answered
        for one in drain.answered:
            assert recorded.frames[drain.name, one.id] == one.matches
    assert {row["delivery"]["state"] for row in c.rows()} == {"delivered"}
    assert len(slack.delivered) == len({m.id for m in slack.delivered}) == len(c.rows())


# ---- clocks ----

class Clocked:
    """A pair of which one side's wall clock is stepped in mid-run."""

    STORM = 4

    def __init__(self, folder, side, step_s):
        self.step_s = step_s
        folder.mkdir()
        self.clock = ShiftedClock(folder)
        rules = rules_text(["storm"], within="5m", cooldown="3s").replace("more_than: 0",
                                                                          "more_than: 3")
        site = Site(folder / "site", rules=rules)
        self.counting = Counting.__new__(Counting)
        self.counting.site, self.counting.alerter_folder = site, site.folder / "state"
        self.site = site
        self.shifted = self.clock.settings if side == "alerter" else {}
        self.alerter = site.alerter(**self.shifted)
        site.ingest(**(self.clock.settings if side == "ingest" else {}))
        site.wait_healthy()
        self.name = f"{side} {step_s:+} s"

    def storm(self):
        assert self.site.post(marker("storm") * self.STORM) == 204

    def alerts(self):
        return [(row["count"], row["suppressed"]) for row in self.counting.rows()]


@pytest.mark.sqlite
def test_a_wall_clock_that_is_a_day_wrong_and_stepped(tmp_path):
    pairs = [Clocked(tmp_path / f"{side}{step}", side, step)
             for side in ("ingest", "alerter") for step in (DAY_S, -DAY_S)]
    n = Clocked.STORM
    try:
        def all_have(alerts):
            for pair in pairs:
                wait_for(lambda: pair.alerts() == alerts or len(pair.alerts()) > len(alerts),
                         f"{len(alerts)} alerts: {pair.name}, {pair.alerts()}")
                assert pair.alerts() == alerts, pair.name

        def storm():
            for pair in pairs:
                pair.storm()

        storm()
        alerts = [(n, 0)]
        all_have(alerts)
        for phase in range(3):  # wrong, right again, and wrong over a restart of the alerter
            began = time.monotonic()
            for pair in pairs:
                pair.clock.wall(pair.step_s if phase != 1 else 0)
                if phase == 2 and pair.step_s < 0:
                    # Ahead it would take the day for one that it was not running.
                    pair.alerter.kill()
                    pair.alerter = pair.site.alerter(**pair.shifted)
            storm()
            time.sleep(0.3)
            assert time.monotonic() < began + 2.5, "too slow to tell a cooldown"
            all_have(alerts)  # the cooldown was not rushed
            time.sleep(max(0, began + 3.5 - time.monotonic()))
            storm()
            before = alerts[-1][0]
            alerts = alerts + [(before + 2 * n, n)]
            all_have(alerts)  # nor frozen, and the window still counts the same
    finally:
        for pair in pairs:
            pair.site.close()


# ---- something is lost ----

@pytest.mark.sqlite
def test_a_lost_disk_of_ingest(counting):
    c = counting()
    alerter = c.alerter()
    ingest = c.ingest()
    for i in range(30):
        assert c.post(frame_id=f"f-{i}") == 204
    assert c.total() == 30
    alerter.kill()
    assert c.post(5) == 204
    ingest.kill()
    shutil.rmtree(c.ingest_folder)  # and the records that were not handed over
    c.ingest()
    assert c.post(7) == 204
    alerter = c.alerter()
    assert c.post(frame_id="f-3") == 204  # known as a repeat all the same
    assert c.total() == 37
    assert not alerter.said("NOT taken")


@pytest.mark.sqlite
def test_a_lost_disk_of_the_alerter(counting):
    c = counting()
    alerter = c.alerter()
    c.ingest()
    for i in range(30):
        assert c.post(frame_id=f"f-{i}") == 204
    assert c.total() == 30
    alerter.kill()
    for i in range(10):
        assert c.post(frame_id=f"g-{i}") == 204
    shutil.rmtree(c.alerter_folder)
    alerter = c.alerter()
    assert c.total() == 10
    assert not [line for word in BAD for line in alerter.said(word)]


@pytest.mark.sqlite
def test_a_copy_of_an_older_disk_of_the_alerter(counting):
    c = counting()
    alerter = c.alerter()
    c.ingest()
    assert c.post(30) == 204
    assert c.total() == 30
    alerter.kill()
    shutil.copytree(c.alerter_folder, c.site.folder / "copy")
    c.alerter()
    assert c.post(5) == 204
    assert c.total() == 35
    c.site.programs[-1].kill()
    shutil.rmtree(c.alerter_folder)
    (c.site.folder / "copy").rename(c.alerter_folder)
    c.alerter()
    assert c.post(7) == 204
    assert c.total() == 37  # without the five, and without a block


DAMAGES = {
    "head": lambda size: (0, 100),
    "middle": lambda size: (4096, size - 4096),
    "a byte": lambda size: (4096 + 5, 1),
}


def damage(path, how):
    offset, n = DAMAGES[how](path.stat().st_size)
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(os.urandom(n) if n > 1 else b"\xee")


def checkpoint(path):
    """Moves everything into the file itself, because SQLite ignores a damaged end of the WAL."""
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    db.close()


@pytest.mark.sqlite
@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_journal_of_ingest(counting, how):
    c = counting()
    ingest = c.ingest()
    with Burst(c.site.port, DRAIN) as burst:
        assert burst.send(500, marker(COUNTED)) == {204: 500}
    ingest.kill()
    checkpoint(c.ingest_folder / "ingest.db")
    damage(c.ingest_folder / "ingest.db", how)
    ingest = c.ingest()
    assert ingest.said("set aside as") and list(c.ingest_folder.glob("ingest.db.damaged-1"))
    assert c.post(7) == 204
    c.alerter()
    assert c.total() == 7


@pytest.mark.sqlite
@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_journal_of_the_alerter(counting, how):
    c = counting()
    alerter = c.alerter()
    c.ingest()
    with Burst(c.site.port, DRAIN) as burst:
        assert burst.send(500, marker(COUNTED)) == {204: 500}
    assert c.total() == 500
    alerter.kill()
    checkpoint(c.alerter_folder / "alerter.db")
    damage(c.alerter_folder / "alerter.db", how)
    assert c.post(3) == 204
    alerter = c.alerter()
    assert alerter.said("set aside as") and list(c.alerter_folder.glob("alerter.db.damaged-1"))
    assert c.post(7) == 204
    assert c.total() == 10


def send_much(c):
    """Some 18 MB of records: a sample is kept for each process. Two drains send them, so that none
    has enough for the bulk lane."""
    lines = [frame(f"marker {COUNTED} {'x' * 950}", source="app", process=f"web.{i}")
             for i in range(20)]
    for drain in (DRAIN, "d.second"):
        with Burst(c.site.port, drain) as burst:
            assert burst.send(450, b"".join(lines)) == {204: 450}


def damage_the_middle(path):
    checkpoint(path)
    size = path.stat().st_size
    assert size > 17 << 20
    with open(path, "r+b") as file:
        file.seek(size // 2 // 4096 * 4096)
        file.write(os.urandom(64 << 10))


@pytest.mark.sqlite
def test_a_large_journal_of_ingest_that_turns_out_to_be_damaged(counting):
    """It is looked over at its ends only, so the damage shows in mid-run."""
    c = counting()
    ingest = c.ingest()
    send_much(c)
    ingest.kill()
    damage_the_middle(c.ingest_folder / "ingest.db")
    ingest = c.ingest()
    assert not ingest.said("set aside")
    c.alerter()
    ingest.wait_said("set aside as")
    assert c.post(7) == 204
    total = c.total()  # the records before the damage, and all after its discovery
    assert 0 < total - 7 < 900 * 20 and (total - 7) % 20 == 0
    assert ingest.process.poll() is None and list(c.ingest_folder.glob("ingest.db.damaged-1"))


@pytest.mark.sqlite
def test_a_large_journal_of_the_alerter_that_turns_out_to_be_damaged(counting):
    c = counting()
    alerter = c.alerter()
    c.ingest()
    send_much(c)
    assert c.total() == 900 * 20
    alerter.kill()
    damage_the_middle(c.alerter_folder / "alerter.db")
    assert c.post(3) == 204
    alerter = c.alerter()
    assert alerter.said("set aside as") and list(c.alerter_folder.glob("alerter.db.damaged-1"))
    assert c.total() == 3


# ---- the queue ----

class Dealer:
    """A sender of our own making, on a plain queue."""

    def __init__(self, c):
        self.pb = load_messages(c.site.folder)
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.connect(c.site.settings["DRAINWATCH_QUEUE"])
        self.sender = os.urandom(16)

    def push(self, numbers, oldest):
        """Sends the records of these consecutive numbers; returns the ack."""
        records = []
        for n in numbers:
            at = int(time.time() * 10**6)
            record = self.pb.Record(version=1, sender=self.sender, sequence=self.sequence(n),
                                    received_us=at, drain="d.own", frame_id=f"own-{n}", lines=1)
            record.matches.add(rule=COUNTED, source="app", process="web.1", time_deltas_us=[0],
                               sample=b"marker")
            records.append(record.SerializeToString())
        push = self.pb.Push(version=1, sender=self.sender, oldest=self.sequence(oldest),
                            records=records, first=self.sequence(numbers[0]) if numbers else 0)
        self.socket.send(push.SerializeToString())
        assert self.socket.poll(30000), "no ack"
        ack = self.pb.Ack.FromString(self.socket.recv())
        assert ack.sender == self.sender and not ack.refused
        return ack.taken - self.sequence(0) if ack.taken else 0, ack.again

    @staticmethod
    def sequence(n):
        return (1 << 40) + n

    def close(self):
        self.socket.close()


@pytest.mark.sqlite
def test_a_hole_in_a_senders_sequence(counting):
    c = counting()
    alerter = c.alerter()
    c.ingest()
    dealer = Dealer(c)
    assert dealer.push([1, 2, 3], oldest=1) == (3, False)
    assert dealer.push([5, 6], oldest=4) == (3, True)  # 4 is still to come
    assert dealer.push([4, 5], oldest=4) == (5, False)
    assert dealer.push([2, 3, 4, 5, 6], oldest=2) == (6, False)  # seen but for the last
    assert dealer.push([9, 10], oldest=9) == (10, False)  # 7 and 8 are lost: it goes on
    alerter.kill()
    c.alerter()
    assert dealer.push([9, 10, 11], oldest=9) == (11, False)
    assert dealer.push([1], oldest=1) == (11, False)
    assert dealer.push([], oldest=12) == (11, False)
    dealer.close()
    assert c.total() == 9


def rubbish(port, stop, rng):
    """What a scanner sends to an open port, and a stranger who knows ZeroMQ's greeting."""
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00"
    parts = [b"GET / HTTP/1.1\r\n\r\n", rng.randbytes(3000), greeting + b"NULL".ljust(52, b"\0"),
             greeting + b"CURVE".ljust(52, b"\0") + b"\x04\xc8\x05HELLO" + rng.randbytes(194),
             greeting + b"CURVE".ljust(52, b"\0"), greeting[:5], b""]
    while not stop.is_set():
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=2) as s:
                s.sendall(rng.choice(parts))
                s.settimeout(0.05)
                s.recv(4096)
        except OSError:
            pass


def half_frame(port, n):
    """A stranger who leaves the last byte of a handshake's command out; `n` is the command's size."""
    s = socket.create_connection(("127.0.0.1", port), timeout=5)
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"CURVE".ljust(52, b"\0")
    try:
        s.sendall(greeting + b"\x06" + n.to_bytes(8, "big") + bytes(n - 1))
    except OSError:  # shown out at once
        pass
    return s


def test_half_frames_of_strangers_take_little_memory(counting):
    port = free_port()
    c = counting(queue=f"tcp://127.0.0.1:{port}")
    alerter = c.alerter()
    c.ingest()
    c.site.wait_healthy()
    before = rss_kb(alerter)
    strangers = [half_frame(port, n) for n in (36 << 10, 2 << 20) for _ in range(150)]
    grown = rss_kb(alerter) - before
    assert c.site.post(marker(COUNTED) * 1000) == 204
    assert c.total() == 1000
    for stranger in strangers:
        stranger.close()
    assert SANITIZED or grown < 16 << 10, f"{grown} KiB for {len(strangers)} strangers"


def strange_client(port, pb, stop, keys):
    """ZeroMQ in the clear, or with keys of its own, that pushes records."""
    dealer = zmq.Context.instance().socket(zmq.DEALER)
    dealer.setsockopt(zmq.LINGER, 0)
    if keys:
        dealer.curve_publickey, dealer.curve_secretkey = zmq.curve_keypair()
        dealer.curve_serverkey = zmq.curve_keypair()[0]
    dealer.connect(f"tcp://127.0.0.1:{port}")
    sender = os.urandom(16)
    record = pb.Record(version=1, sender=sender, sequence=1, drain="d.stranger", lines=1)
    record.matches.add(rule=COUNTED, time_deltas_us=[0] * 1000)
    push = pb.Push(version=1, sender=sender, oldest=1, first=1,
                   records=[record.SerializeToString()])
    while not stop.is_set():
        try:
            dealer.send(push.SerializeToString(), zmq.NOBLOCK)
        except zmq.Again:
            pass
        assert not dealer.poll(20), "a stranger was answered"
    dealer.close()


def test_strangers_at_a_tcp_queue(counting):
    port = free_port()
    c = counting(queue=f"tcp://127.0.0.1:{port}")
    alerter = c.alerter(**inspectable(c.site.folder))
    c.ingest()
    c.site.wait_healthy()
    other = c.site.ingest(PORT=free_port(), DRAINWATCH_STATE_DIR=c.site.folder / "other",
                          HEROKU_LOG_DRAIN_HMAC_SECRET=SECRET[::-1])
    assert c.site.post(marker(COUNTED) * 1000, secret=SECRET[::-1],
                       port=int(other.said("listening on port")[0].split("port ")[1].split(";")[0])
                       ) == 204
    stop = threading.Event()
    pb = load_messages(c.site.folder)
    threads = [threading.Thread(target=rubbish, args=(port, stop, random.Random(n)), daemon=True)
               for n in range(2)]
    threads += [threading.Thread(target=strange_client, args=(port, pb, stop, keys), daemon=True)
                for keys in (False, True)]
    for thread in threads:
        thread.start()
    sent, until = 0, time.monotonic() + 5
    with Burst(c.site.port, DRAIN, 8) as burst:
        while time.monotonic() < until:
            assert burst.send(80, marker(COUNTED), f"b-{sent}") == {204: 80}
            sent += 80
            time.sleep(0.02)
    assert c.site.health()[0] == 200
    assert c.total() == sent  # in the midst of it
    sockets = alerter.sockets()
    stop.set()
    for thread in threads:
        thread.join()
    assert sockets < 60, "strangers are not shown out"
    other.kill()
    assert alerter.said("refused: the peer") and len(alerter.said("refused: the peer")) <= 2
    recorded = c.recorded()
    assert {record.drain for record in recorded.records} == {DRAIN, "asking"}
