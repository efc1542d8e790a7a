"""What an operator reads if the database is wrong, away, or refuses the programs."""

import socketserver
import threading
import time

import pytest

from alerting import SHIPPED
from drainwatch import ALERTER, DRAIN, INGEST, PATH, h12, token, wait_for
from postgres import PASSWORD

USAGE = "GRANT USAGE ON SCHEMA"


@pytest.fixture
def web():
    """A port that speaks HTTP."""
    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.recv(1000)
            self.request.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def kept(site):
    """Where ingest kept a delivery."""
    status, headers, _ = site.request("POST", f"{PATH}?drain_token={token(DRAIN)}", h12(),
                                      {"Logplex-Drain-Token": DRAIN})
    assert status == 204
    return headers["Drainwatch-Kept"]


def test_a_port_without_postgresql_is_named(site, cluster, web):
    one = site(rules=SHIPPED, DRAINWATCH_DATABASE_URL=cluster.url(port=web))
    words = f"PostgreSQL on 127.0.0.1:{web}: no PostgreSQL answers there, but another program"
    alerter, ingest = one.alerter(ready=False), one.ingest()
    line, = alerter.wait_said(words)
    assert "the database cannot be used, so nothing is decided or posted" in line
    assert kept(one) == "disk"
    ingest.wait_said(words)
    status = one.run(ALERTER, "status")
    assert status.returncode == 1 and words in status.stderr.decode()
    assert alerter.stop() == 0


def test_check_tells_where_the_state_lies(site, cluster):
    settings = {"DRAINWATCH_DATABASE_URL": cluster.url(), "DRAINWATCH_SCHEMA": "night"}
    for program in (ALERTER, INGEST):
        said = site(rules=SHIPPED).run(program, "--check", **settings).stdout.decode()
        assert (f"state in PostgreSQL on 127.0.0.1:{cluster.port}, schema night (not connected for "
                "this check); ingest's journal in ") in said
        assert PASSWORD not in said and "drainwatch:hush" not in said


def test_a_restart_counts_only_the_records_that_wait(site, database):
    """Ingest keeps records for ten minutes after the database took them."""
    one = site(rules=SHIPPED, **database.settings)
    ingest = one.ingest()
    wait_for(lambda: kept(one) == "database", "a delivery in the database")
    for _ in range(20):
        kept(one)
    time.sleep(0.5)
    ingest.kill()
    database.proxy.refuse()
    ingest = one.ingest()
    assert kept(one) == "disk"
    ingest.wait_said("1 record is in the local journal alone")
    assert one.health()[1].startswith("1 record is in the local journal alone")
    assert ingest.stop() == 0
    assert ingest.said("1 record was not handed over")
    database.proxy.go_on()
    one.ingest().wait_said("listening")
    wait_for(lambda: database.sql("SELECT waiting FROM ingests") == [["0"]], "the count", timeout=3)


def test_the_present_reason_is_told_and_the_end_of_each_fault(site, database, web):
    one = site(rules=SHIPPED, **database.settings)
    alerter, ingest = one.alerter(), one.ingest()
    one.wait_healthy()
    database.sql("ALTER ROLE drainwatch NOLOGIN")
    database.proxy.cut()
    alerter.wait_said("cannot be used, so nothing is decided or posted: ")
    alerter.wait_said("the user may not log in", timeout=15)
    assert one.health()[1].endswith("the database refuses this program")
    ingest.wait_said("the database refuses this program: PostgreSQL on")
    database.sql("ALTER ROLE drainwatch LOGIN")
    alerter.wait_said("the database can be used again")
    ingest.wait_said("the database takes the records again")
    assert not ingest.said("the alerter answers again")


def test_a_missing_right_to_the_schema_is_named(site, database):
    one = site(rules=SHIPPED, **database.settings)
    one.alerter().stop()
    database.sql(f"ALTER SCHEMA {database.name} OWNER TO postgres")
    alerter = one.alerter(ready=False)
    assert alerter.wait() == 78
    assert alerter.said(f"{USAGE} {database.name}")
    status = one.run(ALERTER, "status")
    assert status.returncode == 1 and f"{USAGE} {database.name}" in status.stderr.decode()


def test_a_right_to_the_schema_that_is_revoked_costs_nothing(site, database, slack):
    one = site(rules=SHIPPED, **database.settings, SLACK_API_URL=slack.url,
               SLACK_BOT_TOKEN=slack.token)
    alerter, ingest = one.alerter(), one.ingest()
    one.wait_healthy()
    assert one.post(h12(3)) == 204
    database.sql(f"ALTER SCHEMA {database.name} OWNER TO postgres")
    line, = alerter.wait_said(f"{USAGE} {database.name}")
    assert "the database cannot be used, so nothing is decided or posted" in line
    assert kept(one) == "disk"
    ingest.wait_said(f"{USAGE} {database.name}")
    assert not ingest.said("are gone") and not alerter.said("are gone")
    wait_for(lambda: "the database refuses this program" in one.health()[1], "the reason")
    database.sql(f"ALTER SCHEMA {database.name} OWNER TO drainwatch")
    wait_for(lambda: slack.delivered, "the alert")
    assert ", 4 in 5 minutes" in slack.delivered[0].text
    assert not alerter.said("dropped the oldest history")
    assert not any(PASSWORD in line for program in one.programs for line in program.errors)
