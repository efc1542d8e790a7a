import pytest

from counting import SmallDisk
from drainwatch import Site
from router import Pair, RouterStandIn
from slack import SlackStandIn

pytest_plugins = ["watchdog"]


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


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """An ingest with its stand-in alerter that the tests of a file share."""
    folder = tmp_path_factory.mktemp("pair")
    shared = Pair(Site(folder / "site"), folder)
    yield shared
    shared.stop()
