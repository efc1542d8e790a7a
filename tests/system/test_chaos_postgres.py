"""The short form of chaos_postgres.py."""

import pytest

import pgbouncer
from chaos_postgres import PostgresChaos
from postgres import Cluster


def test_kills_freezes_and_cuts_lose_and_double_nothing(tmp_path):
    with Cluster(fsync=True) as cluster:
        result = PostgresChaos(tmp_path, cluster, seconds=25).run()
    assert result["kept_in_database"] > 500 and result["take_overs"] > 1, result


@pytest.mark.skipif(not pgbouncer.is_there(), reason="PgBouncer is not installed")
def test_the_same_through_a_connection_pool(tmp_path):
    with Cluster(fsync=True) as cluster, pgbouncer.Bouncer(cluster, size=4) as pool:
        result = PostgresChaos(tmp_path, cluster, seconds=10, pool=pool).run()
    assert result["kept_in_database"] > 50, result
