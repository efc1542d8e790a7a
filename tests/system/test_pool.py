"""Through PgBouncer in transaction mode, with two sessions for all programs."""

import itertools
import json
import os
import threading
import time

import pytest

import pgbouncer
from alerting import SHIPPED
from drainwatch import ALERTER, DRAIN, PATH, h12, token, wait_for

POOLED = "a connection pool lies before the database"
numbers = itertools.count()


class Pooled:
    """An ingest, an active alerter and a standby behind the pool."""

    def __init__(self, site, slack, cluster, pool):
        self.pool = pool
        self.cluster = cluster
        self.schema = f"pool_{os.getpid()}_{next(numbers)}"
        self.slack = slack
        self.site = site(rules=SHIPPED, DRAINWATCH_DATABASE_URL=pool.url(),
                         DRAINWATCH_SCHEMA=self.schema, SLACK_API_URL=slack.url,
                         SLACK_BOT_TOKEN=slack.token)
        self.active = self.site.alerter()
        self.standby = self.stand_by("second")
        self.ingest = self.site.ingest()
        self.site.wait_healthy()

    def stand_by(self, name):
        alerter = self.site.alerter(ready=False, DRAINWATCH_STATE_DIR=self.site.folder / name)
        alerter.wait_said("standing by: ")
        return alerter

    def post(self):
        status, headers, _ = self.site.request(
            "POST", f"{PATH}?drain_token={token(DRAIN)}", h12(), {"Logplex-Drain-Token": DRAIN})
        assert status == 204
        return headers["Drainwatch-Kept"]

    def status(self):
        result = self.site.run(ALERTER, "status", "--format", "json")
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    def counted(self):
        return self.status()["counts"]["matches"]

    def wait_counted(self, n):
        wait_for(lambda: self.counted() == n, lambda: f"{n} matches, not {self.counted()}", timeout=60)


@pytest.fixture
def pool(cluster):
    if not pgbouncer.is_there():
        pytest.skip("PgBouncer is not installed")
    with pgbouncer.Bouncer(cluster) as one:
        yield one


@pytest.fixture
def pooled(site, slack, cluster, pool):
    return Pooled(site, slack, cluster, pool)


def test_a_storm_alerts_and_each_program_tells_of_the_pool_once(pooled):
    assert [pooled.post() for _ in range(20)] == ["database"] * 20
    pooled.wait_counted(20)
    wait_for(lambda: pooled.slack.delivered, "a message")
    for program in (pooled.ingest, pooled.active, pooled.standby):
        assert len(program.said(POOLED)) == 1
    assert len(pooled.slack.delivered) == 1


def test_a_killed_alerter_is_replaced_once_it_is_silent(pooled):
    for _ in range(4):
        pooled.post()
    wait_for(lambda: pooled.slack.delivered, "a message")
    pooled.active.kill()
    since = time.monotonic()
    pooled.standby.wait_said("which was gone or silent", timeout=30)
    assert time.monotonic() - since > 3
    assert pooled.post() == "database"
    pooled.wait_counted(5)
    assert len(pooled.slack.delivered) == 1


def test_a_take_over_is_no_trouble_for_the_others(pooled):
    third = pooled.stand_by("third")
    pooled.post()
    assert pooled.active.stop() == 0
    pooled.post()
    pooled.wait_counted(2)
    wait_for(lambda: [one["behind"] for one in pooled.status()["alerter"]["instances"]] == [0, 0],
             "both to have read all")
    for alerter in pooled.standby, third:
        assert not alerter.said("the database cannot be used")


def test_restarts_of_the_pool_lose_and_double_nothing(pooled):
    stopping, posted = threading.Event(), []

    def deliver():
        while not stopping.is_set():
            posted.append(pooled.post())
            time.sleep(0.01)

    client = threading.Thread(target=deliver)
    client.start()
    for _ in range(4):
        time.sleep(0.5)
        pooled.pool.kill()
        time.sleep(0.2)
        pooled.pool.start()
    wait_for(lambda: posted[-1] == "database", "the database to be back")
    stopping.set()
    client.join()
    pooled.wait_counted(len(posted))
    assert "disk" in posted


def test_the_sessions_of_the_pool_may_end_at_any_time(pooled):
    posted = 0
    for _ in range(10):
        pooled.cluster.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                           " WHERE application_name LIKE 'drainwatch-%'")
        for _ in range(5):
            pooled.post()
            posted += 1
            time.sleep(0.05)
    pooled.wait_counted(posted)
    assert not pooled.standby.said("active since")


def test_a_session_pool_works_as_well(site, slack, cluster):
    if not pgbouncer.is_there():
        pytest.skip("PgBouncer is not installed")
    with pgbouncer.Bouncer(cluster, mode="session", size=10) as pool:
        pooled = Pooled(site, slack, cluster, pool)
        assert {pooled.post() for _ in range(10)} == {"database"}
        pooled.wait_counted(10)
