"""The short forms of outages.py."""

from outages import Away, Failover
from postgres import Cluster

AWAY_S = 20


def test_a_failover_to_a_replica_in_step_loses_and_doubles_nothing(tmp_path):
    with Cluster() as cluster:
        result = Failover(tmp_path, cluster).run()
    assert result["failovers"] == 1 and result["lost_with_a_disk"] == 0, result


def test_commits_that_a_failover_loses_are_made_good(tmp_path):
    with Cluster() as cluster:
        result = Failover(tmp_path, cluster, loses=True).run()
    assert result["failovers"] == 1 and result["lost_with_a_disk"] == 0, result


def test_no_delivery_is_refused_while_the_database_is_away_for_long(tmp_path):
    with Cluster() as cluster:
        result = Away(tmp_path, cluster, seconds=AWAY_S).run()
    assert result["kept_on_disk"] > 20 * AWAY_S and result["lost_with_a_disk"] == 0, result
