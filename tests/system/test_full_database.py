"""A database without room: history goes first, and records stay in ingest's journal until they fit."""

import os

import pytest

from counting import SmallDisk
from drainwatch import h12, wait_for, worker_timeout
from postgres import USER, Cluster
from sizes import Crowd

FILLED = 6000  # records
MORE = 4000


class Site:
    """A site on a database; its records are counted by the database."""

    def __init__(self, site, sql, **settings):
        self.site = site(**settings)
        self.sql = sql
        self.alerter = self.site.alerter()
        self.ingest = self.site.ingest()
        self.site.wait_healthy()
        self.n = 0

    def post(self, n):
        Crowd(self.site.port).post(n)
        self.n += n

    def wait_taken(self):
        query = "SELECT sum(taken & ((1::bigint<<40)-1)) FROM senders"
        wait_for(lambda: self.sql(query) == [[str(self.n)]], lambda: f"{self.n}, not {self.sql(query)}")


@pytest.fixture
def full_disk():
    """A cluster with a database that lies on a small disk of its own."""
    with Cluster() as cluster:
        disk = SmallDisk(cluster.folder / "disk", "40m")
        if not disk.mounted:
            pytest.skip("only root can mount a small disk here")
        folder = disk.folder / "tables"
        folder.mkdir()
        os.chown(folder, cluster.as_user["user"], cluster.as_user["group"])
        cluster.sql(f"CREATE TABLESPACE small LOCATION '{folder}'")
        cluster.sql(f"CREATE DATABASE small OWNER {USER} TABLESPACE small")
        yield cluster, disk
        cluster.stop()
        disk.close()


def small_site(site, cluster):
    s = Site(site, lambda text: cluster.sql(f"SET search_path = own; {text}", "small"),
             DRAINWATCH_DATABASE_URL=cluster.url(database="small"), DRAINWATCH_SCHEMA="own",
             DRAINWATCH_HISTORY_MAX_BYTES="4MiB")
    s.post(FILLED)
    s.wait_taken()
    return s


def test_both_go_on_in_the_room_of_old_rows_on_a_full_disk(site, full_disk):
    cluster, disk = full_disk
    s = small_site(site, cluster)
    cluster.sql("VACUUM", "small")  # as autovacuum does in its time
    disk.fill()
    s.post(MORE)
    s.alerter.wait_said("the disk is full")
    s.alerter.wait_said("records are taken again")
    assert s.site.post(worker_timeout(3)) == 204
    s.n += 1
    s.alerter.wait_said("alert: Gunicorn")
    disk.free()
    s.wait_taken()
    s.site.wait_healthy()


def test_a_disk_without_room_for_a_page_loses_nothing(site, full_disk):
    """Not even TRUNCATE works then; docs/operations.md says what to do."""
    cluster, disk = full_disk
    s = small_site(site, cluster)
    disk.fill()
    s.post(MORE)
    wait_for(lambda: "has no room" in s.site.health()[1], lambda: f"the reason, not {s.site.health()}")
    with pytest.raises(RuntimeError, match="No space left on device"):
        s.sql("TRUNCATE stream, part")
    disk.free()
    s.wait_taken()
    s.site.wait_healthy()


def test_a_plan_that_was_outgrown_is_told_and_survived(site, database):
    """As Heroku does it: reading, DELETE and TRUNCATE are left. The operator chooses to give the
    history away, as docs/operations.md has it."""
    s = Site(site, database.sql, **database.settings)
    s.post(300)
    s.wait_taken()
    database.sql(f"REVOKE INSERT, UPDATE ON ALL TABLES IN SCHEMA {database.name} FROM {USER}")
    assert s.site.post(h12(5), drain="d.other") == 204
    s.n += 1
    for program in (s.alerter, s.ingest):
        program.wait_said("the database has outgrown its plan")
    wait_for(lambda: "the database refuses this program" in s.site.health()[1], "the reason in /healthz")
    database.sql("TRUNCATE stream, part")
    database.sql(f"GRANT INSERT, UPDATE ON ALL TABLES IN SCHEMA {database.name} TO {USER}")
    s.alerter.wait_said("history was deleted from the database")
    s.wait_taken()
    s.site.wait_healthy()
    s.alerter.kill()
    s.alerter = s.site.alerter()
    assert s.site.post(worker_timeout(3)) == 204
    s.n += 1
    s.alerter.wait_said("alert: Gunicorn")
    s.wait_taken()
