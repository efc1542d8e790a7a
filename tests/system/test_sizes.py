"""The short form of sizes.py."""

from postgres import Cluster
from sizes import Sizes


def test_many_records_leave_little_in_the_database(tmp_path):
    with Cluster() as cluster:
        Sizes(tmp_path, cluster, records=300_000, bound_mb=16).run()
