#!/usr/bin/env python3
"""A throw-away PostgreSQL cluster: a Unix socket, TCP on loopback, and TLS with a certificate of its own.

    with Cluster() as cluster:
        … cluster.url() …                # of an ordinary user, who owns the database
        cluster.sql("SELECT 1")          # as the superuser

    tests/system/postgres.py COMMAND…           # runs it with DRAINWATCH_TEST_DATABASE_URL set, and
                                                # DRAINWATCH_TEST_POOL_URL, through PgBouncer
    tests/system/postgres.py --each PROGRAM…    # runs several so, one after the other

It is stopped and removed when its process ends, in whatever way. Root's cluster runs as another user,
because PostgreSQL refuses to run as root.
"""

import contextlib
import itertools
import os
import pathlib
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.parse

from proxy import Proxy

USER = "drainwatch"
PASSWORD = "hush-p@ss/word"  # must be escaped in a URL, and must be in no output
DATABASE = "drainwatch"

# Ends when its input does, so also if the test is killed.
GUARD = 'trap "" HUP INT TERM; read -r _; "$1/pg_ctl" -D "$2/data" -m immediate stop; rm -rf "$2"'


def server_programs():
    """The folder with initdb and pg_ctl."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/initdb"),
                   key=lambda path: int(path.parts[-3]))
    initdb = found[-1] if found else shutil.which("initdb")
    if not initdb:
        sys.exit("postgres.py: there is no PostgreSQL server: install it with scripts/setup --test")
    return pathlib.Path(initdb).parent


def server_user():
    """What subprocess needs to become another user; nothing unless we are root."""
    if os.geteuid() != 0:
        return {}
    names = [entry.pw_name for entry in pwd.getpwall()]
    user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Cluster:
    def __init__(self, fsync=False, **settings):
        """`settings` are PostgreSQL's."""
        self.programs = server_programs()
        self.as_user = server_user()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="dw-pg-", dir="/tmp"))  # a socket's path is short
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LC_", "LANG"))}
        if self.as_user:
            os.chown(self.folder, self.as_user["user"], self.as_user["group"])
        self.guard = subprocess.Popen(["sh", "-c", GUARD, "guard", self.programs, self.folder],
                                      stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                                      stderr=subprocess.DEVNULL, start_new_session=True,
                                      cwd="/", env=self.environment, **self.as_user)
        try:
            self._make()
            self._configure(fsync, settings)
            self.start()
            self._fill()
        except BaseException:
            self.close()
            raise

    def _run(self, *command, **kw):
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              cwd=self.folder, env=self.environment, **self.as_user, **kw)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(map(str, command))}: {done.stdout}")
        return done.stdout

    def _make(self):
        self._run(self.programs / "initdb", "-D", "data", "--no-sync", "--no-instructions",
                  "--username=postgres", "--encoding=UTF8", "--locale=C",
                  "--auth-local=trust", "--auth-host=scram-sha-256")
        self._run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                  "-nodes", "-days", "2", "-subj", "/CN=localhost",
                  "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                  "-keyout", "data/server.key", "-out", "data/server.crt")

    def _fill(self):
        self.sql(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")
        self.sql(f"CREATE DATABASE {DATABASE} OWNER {USER}")

    def _configure(self, fsync, settings):
        on = "on" if fsync else "off"
        lines = {"fsync": on, "full_page_writes": on, "ssl": "on", "shared_buffers": "32MB",
                 "unix_socket_directories": self.folder, "listen_addresses": "127.0.0.1", **settings}
        with open(self.folder / "data" / "postgresql.auto.conf", "a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in lines.items())
        self.port = free_port()

    def start(self):
        """Retries with another port if somebody took ours meanwhile."""
        for attempt in range(5):
            try:
                self._run(self.programs / "pg_ctl", "-D", "data", "-l", "log", "-w", "-t", "30",
                          "-o", f"-p {self.port}", "start")
                return
            except RuntimeError:
                if attempt == 4 or "Address already in use" not in self.log():
                    raise RuntimeError(self.log()) from None
                self.port = free_port()

    def stop(self, mode="fast"):
        """`mode` is pg_ctl's: fast, or immediate for a crash."""
        self._run(self.programs / "pg_ctl", "-D", "data", "-m", mode, "stop")

    @property
    def socket(self):
        return self.folder / f".s.PGSQL.{self.port}"

    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    def sql(self, text, database="postgres"):
        """Runs it as the superuser. Returns the rows, each as a list of texts."""
        out = self._run(self.programs / "psql", "-XAtqv", "ON_ERROR_STOP=1", "-h", self.folder, "-p", str(self.port),
                        "-U", "postgres", "-d", database, "-c", text)
        return [line.split("|") for line in out.splitlines()]

    def url(self, user=USER, password=PASSWORD, host=None, port=None, database=DATABASE, query=""):
        """By TLS over TCP, unless `host` or `query` say otherwise."""
        secret = urllib.parse.quote(password, safe="")
        return (f"postgres://{user}:{secret}@{host or '127.0.0.1'}:{port or self.port}/{database}"
                + (f"?{query}" if query else ""))

    def superuser_url(self, database=DATABASE):
        return f"postgres:///{database}?user=postgres&host={self.folder}&port={self.port}"

    def close(self):
        if self.guard.stdin.closed:
            return
        self.guard.stdin.close()
        self.guard.wait(30)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Replica(Cluster):
    """A streaming replica of another cluster, until it is promoted. `port` is that of a proxy to the
    other one's `socket`."""

    def __init__(self, of, port):
        self._of = of
        way = f"host=127.0.0.1 port={port} user=postgres sslmode=disable"
        super().__init__(primary_conninfo=way, wal_retrieve_retry_interval="100ms")

    def _make(self):
        self._run(self.programs / "pg_basebackup", "-D", "data", "-h", self._of.folder,
                  "-p", str(self._of.port), "-U", "postgres", "-X", "stream", "--checkpoint=fast",
                  "--no-sync", "--no-manifest", "--write-recovery-conf")

    def _fill(self):
        pass  # by the other one

    def promote(self):
        self._run(self.programs / "pg_ctl", "-D", "data", "-w", "-t", "30", "promote")


class Schema:
    """A schema of one test, and a proxy between it and the programs."""

    number = itertools.count(1)

    def __init__(self, cluster):
        self.cluster = cluster
        self.name = f"test_{next(self.number)}"
        self.proxy = Proxy(("127.0.0.1", cluster.port))
        self.settings = {"DRAINWATCH_DATABASE_URL": cluster.url(port=self.proxy.port),
                         "DRAINWATCH_SCHEMA": self.name}

    def sql(self, text):
        """The rows, each as a list of texts."""
        return self.cluster.sql(f"SET search_path = {self.name}; {text}", DATABASE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.proxy.close()
        self.sql(f"SET client_min_messages = error; DROP SCHEMA IF EXISTS {self.name} CASCADE")


def run(command, environment):
    code = subprocess.run(command, env=environment).returncode
    return 128 - code if code < 0 else code


def main():
    each = sys.argv[1:2] == ["--each"]
    arguments = sys.argv[2:] if each else sys.argv[1:]
    if not arguments:
        sys.exit(__doc__)
    import pgbouncer  # it imports this module
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(Cluster())
        environment = dict(os.environ, DRAINWATCH_TEST_DATABASE_URL=cluster.url(),
                           DRAINWATCH_TEST_SUPERUSER_URL=cluster.superuser_url(),
                           DRAINWATCH_TEST_CERTIFICATE=str(cluster.folder / "data" / "server.crt"))
        if pgbouncer.is_there():
            pool = stack.enter_context(pgbouncer.Bouncer(cluster))
            environment["DRAINWATCH_TEST_POOL_URL"] = pool.url()
        return max(run(command, environment)
                   for command in ([[program] for program in arguments] if each else [arguments]))


if __name__ == "__main__":
    sys.exit(main())
