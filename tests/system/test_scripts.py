"""The scripts for operators, against the real ingest and a stand-in for heroku."""

import hashlib
import hmac
import json
import os
import re
import shutil
import subprocess

import pytest

from drainwatch import ALERTER, INGEST, PATH, ROOT, SECRET, free_port, token, wait_for
from scripting import SCRIPTS, Answers, Terminal, script, told

NAMES = sorted(p.name for p in SCRIPTS.iterdir() if p.is_file() and os.access(p, os.X_OK))
# All that the scripts for operators call.
TOOLS = ("awk bash cat curl cut date dirname grep head heroku jq mktemp od readlink rm sed sha256sum "
         "sleep tr").split()


# ---- all of them ---------------------------------------------------------------------------------

@pytest.mark.parametrize("name", NAMES)
def test_help_from_any_folder(name):
    result = script(name, "--help")
    assert result.returncode == 0 and result.stderr == ""
    assert result.stdout.startswith(f"Usage: scripts/{name}")


@pytest.mark.parametrize("name", NAMES)
def test_help_through_a_link(name, tmp_path):
    (tmp_path / "link").symlink_to(SCRIPTS / name)
    shown = subprocess.run([tmp_path / "link", "--help"], capture_output=True, text=True, timeout=60)
    assert shown.stdout == script(name, "--help").stdout and shown.stderr == ""


@pytest.mark.parametrize("name", [n for n in NAMES if n != "test"])
def test_unknown_option_is_a_usage_error(name):
    result = script(name, "--no-such-thing")
    assert result.returncode == 64 and "--no-such-thing" in result.stderr


# ---- setup ---------------------------------------------------------------------------------------

@pytest.fixture
def machine(tmp_path):
    """A PATH with a packaging system of its own: installed packages are lines of a file."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("bash", "dirname", "readlink", "uname", "env", "awk"):
        (tools / tool).symlink_to(shutil.which(tool))
    installed = tmp_path / "installed"
    installed.touch()
    calls = tmp_path / "calls"

    def put(name, text):
        (tools / name).write_text("#!/bin/sh\n" + text)
        (tools / name).chmod(0o755)

    put("dpkg-query", f'while read -r p; do echo "$p installed"; done <{installed}\n')
    put("apt-get", f'echo "$@" >>{calls}\n')
    put("id", "echo 0\n")

    def setup(*args):
        calls.write_text("")
        result = script("setup", *args, PATH=tools)
        return result, calls.read_text().splitlines()

    setup.put, setup.installed = put, installed
    return setup


def packages(*args):
    return script("setup", "--list", *args).stdout.split()


def test_setup_does_nothing_where_all_is_there(machine):
    machine.installed.write_text("\n".join(packages("--test")) + "\n")
    result, calls = machine("--test")
    assert (result.returncode, result.stdout, result.stderr, calls) == (0, "", "", [])


def test_setup_installs_what_is_missing_and_removes_nothing(machine):
    wanted = packages()
    machine.installed.write_text("\n".join(wanted[2:]) + "\nlibc6-dev-and-more\n")
    result, (update, install) = machine()
    assert result.returncode == 0, told(result)
    assert update.endswith(" update")
    assert install.endswith(f" {wanted[0]} {wanted[1]}") and " --no-remove " in install


def test_setup_modes_differ_as_they_should():
    assert set(packages()) < set(packages("--test"))
    assert not [p for p in packages("--runtime") if p.endswith("-dev")]


def test_setup_without_root_says_what_to_run(machine):
    machine.put("id", "echo 1000\n")
    result, calls = machine("--runtime")
    assert result.returncode == 1 and calls == []
    assert "As root run: apt-get install libzmq5" in result.stderr


def test_setup_uses_sudo(machine):
    machine.put("id", "echo 1000\n")
    machine.put("sudo", 'exec "$@"\n')
    result, calls = machine("--runtime")
    assert result.returncode == 0 and len(calls) == 2


# ---- drain-token ---------------------------------------------------------------------------------

def drain_token(secret, name, **settings):
    result = script("drain-token", name, HEROKU_LOG_DRAIN_HMAC_SECRET=secret, **settings)
    assert result.returncode == 0, told(result)
    return result.stdout


def test_drain_token_known_answer():
    # RFC 4231, test case 2.
    assert drain_token("Jefe", "what do ya want for nothing?") == (
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843\n")


@pytest.mark.parametrize("secret", ["x", "k" * 63, "k" * 64, "k" * 65, "0f" * 200, "schlüssel→" * 9,
                                    r"back\slash %s $HOME `x` '\"", "-n", "*"],
                         ids=lambda secret: f"{secret[:4]}-{len(secret)}")
@pytest.mark.parametrize("name", ["raxx-console-prod", "d.01234567-89ab", r"%b\n\x41", "naïve"])
def test_drain_token_is_the_hmac(secret, name):
    expected = hmac.new(secret.encode(), name.encode(), hashlib.sha256).hexdigest()
    assert drain_token(secret, name) == expected + "\n"


def test_drain_token_uses_the_first_of_several_trimmed():
    assert drain_token(" ,, \tfirst one ,second", "app") == token("app", "first one") + "\n"


def test_drain_token_reads_the_state_folder(tmp_path):
    (tmp_path / "secret").write_text(SECRET + "\n")
    assert drain_token("", "app", DRAINWATCH_STATE_DIR=tmp_path) == token("app") + "\n"


def test_drain_token_without_a_secret(tmp_path):
    result = script("drain-token", "app", DRAINWATCH_STATE_DIR=tmp_path)
    assert result.returncode == 78 and "HEROKU_LOG_DRAIN_HMAC_SECRET" in result.stderr


def test_drain_token_asks_without_showing(tmp_path):
    terminal = Terminal("drain-token", "app", DRAINWATCH_STATE_DIR=tmp_path)
    terminal.wait_for("HMAC secret")
    terminal.type(f"{SECRET}\n")
    assert terminal.wait() == 0
    assert terminal.text.splitlines()[-1] == token("app")
    assert SECRET not in terminal.text


# ---- nothing that ps could show ------------------------------------------------------------------

@pytest.fixture
def spied(tmp_path):
    """A PATH on which every command notes its arguments; spied.lines() lists them."""
    folder, log = tmp_path / "spied", tmp_path / "spied.log"
    folder.mkdir()
    log.touch()
    for tool in TOOLS:
        real = ROOT / "tests/system/fake_heroku" if tool == "heroku" else shutil.which(tool)
        wrapper = folder / tool
        wrapper.write_text("#!/bin/sh\n"
                           f"printf '%s ' \"${{0##*/}}\" \"$@\" >>{log}; echo >>{log}\n"
                           f'exec {real} "$@"\n')
        wrapper.chmod(0o755)

    class Spied:
        path = folder

        @staticmethod
        def lines():
            return log.read_text().splitlines()
    return Spied


def test_no_argument_holds_the_secret_or_a_token(site, spied, heroku):
    here = site()
    here.alerter()
    here.ingest()
    here.wait_healthy()
    settings = {**heroku.settings, "PATH": spied.path, "HEROKU_LOG_DRAIN_HMAC_SECRET": SECRET}
    address = f"http://127.0.0.1:{here.port}"
    for name, *args in (("drain-token", "console"), ("smoke", "--no-alert", address),
                        ("register-drain", "console", address)):
        result = script(name, *args, **settings)
        assert result.returncode == 0, told(result)
    lines = spied.lines()
    assert any(line.startswith("curl ") for line in lines)
    assert not [line for line in lines if SECRET in line]
    with_token = [line for line in lines if re.search(r"[0-9a-f]{64}", line)]
    assert [line.split()[:2] for line in with_token] == [["heroku", "drains:add"]]
    assert not [call for call in heroku.calls() if SECRET in json.dumps(call)]


# ---- smoke ---------------------------------------------------------------------------------------

def smoke(here, *args, **settings):
    return script("smoke", *args, **{"HEROKU_LOG_DRAIN_HMAC_SECRET": SECRET, "PORT": here.port,
                                     **settings})


def test_smoke_passes_and_an_alert_comes(site):
    here = site()
    alerter = here.alerter()
    here.ingest()
    here.wait_healthy()
    result = smoke(here)
    assert result.returncode == 0, told(result)
    assert re.findall(r"^(PASS|FAIL|NOTE)  (\d+)", result.stdout, re.M) == [
        ("PASS", "204"), ("PASS", "401"), ("PASS", "200"), ("PASS", "204"), ("PASS", "200")]
    alerter.wait_said("drainwatch alert:")


def test_smoke_takes_an_address_in_any_form(site):
    here = site()
    here.alerter()
    here.ingest()
    here.wait_healthy()
    for address in ("", "/", PATH):
        result = smoke(here, "--no-alert", f"http://127.0.0.1:{here.port}{address}", PORT=1)
        assert result.returncode == 0, told(result)


def test_smoke_fails_while_the_alerter_is_away(site):
    here = site()
    here.ingest()
    wait_for(lambda: here.health()[0] == 503, "a red /healthz")
    result = smoke(here)
    assert result.returncode == 1, told(result)
    assert f"FAIL  503 /healthz: {here.health()[1]}" in result.stdout
    assert "H12" not in result.stdout


def test_smoke_finds_a_slack_that_refuses():
    """It learns that after the storm, when the alerter has tried."""
    health = [(200, "ok"), (200, "ok"), (503, "1 alert kept: invalid_auth")]
    with Answers(204, 401, 204, health=health) as here:
        result = smoke(here)
    assert result.returncode == 1, told(result)
    assert "FAIL  503 /healthz: 1 alert kept: invalid_auth" in result.stdout


def test_smoke_finds_the_flag_off(site):
    here = site(FLAG_CONSOLE_HEROKU_LOG_DRAIN_ALERTING="false")
    here.ingest()
    result = smoke(here)
    assert result.returncode == 1
    assert "FAIL  501" in result.stdout and "FLAG_CONSOLE_HEROKU_LOG_DRAIN_ALERTING" in result.stdout
    assert smoke(here, "--expect-off").returncode == 0


def test_smoke_expecting_off_fails_where_it_is_on(site):
    here = site()
    here.ingest()
    assert smoke(here, "--expect-off").returncode == 1


def test_smoke_with_another_secret_sends_no_storm(site):
    here = site()
    here.ingest()
    result = smoke(here, HEROKU_LOG_DRAIN_HMAC_SECRET="another secret, of some length")
    assert result.returncode == 1
    assert "FAIL  401" in result.stdout and "H12" not in result.stdout


def test_smoke_tells_that_its_drain_may_be_unlisted(site):
    here = site()
    shipped = (ROOT / "rules.yaml").read_text()
    here.rules.write_text(re.sub(r"^app: .*", "apps: [{name: shop, drain: shop}]", shipped,
                                 flags=re.MULTILINE))
    here.ingest()
    result = smoke(here)
    assert result.returncode == 1, told(result)
    assert "list the drain drainwatch-smoke" in result.stdout


def test_smoke_where_nobody_is():
    result = script("smoke", HEROKU_LOG_DRAIN_HMAC_SECRET=SECRET, PORT=free_port())
    assert result.returncode == 1 and "no answer" in result.stdout


# ---- register-drain ------------------------------------------------------------------------------

APP = "console"


@pytest.fixture
def heroku(tmp_path):
    """The stand-in with two drains that are none of ours."""
    state = tmp_path / "heroku.json"
    folder = tmp_path / "heroku-bin"
    folder.mkdir()
    (folder / "heroku").symlink_to(ROOT / "tests/system/fake_heroku")
    others = [
        {"addon": {"id": "1", "name": 'odd"na}me', "url": "https://console:x@else.example/"},
         "id": "2", "token": "d.addon", "url": "https://addon.example/"},
        {"url": "syslog://logs.example:514", "token": "d.other", "id": "3", "addon": None},
    ]

    class Heroku:
        settings = {"FAKE_HEROKU": state, "PATH": f"{folder}:{os.environ['PATH']}"}

        def put(self, *drains):
            state.write_text(json.dumps({APP: [*others, *drains]}))

        def ours(self):
            drains = json.loads(state.read_text())[APP]
            assert drains[:2] == others
            return drains[2:]

        def urls(self):
            return [d["url"] for d in self.ours()]

        def calls(self):
            text = state.with_name(state.name + ".calls").read_text()
            return [json.loads(line) for line in text.splitlines()]

        def paused(self):
            return state.with_name(state.name + ".paused").exists()

    stand_in = Heroku()
    stand_in.put()
    return stand_in


def register(heroku, address, *args, **settings):
    return script("register-drain", APP, address, *args, **{
        **heroku.settings, "HEROKU_LOG_DRAIN_HMAC_SECRET": SECRET, **settings})


def drain_url(port, name=APP, secret=SECRET):
    return f"http://{name}:{token(name, secret)}@127.0.0.1:{port}{PATH}"


@pytest.fixture
def server(site):
    here = site()
    here.ingest()
    here.address = f"http://127.0.0.1:{here.port}"
    return here


def test_register_and_repeat(heroku, server):
    result = register(heroku, server.address)
    assert result.returncode == 0, told(result)
    first = heroku.ours()
    assert [d["url"] for d in first] == [drain_url(server.port)]
    again = register(heroku, server.address)
    assert again.returncode == 0 and heroku.ours() == first
    assert "registered already" in again.stderr
    assert token(APP) not in result.stdout + result.stderr


def test_register_replaces_what_an_older_secret_made(heroku, server):
    kept = [drain_url(server.port, "another-name"), drain_url(1), drain_url(server.port) + "/deeper"]
    stale = [drain_url(server.port, secret="old"), drain_url(server.port, secret="older")]
    heroku.put(*({"id": f"i{i}", "token": f"d.{i}", "url": url, "addon": None}
                 for i, url in enumerate([*stale, *kept])))
    result = register(heroku, server.address)
    assert result.returncode == 0, told(result)
    assert heroku.urls() == [*kept, drain_url(server.port)]
    order = [c["argv"][0] for c in heroku.calls() if c["argv"][0] != "drains"]
    assert order == ["drains:add", "drains:remove", "drains:remove"]


def test_register_warns_of_the_examples_channel(heroku, server, tmp_path):
    rules = tmp_path / "rules.yaml"
    rules.write_text(f"app: {APP}\nslack: {{channel: D0AJ7K184TV}}\n")
    result = register(heroku, server.address, DRAINWATCH_RULES=rules)
    assert result.returncode == 0
    assert "rules.yaml:2: slack: {channel: D0AJ7K184TV} is the example's" in result.stderr
    rules.write_text(f"app: {APP}\nslack: {{channel: C0123}}\n")
    assert "example's" not in register(heroku, server.address, DRAINWATCH_RULES=rules).stderr


def test_register_without_jq(heroku, server, spied):
    (spied.path / "jq").unlink()
    result = register(heroku, server.address, PATH=spied.path)
    assert result.returncode == 1 and "brew install jq" in result.stderr


def test_register_under_a_name_of_its_own(heroku, server):
    assert register(heroku, server.address + PATH, "production").returncode == 0
    assert heroku.urls() == [drain_url(server.port, "production")]


@pytest.mark.parametrize("point", ["before drains", "before drains:add", "after drains:add",
                                   "before drains:remove", "after drains:remove"])
def test_register_interrupted_anywhere(heroku, server, point):
    old = drain_url(server.port, secret="old")
    heroku.put({"id": "i", "token": "d.old", "url": old, "addon": None})
    terminal = Terminal("register-drain", APP, server.address, **{
        **heroku.settings, "HEROKU_LOG_DRAIN_HMAC_SECRET": SECRET, "FAKE_HEROKU_PAUSE": point})
    wait_for(lambda: terminal.read() and heroku.paused(), f"the pause {point}")
    terminal.type("\x03")
    assert terminal.wait() == 130
    assert "stopped:" in terminal.text
    assert ("nothing was changed" in terminal.text) == (point == "before drains")
    assert old in heroku.urls() or drain_url(server.port) in heroku.urls()
    result = register(heroku, server.address)
    assert result.returncode == 0, told(result)
    assert heroku.urls() == [drain_url(server.port)]


def test_register_refuses_what_ingest_would_refuse(heroku, server):
    result = register(heroku, server.address, HEROKU_LOG_DRAIN_HMAC_SECRET="another")
    assert result.returncode == 1
    assert "401" in result.stderr and "nothing was changed" in result.stderr
    assert heroku.urls() == []


@pytest.mark.parametrize("command, left", [
    ("drains", ["old"]), ("drains:add", ["old"]), ("drains:remove", ["old", "new"])])
def test_register_when_heroku_fails(heroku, server, command, left):
    urls = {"old": drain_url(server.port, secret="old"), "new": drain_url(server.port)}
    heroku.put({"id": "i", "token": "d.old", "url": urls["old"], "addon": None})
    result = register(heroku, server.address, FAKE_HEROKU_FAIL=command)
    assert result.returncode == 1, told(result)
    assert heroku.urls() == [urls[name] for name in left]


def test_register_takes_back_what_does_not_work(heroku):
    with Answers(204, 401) as server:
        old = drain_url(server.port, secret="old")
        heroku.put({"id": "i", "token": "d.old", "url": old, "addon": None})
        result = register(heroku, f"http://127.0.0.1:{server.port}")
    assert result.returncode == 1 and "was removed" in result.stderr
    assert heroku.urls() == [old]


@pytest.mark.parametrize("address", ["http://logs.example", "http://127.0.0.1.evil.example",
                                     "syslog://logs.example", "https://me:secret@logs.example",
                                     "https://logs.example/?drain_token=1", "https://", "a b"])
def test_register_refuses_an_address(heroku, address):
    result = register(heroku, address)
    assert result.returncode == 64, told(result)
    assert heroku.urls() == []


# ---- the files for Heroku ------------------------------------------------------------------------

def test_heroku_gets_both_programs_in_one_dyno():
    app = json.loads((ROOT / "app.json").read_text())
    assert app["stack"] == "container" and list(app["formation"]) == ["web"]
    assert app["env"]["DRAINWATCH_SOLO"]["value"] == "true"
    assert [addon["as"] for addon in app["addons"]] == ["DRAINWATCH_DATABASE"]  # Heroku adds _URL
    assert app["env"]["HEROKU_LOG_DRAIN_HMAC_SECRET"] == {
        **app["env"]["HEROKU_LOG_DRAIN_HMAC_SECRET"], "generator": "secret"}
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "ENV DRAINWATCH_SOLO=true" in dockerfile
    for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.M):
        assert all((ROOT / source).exists() for source in line.split()[:-1]), line


def test_procfile_names_both_programs():
    assert (ROOT / "Procfile").read_text().splitlines() == [
        f"web: build/bin/{INGEST.name}", f"worker: build/bin/{ALERTER.name}"]
