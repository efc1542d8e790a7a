import itertools
import os

import pytest

from counting import SmallDisk
from drainwatch import Site
from postgres import Cluster, Schema
from router import Pair, RouterStandIn
from slack import SlackStandIn

pytest_plugins = ["watchdog"]

# The tests of the promises, which hold with either backing.
PROMISES = ("test_alerting", "test_budget", "test_chaos", "test_handover", "test_reload",
            "test_slack", "test_solo", "test_status")
OF_ZEROMQ = {"router", "pair"}  # fixtures


def pytest_configure(config):
    config.addinivalue_line("markers", "sqlite: about files and sockets that no database has")


def pytest_addoption(parser):
    parser.addoption("--backing", choices=("sqlite", "postgres"), default="sqlite",
                     help="postgres: only the tests of the promises, each site on a database schema "
                          "of its own")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--backing") == "sqlite":
        return
    kept = [item for item in items if item.module.__name__ in PROMISES
            and not item.get_closest_marker("sqlite") and not OF_ZEROMQ & set(item.fixturenames)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


@pytest.fixture(scope="session")
def cluster():
    with Cluster() as one:
        yield one


@pytest.fixture(scope="session", autouse=True)
def backing(request):
    """With --backing postgres each site gets a schema of its own in one database."""
    if request.config.getoption("--backing") == "sqlite":
        yield
        return
    database, numbers = request.getfixturevalue("cluster"), itertools.count()

    def settings():
        return {"DRAINWATCH_DATABASE_URL": database.url(),
                "DRAINWATCH_SCHEMA": f"site_{os.getpid()}_{next(numbers)}"}
    Site.backing = settings
    yield
    Site.backing = None


@pytest.fixture
def site(tmp_path):
    """Makes sites; what they started is stopped at the end."""
    made = []

    def make(name="site", **kw):
        made.append(Site(tmp_path / name, **kw))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def slack():
    with SlackStandIn() as stand_in:
        yield stand_in


@pytest.fixture
def router(tmp_path):
    """Makes stand-ins for a site's alerter, not started yet."""
    made = []

    def make(site):
        made.append(RouterStandIn(site.endpoint, tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.stop()
        assert not one.faults, one.faults


@pytest.fixture
def small_disk(tmp_path):
    disks = []

    def make(size):
        disks.append(SmallDisk(tmp_path / f"disk-{len(disks)}", size))
        if not disks[-1].mounted:
            pytest.skip("only root can mount a small disk here")
        return disks[-1]

    yield make
    for disk in disks:
        disk.close()


@pytest.fixture
def database(cluster):
    """A schema of the test's own, behind a proxy."""
    with Schema(cluster) as own:
        yield own


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """An ingest with its stand-in alerter that the tests of a file share."""
    folder = tmp_path_factory.mktemp("pair")
    shared = Pair(Site(folder / "site"), folder)
    yield shared
    shared.stop()
