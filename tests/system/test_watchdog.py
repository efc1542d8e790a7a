"""watchdog.py, on tests that hang."""

import os
import pathlib
import subprocess
import sys

from drainwatch import wait_for

HANGING = """
import threading

def test_first():
    open("started", "w").close()
    threading.Thread(target=threading.Event().wait).start()
    threading.Event().wait()

def test_second():
    pass
"""


def pytest_of(folder, **settings):
    (folder / "test_hanging.py").write_text(HANGING)
    env = {**os.environ, "PYTHONPATH": str(pathlib.Path(__file__).parent), **settings}
    return subprocess.Popen([sys.executable, "-m", "pytest", "-p", "watchdog", "-q", str(folder)],
                            env=env, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_hanging_test_fails_and_pytest_ends(tmp_path):
    with pytest_of(tmp_path, DRAINWATCH_TEST_LIMIT_S="1") as run:
        out, errors = run.communicate(timeout=60)
    assert run.returncode == 1
    assert b"1 failed, 1 passed" in out and b"took longer than 1 s" in out
    assert b"in test_first" in out and b"_shutdown" in errors


def test_sigterm_ends_pytest_in_order(tmp_path):
    with pytest_of(tmp_path, DRAINWATCH_TEST_LIMIT_S="2") as run:
        wait_for((tmp_path / "started").exists, "the first test")
        run.terminate()
        out, _ = run.communicate(timeout=60)
    assert b"KeyboardInterrupt" in out and run.returncode != 0
