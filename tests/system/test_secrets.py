"""Secrets in the arguments and in the memory of processes. test_start.py has logs, files and cores."""

import contextlib
import hashlib
import hmac
import os
import pathlib
import re
import subprocess
import threading
import urllib.parse

import pytest
from zmq.utils import z85

from alerting import SANITIZED
from drainwatch import ALERTER, BIN, DRAIN, INGEST, SECRET, free_port, h12, token, wait_for
from postgres import PASSWORD, USER
from scripting import SCRIPTS, environment
from test_start import OTHER, SLACK_TOKEN, children_of, environ_of

needs_memory = pytest.mark.skipif(os.geteuid() != 0 or SANITIZED,
                                  reason="this memory is root's, and a sanitizer's is too large")


def derived(secret, purpose):
    """A CURVE secret key of the queue, by HKDF-SHA256 (RFC 5869)."""
    key = hmac.new(bytes(32), secret.encode(), hashlib.sha256).digest()
    return hmac.new(key, f"drainwatch queue curve {purpose} 1".encode() + b"\1", hashlib.sha256).digest()


def curve_keys(*purposes):
    return [z85.encode(derived(secret, purpose)).decode()
            for secret in (OTHER, SECRET) for purpose in purposes]


ALL = [SECRET, OTHER, SLACK_TOKEN, token(DRAIN), token("console"), token("d.test"),
       token("drainwatch-smoke"), token("drainwatch\0handover"), *curve_keys("server", "client")]


# ---- arguments -----------------------------------------------------------------------------------

def all_arguments():
    """The arguments of every process of this machine, as ps shows them."""
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield path.read_bytes()


@contextlib.contextmanager
def watched_arguments():
    """Looks at all arguments again and again, and fails if a secret was among them."""
    seen, end = set(), threading.Event()

    def look():
        while not end.is_set():
            seen.update(all_arguments())
    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        end.set()
        thread.join()
    assert not [words for words in seen for secret in ALL if secret.encode() in words]


COMMANDS = [(INGEST,), (ALERTER,), (INGEST, "--check"), (ALERTER, "--check"), (INGEST, "scan"),
            (ALERTER, "status"), (ALERTER, "outbox"), (ALERTER, "export"), (ALERTER, "replay")]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: " ".join([c[0].name, *c[1:]]))
def test_no_secret_is_an_argument_of_a_command(site, command):
    s = site(HEROKU_LOG_DRAIN_HMAC_SECRET=f"{OTHER},{SECRET}", SLACK_BOT_TOKEN=SLACK_TOKEN)
    s.alerter().stop()  # so that there is something to show
    with watched_arguments() as seen:
        process = subprocess.Popen(list(map(str, command)), env=s.env(), cwd=s.folder,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL)
        wait_for(lambda: process.poll() is not None or
                 any(str(command[0]).encode() in words for words in seen), "a look at the command")
        process.terminate()
        process.communicate()


def test_no_secret_is_an_argument_of_the_alerter_of_a_solo_run(site, slack):
    s = site(DRAINWATCH_SOLO="true", SLACK_API_URL=slack.url, SLACK_BOT_TOKEN=SLACK_TOKEN,
             HEROKU_LOG_DRAIN_HMAC_SECRET=f"{OTHER},{SECRET}",
             DRAINWATCH_QUEUE=f"tcp://127.0.0.1:{free_port()}")
    with watched_arguments() as seen:
        program = s.ingest()
        s.wait_healthy()
        assert s.post(h12(4)) == 204
        assert len(children_of(program.process)) == 1
    assert [words for words in seen if str(ALERTER).encode() in words]


def test_the_password_of_a_database_is_shown_nowhere(site, database):
    """It is wrong halfway, so that the programs have something to complain about."""
    s = site(**database.settings)
    password = urllib.parse.quote(PASSWORD, safe="")
    with watched_arguments() as seen:
        programs = [s.alerter(), s.ingest()]
        s.wait_healthy()
        assert s.post(h12(4)) == 204
        outputs = [run.stdout + run.stderr for run in (
            s.run(INGEST, "--check"), s.run(ALERTER, "--check"), s.run(ALERTER, "status"),
            s.run(ALERTER, "outbox"), s.run(ALERTER, "export"))]
        database.cluster.sql(f"ALTER ROLE {USER} PASSWORD 'changed'")
        try:
            database.proxy.cut()
            programs[1].wait_said("refuses")
            outputs.append(s.health()[1].encode())
            wrong = s.run(ALERTER, "status")
            assert wrong.returncode == 1 and b"password" in wrong.stderr, wrong
            outputs.append(wrong.stderr)
        finally:
            database.cluster.sql(f"ALTER ROLE {USER} PASSWORD '{PASSWORD}'")
        for program in programs:
            if os.geteuid() == 0:  # the environment of these programs is root's
                assert b"DATABASE_URL=p" not in environ_of(program.process)
            program.stop()
            outputs += [line.encode() for line in program.lines + program.errors]
    ours = [words for words in seen if str(BIN).encode() in words]  # this test's psql has it
    for secret in (PASSWORD.encode(), password.encode()):
        assert not [one for one in [*outputs, *ours] if secret in one]


@pytest.fixture
def spy(tmp_path):
    """A PATH whose commands note their arguments in a file before they run: ps might miss some."""
    folder, calls = tmp_path / "spy", tmp_path / "calls"
    folder.mkdir()
    note = folder / "note arguments"
    note.write_text("#!/bin/bash\n"
                    f"printf '%s ' \"$0\" \"$@\" >>'{calls}'\necho >>'{calls}'\n"
                    f"real=$(PATH=${{PATH#'{folder}:'}} type -P \"${{0##*/}}\")\nexec \"$real\" \"$@\"\n")
    note.chmod(0o755)
    for place in filter(lambda place: os.access(place, os.R_OK | os.X_OK), os.environ["PATH"].split(":")):
        for command in pathlib.Path(place).glob("*"):
            if not (folder / command.name).exists():
                (folder / command.name).symlink_to(note)
    return calls, {"PATH": f"{folder}:{os.environ['PATH']}", "DRAINWATCH_BIN": BIN,
                   "DRAINWATCH_STATE_DIR": tmp_path / "state"}


def assert_kept(calls, *commands):
    text = calls.read_text()
    for command in commands:
        assert re.search(rf"^\S*/{command} ", text, re.M), text
    assert not [line for line in text.splitlines() for secret in ALL if secret in line]


def call(name, *args, **settings):
    return subprocess.run(["bash", SCRIPTS / name, *map(str, args)], env=environment(**settings),
                          capture_output=True, text=True, timeout=60, cwd="/")


def test_no_secret_is_an_argument_of_a_script(site, spy):
    calls, settings = spy
    secrets = {"HEROKU_LOG_DRAIN_HMAC_SECRET": SECRET, "SLACK_BOT_TOKEN": SLACK_TOKEN}
    s = site()
    s.alerter(), s.ingest()
    s.wait_healthy()
    assert call("drain-token", DRAIN, **settings, **secrets).stdout.strip() == token(DRAIN)
    done = call("smoke", f"http://127.0.0.1:{s.port}", **settings, **secrets)
    assert done.returncode == 0, done
    assert_kept(calls, "sha256sum", "curl")


def test_no_secret_is_an_argument_of_what_run_starts(spy, tmp_path):
    calls, settings = spy
    (tmp_path / ".env").write_text(f'SLACK_BOT_TOKEN="{SLACK_TOKEN}"\nSLACK_API_URL=http://127.0.0.1:1/api\n'
                                   f"HEROKU_LOG_DRAIN_HMAC_SECRET='{OTHER}'\n")
    env = environment(**settings, PORT=free_port())
    with watched_arguments():
        run = subprocess.Popen(["bash", SCRIPTS / "run", "--env", tmp_path / ".env"], env=env, text=True,
                               stdout=subprocess.PIPE, cwd="/", start_new_session=True)
        shown = ""
        while "curl -i" not in shown:
            shown += (line := run.stdout.readline())
            assert line, shown
        curl = shown.splitlines()[-1]
        done = subprocess.run(["bash", "-c", curl], capture_output=True, text=True, timeout=60,
                              env=environment(**settings, HEROKU_LOG_DRAIN_HMAC_SECRET=OTHER))
        assert done.stdout.startswith("HTTP/1.1 204"), done
        run.terminate()
        run.communicate()
    for secret in (OTHER, SLACK_TOKEN, token("d.test", OTHER)):
        assert secret not in calls.read_text()
    assert_kept(calls, "setsid", "setpriv", "curl")


# ---- memory --------------------------------------------------------------------------------------

def memory_of(process):
    """All that a process has in memory."""
    parts = []
    with open(f"/proc/{process.pid}/maps") as maps, open(f"/proc/{process.pid}/mem", "rb") as memory:
        for line in maps:
            start, end = (int(n, 16) for n in line.split()[0].split("-"))
            if line.split()[1].startswith("rw"):
                with contextlib.suppress(OSError):
                    memory.seek(start)
                    parts.append(memory.read(end - start))
    return b"".join(parts)


def holds_key(memory, purpose):
    """As text or as bytes, of which libraries change the first and the last."""
    return [secret for secret in (OTHER, SECRET) if derived(secret, purpose)[1:31] in memory or
            z85.encode(derived(secret, purpose)) in memory]


@needs_memory
@pytest.mark.parametrize("solo", ["", "true"])
def test_ingest_keeps_no_key_of_the_alerter(site, solo):
    s = site(HEROKU_LOG_DRAIN_HMAC_SECRET=f"{OTHER},{SECRET}", SLACK_BOT_TOKEN=SLACK_TOKEN,
             SLACK_API_URL="http://127.0.0.1:1/api", DRAINWATCH_SOLO=solo,
             DRAINWATCH_QUEUE=f"tcp://127.0.0.1:{free_port()}")
    if not solo:
        s.alerter()
    ingest = s.ingest()
    s.wait_healthy()
    memory = memory_of(ingest.process)
    assert OTHER.encode() in memory and holds_key(memory, "client") == [OTHER, SECRET]
    assert not holds_key(memory, "server")
    assert (SLACK_TOKEN.encode() in memory) == bool(solo)
    assert (SLACK_TOKEN.encode() in environ_of(ingest.process)) is False
