"""A pytest plugin: no test hangs, and neither does pytest at its end."""

import faulthandler
import os
import signal
import sys

import pytest

# For each of setup, test and teardown. The slowest test takes a minute under a sanitizer.
LIMIT_S = float(os.environ.get("DRAINWATCH_TEST_LIMIT_S", 300))


def fail(*_):
    faulthandler.dump_traceback(sys.__stderr__)
    pytest.fail(f"took longer than {LIMIT_S:g} s", pytrace=True)


def stop(*_):
    raise KeyboardInterrupt  # so that pytest tears down and reports


@pytest.hookimpl(hookwrapper=True)
def limited(item):
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S, LIMIT_S / 10)  # again if the cleaning up hangs
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)


pytest_runtest_setup = pytest_runtest_call = pytest_runtest_teardown = limited


def pytest_configure():
    signal.signal(signal.SIGALRM, fail)
    signal.signal(signal.SIGTERM, stop)


def pytest_unconfigure():
    # Python waits for every thread before it exits; a failed test may have left one behind.
    faulthandler.dump_traceback_later(min(20, LIMIT_S), exit=True, file=sys.__stderr__)
