"""An ingest that stops while it cannot reach the database hands its records to the next ingest of
the same app, at the app's own address."""

import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import shutil
import signal
import threading
import time

import pytest

from alerting import SHIPPED
from drainwatch import (ALERTER, DRAIN, PATH, SECRET, RawClient, free_port, h12, head, token,
                        wait_for, whole)
from proxy import Proxy
from router import load_messages

HANDOVER = "/api/internal/handover"
STOP_S = 25  # that an ingest may take to stop
OTHER = "another-secret-of-more-than-32-characters"


def credentials(secret=SECRET, name="handover", text=b"drainwatch\0handover"):
    mac = hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()
    return "Basic " + base64.b64encode(f"{name}:{mac}".encode()).decode()


def sign(body, secret=SECRET, begin=b"drainwatch\0push\0"):
    return hmac.new(secret.encode(), begin + body, hashlib.sha256).hexdigest()


class App:
    """The old ingest reaches the database through a proxy; the next one, and the alerter, directly.
    The app's address is `door`, which leads to the next one once that is there."""

    def __init__(self, site, database, **settings):
        self.database = database
        self.make_site = site
        self.direct = {**database.settings, "DRAINWATCH_DATABASE_URL": database.cluster.url()}
        self.port = free_port()
        self.door = Proxy(("127.0.0.1", self.port))
        self.address = f"http://127.0.0.1:{self.door.port}"
        self.old = site("old", rules=SHIPPED, **database.settings,
                        DRAINWATCH_PUBLIC_URL=self.address, **settings)
        self.ingest = self.old.ingest()
        self.n = self.deliveries = 0
        wait_for(lambda: self.post() == "database", "a delivery in the database")

    def close(self):
        self.door.close()

    def post(self, n=1):
        """Where the delivery is kept."""
        status, headers, _ = self.old.request(
            "POST", f"{PATH}?drain_token={token(DRAIN)}", h12(n), {"Logplex-Drain-Token": DRAIN})
        assert status == 204
        self.n += n
        self.deliveries += 1
        return headers["Drainwatch-Kept"]

    def post_to_disk(self, n):
        """With the database stalled, which may have got the first one all the same."""
        self.database.proxy.stall()
        for _ in range(n):
            assert self.post() == "disk"

    def handed(self):
        """How the old ingest tells of what the database lacks, each delivery being one record."""
        left = self.deliveries - self.stored("coalesce(sum(last - first + 1), 0)")
        return f"{left} {'record was' if left == 1 else 'records were'} handed to the next ingest"

    def start_next(self, **settings):
        next_one = self.make_site("next", rules=SHIPPED, **{**self.direct, "PORT": self.port,
                                                            **settings})
        return next_one, next_one.ingest()

    def counted(self):
        result = self.old.run(ALERTER, "status", "--format", "json",
                              DRAINWATCH_DATABASE_URL=self.database.cluster.url())
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)["counts"]["matches"]

    def wait_counted(self):
        """By an alerter, after the old ingest's disk is gone. Each record counts once."""
        shutil.rmtree(self.old.folder / "state")
        reader = self.make_site("reader", rules=SHIPPED, **self.direct)
        alerter = reader.alerter()
        wait_for(lambda: self.counted() >= self.n, lambda: f"{self.n} matches, not {self.counted()}")
        assert alerter.stop() == 0
        assert self.counted() == self.n

    def stop_old(self):
        handed = self.handed()
        self.ingest.signal(signal.SIGTERM)
        return handed

    def wait_handed(self, handed):
        """Until the old ingest has ended, and said so. Each record counts once."""
        assert self.ingest.wait() == 0
        assert self.ingest.said(handed)
        self.wait_counted()

    def stored(self, what="count(*)"):
        return int(self.database.sql(f"SELECT {what} FROM inbox")[0][0])


@pytest.fixture
def app(site, database):
    with contextlib.closing(App(site, database)) as one:
        yield one


def no_secret(*programs):
    for program in programs:
        for text in (SECRET, credentials(), credentials().split()[1],
                     base64.b64decode(credentials().split()[1]).decode().split(":")[1]):
            assert not program.said(text) and not program.said(text.upper())


# ---- the stopping ingest -------------------------------------------------------------------------

def test_the_next_ingest_takes_what_the_database_did_not(app):
    app.post_to_disk(5)
    _, next_one = app.start_next()
    handed = app.stop_old()
    assert app.ingest.wait() == 0
    assert app.ingest.said(handed + ", none is left here")
    assert next_one.said("of an ingest that stops into the database")
    assert app.database.sql("SELECT count(*) FROM ingests WHERE goodbye") == [["1"]]
    no_secret(app.ingest, next_one)
    app.wait_counted()


def test_many_records_of_both_lanes(site, database):
    with contextlib.closing(App(site, database, DRAINWATCH_SPOOL_MAX_BYTES="4 MiB")) as app:
        app.post_to_disk(1)
        for _ in range(20):
            app.post(1000)
        assert (app.old.folder / "state" / "ingest-bulk.db").exists()
        app.start_next()
        app.wait_handed(app.stop_old())


def test_a_next_ingest_that_comes_later(app):
    app.post_to_disk(3)
    handed = app.stop_old()
    app.ingest.wait_said("the next ingest does not take the records yet")
    app.start_next()
    app.wait_handed(handed + ", none is left here")


def test_an_answer_that_is_lost(app):
    app.post_to_disk(3)
    _, next_one = app.start_next()
    before = app.stored()
    app.door.stall("down")
    handed = app.stop_old()
    app.ingest.wait_said("handing the records to the next ingest")
    next_one.wait_said("listening")
    time.sleep(0.5)
    app.door.cut()
    app.door.go_on()
    wait_for(lambda: app.stored() > before, "the push in the database")
    app.wait_handed(handed)


def test_the_answer_to_records_is_lost(app):
    """The first answer passes; the one to the records, which are committed, does not."""
    app.post_to_disk(3)
    _, next_one = app.start_next()
    with Lossy(app.port) as lossy:
        app.door.redirect(("127.0.0.1", lossy.port))
        handed = app.stop_old()
        assert app.ingest.wait() == 0
        assert lossy.lost == 1
    app.wait_handed(handed)


class Lossy:
    """Passes requests on, and loses the first 204; with `before_second` it loses none, but calls
    that first."""

    def __init__(self, port, before_second=None):
        lossy = self
        self.lost = 0 if before_second is None else 1
        self.n = 0

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                lossy.n += 1
                if lossy.n == 2 and before_second is not None:
                    before_second()
                client = RawClient(port)
                client.send(head(path=HANDOVER, drain=None, Content_Length=len(body),
                                 Authorization=self.headers["Authorization"],
                                 Drainwatch_Have=self.headers["Drainwatch-Have"],
                                 Drainwatch_Signature=self.headers["Drainwatch-Signature"]) + body)
                status, _, text = client.answer()
                client.close()
                if status == 204 and not lossy.lost:
                    lossy.lost = 1
                    self.close_connection = True
                    return
                self.send_response(status)
                if status != 204:
                    self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def test_acked_records_that_a_failover_loses_after_the_question(app):
    for _ in range(5):
        assert app.post() == "database"
    app.post_to_disk(3)
    app.start_next()

    def fail_over():
        app.database.sql("DELETE FROM inbox")
    with Lossy(app.port, fail_over) as lossy:
        app.door.redirect(("127.0.0.1", lossy.port))
        app.stop_old()
        assert app.ingest.wait() == 0
    assert app.ingest.said("none is left here")
    app.wait_counted()


def test_the_next_ingest_dies_in_the_middle(app):
    app.post_to_disk(3)
    site, next_one = app.start_next()
    app.door.stall("down")
    handed = app.stop_old()
    app.ingest.wait_said("handing the records to the next ingest")
    wait_for(lambda: app.door.accepted, "a try")
    next_one.kill()
    app.door.go_on()
    app.ingest.wait_said("the next ingest does not take the records yet")
    site.ingest()
    app.wait_handed(handed)


def test_the_database_comes_back_first(app):
    app.post_to_disk(3)
    app.stop_old()
    app.ingest.wait_said("the next ingest does not take the records yet")
    app.database.proxy.go_on()
    assert app.ingest.wait(STOP_S) == 0
    assert not app.ingest.said("were handed to")
    app.wait_counted()


def test_nobody_is_there(app):
    app.post_to_disk(3)
    begin = time.monotonic()
    app.stop_old()
    assert app.ingest.wait(STOP_S + 5) == 0
    assert STOP_S - 1 < time.monotonic() - begin < STOP_S + 2
    assert app.ingest.said("3 records were not handed over: kept in the journal for the next start")
    assert app.ingest.said("the database did not say whether it still has them")
    no_secret(app.ingest)


def test_a_database_that_is_well_needs_no_sibling(app):
    app.stop_old()
    assert app.ingest.wait(5) == 0
    assert not app.ingest.said("next ingest") and app.door.accepted == 0


def test_acked_records_that_a_failover_lost(app):
    """The old ingest cannot know that the new database lacks them."""
    for _ in range(4):
        assert app.post() == "database"
    app.database.proxy.refuse()
    app.database.proxy.cut()
    wait_for(lambda: app.post() == "disk", "the end of the connection")
    app.database.sql("DELETE FROM inbox")
    app.start_next()
    app.stop_old()
    assert app.ingest.wait() == 0
    assert app.ingest.said("of the database lost") or app.ingest.said("none is left here")
    app.wait_counted()


@pytest.mark.parametrize("end", ["cut", "silent"])
def test_a_failover_just_before_the_stop(app, end):
    """The old ingest has had no chance to learn of it."""
    for _ in range(4):
        assert app.post() == "database"
    app.start_next()
    if end == "silent":
        app.database.proxy.stall()
    else:
        app.database.proxy.refuse()
    app.database.sql("DELETE FROM inbox")
    if end == "cut":
        app.database.proxy.cut()
    app.wait_handed(app.stop_old() + ", none is left here")


def test_an_ingest_that_stops_takes_nothing(app):
    """Two that stop at once, each at the other's address, do not hand records in a circle."""
    client = app.old.raw()
    assert client.send(whole(h12())).answer()[0] == 204
    app.post_to_disk(1)
    app.door.redirect(("127.0.0.1", app.old.port))
    app.stop_old()
    app.ingest.wait_said("stopping")
    with pytest.raises(ConnectionRefusedError):
        app.old.raw()
    client.send(head(path=HANDOVER, drain=None, Authorization=credentials(), Content_Length=0))
    status, headers, _ = client.answer()
    assert (status, headers["retry-after"]) == (503, "1")
    client.close()
    app.database.proxy.go_on()
    assert app.ingest.wait(STOP_S) == 0


# ---- the next ingest -----------------------------------------------------------------------------

@pytest.fixture
def next_one(site, database):
    one = site(**{**database.settings})
    one.program = one.ingest()
    return one


def hand(site, body=b"", **headers):
    return site.request("POST", HANDOVER, body, {"Authorization": credentials(),
                                                 "Drainwatch-Signature": sign(body), **headers})


def test_questions_and_pushes(next_one, database, tmp_path):
    pb, sender = load_messages(tmp_path), b"s" * 16

    def push(**fields):
        return hand(next_one, pb.Push(version=1, sender=sender, oldest=1, **fields)
                    .SerializeToString())
    assert push()[::2] == (200, b"0\n")
    records = [pb.Record(version=1, sender=sender, sequence=n, drain=DRAIN).SerializeToString()
               for n in (1, 2)]
    for _ in range(2):  # again, as after a lost answer
        assert push(first=1, records=records)[0] == 204
        assert push()[::2] == (200, b"2\n")
    assert database.sql("SELECT first, last FROM inbox") == [["1", "2"]]
    assert hand(next_one, pb.Push(version=1, sender=sender, oldest=1, first=3, records=records)
                .SerializeToString(), **{"Drainwatch-Have": "3"})[0] == 503
    assert database.sql("SELECT first, last FROM inbox") == [["1", "2"]]
    assert push(goodbye=True)[0] == 204
    assert database.sql("SELECT count(*) FROM ingests WHERE goodbye") == [["1"]]
    assert push(first=0, records=records)[0] == 400
    assert push(first=(1 << 64) - 1, records=records)[0] == 400
    database.proxy.refuse()
    database.proxy.cut()
    status, headers, _ = push(first=1, records=records)
    assert (status, headers["Retry-After"]) == (503, "1")


def test_who_may_hand_over(next_one):
    def status(authorization):
        return next_one.request("POST", HANDOVER, b"x",
                                {"Drainwatch-Signature": sign(b"x"),
                                 **({"Authorization": authorization} if authorization else {})})[0]
    assert status(None) == 401
    assert status(credentials(OTHER)) == 401
    assert status(credentials(text=b"handover")) == 401  # of a drain of that name
    assert status(credentials(name=DRAIN, text=DRAIN.encode())) == 401
    assert status(credentials(name="console")) == 401
    assert status(credentials()) == 400
    next_one.program.wait_said("401: ")
    next_one.program.wait_said("400: ")
    no_secret(next_one.program)


def test_the_credentials_alone_write_nothing(next_one, database, tmp_path):
    """Somebody has them who was sent a handover, by a wrong DRAINWATCH_PUBLIC_URL."""
    pb, sender = load_messages(tmp_path), b"s" * 16
    first = 1 << 62  # all later records of this sender would be taken for repeats

    def push(n):
        record = pb.Record(version=1, sender=sender, sequence=n, drain=DRAIN).SerializeToString()
        return pb.Push(version=1, sender=sender, oldest=n, first=n,
                       records=[record]).SerializeToString()
    for signature in (sign(push(1)), sign(push(first), OTHER), sign(push(first), begin=b""), "",
                      credentials()):
        assert hand(next_one, push(first), **{"Drainwatch-Signature": signature})[0] == 401
    assert next_one.request("POST", HANDOVER, push(first),
                            {"Authorization": credentials()})[0] == 401
    next_one.program.wait_said("this handover is not signed with the secret")
    assert hand(next_one, push(1))[0] == 204
    assert database.sql("SELECT first, last FROM inbox") == [["1", "1"]]


def test_credentials_of_a_handover_are_no_drains(next_one):
    assert next_one.request("POST", PATH, h12(), {"Authorization": credentials()})[0] == 401
    assert next_one.post_basic(h12(), name="handover") == 204  # with the token of its name


def test_what_is_refused(next_one):
    large = 2 << 20
    assert next_one.request("GET", HANDOVER)[0] == 405
    assert hand(next_one, b"x" * 100)[0] == 400
    assert hand(next_one, b"")[0] == 400
    assert hand(next_one, b"", **{"Content-Encoding": "gzip"})[0] == 415
    with next_one.raw() as client:
        client.send(head(path=HANDOVER, drain=None, Authorization=credentials(),
                         Content_Length=large + 1))
        assert client.answer()[0] == 413
    with next_one.raw() as client:
        client.send(head(path=HANDOVER, drain=None, Authorization=credentials(),
                         Transfer_Encoding="chunked"))
        client.send(b"%x\r\n%s\r\n0\r\n\r\n" % (large + 1, b"x" * (large + 1)))
        assert client.answer()[0] == 413
    assert next_one.post(h12()) == 204


def test_without_a_database_there_is_no_such_path(site, router, database):
    s = site()
    router(s).start()
    s.ingest()
    assert hand(s)[0] == 404
    assert s.request("GET", HANDOVER)[0] == 404


def test_an_ingest_with_a_queue_beside_the_database_takes_no_handover(site, database):
    s = site(**database.settings)
    s.ingest(DRAINWATCH_QUEUE=s.endpoint)
    assert hand(s)[0] == 404
