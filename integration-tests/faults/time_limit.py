"""A pytest plugin of the long tier of faults: once the time is over, what has not begun is skipped."""

from __future__ import annotations

import os
import time
from typing import Final

import pytest

UNTIL: Final = "MILLSTREAM_FAULTS_UNTIL"
"""Seconds since the epoch; without it there is no limit."""


def pytest_runtest_setup() -> None:
    """Looks at the time."""
    if time.time() > float(os.environ.get(UNTIL, "inf")):
        pytest.skip("the time is over")
