"""Counts how often a process passes each crash point."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from millstream.ports import CRASH_POINTS, arm
from millstream_testkit.steps import METHODS, step_names

if TYPE_CHECKING:
    from collections.abc import Callable

COUNT_VARIABLE: Final = "MILLSTREAM_TESTKIT_COUNT"
"""Environment: the file to which the numbers are written when the job is done."""


def count_passes(path: str) -> Callable[[], None]:
    """Counts every crash point from now on. The result writes the counts."""
    passes: Counter[str] = Counter()

    def counter(name: str) -> Callable[[], None]:
        return lambda: passes.update([name])

    for name in (*CRASH_POINTS, *(step for method in METHODS for step in step_names(method))):
        arm(name, counter(name))

    def write() -> None:
        Path(path).write_text(json.dumps(passes))

    return write
