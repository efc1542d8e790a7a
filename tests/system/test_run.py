"""scripts/run and its --demo, with the real programs."""

import os
import pathlib
import re
import shutil
import signal
import stat
import subprocess
import time

import pytest

from drainwatch import ALERTER, BIN, INGEST, ROOT, SECRET, Program, free_port, token, wait_for
from scripting import SCRIPTS, Answers, Terminal, environment, script, told


# A developer's .env may hold a token of Slack.
NO_ENV = ("--env", "/dev/null")


@pytest.fixture
def run(tmp_path):
    """Starts scripts/run on a state folder and port of its own."""
    started = []

    def start(*args, cwd="/", **settings):
        env = environment(**{"DRAINWATCH_BIN": BIN, "PORT": free_port(),
                             "DRAINWATCH_STATE_DIR": tmp_path / "state", **settings})
        program = Program([SCRIPTS / "run", *(args or NO_ENV)], env, cwd)
        program.port = env["PORT"]
        started.append(program)
        return program

    yield start
    for program in started:
        program.stop()


def test_run_prints_a_curl_line_that_works(run):
    program = run()
    curl = program.wait_said("curl -i ")[0]
    program.wait_said("no SLACK_BOT_TOKEN")
    for _ in range(4):
        answer = subprocess.run(["sh", "-c", curl], capture_output=True, text=True, timeout=60)
        assert answer.stdout.startswith("HTTP/1.1 204"), answer
    program.wait_said("heroku_log_drain: processed 1 lines from logplex delivery")
    program.wait_said("drainwatch alert:")
    assert all(re.match(r"\d\d:\d\d:\d\d (web\.1   |worker\.1|system  ) \|", line)
               for line in program.lines if line != curl), program.lines


def test_run_stops_in_order(run):
    program = run()
    program.wait_said("curl -i ")
    assert program.stop() == 0
    pids = [int(line.rsplit(" ", 1)[1]) for line in program.said(", pid ")]
    assert len(pids) == 2 and not [p for p in pids if os.path.exists(f"/proc/{p}")]
    assert program.lines[-1].endswith("| stopped")


def test_run_on_ctrl_c_stops_ingest_first(tmp_path):
    terminal = Terminal("run", *NO_ENV, DRAINWATCH_BIN=BIN, PORT=free_port(), DRAINWATCH_STATE_DIR=tmp_path)
    terminal.wait_for("curl -i ")
    ingest = int(re.search(r"drainwatch-ingest, pid (\d+)", terminal.text)[1])
    alerter = int(re.search(r"drainwatch-alerter, pid (\d+)", terminal.text)[1])
    os.kill(ingest, signal.SIGSTOP)
    terminal.type("\x03")
    terminal.wait_for("stopping both")
    time.sleep(0.5)
    # A terminal's Ctrl-C must not have reached the alerter while ingest still holds something.
    assert "zombie" not in pathlib.Path(f"/proc/{alerter}/status").read_text()
    os.kill(ingest, signal.SIGCONT)
    assert terminal.wait() == 0
    assert "\x1b[" in terminal.text


def database_of(program):
    """The folder of the database that scripts/run started, and its server's process id."""
    url = re.search(r"psql '(postgres:[^']+)'", program.wait_said("look into it: psql ")[0])[1]
    pid = re.search(r"postgres is postgres, pid (\d+)", "\n".join(program.lines))[1]
    return url, pathlib.Path(re.search(r"host=([^&]+)", url)[1]), int(pid)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_with_a_database_stops_it_at_the_end(run, number):
    program = run("--postgres", *NO_ENV)
    program.wait_said("curl -i ")
    url, folder, pid = database_of(program)
    # Somebody who looks into it does not keep it from ending.
    reader = subprocess.Popen(["psql", url], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    program.signal(number)
    assert program.wait() == 0
    reader.communicate()
    assert program.lines[-1].endswith("| stopped")
    assert not folder.exists() and not os.path.exists(f"/proc/{pid}")


def test_a_database_does_not_outlive_the_run_that_started_it(run):
    program = run("--postgres", *NO_ENV)
    program.wait_said("curl -i ")
    _, folder, pid = database_of(program)
    program.kill()
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"), "the end of the database")
    shutil.rmtree(folder)


def test_run_tells_that_the_database_died(run):
    program = run("--postgres", *NO_ENV)
    program.wait_said("curl -i ")
    _, folder, pid = database_of(program)
    os.kill(pid, signal.SIGKILL)
    assert program.wait() == 137
    assert program.said("postgres exited by itself with code 137")
    assert not folder.exists()


def test_run_keeps_one_secret(run, tmp_path):
    tokens = set()
    for _ in range(2):
        program = run()
        tokens.add(re.search(r'"(\w{64})" \| curl', program.wait_said("curl -i ")[0])[1])
        program.stop()
    file = tmp_path / "state" / "secret"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert re.fullmatch("[0-9a-f]{64}", file.read_text())
    assert tokens == {token("d.test", file.read_text())}


def test_run_tells_which_one_died(run):
    program = run()
    program.wait_said("curl -i ")
    pid = int(re.search(r"drainwatch-alerter, pid (\d+)", "\n".join(program.lines))[1])
    os.kill(pid, signal.SIGKILL)
    assert program.wait() == 137
    assert program.said("worker.1 exited by itself with code 137")
    assert program.lines[-1].endswith("| stopped")


def test_run_on_a_busy_port(run):
    with Answers() as other:
        program = run(PORT=other.port)
        assert program.wait() == 1
    assert program.said("web.1 exited by itself with code 1")
    assert [line for line in program.said(str(other.port)) if " web.1 " in line]
    assert not program.said("curl -i ")


def test_run_passes_on_a_fault_of_the_settings(run):
    program = run(DRAINWATCH_SYNC="sometimes")
    assert program.wait() == 78
    assert program.said("by itself with code 78") and not program.said("with 0")


def test_run_takes_relative_paths_from_the_callers_folder(run, tmp_path):
    rules = (ROOT / "rules.yaml").read_text().replace("raxx-console-prod", "my-own-app")
    (tmp_path / "my.yaml").write_text(rules)
    program = run(*NO_ENV, cwd=tmp_path, DRAINWATCH_RULES="my.yaml", DRAINWATCH_STATE_DIR="here")
    curl = program.wait_said("curl -i ")[0]
    for _ in range(4):
        subprocess.run(["sh", "-c", curl], capture_output=True, timeout=60, check=True)
    assert "my-own-app" in program.wait_said("drainwatch alert:")[0]
    assert (tmp_path / "here" / "secret").exists()


def test_run_reads_env_as_foreman_does(run, slack, tmp_path):
    (tmp_path / ".env").write_text(
        "# settings\n"
        f"export SLACK_BOT_TOKEN='{slack.token}'\n"
        f'SLACK_API_URL="{slack.url}"\r\n'
        "DRAINWATCH_RULES=rules/my.yaml\n"
        "not a setting\n"
        "PORT=1\n"
        f"HEROKU_LOG_DRAIN_HMAC_SECRET={SECRET}")
    (tmp_path / "rules").mkdir()
    shutil.copy(ROOT / "rules.yaml", tmp_path / "rules" / "my.yaml")
    program = run("--env", tmp_path / ".env")
    curl = program.wait_said("curl -i ")[0]
    assert not program.said(token("d.test"))  # a token of one's own secret is good elsewhere, too
    for _ in range(4):  # and the port is the environment's, or it were not ready
        subprocess.run(["sh", "-c", curl], capture_output=True, timeout=60, check=True,
                       env=environment(HEROKU_LOG_DRAIN_HMAC_SECRET=SECRET))
    slack.wait_for(1)
    assert program.said(".env:5: ignored") and not program.said("not a setting")
    for pid in re.findall(r", pid (\d+)", "\n".join(program.lines)):
        assert slack.token.encode() not in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()


def test_run_finds_env_in_the_callers_folder(run, tmp_path):
    (tmp_path / ".env").write_text("DRAINWATCH_SYNC=sometimes\n")
    program = Program([SCRIPTS / "run"],
                      environment(DRAINWATCH_BIN=BIN, DRAINWATCH_STATE_DIR=tmp_path / "state"), tmp_path)
    assert program.wait() == 78
    assert program.said(f"settings from {tmp_path}/.env")


def test_run_warns_of_the_examples_app_and_channel(run, tmp_path):
    program = run()
    program.wait_said("curl -i ")
    assert [line.split("yaml:")[1].split(": ", 1)[1] for line in program.said("warning: ")
            if "example's" in line] == [
        "app: raxx-console-prod: this is the example's; put your own there",
        "channel: D0AJ7K184TV: this is the example's; put your own there"]
    mine = tmp_path / "mine.yaml"
    mine.write_text((ROOT / "rules.yaml").read_text().replace("raxx-console-prod", "mine")
                    .replace("D0AJ7K184TV", "C0123456789"))
    program = run(DRAINWATCH_RULES=mine, DRAINWATCH_STATE_DIR=tmp_path / "other")
    program.wait_said("curl -i ")
    assert not program.said("the example's; put")


def test_killed_with_no_chance_to_clean_up_the_programs_stop(run):
    program = run()
    program.wait_said("curl -i ")
    pids = re.findall(r", pid (\d+)", "\n".join(program.lines))
    program.kill()
    wait_for(lambda: not [pid for pid in pids if os.path.exists(f"/proc/{pid}")], "the end of both")


@pytest.fixture
def checkout(tmp_path):
    """A copy of the script with a setup and a cmake of its own."""
    (tmp_path / "scripts").mkdir()
    (tmp_path / "bin").mkdir()
    for name in ("run", "lib.sh"):
        shutil.copy(SCRIPTS / name, tmp_path / "scripts" / name)

    def put(name, text):
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)

    def run_it(setup, cmake):
        put("scripts/setup", setup)
        put("bin/cmake", cmake)
        return subprocess.run(
            [tmp_path / "scripts" / "run", *NO_ENV], cwd="/", capture_output=True, text=True,
            env=environment(PATH=f"{tmp_path}/bin:{os.environ['PATH']}"), timeout=60)
    return run_it


def test_a_build_that_fails_shows_its_output(checkout, tmp_path):
    result = checkout("echo installing", "echo 'error: no such header' >&2; exit 2")
    log = tmp_path / "build" / "run.log"
    assert result.returncode == 2 and f"this output is in {log}" in result.stderr
    assert result.stdout.endswith("installing\nerror: no such header\n")
    assert log.read_text() == "installing\nerror: no such header\n"


def test_a_build_that_works_is_one_line(checkout, tmp_path):
    result = checkout("seq 1000; sleep 1.5", "seq 1000")
    assert result.stdout == f"installing and building (log: {tmp_path}/build/run.log)\n"
    assert result.stderr.splitlines() == [
        f"run: there is no {tmp_path}/build/bin/drainwatch-ingest"]


def test_demo_shows_an_alert_and_never_posts(slack):
    result = script("run", "--demo", DRAINWATCH_BIN=BIN, SLACK_BOT_TOKEN=slack.token,
                    SLACK_API_URL=slack.url, PORT=1, DRAINWATCH_RULES="/nowhere",
                    FLAG_CONSOLE_HEROKU_LOG_DRAIN_ALERTING="off")
    assert result.returncode == 0, told(result)
    assert result.stdout.count("drainwatch alert:") >= 2
    assert "raxx-console-prod" in result.stdout.rsplit("as Slack would have got it", 1)[1]
    assert slack.posts == [] and slack.refusals == [] and slack.connections == 0


def test_demo_without_an_alerter_fails(tmp_path):
    (tmp_path / INGEST.name).symlink_to(INGEST)
    (tmp_path / ALERTER.name).write_text("#!/bin/sh\nexit 3\n")
    (tmp_path / ALERTER.name).chmod(0o755)
    result = script("run", "--demo", DRAINWATCH_BIN=tmp_path)
    assert result.returncode == 1 and "demo failed" in result.stdout
