"""The short form of chaos_postgres.py."""

from chaos_postgres import PostgresChaos
from postgres import Cluster


def test_kills_freezes_and_cuts_lose_and_double_nothing(tmp_path):
    with Cluster(fsync=True) as cluster:
        result = PostgresChaos(tmp_path, cluster, seconds=25).run()
    assert result["kept_in_database"] > 500 and result["take_overs"] > 1, result
