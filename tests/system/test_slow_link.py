"""Links over which nothing large gets through within the deadline of a statement."""

import pytest

from drainwatch import ALERTER, wait_for
from proxy import Proxy
from sizes import Crowd


@pytest.fixture
def slow_link(cluster):
    """The URL of the database behind a slow link."""
    with Proxy(("127.0.0.1", cluster.port)) as proxy:
        yield proxy, cluster.url(port=proxy.port)


def wait_for_position(database, column, n):
    """Until all of `n` records are there."""
    def last():
        return database.sql(f"SELECT max({column[1]} & ((1::bigint<<40)-1)) FROM {column[0]}")
    wait_for(lambda: last() == [[str(n)]], lambda: f"{n} records, not {last()}", timeout=60)


WAITING = ("inbox", "last")
TAKEN = ("senders", "taken")


def test_an_alerter_takes_a_backlog_and_a_command_reads_the_history(site, database, slow_link):
    proxy, url = slow_link
    s = site(**database.settings)
    s.alerter().stop()  # makes the tables
    s.ingest()
    Crowd(s.port).post(1800)  # 540 KB
    wait_for_position(database, WAITING, 1800)
    proxy.rate = 80_000
    s.alerter(DRAINWATCH_DATABASE_URL=url)
    wait_for_position(database, TAKEN, 1800)
    export = s.run(ALERTER, "export", timeout=60, DRAINWATCH_DATABASE_URL=url)
    assert export.returncode == 0, export.stderr
    assert export.stdout.count(b"\n") >= 1800


def test_an_ingest_hands_over_a_backlog(site, database, slow_link):
    proxy, url = slow_link
    proxy.rate = 35_000
    s = site(**database.settings)
    s.alerter()
    s.ingest(DRAINWATCH_DATABASE_URL=url)
    Crowd(s.port).post(1000)  # 300 KB
    wait_for_position(database, TAKEN, 1000)
