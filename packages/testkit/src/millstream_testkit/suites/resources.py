"""Threads and open files of this process."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_ROUNDS: Final = 8
_WARM: Final = 2
"""The first rounds may fill caches that are there to stay."""


def held() -> int:
    """How many there are just now."""
    folder = Path("/proc/self/fd") if Path("/proc/self/fd").exists() else Path("/dev/fd")
    return threading.active_count() + len(list(folder.iterdir()))


def assert_nothing_grows(once: Callable[[int], None]) -> None:
    """Does something again and again, and looks whether more is held each time.

    Args:
        once: given the number of the round.
    """
    counts = []
    for number in range(_ROUNDS):
        once(number)
        counts.append(held())
    grown = counts[-1] - counts[_WARM]
    assert grown <= 0, f"threads and open files grew with each open, by {grown} in {_ROUNDS - 1 - _WARM} rounds: {counts}"
