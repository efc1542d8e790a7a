"""A log of some minutes, its capture and its alerts: every day, place, compiler and later build gets
the same bytes. day-0.1.capture was made before `group_by: path` left out the query; its alerts are
the same."""

import pytest

from drainwatch import ALERTER, INGEST, ROOT, Site

GOLDEN = ROOT / "tests" / "system" / "golden"
PLACES = [{"TZ": "UTC", "LC_ALL": "C"}, {"TZ": "Pacific/Chatham", "LC_ALL": "tr_TR.UTF-8"}]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return Site(tmp_path_factory.mktemp("golden"))


@pytest.mark.parametrize("place", PLACES)
def test_the_log_gives_the_capture(site, place):
    run = site.run(INGEST, "scan", "--rules", GOLDEN / "rules.yaml", GOLDEN / "day.log", **place)
    assert run.returncode == 0, run.stderr
    assert run.stdout == (GOLDEN / "day.capture").read_bytes()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("capture", ["day.capture", "day-0.1.capture"])
def test_the_capture_gives_the_alerts(site, capture, place):
    run = site.run(ALERTER, "replay", "--format", "json", GOLDEN / capture, **place)
    assert run.returncode == 0, run.stderr
    assert run.stdout == (GOLDEN / "day.json").read_bytes()


def test_so_it_does_under_the_same_rules_in_a_file(site):
    run = site.run(ALERTER, "replay", "--format", "json", "--rules", GOLDEN / "rules.yaml",
                   GOLDEN / "day.capture")
    assert run.stdout == (GOLDEN / "day.json").read_bytes()
    assert b"matches as recorded" not in run.stderr
