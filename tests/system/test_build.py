"""The build folder as a user makes it."""

import shutil
import subprocess

import pytest

from drainwatch import ROOT

pytestmark = pytest.mark.skipif(not shutil.which("cmake"), reason="there is no cmake")


def configure(folder):
    done = subprocess.run(["cmake", "-S", ROOT, "-B", folder, "--log-level=WARNING"],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return (folder / "compile_commands.json").read_text()


def test_a_second_build_compiles_nothing(tmp_path):
    """Each file is compiled by the same command after a second configuration."""
    assert configure(tmp_path) == configure(tmp_path)
