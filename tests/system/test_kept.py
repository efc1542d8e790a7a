"""With a database an answer waits for it, for a quarter of a second at most, and tells who has the
delivery. No alerter runs: the records stay in the database's inbox."""

import concurrent.futures
import shutil
import signal
import threading
import time

import pytest

from alerting import SANITIZED, rule
from drainwatch import DRAIN, OK_LINE, PATH, frame, h12, token, wait_for, whole

HOLD_S = 0.25
SLACK_S = 2.0 if SANITIZED else 0.2  # a busy machine's
CALM = frame(OK_LINE)


class Ingest:
    def __init__(self, site, database, **settings):
        self.site = site(**database.settings, **settings)
        self.database = database
        self.program = self.site.ingest()
        self.n = 0
        wait_for(lambda: self.post()[0] == "database", "a delivery in the database")

    def post(self, body=None, connection=None, drain=DRAIN):
        """Where an accepted delivery is kept, and how long its answer took, in seconds."""
        self.n += body is None
        begin = time.monotonic()
        status, headers, _ = self.site.request(
            "POST", f"{PATH}?drain_token={token(drain)}", body or h12(),
            {"Logplex-Drain-Token": drain}, connection=connection)
        assert status == 204
        return headers.get("Drainwatch-Kept"), time.monotonic() - begin

    def post_many(self, n):
        """At once."""
        connections = [self.site.connect() for _ in range(n)]
        for connection in connections:
            connection.connect()
        with concurrent.futures.ThreadPoolExecutor(n) as pool:
            return list(pool.map(lambda c: self.post(connection=c), connections))

    def stored(self):
        """How many records the database has."""
        return int(self.database.sql("SELECT coalesce(sum(last - first + 1), 0) FROM inbox")[0][0])

    def wait_stored(self):
        wait_for(lambda: self.stored() == self.n, lambda: f"{self.n} records, not {self.stored()}")


@pytest.fixture
def ingest(site, database):
    return Ingest(site, database)


def test_without_a_database_no_answer_tells_where_a_delivery_is(site, router):
    s = site()
    router(s).start()
    s.ingest()
    _, headers, _ = s.request("POST", f"{PATH}?drain_token={token(DRAIN)}", h12(),
                              {"Logplex-Drain-Token": DRAIN})
    assert "Drainwatch-Kept" not in headers


def test_an_answer_comes_once_the_database_has_the_delivery(ingest):
    for _ in range(5):
        kept, _ = ingest.post()
        assert kept == "database"
        assert ingest.stored() == ingest.n


def test_a_delivery_without_a_match_waits_for_nothing(ingest):
    ingest.database.proxy.stall()
    kept, took_s = ingest.post(CALM)
    assert kept == "database" and took_s < SLACK_S
    assert ingest.post()[0] == "disk"
    kept, took_s = ingest.post(CALM)
    assert kept == "database" and took_s < SLACK_S


def test_only_the_first_delivery_waits_for_a_database_that_stalls(ingest):
    ingest.database.proxy.stall()
    kept, took_s = ingest.post()
    assert kept == "disk" and HOLD_S * 0.9 < took_s < HOLD_S + SLACK_S
    for _ in range(5):
        kept, took_s = ingest.post()
        assert kept == "disk" and took_s < SLACK_S
    ingest.database.proxy.go_on()
    wait_for(lambda: ingest.post()[0] == "database", "the database to be in time again")
    ingest.wait_stored()


def test_no_delivery_waits_for_a_database_that_is_away(ingest):
    ingest.database.proxy.refuse()
    ingest.database.proxy.cut()
    wait_for(lambda: ingest.post()[0] == "disk", "the end of the connection")
    kept, took_s = ingest.post()
    assert kept == "disk" and took_s < SLACK_S
    ingest.database.proxy.go_on()
    wait_for(lambda: ingest.post()[0] == "database", "the database to be back")
    ingest.wait_stored()


RULES = ("app: shop\nslack: {channel: C0123456789}\nrules:\n" + rule("h12", "code=H12")
         + rule("flood", "flood", group_by="process"))


def test_the_last_quarter_of_the_inbox_is_for_the_quick_lane(site, database):
    ingest = Ingest(site, database, rules=RULES, DRAINWATCH_SPOOL_MAX_BYTES="8 MiB")
    database.sql("ALTER TABLE inbox ALTER body SET STORAGE EXTERNAL")
    database.sql("INSERT INTO ingests (sender, name, build, goodbye, seen, waiting)"
                 " VALUES ('\\x00', 'another', '', false, now(), 7)")
    database.sql("INSERT INTO inbox (sender, last, first, oldest, body) SELECT '\\x00', n, n, n,"
                 " decode(repeat('00', 1 << 20), 'hex') FROM generate_series(1, 7) n")
    lines = (frame("flood " + "x" * 900, source="app", process=f"web.{n}") for n in range(1500))
    ingest.post(b"".join(lines), drain="d.flood")  # too large for the quick lane
    wait_for(lambda: database.sql("SELECT count(*) FROM ingests")[0][0] == "3", "the other lane")
    assert ingest.post(frame("flood"), drain="d.flood")[0] == "disk"
    assert ingest.post()[0] == "database"
    database.sql("DELETE FROM inbox WHERE sender = '\\x00'")
    wait_for(lambda: ingest.stored() > ingest.n, "the records of the other lane")


def test_a_start_without_the_database(site, database):
    database.proxy.refuse()
    s = site(**database.settings)
    s.ingest()
    status, headers, _ = s.request("POST", f"{PATH}?drain_token={token(DRAIN)}", h12(),
                                   {"Logplex-Drain-Token": DRAIN})
    assert (status, headers["Drainwatch-Kept"]) == (204, "disk")
    database.proxy.go_on()
    wait_for(lambda: database.sql("SELECT to_regclass('inbox')")[0][0]
             and database.sql("SELECT count(*) FROM inbox")[0][0] == "1", "the record in the database")


def test_deliveries_that_wait_cost_no_processor_time(site, database):
    """Each answer waits for two trips through the proxy."""
    database.proxy.delay_s = 0.08
    ingest = Ingest(site, database)
    before = ingest.program.cpu_seconds()
    for _ in range(10):
        kept, took_s = ingest.post()
        assert kept == "database" and took_s > 0.15
    assert ingest.program.cpu_seconds() - before < (2.0 if SANITIZED else 0.3)


def test_a_hundred_deliveries_wait_at_once(ingest):
    kept = [kept for kept, _ in ingest.post_many(100)]
    assert kept == ["database"] * 100
    ingest.database.proxy.stall()
    before = ingest.program.cpu_seconds()
    assert [kept for kept, _ in ingest.post_many(100)] == ["disk"] * 100
    assert ingest.program.cpu_seconds() - before < (2.0 if SANITIZED else 0.3)
    ingest.database.proxy.go_on()
    ingest.wait_stored()


def test_a_client_that_hangs_up_while_its_answer_waits(ingest):
    ingest.database.proxy.stall()
    for n in range(20):
        with ingest.site.raw() as client:
            client.send(whole(h12()))
            ingest.n += 1
            time.sleep(0.02 if n < 10 else 0.001)
    ingest.database.proxy.go_on()
    wait_for(lambda: ingest.post()[0] == "database", "the database to be in time again")
    assert ingest.program.stop() == 0
    assert 0 <= ingest.n - ingest.stored() <= 10  # the last ones may have left before they were read


def test_a_stop_answers_the_deliveries_that_wait(ingest):
    ingest.database.proxy.stall()
    answers = []
    clients = [ingest.site.raw() for _ in range(10)]
    for client in clients:
        client.send(whole(h12()))
    time.sleep(HOLD_S / 3)
    ingest.program.signal(signal.SIGTERM)
    for client in clients:
        answers.append(client.answer())
        assert client.is_closed()
        client.close()
    assert {(status, headers["drainwatch-kept"], headers["connection"])
            for status, headers, _ in answers} == {(204, "disk", "close")}
    ingest.n += len(clients)
    ingest.database.proxy.go_on()
    assert ingest.program.wait() == 0
    assert ingest.stored() == ingest.n


def test_a_lost_disk_takes_no_delivery_along_that_the_database_had(ingest):
    counts = {"database": 1, "disk": 0}
    lock = threading.Lock()
    stopping = threading.Event()

    def client():
        with ingest.site.raw() as raw:
            while not stopping.is_set():
                try:
                    _, headers, _ = raw.send(whole(h12())).answer()
                except OSError:
                    return
                with lock:
                    counts[headers["drainwatch-kept"]] += 1

    clients = [threading.Thread(target=client) for _ in range(8)]
    for one in clients:
        one.start()
    wait_for(lambda: counts["database"] > 100, "deliveries")
    ingest.program.kill()
    stopping.set()
    for one in clients:
        one.join()
    shutil.rmtree(ingest.site.folder / "state")
    assert ingest.stored() >= counts["database"]


def test_healthz_and_the_log_tell_that_the_journal_alone_has_the_records(ingest):
    ingest.database.proxy.stall()
    ingest.post(), ingest.post(), ingest.post()
    text = "3 records are in the local journal alone, because the database has been late or away"
    wait_for(lambda: ingest.site.health()[1].startswith(text), "the reason in /healthz")
    assert ingest.site.health()[0] == 503
    assert ingest.program.wait_said(text)
    ingest.database.proxy.go_on()
    ingest.program.wait_said("the database has the records of all deliveries again")
    assert len(ingest.program.said(text)) == 1


def test_healthz_stays_green_while_the_database_takes_records_late(ingest):
    """As in a flood: each record waits, and none for long."""
    ingest.database.proxy.delay_s = 0.7
    end = time.monotonic() + 8
    while time.monotonic() < end:
        kept, _ = ingest.post()
        assert ingest.site.health() == (200, "ok")
    assert kept == "disk"
    assert not ingest.program.said("in the local journal alone")
    ingest.wait_stored()
