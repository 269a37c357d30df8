"""Makes the golden checkpoints of this release: `python integration-tests/upgrade/make.py [JOB ...]`, all that are not there by default.

Each job runs once to its end, for what has to come out, and once until it is killed between a durable checkpoint and its commits. What
is on disk then is kept under `golden/<version>/<job>`, with `written.json` beside it. What is there already is never made anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import golden_world  # noqa: E402 - from this folder, under the name that its classes have in the checkpoints
from golden_catalog import JOBS  # noqa: E402

import millstream  # noqa: E402

KILLED_AT = "checkpoint.durable.before_notify#3"


def main() -> int:
    if sys.argv[1:2] == ["--run"]:
        golden_world.run(sys.argv[2], Path(sys.argv[3]), resumed=False)
        return 0
    version = ".".join(millstream.__version__.split(".")[:2])
    for name in sys.argv[1:] or JOBS:
        target = HERE / "golden" / version / name
        if target.exists():
            print(f"{target.relative_to(HERE)} is there already, and stays as it is")
        else:
            make(name, target)
            note_sums(target)
            print(f"{target.relative_to(HERE)}: {sum(path.stat().st_size for path in target.rglob('*') if path.is_file()):,} bytes")
    return 0


def make(name: str, target: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        whole, killed = Path(scratch, "whole"), Path(scratch, "killed")
        whole.mkdir()
        killed.mkdir()
        subprocess.run([sys.executable, __file__, "--run", name, str(whole)], check=True, timeout=60)
        armed = {**os.environ, "MILLSTREAM_CRASH": KILLED_AT}
        died = subprocess.run([sys.executable, __file__, "--run", name, str(killed)], env=armed, check=False, timeout=60)
        assert died.returncode == -9, f"{name} was to be killed at {KILLED_AT}, and ended with {died.returncode}"
        keep_newest(killed)
        written = {
            "millstream": millstream.__version__,
            "python": platform.python_version(),
            "states": golden_world.states(killed),
            "visible": golden_world.visible(killed),
            "complete": golden_world.visible(whole),
        }
        (killed / "written.json").write_text(json.dumps(written, indent=1, sort_keys=True) + "\n")
        fold_database(killed / "ledger.db")
        remove_empty_folders(killed)
        shutil.copytree(killed, target)


def note_sums(target: Path) -> None:
    """Adds the new files to the list by which a test knows that none was changed."""
    golden = HERE / "golden"
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(golden)}\n" for path in sorted(target.rglob("*")) if path.is_file()]
    with (golden / "SHA256SUMS").open("a") as sums:
        sums.writelines(lines)


def keep_newest(folder: Path) -> None:
    """Older checkpoints say nothing that the newest does not."""
    found = sorted((folder / "checkpoints").rglob("chk-*"), key=lambda path: int(path.name.removeprefix("chk-")))
    for older in found[:-1]:
        shutil.rmtree(older)


def fold_database(path: Path) -> None:
    """Takes what a killed process left in SQLite's log into the database itself: one file, and a small one."""
    if path.exists():
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def remove_empty_folders(folder: Path) -> None:
    """Version control has none."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()


if __name__ == "__main__":
    sys.exit(main())
