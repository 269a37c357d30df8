"""A savepoint is written by every process of a job, and read by however many there are then."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from millstream.checkpoint.store import CompletedCheckpoints
from millstream.ports import LocalStorage
from millstream_filesystem import FilesystemCheckpointStorage

PROGRAM = """
import os, sys, time
from datetime import timedelta
from millstream import *
from millstream.errors import SavepointFailed
from millstream_filesystem import FileSink

COUNT = 3000
IN_TIME = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(lambda n: n)

def slow(n):
    if resume is None and n % 50 == 0:
        time.sleep(0.02)
    return n

resume = None if sys.argv[1] == "-" else sys.argv[1]
processes, parallelism, storage = int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]

def main():
    env = StreamExecutionEnvironment.get_execution_environment().set_parallelism(parallelism).set_max_parallelism(12)
    env.configure("execution.processes", processes).configure("checkpoint.interval", "1h").configure("checkpoint.storage", storage)
    env.configure("checkpoint.savepoint_dir", "savepoints")
    if resume is not None:
        env.configure("job.resume", resume)
    keyed = env.generate(slow, COUNT, watermark_strategy=IN_TIME, uid="in").key_by(lambda n: n % 7)
    sums = keyed.window(TumblingEventTimeWindows.of(timedelta(milliseconds=100))).reduce(lambda a, b: a + b, uid="sums")
    sums.map(str).sink_to(FileSink("out", delivery="exactly_once"), uid="out")
    client = env.execute_async("sums")
    if resume is None:
        while not client.status().is_final:
            try:
                print(client.stop(savepoint=True, timeout_s=30))
                break
            except SavepointFailed:
                time.sleep(0.1)
    print(client.result(40).status.value)

if __name__ == "__main__":
    main()
"""
EXPECTED = sorted(sum(n for n in range(start, start + 100) if n % 7 == key) for start in range(0, 3000, 100) for key in range(7))


def run(folder: Path, *arguments: str) -> list[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MILLSTREAM_")}
    done = subprocess.run([sys.executable, "job.py", *arguments], env=environment, cwd=folder, capture_output=True, text=True, timeout=55)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(("storage", "then"), [("checkpoints", 1), ("memory", 3)])
def test_two_processes_write_a_savepoint_and_another_number_goes_on_from_it(tmp_path: Path, storage: str, then: int) -> None:
    (tmp_path / "job.py").write_text(PROGRAM)
    path, status = run(tmp_path, "-", "2", "2", storage)
    assert status == "suspended"
    store, number = FilesystemCheckpointStorage("/").find(path, LocalStorage())
    manifest = CompletedCheckpoints(store, "", 1).read(number)
    assert manifest.kind == "savepoint"
    assert {task.subtask for task in manifest.tasks if task.file is not None} == {0, 1}
    assert sorted(file.name.split(".")[0] for file in Path(path).iterdir()) == ["_savepoint", f"chk-{number}"]
    assert run(tmp_path, path, str(then), "3", storage) == ["finished"]
    lines = [int(line) for file in (tmp_path / "out").glob("part-*") for line in file.read_text().splitlines()]
    assert sorted(lines) == EXPECTED
