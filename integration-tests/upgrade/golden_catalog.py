"""All jobs whose checkpoints are kept. To cover something new, add a job, and make its checkpoint with `make.py`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import golden_jobs
import golden_state

from millstream import StreamExecutionEnvironment


class Golden(NamedTuple):
    """A job.

    Attributes:
        build: adds it to an environment; the folder is the real one.
        parallelism: that its checkpoint is made with.
        endless: it never ends by itself.
        in_order: its results depend on the order in which two sources, or subtasks of one, are read.
    """

    build: Callable[[StreamExecutionEnvironment, Path], None]
    parallelism: int
    endless: bool = False
    in_order: bool = False


JOBS: Final = {
    "keyed-state": Golden(golden_jobs.keyed_state, 2),
    "operator-lists": Golden(golden_jobs.operator_lists, 1),
    "windows": Golden(golden_jobs.windows, 2, in_order=True),
    "file-to-file": Golden(golden_jobs.file_to_file, 2),
    "watched-folder": Golden(golden_jobs.watched_folder, 1, endless=True, in_order=True),
    "ledger": Golden(golden_jobs.ledger, 2, in_order=True),
    "combining": Golden(golden_state.combining, 1),
    "expiring": Golden(golden_state.expiring, 1),
    "shared": Golden(golden_state.shared, 2),
    "evolving": Golden(golden_state.evolving, 1),
    "typed-windows": Golden(golden_state.typed_windows, 1),
}
