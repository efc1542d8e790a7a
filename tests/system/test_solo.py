"""DRAINWATCH_SOLO: one ingest process that keeps an alerter beside itself."""

import os
import pathlib
import re
import shutil
import signal
import time

import pytest

from alerting import Both, rules
from drainwatch import ALERTER, INGEST, h12, inspectable, wait_for


class Solo(Both):
    """A site on which only ingest was started; the alerter is its child."""

    def __init__(self, site, slack=None, **settings):
        self.site, self.slack, self.fences = site, slack, 0
        if slack:
            settings = {"SLACK_API_URL": slack.url, "SLACK_BOT_TOKEN": slack.token, **settings}
        site.settings.update(settings, DRAINWATCH_SOLO="true")
        self.ingest = self.alerter = site.ingest()  # both print there
        site.wait_healthy()

    def child(self):
        """The process id of the alerter, once it is there."""
        pid = self.ingest.process.pid
        path = pathlib.Path(f"/proc/{pid}/task/{pid}/children")
        return wait_for(lambda: [int(child) for child in path.read_text().split()
                                 if is_alerter(int(child))], "the alerter")[0]


def is_alerter(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes() == str(ALERTER).encode() + b"\0"
    except FileNotFoundError:
        return False


def wait_gone(pid):
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"), f"the end of process {pid}")


def test_one_process_does_it_all(site, slack):
    both = Solo(site(rules=rules()), slack)
    both.post(h12(4))
    both.wait_messages(1)
    child = both.child()
    assert both.ingest.stop() == 0
    assert not os.path.exists(f"/proc/{child}")
    assert both.ingest.said('drainwatch-ingest level=info msg="stopped"')
    assert both.ingest.said('drainwatch-alerter level=info msg="stopped"')
    assert not both.ingest.said("level=error") and not both.ingest.said("killed")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_whole_group_stops_it_in_order(site, slack, number):
    """As a platform stops a dyno, or a terminal a command: each process gets the signal, and the
    alerter gets ingest's as well. It waits for the answer of a post to Slack."""
    both = Solo(site(rules=rules()), slack)
    slack.behave("slow:2")
    both.post(h12(4))
    slack.wait_for(1)
    child = both.child()
    os.kill(child, number)
    both.ingest.signal(number)
    assert both.ingest.wait() == 0
    assert not os.path.exists(f"/proc/{child}") and not both.ingest.said("level=error")
    assert [row["delivery"]["state"] for row in both.outbox()] == ["delivered"]
    assert len(slack.posts) == 1


def test_a_killed_alerter_is_started_again(site):
    both = Solo(site(rules=rules()))
    both.post(h12(2))
    first = both.child()
    os.kill(first, signal.SIGKILL)
    said, = both.ingest.wait_said("drainwatch-alerter was killed by signal 9")
    assert "level=error" in said and "starts again in 1 s" in said
    both.post(h12(2))
    second = both.child()
    assert second != first
    assert [row["count"] for row in both.decided()] == [4]
    os.kill(second, signal.SIGKILL)
    both.ingest.wait_said("starts again in 2 s")


@pytest.mark.sqlite
def test_an_alerter_that_cannot_start_is_tried_again(site):
    """Somebody else's has the folder; ingest takes deliveries meanwhile."""
    here = site(rules=rules())
    other = here.alerter()
    both = Solo(here)
    both.ingest.wait_said("drainwatch-alerter ended with exit code 1; it starts again in 1 s")
    assert both.ingest.said("alerter.db")
    both.post(h12(2))
    both.fence()
    other.kill()
    both.post(h12(2))
    assert [row["count"] for row in both.decided()] == [4]
    assert is_alerter(both.child())


@pytest.mark.sqlite
def test_what_waits_is_handed_over_before_the_end(site):
    """Told to stop while the alerter is dead, ingest starts one and hands over, for a dyno's disk
    goes with it; and it does not burn the processor meanwhile."""
    both = Solo(site(rules=rules()))
    os.kill(both.child(), signal.SIGKILL)
    both.ingest.wait_said("was killed by signal 9")
    both.post(h12(4))
    before = used = both.ingest.cpu_seconds()
    started = time.monotonic()
    both.ingest.signal(signal.SIGTERM)
    while both.ingest.process.poll() is None:
        assert used - before < 1 and time.monotonic() - started < 20
        time.sleep(0.05)
        used = max(used, both.ingest.cpu_seconds())
    assert both.ingest.wait() == 0
    assert [row["count"] for row in both.outbox()] == [4]
    assert both.ingest.said("drainwatch alert: H12")
    assert not both.ingest.said("not handed over")


def test_an_alerter_that_dies_at_the_end_is_said(site):
    both = Solo(site(rules=rules()))
    child = both.child()
    os.kill(child, signal.SIGSTOP)
    both.ingest.signal(signal.SIGTERM)
    both.ingest.wait_said('drainwatch-ingest level=info msg="stopped"')
    os.kill(child, signal.SIGKILL)
    assert both.ingest.wait() == 0
    line, = both.ingest.said("drainwatch-alerter was killed by signal 9")
    assert "level=error" in line and "starts again" not in line


def test_an_alerter_never_outlives_its_ingest(site):
    both = Solo(site(rules=rules()))
    both.post(h12(2))
    child = both.child()
    both.ingest.process.kill()
    both.ingest.process.wait()
    wait_gone(child)
    again = Solo(both.site)
    again.post(h12(2))
    assert [row["count"] for row in again.decided()] == [4]


def test_a_hangup_is_passed_on(site, slack):
    both = Solo(site(rules=rules()), slack)
    slack.behave("error:not_in_channel")
    both.post(h12(4))
    both.wait_outbox(lambda row: row["delivery"]["state"] == "failed", "a failed alert")
    both.ingest.signal(signal.SIGHUP)
    both.wait_messages(1)
    both.ingest.wait_said("retrying 1 kept alert")
    assert both.ingest.process.poll() is None


def test_a_hangup_that_comes_before_the_alerter_is_loaded_waits(site, tmp_path):
    """The script has the place of the loader."""
    here = site(rules=rules())
    shutil.copy(INGEST, tmp_path)
    script = tmp_path / ALERTER.name
    script.write_text(f"#!/bin/sh\nkill -HUP $$\nexec {ALERTER}\n")
    script.chmod(0o755)
    started = here.start(tmp_path / INGEST.name, DRAINWATCH_SOLO="true")
    started.wait_said("was read again")
    assert not started.said("was killed by signal")


def test_no_alerter_beside_it(site, tmp_path):
    """Said at start; nothing is left running."""
    alone = tmp_path / INGEST.name
    alone.write_bytes(INGEST.read_bytes())
    alone.chmod(0o755)
    here = site(rules=rules())
    result = here.run(alone, DRAINWATCH_SOLO="true")
    line, = result.stderr.decode().splitlines()[-1:]
    assert result.returncode == 1 and re.search(r"drainwatch-alerter: No such file", line), line
    assert "DRAINWATCH_SOLO" in line


def open_files(pid):
    """The targets of its descriptors, without those that every process has."""
    links = set()
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            links.add(os.readlink(fd) if int(fd.name) > 2 else None)
        except FileNotFoundError:  # closed meanwhile
            pass
    return {link for link in links if link and "anon_inode" not in link}


@pytest.mark.sqlite
def test_the_alerter_inherits_nothing(site, tmp_path):
    """Not ingest's port, sockets or files: an ingest that is started anew needs them."""
    both = Solo(site(rules=rules()), **inspectable(tmp_path))
    of_ingest, of_alerter = open_files(both.ingest.process.pid), open_files(both.child())
    assert any("ingest.db" in link for link in of_ingest)
    assert any("alerter.db" in link for link in of_alerter)
    assert {link for link in of_ingest & of_alerter if not link.startswith("/dev/")} == set()
