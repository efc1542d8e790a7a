"""Web and worker in networks of their own, as on Heroku: they reach the database and not each other."""

import concurrent.futures
import ctypes
import fcntl
import os
import socket
import struct

import pytest

from drainwatch import h12, wait_for
from postgres import DATABASE, USER
from slack import SlackStandIn

CLONE_NEWNET = 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


class Network:
    """One that no packet leaves. A socket belongs to the network of the thread that made it, and so
    does a process."""

    def __init__(self):
        self._thread = concurrent.futures.ThreadPoolExecutor(1)
        self.run(self._enter)

    def run(self, act):
        return self._thread.submit(act).result()

    @staticmethod
    def _enter():
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        with socket.socket() as s:
            fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))

    def close(self):
        self._thread.shutdown()


@pytest.fixture
def networks():
    try:
        made = [Network(), Network(), Network()]
    except OSError as why:
        pytest.skip(f"only root can make a network: {why.strerror}")
    yield made
    for one in made:
        one.close()


def test_web_and_worker_need_reach_nothing_but_the_database(site, cluster, networks):
    """The server's Unix socket is in the file system, and so in all networks."""
    web, worker, second = networks
    slack = worker.run(SlackStandIn)
    s = site(DRAINWATCH_DATABASE_URL=f"postgres:///{DATABASE}?user={USER}&host={cluster.folder}"
             f"&port={cluster.port}", DRAINWATCH_SCHEMA="networks", SLACK_API_URL=slack.url,
             SLACK_BOT_TOKEN=slack.token)
    active = worker.run(lambda: s.alerter(DRAINWATCH_STATE_DIR=s.folder / "worker"))
    standby = second.run(lambda: s.alerter(ready=False, DRAINWATCH_STATE_DIR=s.folder / "second"))
    standby.wait_said("standing by: ")
    web.run(lambda: s.ingest(DRAINWATCH_STATE_DIR=s.folder / "web"))
    for network in (worker, second):
        with pytest.raises(ConnectionRefusedError):
            network.run(lambda: socket.create_connection(("127.0.0.1", s.port)))
    with slack:
        assert web.run(lambda: s.post(h12(3))) == 204
        web.run(s.wait_healthy)
        assert web.run(lambda: s.post(h12(1))) == 204
        assert ", 4 in 5 minutes" in wait_for(lambda: slack.delivered, "the alert")[0].text
    active.kill()
    standby.wait_said("active since")
    assert web.run(lambda: s.post(h12(1))) == 204
    wait_for(lambda: cluster.sql("SELECT count(*) FROM networks.inbox", DATABASE) == [["0"]],
             "the record to be taken")
