"""Ingest's answers: the whole table, in its order, with clients of every kind."""

import base64
import gzip
import time

import pytest

from drainwatch import (DRAIN, OK_LINE, PATH, SECRET, Site, chunked, frame, h12, head, inspectable,
                        token, wait_for, whole)

GOOD = frame(OK_LINE)
LIMIT = 1 << 20
T = token(DRAIN)
OTHER = "another-secret-of-more-than-32-characters"
# An answer that needs no body must not wait for one.
AT_ONCE_S = 5


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def status(site, request):
    with site.raw() as client:
        return client.send(request).answer()[0]


# ---- 404, 405, 501 ----

@pytest.mark.parametrize("scheme", ["http", "HTTPS"])
def test_a_target_may_name_the_host(pair, scheme):
    drain = pair.name()
    assert status(pair.site, whole(h12(), path=f"{scheme}://host:80{PATH}", drain=drain)) == 204
    wait_for(lambda: pair.router.of(drain), "its record")
    assert status(pair.site, head(method="GET", path=f"{scheme}://host{PATH}")) == 405


@pytest.mark.parametrize("path", [
    "http://host", "http://", "ftp://host" + PATH, "http:" + PATH, "http://host/x" + PATH,
    "/", "/api", PATH + "//", PATH + "/x", PATH + "x", "/x" + PATH, PATH.upper(), "/" + PATH, "/healthz/",
    "/healthzz", "/../healthz", "*"])
def test_404(pair, path):
    assert status(pair.site, whole(GOOD, path=path)) == 404


def test_one_slash_at_the_end_is_accepted(pair):
    drain = pair.name()
    assert status(pair.site, whole(h12(), path=PATH + "/", drain=drain)) == 204
    wait_for(lambda: pair.router.of(drain), "its record")
    with pair.site.raw() as client:
        code, headers, _ = client.send(head(method="GET", path=PATH + "/")).answer()
    assert (code, headers["allow"]) == (405, "POST")


def test_a_delivery_to_an_unknown_path_is_logged(site):
    """Logplex drops it for good: the log is the only place that tells."""
    s = site()
    program = s.ingest()
    wrong = PATH.replace("drain", "drian")
    for _ in range(3):
        with s.raw() as client:
            code, _, text = client.send(whole(GOOD, path=f"{wrong}?drain_token={T}")).answer()
        assert code == 404 and PATH.encode() in text
    assert status(s, head(method="GET", path="/favicon.ico")) == 404  # no delivery
    assert program.stop() == 0
    first, rest = program.said("404:")
    assert f"a delivery was refused: POST {wrong}:" in first and PATH in first
    assert "2 more deliveries were refused" in rest
    assert not program.said(T) and not program.said("favicon")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "post",
                                    "X"])
def test_405_says_what_is_allowed(pair, method):
    with pair.site.raw() as client:
        code, headers, _ = client.send(head(method=method)).answer()
    assert (code, headers["allow"]) == (405, "POST")


def test_405_of_health(pair):
    with pair.site.raw() as client:
        code, headers, _ = client.send(head(method="DELETE", path="/healthz")).answer()
    assert code == 405 and "GET" in headers["allow"]


def test_head_of_health_has_no_body(pair):
    wait_for(lambda: pair.site.health()[0] == 200, "health")
    with pair.site.raw() as client:
        client.send(head(method="HEAD", path="/healthz", Connection="close"))
        assert client.file.readline().startswith(b"HTTP/1.1 200")
        assert client.file.read().endswith(b"\r\n\r\n")


@pytest.mark.parametrize("off", [
    {"FLAG_CONSOLE_HEROKU_LOG_DRAIN_ALERTING": ""},
    {"FLAG_CONSOLE_HEROKU_LOG_DRAIN_ALERTING": "maybe"},
    {"HEROKU_LOG_DRAIN_HMAC_SECRET": ""},
    {"HEROKU_LOG_DRAIN_HMAC_SECRET": " , ,"}])
def test_501_comes_after_404_and_405_and_before_401(site, off):
    s = site(**off)
    s.ingest()
    assert status(s, whole(GOOD, path="/x")) == 404
    assert status(s, head(method="GET")) == 405
    assert s.post(GOOD) == 501
    assert s.post(GOOD, secret=OTHER) == 501
    assert status(s, whole(GOOD, drain=None)) == 501
    with s.raw() as client:  # its body is not waited for
        code, _, text = client.send(head(Content_Length=LIMIT)).answer()
    assert code == 501 and text
    code, reason = s.health()
    assert code == 503 and "501" in reason


@pytest.mark.parametrize("on", ["true", "TRUE", "1", "yes", "On"])
def test_the_flag_is_on(site, on):
    s = site(FLAG_CONSOLE_HEROKU_LOG_DRAIN_ALERTING=on)
    s.ingest()
    assert s.post(GOOD) == 204


# ---- 401 ----

def test_204_is_empty(pair):
    with pair.site.raw() as client:
        code, headers, text = client.send(whole(GOOD)).answer()
        assert (code, text) == (204, b"") and "content-length" not in headers
        assert client.send(whole(GOOD)).answer()[0] == 204  # and the connection stays


@pytest.mark.parametrize("case", [str.lower, str.upper, str.title])
def test_hex_of_either_case(pair, case):
    t = case(token(DRAIN))
    assert status(pair.site, whole(GOOD, path=f"{PATH}?drain_token={t}", drain=None,
                                   Logplex_Drain_Token=DRAIN)) == 204
    assert status(pair.site, whole(GOOD, drain=None,
                                   Authorization=basic("console", case(token("console"))))) == 204


QUERIES = {
    "no token": PATH,
    "empty": f"{PATH}?drain_token=",
    "no value": f"{PATH}?drain_token",
    "one digit short": f"{PATH}?drain_token={T[:-1]}",
    "one digit more": f"{PATH}?drain_token={T}0",
    "last digit wrong": f"{PATH}?drain_token={T[:-1]}{'0' if T[-1] != '0' else '1'}",
    "of another secret": f"{PATH}?drain_token={token(DRAIN, OTHER)}",
    "of another name": f"{PATH}?drain_token={token('another')}",
    "of nothing": f"{PATH}?drain_token={token('')}",
    "no hex": f"{PATH}?drain_token={'g' * 64}",
    "the name itself": f"{PATH}?drain_token={DRAIN}",
    "the secret itself": f"{PATH}?drain_token={SECRET}",
    "long": f"{PATH}?drain_token={T * 100}",
}


@pytest.mark.parametrize("path", QUERIES.values(), ids=QUERIES)
def test_401_of_the_query(pair, path):
    with pair.site.raw() as client:
        code, headers, text = client.send(
            whole(GOOD, path=path, drain=None, Logplex_Drain_Token=DRAIN)).answer()
    assert code == 401 and headers["www-authenticate"].startswith("Basic") and text


def test_a_token_without_its_header(pair):
    assert status(pair.site, whole(GOOD, path=f"{PATH}?drain_token={T}", drain=None)) == 401
    empty = f"{PATH}?drain_token={token('')}"
    assert status(pair.site, whole(GOOD, path=empty, drain=None, Logplex_Drain_Token="")) == 401


CREDENTIALS = {
    "wrong order": basic(token("console"), "console"),
    "no password": basic("console", ""),
    "no name": basic("", token("")),
    "another name": basic("other", token("console")),
    "another secret": basic("console", token("console", OTHER)),
    "no colon": "Basic " + base64.b64encode(b"console").decode(),
    "no base64": "Basic $$$$",
    "broken base64": basic("console", token("console"))[:-3],
    "nothing": "Basic",
    "a blank": "Basic ",
    "zero bytes": "Basic " + base64.b64encode(b"\0:" + token("").encode()).decode(),
    "bearer": "Bearer " + token("console"),
    "digest": f'Digest username="console", response="{token("console")}"',
    "long name": basic("n" * 600, token("n" * 600)),
    "long": "Basic " + "QUFB" * 2000,
}


@pytest.mark.parametrize("value", CREDENTIALS.values(), ids=CREDENTIALS)
def test_401_of_credentials(pair, value):
    assert status(pair.site, whole(GOOD, drain=None, Authorization=value)) == 401


def test_credentials_need_no_drain_header(pair):
    drain = pair.name()
    assert pair.site.post_basic(h12(), name=drain) == 204
    wait_for(lambda: pair.router.of(drain), "a record that bears the credentials' name")


def test_the_scheme_is_of_any_case(pair):
    for scheme in ("basic", "BASIC"):  # RFC 9110 section 11.1
        value = basic("console", token("console")).replace("Basic", scheme)
        assert status(pair.site, whole(GOOD, drain=None, Authorization=value)) == 204


def test_either_form_is_enough(pair):
    good, bad = basic("console", token("console")), basic("console", token("console", OTHER))
    assert status(pair.site, whole(GOOD, Authorization=good)) == 204
    assert status(pair.site, whole(GOOD, Authorization=bad)) == 204
    assert status(pair.site, whole(GOOD, secret=OTHER, Authorization=good)) == 204
    assert status(pair.site, whole(GOOD, secret=OTHER, Authorization=bad)) == 401


def test_halves_of_both_forms_make_no_whole(pair):
    value = basic("console", "")
    assert status(pair.site, whole(GOOD, path=f"{PATH}?drain_token={token('console')}", drain=None,
                                   Authorization=value)) == 401


def test_all_secrets_of_a_rotation_are_good(site):
    secrets = ["the-first-secret-of-32-characters", "the-second-secret-of-32-characters", SECRET]
    s = site(HEROKU_LOG_DRAIN_HMAC_SECRET=" {} ,, {}\t,{} ".format(*secrets))
    s.ingest()
    for secret in secrets:
        assert s.post(GOOD, secret=secret) == s.post_basic(GOOD, secret=secret) == 204
    assert s.post(GOOD, secret=OTHER) == s.post(GOOD, secret=",".join(secrets)) == 401


def test_a_utf8_secret_and_name(site):
    secret = "geheim-ÄÖÜ-geheim-ÄÖÜ-geheim-ÄÖÜ"
    s = site(HEROKU_LOG_DRAIN_HMAC_SECRET=secret)
    s.ingest()
    assert s.post_basic(GOOD, name="kônsole", secret=secret) == 204


REFUSED = {  # by their headers alone
    401: {"secret": OTHER, "Content_Length": LIMIT},
    413: {"Content_Length": 9 << 20},
    415: {"Content_Length": LIMIT, "Content_Encoding": "br"},
}


@pytest.mark.parametrize("code", REFUSED)
def test_refused_before_the_body_is_read(pair, code):
    began = time.monotonic()
    for more in ({}, {"Expect": "100-continue"}, {"Content_Length": None,
                                                  "Transfer_Encoding": "chunked"}):
        if code == 413 and "Transfer_Encoding" in more:
            continue  # nothing declares its size
        with pair.site.raw() as client:
            client.send(head(**{**REFUSED[code], **more}))
            assert client.answer()[0] == code
            assert client.is_closed()
    assert time.monotonic() - began < AT_ONCE_S


@pytest.mark.parametrize("code", REFUSED)
def test_refused_while_the_body_comes_slowly(pair, code):
    with pair.site.raw() as client:
        client.send(head(**REFUSED[code])).send(GOOD[:10])
        assert client.answer()[0] == code


def test_100_continue_for_the_right_ones(pair):
    with pair.site.raw() as client:
        client.send(head(Content_Length=len(GOOD), Expect="100-continue"))
        assert client.answer()[0] == 100
        assert client.send(GOOD).answer()[0] == 204


# ---- 413, 415 ----

@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """An ingest with a limit of 64 KiB."""
    s = Site(tmp_path_factory.mktemp("small"), DRAINWATCH_MAX_BODY_BYTES="64 KiB")
    s.ingest()
    yield s
    assert s.stop() == [0]


def sized(n):
    return (GOOD * (n // len(GOOD) + 1))[:n]


def test_413_at_the_byte(small):
    n = 64 << 10
    assert small.post(sized(n)) == 204
    with small.raw() as client:
        assert client.send(whole(sized(n + 1))).answer()[0] == 413
    for size in (1000, 1 << 20):
        body = head(Transfer_Encoding="chunked")
        assert status(small, body + chunked(sized(n), size)) == 204
        assert status(small, body + chunked(sized(n + 1), size)) == 413
    for n_bytes, code in ((n, 204), (n + 1, 413)):
        packed = gzip.compress(sized(n_bytes))
        assert status(small, whole(packed, Content_Encoding="gzip")) == code


def test_413_of_a_gzip_bomb(small):
    packed = gzip.compress(bytes(64 << 20))
    assert len(packed) < 64 << 10 or status(small, whole(packed, Content_Encoding="gzip")) == 413
    packed = gzip.compress(bytes(32 << 20))
    assert len(packed) < 64 << 10
    assert status(small, whole(packed, Content_Encoding="gzip")) == 413
    packed = gzip.compress(gzip.compress(bytes(1 << 30 >> 4)))
    assert small.post(packed, headers={"Content-Encoding": "gzip"}) == 204  # undone once


@pytest.mark.parametrize("length", ["99999999999999999999999", "-1", "x", "0x10", "1 2"])
def test_a_content_length_that_is_none(pair, length):
    """Refused or dropped, and the next client is served."""
    with pair.site.raw() as client:
        client.send(head(Content_Length=length) + GOOD)
        try:
            code = client.answer()[0]
        except ConnectionError:
            code = None
    assert code in (None, 400, 413)
    assert pair.site.post(GOOD) == 204


def test_413_does_not_hide_behind_other_answers(small):
    big = {"Content_Length": 1 << 20}
    assert status(small, head(secret=OTHER, **big)) == 401
    assert status(small, head(Content_Encoding="br", **big)) == 413
    assert status(small, head(secret=OTHER, Content_Encoding="br", Content_Length=3)) == 401


def test_what_was_too_large_counts_for_nothing(site, router):
    s = site(DRAINWATCH_MAX_BODY_BYTES="64 KiB")
    r = router(s).start()
    s.ingest()
    body = h12(10) + sized(64 << 10)
    assert status(s, head(Transfer_Encoding="chunked") + chunked(body, 4096)) == 413
    assert status(s, whole(gzip.compress(body), Content_Encoding="gzip")) == 413
    assert s.post(h12(3)) == 204
    r.wait_for(1)
    assert r.matches() == 3 and len(r.records) == 1


@pytest.mark.parametrize("encoding,code", [
    ("gzip", 204), ("GZIP", 204), ("x-gzip", 204), ("identity", 204), ("", 204), ("deflate", 415),
    ("br", 415), ("gzip, gzip", 415), ("gzip,br", 415), ("gzi", 415), ("gzipp", 415)])
def test_encodings(pair, encoding, code):
    body = gzip.compress(GOOD) if "gzip" in encoding.lower() else GOOD
    with pair.site.raw() as client:
        got, headers, _ = client.send(whole(body, Content_Encoding=encoding)).answer()
    assert got == code
    assert code == 204 or "gzip" in headers["accept-encoding"]


# ---- clients of every kind ----

def test_http_1_0(pair):
    with pair.site.raw() as client:
        assert client.send(whole(GOOD, version="1.0", Host=None)).answer()[0] == 204
        assert client.is_closed()
    with pair.site.raw() as client:
        for _ in range(2):
            request = whole(GOOD, version="1.0", Connection="keep-alive")
            assert client.send(request).answer()[0] == 204


def test_many_deliveries_on_one_connection(pair):
    drain = pair.name()
    with pair.site.raw() as client:
        for i in range(300):
            body = h12() if i % 3 == 0 else GOOD
            assert client.send(whole(body, drain=drain)).answer()[0] == 204
    wait_for(lambda: pair.router.matches(drain=drain) == 100, "100 matches")


def test_pipelined_requests_are_answered_in_order(pair):
    drain = pair.name()
    requests = [whole(h12(i % 4), drain=drain) for i in range(100)]
    with pair.site.raw() as client:
        client.send(b"".join(requests) + head(secret=OTHER, Content_Length=0))
        assert [client.answer()[0] for _ in requests] == [204] * 100
        assert client.answer()[0] == 401
    wait_for(lambda: pair.router.matches(drain=drain) == 150, "what was pipelined")


def test_a_request_that_comes_byte_by_byte(pair):
    drain = pair.name()
    with pair.site.raw() as client:
        for byte in whole(h12(2), drain=drain):
            client.send(bytes([byte]))
        assert client.answer()[0] == 204
    wait_for(lambda: pair.router.matches(drain=drain) == 2, "its matches")


@pytest.mark.parametrize("request_bytes", [
    b"\0" * 100 + b"\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xff" * 200,
    b"GET\r\n\r\n", b"POST " + b"/" * 100000, b"GET / HTTP/1.1\r\nX: " + b"x" * 100000,
    b"GET / HTTP/9.9\r\n\r\n", b"\r\n" * 50000, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ids=["zeros", "tls", "no path", "long path", "long header", "version", "newlines", "http2"])
def test_rubbish_harms_nobody(pair, request_bytes):
    with pair.site.raw() as client:
        try:
            client.send(request_bytes)
        except ConnectionError:
            pass
        assert pair.site.post(GOOD) == 204


@pytest.mark.parametrize("body", [
    b"zz\r\n", b"-5\r\nhello\r\n", b"ffffffffffffffffff\r\n", b"5\r\nhelloXX0\r\n\r\n"],
    ids=["no hex", "negative", "huge", "no end"])
def test_broken_chunks_count_for_nothing(pair, body):
    drain = pair.name()
    good = h12(4)
    with pair.site.raw() as client:
        try:
            client.send(head(drain=drain, Transfer_Encoding="chunked") +
                        b"%x\r\n%s\r\n" % (len(good), good) + body)
            client.socket.shutdown(1)
            code = client.answer()[0]
        except ConnectionError:
            code = None
    assert code in (None, 400, 413)
    pair.fence()
    assert pair.router.of(drain) == []


def test_a_chunk_head_without_end_costs_no_time(site):
    s = site()
    program = s.ingest()
    with s.raw() as client:
        client.send(head(Transfer_Encoding="chunked") + b"5;" + b"x" * 100000)
        assert s.post(GOOD) == 204
        began, used = time.monotonic(), program.cpu_seconds()
        time.sleep(0.5)
        share = (program.cpu_seconds() - used) / (time.monotonic() - began)
        assert s.post(GOOD) == 204
        assert client.is_closed()
    assert share < 0.4


def test_a_client_that_goes_away_counts_for_nothing(pair):
    drain = pair.name()
    request = whole(h12(8), drain=drain)
    body = h12(8)
    for broken in (request[:-1], request[:-len(h12())], head(drain=drain, Content_Length=10000),
                   head(drain=drain, Transfer_Encoding="chunked") + chunked(body, 100)[:-5],
                   head(drain=drain, Transfer_Encoding="chunked") + chunked(body, 100)[:-7]):
        with pair.site.raw() as client:
            client.send(broken)
    pair.fence()
    assert pair.router.of(drain) == []


def test_clients_that_went_away_are_let_go(site):
    """Whatever they had sent: also where the end of the stream came with the last bytes."""
    s = site()
    program = s.ingest(**inspectable(s.folder))
    begun = [head(), head()[:-2], head(Content_Length=1000), head(Content_Length=1000) + b"x" * 500,
             head(Transfer_Encoding="chunked") + chunked(h12(8), 100)[:-5], whole(GOOD), b"", b"G"]
    before = program.sockets()
    clients = [s.raw() for _ in range(300)]
    for client, request in zip(clients, begun * 300):
        client.send(request)
        client.close()
    wait_for(lambda: program.sockets() <= before, "the connections to be gone", 10)
    assert s.post(GOOD) == 204
    began = time.monotonic()
    assert program.stop() == 0
    assert time.monotonic() - began < AT_ONCE_S


def test_a_client_that_has_said_all_still_gets_its_answer(pair):
    for request in (whole(h12()), whole(GOOD),
                    head(Transfer_Encoding="chunked") + chunked(GOOD, 9)):
        with pair.site.raw() as client:
            client.send(request).socket.shutdown(1)
            assert client.answer()[0] == 204
