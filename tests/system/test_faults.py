"""A sample of the places that faults.py fails, another one on each day."""

import time

import pytest

from alerting import SANITIZED
from faults import sweep

SECONDS = 60
JOBS = 4


@pytest.mark.skipif(SANITIZED, reason="a sanitizer brings its own malloc")
def test_a_call_that_fails_costs_nothing():
    failed = []
    results = sweep(seed=int(time.time()) // 86400, seconds=SECONDS, jobs=JOBS,
                    show=lambda text: (print(text), failed.append(text) if "FAILED" in text else None))
    print(dict(results))
    assert not failed
    assert results["passed"] >= 10
