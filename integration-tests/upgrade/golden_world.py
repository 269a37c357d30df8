"""Where golden checkpoints are made and restored: virtual time, and a file system that calls a folder of any name `/golden`."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO, Final

import golden_jobs
from golden_catalog import JOBS
from golden_jobs import ROOT

from millstream import RestartStrategies, StreamExecutionEnvironment
from millstream.api.execution import Execution
from millstream.ports import InlineExecutor, LocalStorage, LocalTransport, ManualClock, SeededRandom
from millstream.ports.storage import FileInfo
from millstream.runtime.deployment import Ports

MADE_NS: Final = 1_700_000_000_000_000_000
"""When input files were last changed, according to the checkpoints; version control keeps no times."""

STARTED_MS: Final = 1_000_000
RESUMED_MS: Final = STARTED_MS + 60_000
ENOUGH_MS: Final = 400
"""How long an endless job is given; its input takes 180 ms."""


class GoldenStorage(LocalStorage):
    """A folder of this machine under the name `/golden`; nothing outside of it. What is written need not outlive the machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)

    def _real(self, path: str) -> str:
        if path != ROOT and not path.startswith(f"{ROOT}/"):
            msg = f"{path} is outside of {ROOT}: it would be in a checkpoint"
            raise PermissionError(msg)
        return self._folder + path.removeprefix(ROOT)

    def make_folder(self, path: str) -> None:
        super().make_folder(self._real(path))

    def open_write(self, path: str) -> BinaryIO:
        return super().open_write(self._real(path))

    def open_append(self, path: str) -> BinaryIO:
        return super().open_append(self._real(path))

    def open_read(self, path: str) -> BinaryIO:
        return super().open_read(self._real(path))

    def sync_file(self, file: BinaryIO) -> None:
        file.flush()

    def sync_folder(self, path: str) -> None:
        pass

    def rename(self, source: str, target: str) -> None:
        super().rename(self._real(source), self._real(target))

    def rename_new(self, source: str, target: str) -> None:
        super().rename_new(self._real(source), self._real(target))

    def delete(self, path: str) -> None:
        super().delete(self._real(path))

    def delete_tree(self, path: str) -> None:
        super().delete_tree(self._real(path))

    def list(self, path: str) -> list[str]:
        return super().list(self._real(path))

    def info(self, path: str) -> FileInfo | None:
        found = super().info(self._real(path))
        return None if found is None else FileInfo(path, found.size_bytes, found.modified_ns)

    def is_folder(self, path: str) -> bool:
        return super().is_folder(self._real(path))


def make_input(folder: Path) -> None:
    """Writes the input files, or gives those that are there the times that the checkpoints know."""
    inputs = folder / "input"
    if not inputs.exists():
        inputs.mkdir(parents=True)
        for name, text in golden_jobs.input_files().items():
            (inputs / name).write_text(text)
    for path in inputs.iterdir():
        os.utime(path, ns=(MADE_NS, MADE_NS))


def run(name: str, folder: Path, *, resumed: bool, parallelism: int | None = None, resumed_ms: int = RESUMED_MS) -> None:
    """Runs a job to its end, or until a crash point kills the process.

    Args:
        name: of the job.
        folder: that it calls `/golden`.
        resumed: from the checkpoint in it.
        parallelism: another one than the job's own.
        resumed_ms: wall clock when it is resumed.
    """
    golden = JOBS[name]
    if golden.build in (golden_jobs.file_to_file, golden_jobs.watched_folder):
        make_input(folder)
    clock = ManualClock(resumed_ms if resumed else STARTED_MS)
    ports = Ports(clock, SeededRandom(f"{name}/{resumed}"), LocalTransport(), GoldenStorage(folder), InlineExecutor())
    env = StreamExecutionEnvironment(ports=ports)
    env.enable_checkpointing(timedelta(milliseconds=20)).set_restart_strategy(RestartStrategies.no_restart())
    env.checkpoint_config.set_checkpoint_storage(f"{ROOT}/checkpoints")
    env.set_parallelism(parallelism or golden.parallelism).set_max_parallelism(128)
    env.configure("execution.batch_size", 10)
    env.configure("job.resume", "auto" if resumed else "never")
    golden.build(env, folder)
    execution = Execution(env.launch(name), env.settings(name))
    job, end_ms = execution.job, clock.now_ms() + ENOUGH_MS
    try:
        job.start()
        job.run(lambda: golden.endless and clock.now_ms() >= end_ms)
        execution.stop()
        job.run(lambda: False)
    finally:
        job.close()
    execution.raise_failure()


def visible(folder: Path) -> dict[str, list[str]]:
    """What a stranger finds at the targets: lines of finished files by folder, rows of the database.

    Dead letters come without their position, the stretch of input that was read at once: a restore cuts it anew.
    """
    found = {
        target.name: sorted(line for path in target.iterdir() if path.is_file() for line in path.read_text().splitlines())
        for target in sorted((folder / "output").glob("*"))
    }
    for lines in (lines for name, lines in found.items() if name == "letters"):
        lines[:] = sorted(json.dumps({**json.loads(line), "position": ""}) for line in lines)
    database = folder / "ledger.db"
    if database.exists():
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            found["ledger"] = sorted(json.dumps(row) for row in connection.execute("SELECT n, text FROM sums"))
    return found


def states(folder: Path) -> dict[str, Any]:
    """What the only checkpoint holds: for each operator its watermarks, and its states with their numbers of entries."""
    [metadata] = (folder / "checkpoints").rglob("_metadata")
    manifest = json.loads(metadata.read_bytes().partition(b"\n")[2])
    found: dict[str, Any] = {}
    for task in manifest["tasks"]:
        for operator in task["operators"]:
            here = found.setdefault(operator["uid"], {"watermarks": [], "states": {}})
            here["watermarks"].append(operator["watermark"])
            for table, described in operator["tables"].items():
                here["states"].setdefault(table, [described["kind"], described["keys"]["kind"], described["values"]["kind"], 0])
            for chunk in operator["chunks"]:
                here["states"][chunk["table"]][3] += chunk["entries"]
            for items, listed in operator["lists"].items():
                written = listed["description"]["kind"] if listed["description"] else ""
                here["states"].setdefault(items, [f"list by {listed['mode']}", "", written, 0])[3] += len(listed["items"])
    return found
