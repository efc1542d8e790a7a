"""The build folder as a user makes it."""

import re
import shutil
import subprocess

import pytest

from drainwatch import ALERTER, INGEST, ROOT

pytestmark = pytest.mark.skipif(not shutil.which("cmake"), reason="there is no cmake")


def configure(folder):
    done = subprocess.run(["cmake", "-S", ROOT, "-B", folder, "--log-level=WARNING"],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return (folder / "compile_commands.json").read_text()


def test_a_second_build_compiles_nothing(tmp_path):
    """Each file is compiled by the same command after a second configuration."""
    assert configure(tmp_path) == configure(tmp_path)


# ---- hardening -----------------------------------------------------------------------------------

SANITIZED = b"__asan_init" in INGEST.read_bytes()


def readelf(program, *options):
    return subprocess.run(["readelf", "-W", *options, program], check=True, capture_output=True,
                          text=True, timeout=60).stdout


@pytest.mark.parametrize("program", [INGEST, ALERTER], ids=lambda program: program.name)
def test_a_program_is_hardened(program):
    """It lies at a random address, its tables of addresses are read-only, no memory is writable and
    executable, and it names no folder of libraries."""
    assert "Position-Independent Executable" in readelf(program, "-h")
    dynamic, segments = readelf(program, "-d"), readelf(program, "-l")
    assert "BIND_NOW" in dynamic and "PATH" not in dynamic
    assert "GNU_RELRO" in segments and "RWE" not in segments
    assert re.search(r"GNU_STACK .* RW  ", segments)


@pytest.mark.skipif(SANITIZED, reason="a sanitizer does this by its own means")
@pytest.mark.parametrize("program", [INGEST, ALERTER], ids=lambda program: program.name)
def test_a_program_checks_its_stack_and_its_buffers(program):
    symbols = readelf(program, "--dyn-syms")
    assert "__stack_chk_fail" in symbols and re.search(r"__(memcpy|snprintf)_chk", symbols)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_build_asks_for_all_that_the_compiler_has(tmp_path, compiler):
    if not shutil.which(compiler):
        pytest.skip(f"there is no {compiler}")
    subprocess.run(["cmake", "-S", ROOT, "-B", tmp_path, f"-DCMAKE_C_COMPILER={compiler}"], check=True,
                   capture_output=True, timeout=120)
    commands = (tmp_path / "compile_commands.json").read_text()
    for flag in ("-fPIE", "-fstack-protector-strong", "-fstack-clash-protection",
                 "-D_FORTIFY_SOURCE=3", *["-ftrivial-auto-var-init=zero"] * (compiler == "gcc")):
        assert flag in commands, flag


# ---- cmake --install -----------------------------------------------------------------------------

PACKAGE = ROOT / "scripts" / "package"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A prefix that the programs under test were installed into."""
    build, prefix = tmp_path_factory.mktemp("build"), tmp_path_factory.mktemp("prefix")
    configure(build)
    (build / "bin").mkdir(exist_ok=True)
    for program in (INGEST, ALERTER):
        shutil.copy(program, build / "bin" / program.name)
    done = subprocess.run(["cmake", "--install", build, "--prefix", prefix],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return prefix


def test_installed_files(installed):
    for name in ("bin/drainwatch-ingest", "bin/drainwatch-alerter",
                 "share/man/man1/drainwatch-ingest.1", "share/man/man1/drainwatch-alerter.1",
                 "share/bash-completion/completions/drainwatch-ingest",
                 "share/bash-completion/completions/drainwatch-alerter",
                 "share/doc/drainwatch/README.md", "share/doc/drainwatch/docs/rules.md",
                 "share/doc/drainwatch/examples/env", "lib/systemd/system/drainwatch-ingest.service"):
        assert (installed / name).is_file(), name
    rules = installed / "share/doc/drainwatch/examples/rules.yaml"
    for program in (INGEST, ALERTER):
        check = subprocess.run([installed / "bin" / program.name, "--check", "--rules", rules],
                               env={}, cwd=installed, capture_output=True, timeout=60)
        assert check.returncode == 0, check.stderr


@pytest.mark.parametrize("name", ["drainwatch-ingest", "drainwatch-alerter"])
def test_a_unit_starts_the_installed_program_and_locks_it_in(installed, name):
    unit = (installed / f"lib/systemd/system/{name}.service").read_text()
    assert f"ExecStart={installed}/bin/{name}\n" in unit
    for line in ("DynamicUser=yes", "NoNewPrivileges=yes", "ProtectSystem=strict",
                 "MemoryDenyWriteExecute=yes", "StateDirectory=drainwatch",
                 "EnvironmentFile=-/etc/drainwatch/env"):
        assert f"{line}\n" in unit, line


def words_of_help(program):
    """The commands and options that --help lists."""
    usage = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=60).stdout
    usage = usage[:usage.index("settings (environment")]
    commands = re.findall(rf"^  {program.name} ([a-z]+)", usage, re.M)
    assert len(commands) > 1
    return {*commands, *re.findall(r"--[a-z]+", usage)}


@pytest.mark.parametrize("program", [INGEST, ALERTER], ids=lambda program: program.name)
def test_the_man_page_and_the_completion_know_all_that_help_lists(program):
    page = (PACKAGE / f"{program.name}.1").read_text().replace("\\-", "-")
    completion = (PACKAGE / "completion.bash").read_text()
    for word in words_of_help(program):
        assert re.search(rf"(?<![\w-]){word}\b", page), word
        assert re.search(rf"(?<![\w-]){word}\b", completion), word


def complete(*words):
    """What the shell offers for the last of the words."""
    script = f"""source {PACKAGE}/completion.bash
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _drainwatch "$1" "${{@: -1}}" "${{@: -2:1}}"
        printf '%s\\n' "${{COMPREPLY[@]}}" """
    done = subprocess.run(["bash", "-c", script, "bash", *words], cwd=ROOT, capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 0 and done.stderr == "", done
    return done.stdout.split()


def test_completion_offers_commands_options_and_files():
    assert complete("drainwatch-ingest", "s") == ["scan"]
    assert complete("/usr/bin/drainwatch-alerter", "re") == ["replay"]
    assert complete("drainwatch-alerter", "replay", "--c") == ["--compare"]
    assert complete("drainwatch-alerter", "outbox", "--format", "") == ["text", "json"]
    assert complete("drainwatch-ingest", "scan", "rules.y") == ["rules.yaml"]
    assert complete("drainwatch-alerter", "help", "ex") == ["export"]
