"""The records that ingest makes of a body: each good line counts, whatever is beside it."""

import base64
import datetime
import gzip
import random
import zlib

import pytest

from drainwatch import (DRAIN, H12, OK_LINE, PATH, TIMEOUT, chunked, frame, h12, head, now, token,
                        wait_for, whole, worker_timeout)
from router import count

OK = frame(OK_LINE)
OK_BARE = frame(OK_LINE, newline=False)
H12_BARE = h12(newline=False)


def syslog(message, source="heroku", process="router", pri=158, at=None, tail=b"\n"):
    """A line without its length."""
    return f"<{pri}>1 {at or now()} host {source} {process} - {message}".encode() + tail


def framed(line, length=None):
    return f"{len(line) if length is None else length} ".encode() + line


# ---- the parts of a record ----

def test_a_record(pair):
    before = datetime.datetime.now().timestamp()
    at = ["2026-05-07T08:06:12.000001+00:00", "2026-05-07T08:06:13.5+02:00"]
    body = OK + h12(at=at[0]) + frame(H12 + " n=2", at=at[1]) + worker_timeout(3)
    record = pair.record(body, frame_id="frame-1", headers={"Logplex-Msg-Count": "6"})
    assert (record.version, record.frame_id) == (1, "frame-1")
    assert (record.lines, record.bytes) == (6, len(body))
    assert (record.malformed, record.lost, record.count_differs) == (0, 0, False)
    assert abs(record.received_us / 1e6 - before) < 60
    one, two = sorted(record.matches, key=lambda m: m.source, reverse=True)
    assert (one.rule, one.source, one.process) == ("h12-request-timeout", "heroku", "router")
    assert (two.rule, two.source, two.process) == ("gunicorn-worker-timeout", "app", "web.1")
    assert len(one.time_deltas_us) == 2 and len(two.time_deltas_us) == 3
    first = record.received_us + one.time_deltas_us[0]
    expected = datetime.datetime.fromisoformat(at[0]).timestamp()
    assert first == round(expected * 1e6)
    assert one.time_deltas_us[1] == round((1.5 - 7200) * 1e6) - 1
    assert b"n=2" in one.sample


def test_a_hundred_matches_cost_a_few_hundred_bytes(pair):
    assert pair.record(h12(100)).ByteSize() < 800


def test_nothing_matched_is_no_record(pair):
    assert pair.records(OK * 50) == []
    assert pair.records(b"") == []
    assert pair.records(b"\n\n \r\n") == []


# ---- framing ----

FORMS = {  # body, lines, H12s
    "frames": (OK + h12(3) + OK, 5, 3),
    "frames without newline": (OK_BARE + H12_BARE * 3 + OK_BARE, 5, 3),
    "frames mixed": (OK_BARE + h12() + H12_BARE + OK + H12_BARE, 5, 3),
    "frames and newlines": (b"\n\n".join([OK, h12(), OK_BARE, H12_BARE]), 4, 2),
    "frames with CRLF": (framed(syslog(H12, tail=b"\r\n")) * 3, 3, 3),
    "newlines within": (framed(syslog("a\nb\n" + H12 + "\nc")) + h12() + OK, 3, 2),
    "a frame within a frame": (framed(syslog("x " + h12().decode(), "app")) + h12(), 2, 1),
    "heroku logs":
        (f"{now()} heroku[router]: {H12}\n{now()} app[web.1]: hello\n".encode() * 2, 4, 2),
    "heroku logs, no end": (f"2026-05-07T08:06:12Z heroku[router]: {H12}".encode(), 1, 1),
    "bare": (f"{H12}\nhello\n{H12}".encode(), 3, 2),
    "bare with CRLF": (f"{H12}\r\nhello\r\n{H12}\r\n".encode(), 3, 2),
    "syslog without length": (syslog(H12) * 3, 3, 3),
    "all mixed": (h12() + f"{now()} heroku[router]: {H12}\n{H12}\n".encode() + H12_BARE + OK, 5, 4),
    "structured data": (framed(syslog(H12).replace(b"router - ", b"router - - ")) * 2, 2, 2),
    "10,000 bytes": (frame(("x" * 10000)[len(H12) + 1:] + " " + H12) * 3, 3, 3),
    "60,000 bytes": (frame("x" * 60000 + " " + H12) + h12(), 2, 2),
    "code alone": (b"at=error code=H12", 1, 1),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms(pair, form):
    body, lines, matches = FORMS[form]
    record = pair.record(body)
    assert (record.lines, count(record), record.malformed) == (lines, matches, 0)


GOOD_H12 = syslog(H12)
BROKEN = {  # bytes between two good frames, and how many lines and matches they make
    "too long": (framed(GOOD_H12, len(GOOD_H12) + 1), 1, 1),
    "far too long": (framed(GOOD_H12, 5000), 1, 1),
    "too short": (framed(GOOD_H12, len(GOOD_H12) - 10), 1, 1),
    "one too short": (framed(GOOD_H12, len(GOOD_H12) - 2), 1, 1),
    "huge": (framed(GOOD_H12, 10 ** 9), 1, 1),
    "20 digits": (framed(GOOD_H12, 99999999999999999999), 1, 1),
    "2^64 and right": (framed(GOOD_H12, (1 << 64) + len(GOOD_H12)), 1, 1),
    "2^32 and right": (framed(GOOD_H12, (1 << 32) + len(GOOD_H12)), 1, 1),
    "zero": (framed(GOOD_H12, 0), 1, 1),
    "leading zero": (framed(GOOD_H12, f"0{len(GOOD_H12)}"), 1, 1),
    "negative": (framed(GOOD_H12, -len(GOOD_H12)), 1, 1),
    "plus": (framed(GOOD_H12, f"+{len(GOOD_H12)}"), 1, 1),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_bad_length_costs_no_neighbour(pair, kind):
    broken, lines, matches = BROKEN[kind]
    record = pair.record(h12(2) + broken + h12(3) + OK)
    assert (record.lines, count(record)) == (6 + lines, 5 + matches)
    assert record.malformed == 1
    alone = pair.record(broken)
    assert (alone.lines, count(alone), alone.malformed) == (lines, matches, 1)


def test_a_missing_length_costs_no_neighbour(pair):
    record = pair.record(h12(2) + GOOD_H12 + h12(3))
    assert (record.lines, count(record)) == (6, 6)


@pytest.mark.parametrize("keep", [1, 2, 3, 4, 8, 20, 40, 80, 100])
def test_a_frame_that_is_cut_off(pair, keep):
    """At the end of a body the part counts; at its beginning the rest of a line is a line."""
    whole_frame = h12()
    record = pair.record(h12(2) + whole_frame[:keep])
    assert count(record) == 2 + (b"code=H12" in whole_frame[:keep])
    record = pair.record(whole_frame[keep:] + h12(2))
    assert count(record) == 2 + (b"code=H12" in whole_frame[keep:])


def test_many_bad_frames(pair):
    lies = [i % 60 if i % 2 else 70000 + i for i in range(500)]  # none ends where a line does
    record = pair.record(b"".join(h12() + framed(syslog("x"), lie) for lie in lies))
    assert (count(record), record.malformed, record.lines) == (500, 500, 1000)


def test_rubbish_around_good_frames(pair):
    """Frames that follow a newline, as Logplex's and log-shuttle's do, survive any bytes before."""
    r = random.Random(1)
    for _ in range(20):
        pieces = []
        for _ in range(r.randrange(1, 6)):
            rubbish = r.randbytes(r.randrange(0, 300)).replace(b"code=H12", b"")
            pieces.append(rubbish + b"\n" + h12(2))
        record = pair.record(b"".join(pieces))
        assert count(record) == 2 * len(pieces)


# ---- bytes ----

def test_zero_bytes_and_broken_utf8(pair):
    odd = H12.encode().replace(b"x.example", b"\0\xff\xfe\xc3(\xed\xa0\x80\xf0\x9f\x9a")
    line = syslog("").rstrip(b"\n") + odd
    record = pair.record(framed(line) + h12() + line + b"\n" +
                         framed(line[:-9] + b"\0" + line[-9:]))
    assert (record.lines, count(record), record.malformed) == (4, 4, 0)
    assert record.matches[0].sample.decode("utf-8", "replace")


def test_odd_names_of_source_and_process(pair):
    # The source of a match is text for a protobuf string, whatever the line said.
    line = syslog("WORKER TIMEOUT").replace(b"heroku router", b"app we\xffb.1\0")
    records = pair.records(framed(line) + worker_timeout())
    assert sum(count(r, "gunicorn-worker-timeout") for r in records) == 2


def test_odd_headers(pair):
    for value in (b"\xff\xfe", b"x" * 2000, "ä".encode(), b"a\tb"):
        name = pair.name()
        request = whole(h12(), drain=name).replace(
            b"Host:", b"Logplex-Frame-Id: " + value + b"\r\nHost:")
        with pair.site.raw() as client:
            assert client.send(request).answer()[0] == 204
        record = wait_for(lambda: pair.router.of(name), "a record")[0]
        assert len(record.frame_id) <= 128


def test_a_long_or_odd_name(pair):
    for name, status in (("n" * 256, 204), ("n" * 257, 401), ("ä" * 128, 204), ("ä" * 129, 401),
                         ("d.\x7f\x1b[31m", 204), ("\x7f" * 64, 204), ("\x7f" * 65, 401)):
        raw = name.encode()
        t = token(name)
        query = f"?drain_token={t} HTTP/1.1".encode()
        request = whole(h12(), drain=None).replace(b" HTTP/1.1", query)
        request = request.replace(b"Host:", b"Logplex-Drain-Token: " + raw + b"\r\nHost:")
        n = len(pair.router.records)
        with pair.site.raw() as client:
            assert client.send(request).answer()[0] == status
        pair.fence()
        shown = name.replace("\x7f", "\\x7f").replace("\x1b", "\\x1b")
        assert [record.drain for record in pair.router.records[n:-1]] == [shown] * (status == 204)


def test_8_mib(pair):
    n = (8 << 20) // len(OK) - 100
    record = pair.record(h12() + OK * n + h12())
    assert (record.lines, count(record), record.malformed) == (n + 2, 2, 0)


def test_8_mib_in_one_line(pair):
    record = pair.record(h12() + b"x" * ((8 << 20) - 1000) + b"\n" + h12())
    assert count(record) == 2 and record.malformed == 1


def test_8_mib_of_matches(pair):
    line = b"code=H12\n"
    n = (8 << 20) // len(line)
    records = pair.records(line * n, frame_id="big")
    assert sum(count(r) for r in records) == n
    assert records[0].lines == n and sum(r.lines for r in records[1:]) == 0
    assert len({r.frame_id for r in records}) == len(records)


def test_more_matches_than_one_delivery_may_have(site, router):
    """Answered, not dropped: 8 rules that match each of 4 million lines."""
    rule = "  - {{name: r{}, match: x, more_than: 3, within: 5m, cooldown: 5m}}\n"
    s = site(rules="app: a\nslack: {channel: C}\nrules:\n" + "".join(map(rule.format, range(8))))
    r = router(s).start()
    program = s.ingest()
    code, headers, _ = s.request("POST", f"{PATH}?drain_token={token(DRAIN)}", b"x\n" * (2 << 20),
                                 {"Logplex-Drain-Token": DRAIN})
    assert code == 503 and int(headers["Retry-After"]) > 0
    assert len(program.said("503: a delivery was refused")) == 1
    assert s.post(b"x\n" * 3) == 204
    r.wait_for(1)
    assert r.matches() == 24 and len(r.records) == 1


def test_8_mib_of_heads(pair):
    """What looks like heads everywhere: the parser stays linear."""
    assert pair.records(b"1 <1>1 " * ((8 << 20) // 7)) == []
    assert pair.records(b"9" * (8 << 20)) == []


# ---- how it is sent ----

@pytest.mark.parametrize("size", [1, 2, 7, 100, 4095, 70000])
def test_chunks_of_any_size(pair, size):
    body = h12(5) + OK * 20 + framed(GOOD_H12, 9999) + H12_BARE * 3 + OK
    record = pair.raw_record(lambda drain: head(drain=drain, Transfer_Encoding="chunked") +
                             chunked(body, size))
    assert (record.lines, count(record), record.malformed, record.bytes) == (30, 9, 1, len(body))


def test_chunks_that_come_one_by_one(pair):
    body = h12(2) + H12_BARE
    drain = pair.name()
    with pair.site.raw() as client:
        client.send(head(drain=drain, Transfer_Encoding="chunked"))
        for i in range(0, len(body), 3):
            client.send(chunked(body[i:i + 3], 3).removesuffix(b"0\r\n\r\n"))
        assert client.send(b"0\r\n\r\n").answer()[0] == 204
    record = wait_for(lambda: pair.router.of(drain), "a record")[0]
    assert (record.lines, count(record)) == (3, 3)


def test_chunk_extensions_and_trailers(pair):
    body = h12(3)
    record = pair.raw_record(lambda drain: head(drain=drain, Transfer_Encoding="chunked") +
                             b"%X;a=b\r\n%s\r\n0\r\nX-Trailer: 1\r\n\r\n" % (len(body), body))
    assert count(record) == 3


PLAIN = h12(4) + OK * 100 + H12_BARE


def packed(body, pad=None):
    """gzip; `pad` sets how much comes out, by a line of blanks before it."""
    return gzip.compress(b" " * (pad - len(body)) + body if pad else body)


@pytest.mark.parametrize("size", [32 << 10, (32 << 10) + 1, 64 << 10, 96 << 10])
def test_gzip_of_any_size(pair, size):
    body = packed(PLAIN, size)
    for request in (lambda drain: whole(body, drain=drain, Content_Encoding="gzip"),
                    lambda drain: head(drain=drain, Content_Encoding="gzip",
                                       Transfer_Encoding="chunked") + chunked(body, 1)):
        record = pair.raw_record(request)
        assert (record.lines, count(record), record.bytes, record.malformed) == (105, 5, size, 0)


def gz(pair, body):
    return pair.records(body, headers={"Content-Encoding": "gzip"})


def test_gzip_of_several_members(pair):
    half = PLAIN[:len(PLAIN) // 2]
    record, = gz(pair, gzip.compress(half) + gzip.compress(PLAIN[len(half):]) + gzip.compress(b""))
    assert (record.lines, count(record), record.malformed) == (105, 5, 0)
    record, = gz(pair, b"".join(gzip.compress(h12()) for _ in range(300)))
    assert (count(record), record.malformed) == (300, 0)


@pytest.mark.parametrize("keep", [20, 100, -1, -8, -9])
def test_gzip_that_is_cut_off(pair, keep):
    """The readable part counts; the damage counts as one more bad frame, and as a loss."""
    record, = gz(pair, gzip.compress(h12(4) + OK * 3000)[:keep])
    assert count(record) == (4 if keep < 0 else 0)
    assert record.malformed >= 1 and record.lost == 1


def test_gzip_that_is_rubbish(pair):
    good = gzip.compress(h12(4))
    assert gz(pair, b"") == []
    for body in b"rubbish" * 100, PLAIN, zlib.compress(h12(4)):
        record, = gz(pair, body)
        assert (count(record), record.malformed, record.lost) == (0, 1, 1)
    for body in (good + b"rubbish", good[:-1] + bytes([good[-1] ^ 1]), good + b"\x1f\x8b"):
        record, = gz(pair, body)
        assert (count(record), record.malformed, record.lost) == (4, 1, 1)


# ---- counts that others claim ----

@pytest.mark.parametrize("claimed,differs", [
    ("3", False), ("03", False), ("2", True), ("4", True), ("0", True), ("-3", True), ("", True),
    ("three", True), ("3.0", True), ("3 3", True), ("99999999999999999999999", True),
    ("18446744073709551619", True), ("0x3", True)])
def test_msg_count_is_never_believed(pair, claimed, differs):
    record = pair.record(h12(2) + OK, headers={"Logplex-Msg-Count": claimed})
    assert (count(record), record.lines, record.count_differs) == (2, 3, differs)


@pytest.mark.parametrize("text,lost", [
    ("Error L10 (output buffer overflow): 27 messages dropped since 2026-05-07T08:06:12+00:00.", 27),
    ("Error L10 (output buffer overflow): 1 message dropped since 2026-05-07T08:06:12+00:00.", 1),
    ("drain 'd.0123' dropped 3141 messages", 3141)])
def test_l10(pair, text, lost):
    line = frame(text, process="logplex", newline=False)
    record = pair.record(h12() + line + h12())
    assert (record.lost, count(record), record.malformed) == (lost, 2, 0)
    record = pair.record(line + OK)
    assert (record.lost, len(record.matches)) == (lost, 0)
    record = pair.record(line * 3)
    assert record.lost == 3 * lost
    for source, process in (("app", "logplex"), ("heroku", "router"), ("app", "web.1")):
        assert pair.records(frame(text, source=source, process=process)) == []


def test_log_shuttle(pair):
    """Chunked, no Content-Length, MSGID and STRUCTURED-DATA `-`, Basic credentials, no Frame-Id."""
    def shuttle(message, at=None):
        line = f"<190>1 {at or now()} shuttle t.0123 shuttle - - {message}".encode()
        return framed(line)
    drain = pair.name()
    body = (shuttle(H12 + "\n") * 2 + shuttle("x" * 9000) + shuttle("y" * 9000 + " code=H12\n") +
            shuttle(TIMEOUT))
    pair64 = base64.b64encode(f"{drain}:{token(drain)}".encode()).decode()
    with pair.site.raw() as client:
        client.send(head(drain=None, Authorization="Basic " + pair64, Transfer_Encoding="chunked",
                         Content_Encoding="gzip", Logplex_Msg_Count=5, X_Request_Id="r-1",
                         Logplex_Drop_Count=7, Logplex_Lost_Count=2) +
                    chunked(gzip.compress(body), 1000))
        assert client.answer()[0] == 204
    record = wait_for(lambda: pair.router.of(drain), "a record")[0]
    assert (record.lines, record.lost, record.malformed, record.count_differs) == (5, 9, 0, False)
    assert record.frame_id == "" and not record.matches  # its source is "t.0123", not heroku


def test_drop_counts_that_are_none(pair):
    for value in ("-1", "x", "", "1e3", "99999999999999999999999999"):
        record = pair.record(h12(), headers={"Logplex-Drop-Count": value})
        assert record.lost == 0
    record = pair.record(OK, headers={"Logplex-Drop-Count": "12"})
    assert record.lost == 12


# ---- matches, and lines that only look like one ----

FAKES = {
    "path": frame('at=info method=GET path="/?code=H12" host=x.example status=200'),
    "forwarded for": frame('at=info method=GET path="/" host=x fwd="a code=H12 b" status=200'),
    "spaces in the path": frame('at=info path="/x code=H12 y" status=200'),
    "escaped quote": frame(r'at=info path="/\" code=H12 \"" status=200'),
    "an app's line": frame(H12, source="app", process="web.1"),
    "an app's router": frame(H12, source="app", process="router"),
    "another code": frame(H12.replace("H12", "H13")),
    "longer": frame(H12.replace("H12", "H123")),
    "longer key": frame(H12.replace("code=", "errcode=")),
    "lower case": frame(H12.replace("code=H12", "code=h12")),
    "header": frame("x", process="code=H12"),
    "heroku logs of an app": f"{now()} app[web.1]: {H12}\n".encode(),
    "a heroku logs line in an app's line": frame(f"{now()} heroku[router]: {H12}", source="app",
                                                 process="web.1"),
    "a frame in an app's line": frame(h12().decode(), source="app", process="web.1"),
    "a head in an app's heroku logs line":
        f"{now()} app[web.1]: x {h12(newline=False).decode()}\n".encode(),
    "a worker timeout of the router": frame(TIMEOUT),
    "nearly": frame("WORKER  TIMEOUT worker timeout WORKER TIMEOU", source="app", process="web.1"),
    "our own": frame("drainwatch-ingest level=info msg=\"code=H12 WORKER TIMEOUT\"", source="app",
                     process="web.1"),
    "our own receipt": frame("heroku_log_drain: code=H12", source="heroku", process="router"),
    "our own, bare": b"drainwatch alert: code=H12\n",
}


@pytest.mark.parametrize("fake", FAKES)
def test_fakes_count_for_nothing(pair, fake):
    assert pair.records(FAKES[fake]) == []
    assert count(pair.record(FAKES[fake] + h12() + FAKES[fake] * 3)) == 1


def test_the_value_may_be_quoted(pair):
    assert count(pair.record(frame('at=error code="H12" desc="x"'))) == 1


def test_both_rules_in_one_delivery(pair):
    record = pair.record(h12(7) + worker_timeout(5) + OK)
    assert (count(record), count(record, "gunicorn-worker-timeout")) == (7, 5)


def test_random_bodies_are_counted_exactly(pair):
    r = random.Random(2)
    # A frame without newline is followed by a frame or a newline, or its length is not believed.
    makers = [(lambda: OK, 0), (lambda: OK_BARE, 0), (h12, 1), (lambda: H12_BARE, 1),
              (lambda: f"\n{now()} heroku[router]: {H12}\n".encode(), 1),
              (lambda: framed(syslog("a\nb"), None), 0), (lambda: FAKES["path"], 0),
              (lambda: FAKES["an app's line"], 0)]
    for _ in range(15):
        chosen = r.choices(makers, k=r.randrange(1, 400)) + [makers[2]]
        body = b"".join(make() for make, _ in chosen)
        size = r.choice([1, 13, 1000, 65536])
        record = pair.raw_record(lambda drain: head(drain=drain, Transfer_Encoding="chunked") +
                                 chunked(body, size))
        assert count(record) == sum(n for _, n in chosen)
        assert (record.lines, record.malformed) == (len(chosen), 0)


# ---- what a sample shows ----

def test_the_sample_hides_tokens(pair):
    secret = token(DRAIN)
    for form in ("drain_token={}", 'path="/x?drain_token={}&a=b"', "drain_token={} drain_token={}"):
        body = frame(f"{H12} {form.format(secret, secret)} end")
        sample = pair.record(body).matches[0].sample
        assert secret.encode() not in sample and b"drain_token=" in sample


def test_the_sample_is_cut(pair):
    for fill in ("x", "ä", "\U0001f6a8"):
        record = pair.record(frame(H12 + " " + fill * 5000))
        sample = record.matches[0].sample
        assert len(sample) <= 1000 and sample.decode()  # whole characters
        long_token = frame("x" * 950 + " code=H12 drain_token=" + token(DRAIN))
        assert token(DRAIN)[:16].encode() not in pair.record(long_token).matches[0].sample
