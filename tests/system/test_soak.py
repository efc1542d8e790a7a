"""The short form of soak.py."""

import pytest

from alerting import SANITIZED
from soak import Soak


@pytest.mark.skipif(SANITIZED, reason="a sanitizer keeps freed memory")
def test_nothing_grows_under_load_and_attack(tmp_path):
    result = Soak(tmp_path, seed=7, minutes=1.25).run()
    print(result)
    assert result["answered"] >= 300, result
