"""PgBouncer between the programs and a cluster of postgres.py.

    with Bouncer(cluster) as pool:
        … pool.url() …

Each transaction may run in another of `size` sessions, unless `mode` is "session". It ends when its
process does.
"""

import os
import pathlib
import shutil
import socket
import subprocess
import time

from postgres import DATABASE, USER, free_port

# Ends when its input does, so also if the test is killed.
GUARD = 'trap "" HUP INT TERM; "$1" -q "$2" & read -r _; kill -9 $!'


def program():
    return shutil.which("pgbouncer", path=os.environ.get("PATH", "") + ":/usr/sbin")


def is_there():
    """CI never goes without it."""
    if not program() and os.environ.get("CI"):
        raise RuntimeError("there is no PgBouncer: install it with scripts/setup --test")
    return bool(program())


class Bouncer:
    def __init__(self, cluster, mode="transaction", size=2, **settings):
        """`settings` are PgBouncer's."""
        self.cluster = cluster
        self.port = free_port()
        self.folder = pathlib.Path(cluster.folder) / f"pool-{self.port}"
        self.folder.mkdir()
        settings = {"listen_addr": "127.0.0.1", "listen_port": self.port, "unix_socket_dir": "",
                    "auth_type": "any", "logfile": self.folder / "log", "pool_mode": mode,
                    "default_pool_size": size, "max_client_conn": 200, "server_login_retry": 1,
                    **settings}
        lines = "".join(f"{name} = {value}\n" for name, value in settings.items())
        (self.folder / "ini").write_text(
            f"[databases]\n{DATABASE} = host={cluster.folder} port={cluster.port} dbname={DATABASE} "
            f"user={USER}\n[pgbouncer]\n{lines}")
        if cluster.as_user:
            os.chown(self.folder, cluster.as_user["user"], cluster.as_user["group"])
        self.guard = None
        self.start()

    def start(self):
        self.guard = subprocess.Popen(["sh", "-c", GUARD, "guard", program(), self.folder / "ini"],
                                      stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL, start_new_session=True, cwd="/",
                                      **self.cluster.as_user)
        for _ in range(500):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                time.sleep(0.01)
        raise RuntimeError((self.folder / "log").read_text())

    def kill(self):
        if self.guard is not None:
            self.guard.stdin.close()
            self.guard.wait(30)
        self.guard = None

    def url(self, port=None):
        return self.cluster.url(port=port or self.port)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
