"""How ingest starts, its refusals, and the secrets that it must never show."""

import base64
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile

import pytest

from drainwatch import ALERTER, DRAIN, INGEST, PATH, SECRET, frame, free_port, h12, head, token, whole

OK, FAILED, USAGE, CONFIG = 0, 1, 64, 78
SLACK_TOKEN = "xoxb-1234567890-abcdefghijkl"
OTHER = "another-secret-of-more-than-32-characters"


def lines(data):
    return data.decode().splitlines()


# ---- arguments ----

def test_help(site):
    done = site().run(INGEST, "--help")
    assert done.returncode == OK and not done.stderr
    for name in ("--check", "HEROKU_LOG_DRAIN_HMAC_SECRET", "PORT", "DRAINWATCH_SPOOL_MAX_BYTES",
                 "FLAG_CONSOLE_HEROKU_LOG_DRAIN_ALERTING"):
        assert name in done.stdout.decode()


def test_help_and_version_need_no_settings(site):
    s = site(PORT="x", DRAINWATCH_RULES="/nowhere")
    assert s.run(INGEST, "--help").returncode == OK
    done = s.run(INGEST, "--version")
    assert done.returncode == OK and lines(done.stdout)[0].startswith("drainwatch-ingest ")


@pytest.mark.parametrize("program", [INGEST, ALERTER])
def test_help_fits_a_terminal_and_shows_an_example(site, program):
    done = site().run(program, "--help")
    assert [line for line in lines(done.stdout) if len(line) > 80] == []
    assert b"\nexample:\n" in done.stdout


@pytest.mark.parametrize("args", [["-h"], ["help"], ["--check", "--help"]])
def test_help_by_other_names(site, args):
    s = site()
    done = s.run(INGEST, *args)
    assert done.returncode == OK and done.stdout == s.run(INGEST, "--help").stdout


@pytest.mark.parametrize("args", [["help", "scan"], ["scan", "-h"], ["scan", "--rules", "x", "--help"]])
def test_help_of_a_command(site, args):
    done = site().run(INGEST, *args)
    assert done.returncode == OK and done.stdout.startswith(b"usage:\n  drainwatch-ingest scan ")


@pytest.mark.parametrize("args", [["x"], ["--x"], ["-x"], ["--check", "x"], ["serve"], [""],
                                  ["--version", "--help"], ["help", "x"], ["help", "scan", "x"],
                                  ["--rules"], ["--check=1"]])
def test_unknown_arguments(site, args):
    done = site().run(INGEST, *args)
    assert (done.returncode, done.stdout) == (USAGE, b"")
    assert len(lines(done.stderr)) == 1 and "--help" in done.stderr.decode()


@pytest.mark.parametrize("args, meant", [
    (["scna"], "scan"), (["hlep"], "help"), (["help", "scann"], "scan"), (["--chekc"], "--check"),
    (["scan", "--rulez=x"], "--rules"), (["scan", "--dain", "x"], "--drain")])
def test_a_misspelt_word_is_guessed(site, args, meant):
    done = site().run(INGEST, *args)
    assert done.returncode == USAGE and f'did you mean "{meant}"?' in done.stderr.decode()


@pytest.mark.parametrize("program, other", [(INGEST, ALERTER), (ALERTER, INGEST)])
def test_a_command_of_the_other_program_is_pointed_out(site, program, other):
    """The usage of the other program tells its commands, so a new one cannot be forgotten."""
    s = site()
    usage = s.run(other, "--help").stdout.decode()
    names = set(re.findall(rf"^  {other.name} ([a-z]+)(?: |$)", usage, re.M)) - {"help"}
    assert names
    for name in names:
        done = s.run(program, name)
        assert done.returncode == USAGE
        assert f'unknown command "{name}" (did you mean "{other.name} {name}"?' in done.stderr.decode()


@pytest.mark.parametrize("args", [["--check", "--rules", "my.yaml"], ["--rules=my.yaml", "--check"]])
def test_check_of_another_file(site, args):
    s = site(DRAINWATCH_RULES="/nowhere")
    (s.folder / "my.yaml").write_text("app: mine\nslack: {channel: C1}\nrules:\n"
                                      "  - {name: a, match: x, more_than: 1, within: 1m}\n")
    done = s.run(INGEST, *args)
    assert done.returncode == OK and b"my.yaml: app mine, 1 rule" in done.stdout


def test_check(site):
    s = site(SLACK_BOT_TOKEN=SLACK_TOKEN)
    done = s.run(INGEST, "--check")
    assert done.returncode == OK and not done.stderr
    text = done.stdout.decode()
    for part in ("h12-request-timeout", "gunicorn-worker-timeout", "raxx-console-prod", "5 minutes",
                 "2 minutes", "D0AJ7K184TV", "on"):
        assert part in text
    assert SECRET not in text and SLACK_TOKEN not in text
    assert not (s.folder / "state").exists()


def test_the_example_values_are_named_while_they_stand(site):
    s = site()
    said = "alerts for every drain go to D0AJ7K184TV under the name raxx-console-prod, as shipped"
    assert said in s.run(INGEST, "--check").stdout.decode()
    assert s.ingest().wait_said(said)
    s.rules.write_text(s.rules.read_text().replace("raxx-console-prod", "shop").replace(
        "D0AJ7K184TV", "C0123456789"))
    assert b"as shipped" not in s.run(INGEST, "--check").stdout


def test_check_tells_that_alerting_is_off(site):
    done = site(FLAG_CONSOLE_HEROKU_LOG_DRAIN_ALERTING="").run(INGEST, "--check")
    assert done.returncode == OK and b"alerting is OFF" in done.stdout
    assert b"true turns it on" in done.stdout


def test_a_log_line_begins_with_the_time(site):
    line, = site().ingest().said("listening on port")
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z drainwatch-ingest level=info ", line)


def test_heroku_adds_the_time_itself(site):
    line, = site(DYNO="web.1").ingest().said("listening on port")
    assert line.startswith("drainwatch-ingest level=info ")


def test_a_misspelt_setting_is_guessed(site):
    s = site(DRAINWATCH_STATEDIR="x")
    assert b"did you mean DRAINWATCH_STATE_DIR?" in s.run(INGEST, "--check").stdout
    assert s.ingest().wait_said("did you mean DRAINWATCH_STATE_DIR?")


def test_check_beside_a_running_one(site):
    s = site()
    s.ingest()
    assert s.run(INGEST, "--check").returncode == OK


# ---- settings ----

MALFORMED = {
    "PORT": ["x", "0", "65536", "-1", "80 80", "0x50", "8080.0", "99999999999999999999"],
    "DRAINWATCH_BIND": ["x", "localhost", "127.0.0.1:80", "[::1]", "127.1", "1.2.3.256", "::x"],
    "DRAINWATCH_MAX_BODY_BYTES": ["x", "0", "-1", "8 XB", "1", "9999999999999999999", "8 MiB x"],
    "DRAINWATCH_SPOOL_MAX_BYTES": ["x", "0", "1k", "nan"],
    "DRAINWATCH_SYNC": ["x", "off", "normal full"],
    "DRAINWATCH_SOLO": ["x", "2"],
    "DRAINWATCH_HISTORY": ["x", "7", "0d", "1s"],
    "DRAINWATCH_QUEUE": ["x", "http://x:1", "tcp://", "tcp://x", "tcp://127.0.0.1:99999", "ipc://",
                         "ipc://" + "x" * 200],
    "SLACK_API_URL": ["x", "ftp://x", "http://"],
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_settings(site, name):
    s = site()
    for value in MALFORMED[name]:
        for args in ([], ["--check"]):
            done = s.run(INGEST, *args, **{name: value})
            assert (done.returncode, done.stdout) == (CONFIG, b""), (value, done)
            line, = lines(done.stderr)
            assert line.startswith(f"drainwatch-ingest: {name}: ") and "(" in line, line
            assert value[:20] in line


def test_all_faults_are_said_at_once(site):
    s = site(PORT="x", DRAINWATCH_SYNC="y", rules="app: a\nrules:\n  - nme: x\n    within: 5x\n")
    done = s.run(INGEST)
    assert done.returncode == CONFIG
    said = lines(done.stderr)
    assert len(said) >= 4 and all(line.startswith("drainwatch-ingest: ") for line in said)
    text = "\n".join(said)
    assert "PORT" in text and "DRAINWATCH_SYNC" in text and f"{s.rules}:3:" in text


RULES = {
    "empty": "", "no yaml": "a: [", "a tab": "rules:\n\t- x", "no map": "- x", "zero byte": "a\0b",
    "unknown key": "app: a\nslack: {channel: C}\nruels: []\n",
    "bad duration": "app: a\nslack: {channel: C}\nrules:\n  - {name: a, field: a=b, more_than: 3, "
                    "within: 5x, cooldown: 5m}\n",
    "bad expression": "app: a\nslack: {channel: C}\nrules:\n  - {name: a, match: '(', more_than: 3, "
                      "within: 5m, cooldown: 5m}\n",
    "matches nothing": "app: a\nslack: {channel: C}\nrules:\n  - {name: a, match: 'x*', "
                       "more_than: 3, within: 5m, cooldown: 5m}\n",
    "too large": "# " + "x" * (1 << 20),
    "invalid UTF-8": "app: \udcff\n",
}


@pytest.mark.parametrize("kind", RULES)
def test_malformed_rules(site, kind):
    s = site()
    s.rules.write_bytes(RULES[kind].encode("utf-8", "surrogateescape"))
    for args in ([], ["--check"]):
        done = s.run(INGEST, *args)
        assert (done.returncode, done.stdout) == (CONFIG, b""), done
        said = lines(done.stderr)
        assert said and all(line.startswith(f"drainwatch-ingest: {s.rules}") for line in said), said


@pytest.mark.parametrize("path", ["/nowhere/rules.yaml", "/", "/dev/null"])
def test_rules_that_are_no_file(site, path):
    done = site().run(INGEST, DRAINWATCH_RULES=path)
    assert done.returncode == CONFIG and path in done.stderr.decode()
    assert len(lines(done.stderr)) == 1


def test_a_queue_over_the_network_needs_a_good_secret(site):
    for secret in ("", "short"):
        done = site().run(INGEST, DRAINWATCH_QUEUE="tcp://127.0.0.1:5555",
                          HEROKU_LOG_DRAIN_HMAC_SECRET=secret)
        line, = lines(done.stderr)
        assert done.returncode == CONFIG and "HEROKU_LOG_DRAIN_HMAC_SECRET" in line
        assert "short" not in line.replace("too short", "")


def test_a_short_secret_is_warned_of(site):
    s = site(HEROKU_LOG_DRAIN_HMAC_SECRET="short-secret")
    program = s.ingest()
    assert program.said("under 32 characters") and not program.said("short-secret")
    assert s.post(frame("x"), secret="short-secret") == 204


def test_what_is_off_is_said(site):
    s = site(FLAG_CONSOLE_HEROKU_LOG_DRAIN_ALERTING="maybe")
    assert s.ingest().said("alerting is off")


# ---- ports and folders in use ----

def test_a_port_in_use(site):
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = site().run(INGEST, PORT=port)
    line, = lines(done.stderr)
    assert done.returncode == FAILED and f"port {port} is in use" in line and "PORT" in line


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


def answers(host, port):
    try:
        socket.create_connection((host, port), timeout=5).close()
        return True
    except ConnectionRefusedError:
        return False


@pytest.mark.parametrize("address, there, not_there", [
    (None, ["127.0.0.1", "127.0.0.2", "::1"], []),
    ("127.0.0.2", ["127.0.0.2"], ["127.0.0.1", "::1"]),
    ("0.0.0.0", ["127.0.0.1", "127.0.0.2"], ["::1"]),
    ("::1", ["::1"], ["127.0.0.1"]),
    ("::", ["127.0.0.1", "::1"], [])])
def test_the_address_to_listen_on(site, address, there, not_there):
    if not has_ipv6() and "::1" in there + not_there:
        pytest.skip("this machine has no IPv6")
    s = site(**({"DRAINWATCH_BIND": address} if address else {}))
    program = s.ingest()
    assert [host for host in there + not_there if answers(host, s.port)] == there
    if address:
        assert program.said(f"listening on port {s.port} of {address};")


def test_an_address_of_another_machine(site):
    done = site().run(INGEST, DRAINWATCH_BIND="192.0.2.1")
    line, = lines(done.stderr)
    assert done.returncode == CONFIG
    assert "DRAINWATCH_BIND" in line and "192.0.2.1" in line and "this machine" in line


def test_a_second_instance_on_one_folder(site):
    s = site()
    first = s.ingest()
    done = s.run(INGEST, PORT=site("other").port)
    line, = lines(done.stderr)
    assert done.returncode == FAILED
    assert str(s.folder / "state") in line and "DRAINWATCH_STATE_DIR" in line
    assert s.post(frame("x")) == 204 and first.stop() == OK
    assert s.ingest().process.poll() is None  # and the folder is free again


def test_folders_that_cannot_be(site):
    s = site()
    file = s.folder / "file"
    file.write_text("")
    for path in (file, file / "x", "/proc/x", "/dev/null"):
        done = s.run(INGEST, DRAINWATCH_STATE_DIR=path, DRAINWATCH_QUEUE="ipc:///tmp/x")
        line, = lines(done.stderr)
        assert done.returncode == CONFIG and str(path) in line, done
        assert "DRAINWATCH_STATE_DIR" in line and "can be written" in line


def test_a_folder_is_made_for_its_owner_alone(site):
    s = site(DRAINWATCH_STATE_DIR="deep/er/state")
    s.ingest()
    folder = s.folder / "deep/er/state"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(f.stat().st_mode & 0o077 == 0 for f in folder.iterdir())


def refused_folder(s, program):
    """What a program says of its state folder when it refuses to start."""
    done = s.run(program)
    line, = lines(done.stderr)
    assert done.returncode == CONFIG and str(s.folder / "state") in line, done
    assert line in lines(s.run(program, "--check").stderr) or "belongs to" in line
    return line


@pytest.mark.parametrize("program", [INGEST, ALERTER])
@pytest.mark.parametrize("mode", [0o770, 0o702, 0o1777])
def test_a_folder_that_others_can_write_is_refused(site, program, mode):
    s = site()
    (s.folder / "state").mkdir()
    (s.folder / "state").chmod(mode)
    assert "chmod go-w" in refused_folder(s, program)
    assert not list((s.folder / "state").iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("program", [INGEST, ALERTER])
def test_a_folder_of_another_user_is_refused(site, program):
    s = site()
    (s.folder / "state").mkdir(0o700)
    os.chown(s.folder / "state", 65534, 65534)
    assert "belongs to user 65534, and this is user 0" in refused_folder(s, program)
    assert s.run(program, "--check").returncode == OK  # root may check for another user


@pytest.mark.parametrize("program, name", [(INGEST, "ingest.db"), (ALERTER, "alerter.db")])
def test_a_link_in_the_place_of_a_journal_is_refused(site, program, name):
    s = site()
    (s.folder / "state").mkdir(0o700)
    (s.folder / "state" / name).symlink_to(s.folder / "elsewhere")
    done = s.run(program)
    assert done.returncode == CONFIG and f"{name}: is a symbolic link" in done.stderr.decode()
    assert not (s.folder / "elsewhere").exists()


def test_a_state_folder_may_lie_behind_a_link(site):
    s = site()
    (s.folder / "disk").mkdir(0o700)
    (s.folder / "state").symlink_to(s.folder / "disk")
    assert s.ingest() and s.alerter() and s.stop() == [OK, OK]
    assert {"ingest.db", "alerter.db"} <= {path.name for path in (s.folder / "disk").iterdir()}


def test_root_is_warned_of_itself(site):
    s = site()
    program = s.ingest()
    program.stop()
    assert len(program.said("started as root")) == (1 if os.geteuid() == 0 else 0)
    assert b"started as root" not in s.run(INGEST, "--check").stdout


# ---- secrets ----

def everything_goes_wrong(s):
    """Every kind of failure that a client can cause, with secrets in the wrong places."""
    t = token(DRAIN)

    def basic(user, password):
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    requests = [
        whole(b"x", path=f"{PATH}?drain_token={SECRET}", drain=None, Logplex_Drain_Token=DRAIN),
        whole(b"x", path=f"{PATH}?drain_token={t}", drain=None),
        whole(b"x", path=f"{PATH}?drain_token={t}", drain=None, Logplex_Drain_Token=t),
        whole(b"x", path=f"{PATH}/x?drain_token={t}", drain=None, Logplex_Drain_Token=DRAIN),
        whole(b"x", path=f"{PATH}?drain_token={t}x", drain=None, Logplex_Drain_Token=DRAIN),
        head(method="GET"),
        whole(b"x", drain=None, Authorization=basic(t, DRAIN)),
        whole(b"x", drain=None, Authorization=basic(SECRET, "x")),
        whole(b"x", drain=None, Authorization=basic("x", SECRET)),
        whole(b"x", drain=None, Authorization=basic(SLACK_TOKEN, SLACK_TOKEN)),
        whole(b"x", drain=None, Authorization="Bearer " + SECRET),
        whole(b"x", drain=None, Logplex_Drain_Token=f"drain_token={t}"),
        whole(b"x", drain=None, Logplex_Drain_Token="x" * 70 + SECRET),
        whole(b"x", drain=None, Logplex_Drain_Token="x" * 70 + t),
        whole(b"x", Content_Encoding="br"), whole(b"x" * 70000), head(Content_Length="x"),
        whole(frame(f'at=info path="{PATH}?drain_token={t}" code=H12')), b"\0\xff\r\n\r\n"]
    for request in requests:
        with s.raw() as client:
            client.socket.settimeout(1)  # rubbish may have no answer
            try:
                client.send(request).answer()
            except OSError:
                pass
    assert s.post(h12(), frame_id=t) == 204
    s.health()


def hidden(said, *more):
    """Neither a secret nor a good part of one, as a message that is cut might show."""
    text = "\n".join(said)
    for secret in (SECRET, OTHER, SLACK_TOKEN, token(DRAIN), *more):
        for i in range(0, len(secret) - 19):
            assert secret[i:i + 20] not in text


def test_no_secret_is_shown_while_serving(site):
    """Each failure meets a new process, so that it is logged at once."""
    s = site(HEROKU_LOG_DRAIN_HMAC_SECRET=f"{OTHER},{SECRET}", SLACK_BOT_TOKEN=SLACK_TOKEN,
             DRAINWATCH_MAX_BODY_BYTES="64 KiB")
    program = s.ingest()
    everything_goes_wrong(s)
    s.ingest(ready=False, PORT=site("b").port).wait()  # the folder is in use
    s.ingest(ready=False, DRAINWATCH_STATE_DIR=s.folder / "b").wait()  # the port is
    program.kill()
    assert program.said("401")
    for p in s.programs:
        hidden(p.lines + p.errors)


@pytest.mark.parametrize("which", range(9))
def test_no_secret_is_shown_by_a_refusal(site, which):
    t = token(DRAIN)
    user, password = [(t, DRAIN), (SECRET, "x"), ("x", SECRET), (SLACK_TOKEN, "x"), (t + "x", "x"),
                      ("x" + t, ""), ("n" * 70 + SECRET, "x"), ("n" * 70 + t, "x"),
                      ("n" * 70 + OTHER, "x")][which]
    s = site(HEROKU_LOG_DRAIN_HMAC_SECRET=f"{OTHER},{SECRET}", SLACK_BOT_TOKEN=SLACK_TOKEN)
    program = s.ingest()
    credentials = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    with s.raw() as client:
        code, _, text = client.send(whole(b"x", drain=None, Authorization=credentials)).answer()
    assert code == 401
    program.wait_said("401")
    hidden(program.lines + program.errors + [text.decode()])


@pytest.mark.parametrize("name", ["PORT", "SLACK_API_URL", "DRAINWATCH_QUEUE", "DRAINWATCH_SYNC",
                                  "DRAINWATCH_STATE_DIR", "DRAINWATCH_RULES", "SLACK_BOT_TOKEN",
                                  "FLAG_CONSOLE_HEROKU_LOG_DRAIN_ALERTING"])
def test_no_secret_is_shown_by_a_fault(site, name):
    """A value that an operator put into the wrong setting."""
    s = site(HEROKU_LOG_DRAIN_HMAC_SECRET=f"{OTHER},{SECRET}", SLACK_BOT_TOKEN=SLACK_TOKEN)
    for value in (SECRET, SLACK_TOKEN, f"{SLACK_TOKEN} {SECRET}", f"ftp://{SLACK_TOKEN}"):
        more = {"DRAINWATCH_STATE_DIR": f"/proc/{value}"} if name == "DRAINWATCH_STATE_DIR" else {
            name: value}
        done = s.run(INGEST, "--check", **more)
        hidden(lines(done.stdout) + lines(done.stderr))


def test_too_many_secrets(site):
    secrets = [f"{i:02}-" + "s" * 40 for i in range(17)]
    s = site(HEROKU_LOG_DRAIN_HMAC_SECRET=",".join(secrets))
    done = s.run(INGEST)
    assert done.returncode == CONFIG
    hidden(lines(done.stderr), *secrets)


def is_sanitized():
    return b"__asan_init" in INGEST.read_bytes()


def environ_of(process):
    with open(f"/proc/{process.pid}/environ", "rb") as file:
        return file.read()


def children_of(process):
    with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
        return [int(pid) for pid in file.read().split()]


@pytest.mark.skipif(os.geteuid() != 0, reason="/proc/PID/environ of these programs is root's")
@pytest.mark.parametrize("program", [INGEST, ALERTER])
def test_a_program_wipes_its_secrets_from_its_environment(site, program):
    s = site(HEROKU_LOG_DRAIN_HMAC_SECRET=f"{OTHER},{SECRET}", SLACK_BOT_TOKEN=SLACK_TOKEN)
    started = s.ingest() if program == INGEST else s.alerter()
    environment = environ_of(started.process)
    assert b"DRAINWATCH_STATE_DIR=" in environment
    assert not [secret for secret in (SECRET, OTHER, SLACK_TOKEN) if secret.encode() in environment]


def test_in_a_solo_run_the_alerter_has_its_secrets_all_the_same(site, slack):
    s = site(DRAINWATCH_SOLO="true", SLACK_API_URL=slack.url, SLACK_BOT_TOKEN=slack.token,
             HEROKU_LOG_DRAIN_HMAC_SECRET=f"{OTHER},{SECRET}",
             DRAINWATCH_QUEUE=f"tcp://127.0.0.1:{free_port()}")
    program = s.ingest()
    s.wait_healthy()
    pid, = children_of(program.process)
    if os.geteuid() == 0:
        with open(f"/proc/{pid}/environ", "rb") as file:
            assert SECRET.encode() not in file.read()
    os.kill(pid, signal.SIGKILL)  # a child that starts again gets them, too
    program.wait_said("it starts again")
    s.wait_healthy()
    assert s.post(h12(4)) == 204
    slack.wait_for(1)


@pytest.mark.parametrize("program", [INGEST, ALERTER])
def test_a_program_can_get_no_new_rights(site, program):
    started = site().ingest() if program == INGEST else site().alerter()
    with open(f"/proc/{started.process.pid}/status") as file:
        assert "NoNewPrivs:\t1\n" in file.read()


@pytest.mark.parametrize("queue", ["ipc", "tcp"])
def test_no_file_of_the_state_folder_holds_a_secret(site, queue):
    s = site(HEROKU_LOG_DRAIN_HMAC_SECRET=f"{OTHER},{SECRET}", SLACK_BOT_TOKEN=SLACK_TOKEN,
             SLACK_API_URL="http://127.0.0.1:1/api",
             **({"DRAINWATCH_QUEUE": f"tcp://127.0.0.1:{free_port()}"} if queue == "tcp" else {}))
    s.alerter(), s.ingest()
    s.wait_healthy()
    line = f'at=error code=H12 path="{PATH}?drain_token={token(DRAIN)}"'
    assert s.post(frame(line) * 4) == s.post_basic(h12(4)) == 204
    s.stop()
    files = [path for path in (s.folder / "state").iterdir() if path.is_file()]
    assert {"ingest.db", "alerter.db"} <= {path.name for path in files}
    for secret in (SECRET, OTHER, SLACK_TOKEN, token(DRAIN), token("console")):
        assert not [path for path in files if secret.encode() in path.read_bytes()]


def limit_nothing():
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def died_with_a_core(process, number):
    process.send_signal(number)
    return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT).si_code == os.CLD_DUMPED


def test_no_core_can_be_made(site):
    s = site()
    program = s.ingest()
    limits = open(f"/proc/{program.process.pid}/limits").read()
    line, = [line for line in limits.splitlines() if "core file" in line]
    assert line.split()[4:6] == ["0", "0"]
    program.kill()
    process = subprocess.Popen([INGEST], env=s.env(), cwd=s.folder, preexec_fn=limit_nothing,
                               stderr=subprocess.PIPE)
    assert b"listening" in process.stderr.readline()
    assert not died_with_a_core(process, signal.SIGABRT)
    process.communicate()
    assert not list(s.folder.glob("core*"))


@pytest.mark.skipif(is_sanitized(), reason="LeakSanitizer needs what this test forbids")
def test_nobody_looks_into_its_memory():
    """A process that cannot be dumped cannot be traced either, so its owner cannot read its environment."""
    nobody = {"user": 65534, "group": 65534} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        binary, rules = folder + "/ingest", folder + "/rules.yaml"
        shutil.copy(INGEST, binary)
        shutil.copy(os.path.join(os.path.dirname(__file__), "../../rules.yaml"), rules)
        os.chmod(rules, 0o644)
        env = {"HEROKU_LOG_DRAIN_HMAC_SECRET": SECRET, "DRAINWATCH_RULES": rules,
               "PORT": str(free_port()),
               "FLAG_CONSOLE_HEROKU_LOG_DRAIN_ALERTING": "1", "DRAINWATCH_STATE_DIR": folder + "/s"}
        ours = subprocess.Popen([binary], env=env, stderr=subprocess.PIPE, **nobody)
        other = subprocess.Popen(["sleep", "60"], env=env, **nobody)
        try:
            assert b"listening" in ours.stderr.readline()
            for pid, readable in ((other.pid, True), (ours.pid, False)):
                for name in ("environ", "mem", "maps"):
                    done = subprocess.run(["head", "-c", "0", f"/proc/{pid}/{name}"],
                                          capture_output=True, **nobody)
                    assert (done.returncode == 0) == readable, (name, readable, done)
        finally:
            ours.terminate()
            other.kill()
            ours.communicate()
            other.wait()

