"""A process that uses a checkpoint storage, and is killed while it does.

    python -m millstream_testkit.storage_process --harness module:class --location LOCATION --attempt N --journal FILE [--moments FILE]

Environment: MILLSTREAM_CRASH arms crash points, among them `testkit.<method>.<number>` (`millstream_testkit.steps`); MILLSTREAM_TESTKIT_PATH
is the import path of whoever wrote the harness.

Exit code: 0 when all was done; 1 for an error, which is printed; 3 when the attempt was replaced by a newer one.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from millstream.contracts.checkpoint_storage import CheckpointStorageContext
from millstream.ports import CRASH_POINTS, LocalStorage, arm
from millstream_testkit.loading import load, take_over_import_path
from millstream_testkit.steps import step_names, watch_methods
from millstream_testkit.storage_checkpoints import JOB
from millstream_testkit.storage_life import METHODS, Entry, Life, Replaced

if TYPE_CHECKING:
    from millstream_testkit.storage_harness import CheckpointStorageHarness

REPLACED: Final = 3


def record_moments() -> list[str]:
    """Every crash point that is passed from now on, in order, as what MILLSTREAM_CRASH takes."""
    moments: list[str] = []
    passes: dict[str, int] = {}

    def passed(name: str) -> None:
        passes[name] = passes.get(name, 0) + 1
        moments.append(f"{name}#{passes[name]}")

    for name in (*CRASH_POINTS, *(step for method in METHODS for step in step_names(method))):
        arm(name, lambda name=name: passed(name))  # type: ignore[misc]
    return moments


def main() -> int:
    """Runs one process; the exit code."""
    take_over_import_path()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--harness", required=True)
    parser.add_argument("--location", required=True)
    parser.add_argument("--attempt", type=int, default=1)
    parser.add_argument("--journal", required=True)
    parser.add_argument("--moments")
    options = parser.parse_args()
    harness: CheckpointStorageHarness = load(options.harness)()
    store = harness.storage(options.location).open(CheckpointStorageContext(JOB, LocalStorage()))
    moments = record_moments() if options.moments else []
    if options.moments or "testkit." in os.environ.get("MILLSTREAM_CRASH", ""):
        watch_methods(type(store), METHODS)
    with Path(options.journal).open("ab", buffering=0) as journal:

        def note(entry: Entry) -> None:
            journal.write(msgspec.json.encode(entry) + b"\n")

        life = Life(store, options.attempt, note)
        try:
            life.first() if options.attempt == 1 else life.later()
        except Replaced:
            return REPLACED
        store.close()
    if options.moments:
        Path(options.moments).write_text(json.dumps(moments))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
