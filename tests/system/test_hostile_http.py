"""Attacks on ingest's port, each beside an honest drain: its deliveries go on being answered, and its
storms are alerted on."""

import statistics
import threading
import time

import pytest

from alerting import SANITIZED, Both, rss_kb
from attacks import ENDLESS_EXTENSION, PARTIAL_HEAD, bomb
from counting import ShiftedClock
from drainwatch import (DRAIN, INGEST, OK_LINE, PATH, RawClient, Site, chunked, frame, h12, head, token,
                        wait_for, whole)

GOOD = frame(OK_LINE)
SLOW = 5 if SANITIZED else 1
ALERT_S = 2 * SLOW
FILES = 256  # a limit of open files that is soon reached


def with_files(site, limit, **settings):
    """An ingest that may open so many files."""
    program = site.start("/bin/sh", "-c", f"ulimit -n {limit}; exec {INGEST}", **settings)
    program.wait_said("listening on port")
    return program


class Honest:
    """A drain that posts all the time, on a connection that it keeps and now and then on a new one."""

    def __init__(self, site, drain="honest"):
        self._site = site
        self._drain = drain
        self._stop = threading.Event()
        self.seconds = []
        self.faults = []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _run(self):
        kept = self._site.connect()
        n = 0
        while not self._stop.wait(0.005):
            began = time.monotonic()
            try:
                status = self._site.post(GOOD, drain=self._drain, connection=None if n % 10 == 0 else kept)
            except OSError as fault:
                status = repr(fault)
                kept.close()
            self.seconds.append(time.monotonic() - began)
            if status != 204:
                self.faults.append(status)
            n += 1
        kept.close()

    def wait(self, posts):
        """Until it has posted so often from now on."""
        enough = len(self.seconds) + posts
        wait_for(lambda: len(self.seconds) >= enough, f"{posts} honest posts")

    def p99(self):
        return statistics.quantiles(self.seconds, n=100)[98]


def calm(site, seconds=1):
    """The honest drain's p99 without an attack."""
    with Honest(site) as honest:
        time.sleep(seconds)
    assert not honest.faults
    return honest.p99()


def goes_well(honest, p99):
    """Twice as slow as without the attack at most. The rest is for a machine that others use, too."""
    assert honest.faults == []
    assert honest.p99() < 2 * p99 + 0.25 * SLOW


def is_open(client):
    client.socket.setblocking(False)
    try:
        return client.socket.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def storm(both, drain):
    """How long the alert of a storm takes."""
    before = len(both.messages())
    began = time.monotonic()
    both.post(h12(4), drain=drain)
    both.wait_messages(before + 1)
    return time.monotonic() - began


# ---- connections ----

def test_strangers_do_not_take_the_connections(site, slack):
    """Each sends a part of a head, and one byte more again and again."""
    both = Both(site(), slack)
    both.ingest.stop()
    both.ingest = with_files(both.site, FILES)
    assert both.ingest.said("at most 192 connections are open at once, because 256 files may be")
    both.site.wait_healthy()
    p99 = calm(both.site)
    strangers = []
    try:
        with Honest(both.site) as honest:
            for _ in range(FILES + 100):
                strangers.append(RawClient(both.site.port).send(PARTIAL_HEAD))
            for _ in range(10):
                for client in strangers:
                    try:
                        client.send(b"x")
                    except OSError:
                        pass  # closed
            honest.wait(50)
            assert storm(both, "honest") < ALERT_S
    finally:
        for client in strangers:
            client.close()
    goes_well(honest, p99)
    said = both.ingest.said("a connection was closed")
    assert len(said) == 1 and "never authenticated" in said[0] and "proxy or a firewall" in said[0]
    assert both.ingest.stop() == 0
    assert "more connections were closed" in both.ingest.said("never authenticated")[1]


def test_an_authenticated_connection_stays(site):
    s = site()
    with_files(s, FILES)
    with s.raw() as client:
        assert client.send(whole(GOOD)).answer()[0] == 204
        strangers = [RawClient(s.port).send(PARTIAL_HEAD) for _ in range(FILES + 100)]
        wait_for(lambda: not is_open(strangers[0]), "the oldest stranger to be closed")
        assert is_open(strangers[-1])
        client.socket.setblocking(True)
        assert client.send(whole(GOOD)).answer()[0] == 204
        for one in strangers:
            one.close()


class Hoarder:
    """A drain that keeps as many connections as it gets, and opens a new one for each that is closed."""

    def __init__(self, site, requests):
        self._site = site
        self._first, self._more = requests
        self._stop = threading.Event()
        self.clients = []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        for client in self.clients:
            client.close()

    def _open(self):
        self.clients.append(RawClient(self._site.port).send(self._first))

    def _run(self):
        for _ in range(FILES):
            self._open()
        while not self._stop.wait(0.02):
            for client in list(self.clients):
                try:
                    client.send(self._more)
                except OSError:
                    client.close()
                    self.clients.remove(client)
                    self._open()


@pytest.mark.parametrize("requests", [
    pytest.param((whole(GOOD, drain="hoarder"), b""), id="idle ones"),
    pytest.param((whole(GOOD, drain="hoarder"),) * 2, id="busy ones"),
    pytest.param((head(drain="hoarder", Content_Length=60000) + b"x", b"x"), id="slow bodies")])
def test_one_drain_does_not_take_the_connections(site, slack, requests):
    both = Both(site(), slack)
    both.ingest.stop()
    both.ingest = with_files(both.site, FILES)
    both.site.wait_healthy()
    p99 = calm(both.site)
    with Hoarder(both.site, requests) as hoarder:
        wait_for(lambda: len(hoarder.clients) >= FILES, "all connections in use")
        both.ingest.wait_said("and the drain hoarder held")
        with Honest(both.site) as honest:
            honest.wait(100)
            assert storm(both, "honest") < ALERT_S
    assert honest.faults == [] and honest.p99() < 2 * p99 + SLOW
    assert len(both.ingest.said("and the drain hoarder held")) == 1


def steps(clock, seconds, site, each=lambda: None):
    """The clock goes on by so much while turns pass. A turn counts for two seconds at most."""
    for _ in range(0, seconds, 2):
        steps.shift += 2
        clock.wall(steps.shift)
        assert site.post(GOOD) == 204
        each()


def test_deadlines(site, tmp_path):
    clock = ShiftedClock(tmp_path)
    steps.shift = 0
    s = site(**clock.settings)
    program = s.ingest()
    body = h12(2) + b"x" * 1000
    with s.raw() as silent, s.raw() as drips, s.raw() as upload, s.raw() as trusted, s.raw() as chatty:
        drips.send(PARTIAL_HEAD)
        chatty.send(head(method="GET", path="/healthz"))
        assert trusted.send(whole(GOOD)).answer()[0] == 204
        upload.send(head(Content_Length=len(body)))
        steps(clock, 6, s, lambda: (drips.send(b"x"), upload.send(body[:1])))
        assert is_open(silent) and is_open(drips) and is_open(upload) and is_open(trusted)
        steps(clock, 6, s)
        wait_for(lambda: not is_open(silent), "the silent connection to be closed")
        wait_for(lambda: not is_open(drips), "the connection that drips to be closed")
        wait_for(lambda: not is_open(chatty), "a connection that never authenticated to be closed")
        assert is_open(upload) and is_open(trusted)
        assert "a head must come within 10 s" in program.wait_said("a connection was closed")[0]
        steps(clock, 24, s, lambda: upload.socket.send(body[:1]) if is_open(upload) else None)
        wait_for(lambda: not is_open(upload), "the slow body to be given up")
        trusted.socket.setblocking(True)
        assert trusted.send(whole(GOOD)).answer()[0] == 204
        trusted.socket.setblocking(False)
        steps(clock, 240, s)  # Logplex keeps a connection so long
        assert is_open(trusted)
        steps(clock, 100, s)
        wait_for(lambda: not is_open(trusted), "the idle connection to be closed")


# ---- memory ----

BOMBS = 15 if SANITIZED else 60


def last_byte(client):
    """The status; None: the body came too late, as on a slow machine."""
    try:
        return client.send(b"\0").answer()[0]
    except ConnectionError:
        return None


def everything_matches(site):
    site.rules.write_text(site.rules.read_text() +
                          "  - name: every-line\n    match: code=H12\n    more_than: 1000000\n"
                          "    within: 1m\n")
    return site


def test_open_deliveries_share_a_budget_of_memory(site, slack):
    both = Both(everything_matches(site()), slack)
    p99 = calm(both.site)
    before = rss_kb(both.ingest)
    request, most = bomb(), before
    hostile = [RawClient(both.site.port) for _ in range(BOMBS)]
    try:
        with Honest(both.site) as honest:
            for client in hostile:
                client.send(request)
            busy = time.monotonic() + 2 * SLOW
            while time.monotonic() < busy:
                most = max(most, rss_kb(both.ingest))
                time.sleep(0.05)
            honest.wait(50)
            assert storm(both, "honest") < ALERT_S
        answers = [last_byte(client) for client in hostile[-3:]]
    finally:
        for client in hostile:
            client.close()
    assert set(answers) <= {204, 503, None}
    goes_well(honest, p99)
    said = both.ingest.said("503: a delivery was refused")
    assert not said or "hostile" in said[0] and "memory" in said[0]
    if not SANITIZED:
        assert most - before < 80 << 10
        wait_for(lambda: rss_kb(both.ingest) - before < 40 << 10, "the memory to be given back")


# ---- chunk extensions ----

def test_chunk_extensions_without_end(site, slack):
    both = Both(site(), slack)
    p99 = calm(both.site)
    hostile = [RawClient(both.site.port) for _ in range(50)]
    try:
        with Honest(both.site) as honest:
            for client in hostile:
                client.send(ENDLESS_EXTENSION)
            wait_for(lambda: not any(map(is_open, hostile)), "the connections to be closed", 10 * SLOW)
            began, used = time.monotonic(), both.ingest.cpu_seconds()
            honest.wait(50)
            share = (both.ingest.cpu_seconds() - used) / (time.monotonic() - began)
            assert storm(both, "honest") < ALERT_S
    finally:
        for client in hostile:
            client.close()
    goes_well(honest, p99)
    assert share < 0.6, "it still runs for connections that are closed"
    assert "extension" in both.ingest.said("a connection was closed")[0]


def test_a_slow_chunked_body_is_not_taken_for_one(site):
    s = site()
    s.ingest()
    body = h12(3)
    with s.raw() as slow:
        slow.send(head(Transfer_Encoding="chunked", drain="slow") + chunked(body, 50)[:70])
        for _ in range(5):
            with s.raw() as client:
                client.send(ENDLESS_EXTENSION)
                wait_for(lambda: not is_open(client), "it to be closed", 2 * SLOW)
        assert slow.send(chunked(body, 50)[70:]).answer()[0] == 204


# ---- heads that can be read in two ways ----

N = str(len(GOOD))


def raw_head(*lines, end=b"\r\n", first=None):
    path = f"{PATH}?drain_token={token(DRAIN)}"
    first = first or f"POST {path} HTTP/1.1\r\n"
    text = first + "Host: x.example\r\n" + f"Logplex-Drain-Token: {DRAIN}\r\n" + "".join(lines)
    return text.encode("latin-1") + end


LENGTH = f"Content-Length: {N}\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"
TARGET = f"{PATH}?drain_token={token(DRAIN)}"
HEADS = {
    "length and chunked": raw_head(LENGTH, CHUNKED),
    "chunked and length": raw_head(CHUNKED, LENGTH),
    "two equal lengths": raw_head(LENGTH, LENGTH),
    "two lengths": raw_head(LENGTH, "content-length: 5\r\n"),
    "chunked twice": raw_head(CHUNKED, CHUNKED),
    "xchunked": raw_head("Transfer-Encoding: xchunked\r\n"),
    "gzip, chunked": raw_head("Transfer-Encoding: gzip, chunked\r\n"),
    "identity": raw_head("Transfer-Encoding: identity\r\n"),
    "a blank behind chunked": raw_head("Transfer-Encoding: chunked \r\n"),
    "chunked in HTTP/1.0": raw_head(CHUNKED, first=f"POST {TARGET} HTTP/1.0\r\n"),
    "a blank before the colon": raw_head("Transfer-Encoding : chunked\r\n", LENGTH),
    "folded": raw_head("Transfer-Encoding:\r\n chunked\r\n", LENGTH),
    "folded by a tab": raw_head(LENGTH, "X: y\r\n\tTransfer-Encoding: chunked\r\n"),
    "folded and empty": raw_head("X: y\r\n \r\n", LENGTH),
    "a blank in a name": raw_head("X Y: z\r\n", LENGTH),
    "no name": raw_head(": z\r\n", LENGTH),
    "a zero in a value": raw_head("X: y\0z\r\n", LENGTH),
    "a zero at an end": raw_head(LENGTH, "X: y\0\r\n"),
    "a zero before chunked": raw_head("Transfer-Encoding: \0chunked\r\n", LENGTH),
    "a zero in the target": raw_head(LENGTH, first=f"POST {TARGET}\0 HTTP/1.1\r\n"),
    "a coded zero in the path": raw_head(LENGTH, first=f"POST {TARGET.replace('?', '%00x?')} HTTP/1.1\r\n"),
    "a coded zero in the query": raw_head(LENGTH, first=f"POST {TARGET}%00x HTTP/1.1\r\n"),
    "a zero in the method": raw_head(LENGTH, first=f"PO\0ST {TARGET} HTTP/1.1\r\n"),
    "a CR in a value": raw_head("X: y\rContent-Length: 0\r\n", LENGTH),
    "two CR": raw_head("X: y\r\r\n", LENGTH),
    "a bare LF": raw_head("X: y\nContent-Length: 0\r\n", LENGTH),
    "a bare LF at the end": raw_head(LENGTH, end=b"\n"),
    "a bare LF behind the request line": raw_head(LENGTH, first=f"POST {TARGET} HTTP/1.1\n"),
    "two blanks": raw_head(LENGTH, first=f"POST {TARGET}  HTTP/1.1\r\n"),
    "a blank in the target": raw_head(LENGTH, first=f"POST {TARGET} x HTTP/1.1\r\n"),
    "a tab in the target": raw_head(LENGTH, first=f"POST {TARGET}\t HTTP/1.1\r\n"),
}
# libmicrohttpd itself refuses these.
REFUSED_BEFORE = {
    "a list of lengths": raw_head(f"Content-Length: {N}, {N}\r\n"),
    "a sign": raw_head(f"Content-Length: +{N}\r\n"),
    "a blank behind the length": raw_head(f"Content-Length: {N} \r\n"),
    "a zero in a name": raw_head("X\0: y\r\n", LENGTH),
    "no colon": raw_head("X\r\n", LENGTH),
}


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    s = Site(tmp_path_factory.mktemp("strict"))
    s.program = s.ingest()
    yield s
    s.close()


def refused_and_closed(site, request):
    """The next request of the connection, hidden in the body, is not answered."""
    with site.raw() as client:
        client.send(request + GOOD + b"0\r\n\r\n" + head(method="GET", path="/hidden"))
        status, headers, text = client.answer()
        rest = client.file.read()
    assert status == 400 and headers["connection"] == "close"
    assert b" 404 " not in rest and b" 204 " not in rest
    return text


@pytest.mark.parametrize("request_head", HEADS.values(), ids=HEADS)
def test_a_head_that_can_be_read_in_two_ways(strict, request_head):
    reason = refused_and_closed(strict, request_head)
    assert reason.endswith(b"\n") and reason.count(b"\n") == 1
    assert strict.program.said("400: a delivery was refused")


@pytest.mark.parametrize("request_head", REFUSED_BEFORE.values(), ids=REFUSED_BEFORE)
def test_a_head_that_libmicrohttpd_refuses(site, request_head):
    s = site()
    program = s.ingest()
    for _ in range(3):
        refused_and_closed(s, request_head)
    assert len(program.said("400: a delivery was refused: libmicrohttpd cannot read the head")) == 1
    assert program.stop() == 0
    assert program.said("400: 2 more deliveries were refused")


def test_heads_that_are_good(strict):
    many = "".join(f"X-{i}: {'y' * 100}\r\n" for i in range(200))
    for request in (raw_head(LENGTH) + GOOD, raw_head("X:\r\n", "Y:    z\r\n", LENGTH) + GOOD,
                    raw_head("Cookie: a=b; c=d\r\n", LENGTH) + GOOD, raw_head(many, LENGTH) + GOOD,
                    raw_head("transfer-encoding:Chunked\r\n") + chunked(GOOD, 9),
                    b"\r\n" + raw_head(LENGTH) + GOOD,
                    raw_head(LENGTH, first=f"POST {TARGET} HTTP/1.0\r\n") + GOOD):
        with strict.raw() as client:
            assert client.send(request).answer()[0] == 204
    with strict.raw() as client:
        for byte in raw_head("Cookie: a=b\r\n", LENGTH) + GOOD:
            client.send(bytes([byte]))
        assert client.answer()[0] == 204
        client.send((raw_head(LENGTH) + GOOD) * 5)
        assert [client.answer()[0] for _ in range(5)] == [204] * 5


def test_nothing_follows_a_chunked_request(strict):
    """The lines of chunks can be read in two ways, too."""
    with strict.raw() as client:
        client.send(raw_head(CHUNKED) + chunked(GOOD, 9) + raw_head(LENGTH) + GOOD)
        status, headers, _ = client.answer()
        assert (status, headers["connection"]) == (204, "close")
        assert client.is_closed()
