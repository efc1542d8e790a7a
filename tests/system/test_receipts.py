"""The receipts that ingest prints, also under load."""

import os
import re
import time

import pytest

from drainwatch import DRAIN, INGEST, OK_LINE, PATH, frame, h12, head, token, wait_for, whole
from load import Crowd

GOOD = frame(OK_LINE)
RECEIPT = re.compile(r"heroku_log_drain: processed (\d+) lines from (?:logplex delivery|"
                     r"(\d+) logplex deliveries)")
LOAD_S = float(os.environ.get("DRAINWATCH_LOAD_S", 10))
CONNECTIONS = 256
SLOWEST_S = 4  # Logplex gives a request up after 5


def receipts(program):
    """Of all lines printed: lines and deliveries receipted."""
    found = [RECEIPT.fullmatch(line) for line in list(program.lines)]
    assert all(found), program.lines
    return (sum(int(m[1]) for m in found), sum(int(m[2] or 1) for m in found))


def test_the_first_at_once_the_rest_in_sums(site):
    s = site()
    program = s.ingest()
    began = time.monotonic()
    assert s.post(GOOD * 3) == 204
    first = "heroku_log_drain: processed 3 lines from logplex delivery"
    program.wait_said(first)
    assert program.times[first] - began < 0.5
    for n in (1, 2, 4):
        assert s.post(GOOD * n) == 204
    total = "heroku_log_drain: processed 7 lines from 3 logplex deliveries"
    program.wait_said(total, 5)
    assert 0.9 < program.times[total] - program.times[first] < 2
    assert program.lines == [first, total]
    assert s.post(GOOD) == 204  # within the next second: alone, and said as one
    program.wait_said("processed 1 lines from logplex delivery", 5)


def test_the_curl_line_of_the_manual(site):
    s = site()
    program = s.ingest()
    line = b'2026-05-07T08:06:12Z heroku[router]: at=error code=H12 desc="Request timeout"'
    assert s.post(line) == 204
    program.wait_said("heroku_log_drain: processed 1 lines from logplex delivery")


def test_a_repeat_is_called_one(site):
    """Somebody tries with curl and the same Frame-Id again: that counts once, and he must see it."""
    s = site()
    program = s.ingest()
    for _ in range(2):
        assert s.post(h12(), frame_id="f-1") == 204
    assert s.post(h12(), frame_id="f-1", drain="another") == 204
    line = "heroku_log_drain: processed {} lines from {}"
    program.wait_said(line.format(1, "logplex delivery"))
    program.wait_said(line.format(2, "2 logplex deliveries (1 repeat: the drain sent the same "
                                     "Logplex-Frame-Id before)"), 5)


def test_what_is_held_back_is_said_at_the_end(site):
    s = site()
    program = s.ingest()
    for n in range(1, 6):
        assert s.post(GOOD * n) == 204
    assert program.stop() == 0
    assert receipts(program) == (15, 5)


def test_refused_deliveries_have_no_receipt(site):
    s = site(DRAINWATCH_MAX_BODY_BYTES="64 KiB")
    program = s.ingest()
    assert s.post(GOOD, secret="x" * 40) == 401
    assert s.post(GOOD, headers={"Content-Encoding": "br"}) == 415
    with s.raw() as client:
        assert client.send(whole(b"x" * 70000)).answer()[0] == 413
    with s.raw() as client:
        assert client.send(head(method="GET")).answer()[0] == 405
    with s.raw() as client:
        client.send(whole(GOOD)[:-1])
    assert s.post(b"") == 204
    assert program.stop() == 0
    assert program.lines == ["heroku_log_drain: processed 0 lines from logplex delivery"]
    for status in (401, 405, 413, 415):
        assert sum(f"{status}: a delivery was refused" in line for line in program.errors) == 1


OWN = [
    frame("heroku_log_drain: processed 3 lines from logplex delivery", "app", "web.1"),
    frame('drainwatch-ingest level=info msg="x"', "app", "web.1"),
    frame('2026-05-07T08:06:12.123Z drainwatch-ingest level=info msg="x"', "app", "web.1"),
    frame("drainwatch alert: h12-request-timeout", "app", "worker.1"),
    frame(f'at=info method=POST path="{PATH}?drain_token={token(DRAIN)}" host=x status=204'),
    frame(f'at=info method=POST path={PATH} host=x status=204'),
    b"2026-05-07T08:06:12Z app[web.1]: drainwatch-ingest x\n",
    f'2026-05-07T08:06:12Z heroku[router]: at=info path="{PATH}" status=204\n'.encode(),
]
NOT_OWN = [
    GOOD,
    frame("say: heroku_log_drain: x", "app", "web.1"),
    frame("Drainwatch", "app", "web.1"),
    frame(f'at=info path="{PATH}"', "app", "web.1"),
    frame(f'at=info path="/x?y={PATH}"'),
    frame(f'at=info fwd="path={PATH}" path="/"'),
]


def test_own_lines_are_not_receipted(site):
    s = site()
    program = s.ingest()
    for body in OWN + [b"".join(OWN), b"".join(OWN) * 50]:
        assert s.post(body) == 204
    for body in NOT_OWN:
        assert s.post(body) == 204
        assert s.post(OWN[0] + body + OWN[3]) == 204
    assert program.stop() == 0
    assert receipts(program) == (4 * len(NOT_OWN), 2 * len(NOT_OWN))


def test_a_drain_on_itself_comes_to_rest(site):
    """Each line that ingest prints comes back as a delivery, as on Heroku."""
    s = site()
    program = s.ingest()
    fed = 0
    assert s.post(GOOD) == 204
    end = time.monotonic() + 2.5
    while time.monotonic() < end:
        said = program.lines + program.errors
        for line in said[fed:]:
            assert s.post(frame(line, "app", "web.1")) == 204
            assert s.post(frame(f'at=info method=POST path="{PATH}" status=204')) == 204
        fed = len(said)
        time.sleep(0.01)
    assert program.lines == ["heroku_log_drain: processed 1 lines from logplex delivery"]


def test_every_line_begins_as_ours(site, router):
    s = site()
    router(s).start()
    program = s.ingest()
    for body in (GOOD, b"\0\xff\n" * 9, h12(), b"x\r\n\x1b[31m"):
        s.post(body)
        s.post(body, secret="x" * 40, drain="a\tb")
        s.post_basic(body, name="evil\nlevel=error\r\nheroku[router]: code=H12", secret="x" * 40)
    assert program.stop() == 0
    assert program.lines and program.errors
    assert all(line.startswith("heroku_log_drain:") for line in program.lines)
    for line in program.errors:
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z drainwatch-ingest ", line), line
    with_dyno = s.ingest(DYNO="web.1")
    assert with_dyno.stop() == 0
    assert all(line.startswith("drainwatch-ingest ") for line in with_dyno.errors)


@pytest.mark.parametrize("out", ["closed", "full"])
def test_an_output_that_is_gone(site, out):
    """Nobody reads what is printed: deliveries are taken all the same."""
    s = site()
    shell = f"exec '{INGEST}' {'>&-' if out == 'closed' else '>/dev/full'}"
    program = s.start("/bin/sh", "-c", shell)
    program.wait_said("listening")
    for _ in range(3):
        assert s.post(GOOD) == s.post(h12()) == 204
    program.kill()


# ---- load ----

REQUESTS = [whole(GOOD * 20), whole(GOOD * 10 + h12() + GOOD * 9), whole(h12(3)), whole(GOOD)]
LINES = (20, 20, 3, 1)
MATCHES = (0, 1, 3, 0)


def test_256_connections_at_once(site, router):
    """By turns: each at its own pace; and all at the same moment, 128 and 256 of them, which makes
    libmicrohttpd's own thread stall."""
    s = site()
    r = router(s).start()
    program = s.ingest()
    totals = [0] * len(REQUESTS)
    began = time.monotonic()
    slowest, statuses = 0, {}
    while time.monotonic() < began + LOAD_S:
        for n in (CONNECTIONS, CONNECTIONS // 2):
            crowd = Crowd(s.port, n)
            for _ in range(20):
                totals = [a + b for a, b in zip(totals, crowd.volley(REQUESTS, SLOWEST_S))]
            until = min(began + LOAD_S, time.monotonic() + LOAD_S / 4)
            totals = [a + b for a, b in zip(totals, crowd.run(REQUESTS, until, SLOWEST_S))]
            slowest = max(slowest, crowd.slowest)
            for code, times in crowd.statuses.items():
                statuses[code] = statuses.get(code, 0) + times
            crowd.close()
    took = time.monotonic() - began
    lines, matches = (sum(a * b for a, b in zip(totals, of)) for of in (LINES, MATCHES))
    print(f"{sum(totals) / took:.0f} deliveries/s, {lines / took:.0f} lines/s, "
          f"the slowest {slowest * 1000:.0f} ms")
    assert list(statuses) == ["204"] and slowest < SLOWEST_S
    wait_for(lambda: r.matches() == matches, "all matches")
    assert program.stop() == 0
    assert receipts(program) == (lines, sum(totals))
    assert len(program.lines) < took + 10
