"""Jobs with several exactly-once sinks, killed at random moments. The answer is computed by plain Python over the input."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

KILLS = 4
SEED = 11
TWO_SINKS = Path(__file__).with_name("two_sinks_job.py")
DEAD_LETTERS = Path(__file__).with_name("dead_letters_job.py")

Reading = tuple[str, int, int]


def write_readings(folder: Path, random: Random) -> list[Reading]:
    """6,000 readings of 20 sensors over a minute, up to half a second out of order, in two files."""
    folder.mkdir()
    readings: list[Reading] = []
    for number in range(2):
        part = [(f"s{random.randrange(20)}", at * 20 + random.randrange(500), random.randrange(100_000)) for at in range(3_000)]
        (folder / f"{number}.jsonl").write_text("".join(json.dumps(reading) + "\n" for reading in part))
        readings += part
    return readings


def coldest(readings: list[Reading]) -> list[Reading]:
    lowest: dict[tuple[str, int], int] = {}
    for sensor, at, degrees in readings:
        key = (sensor, at // 5_000)
        lowest[key] = min(degrees, lowest.get(key, degrees))
    return sorted((sensor, window, degrees) for (sensor, window), degrees in lowest.items())


def newest_checkpoint(folder: Path) -> int:
    return max((int(path.parent.name.removeprefix("chk-")) for path in folder.glob("*/chk-*/_metadata")), default=0)


def lines_of(folder: Path) -> list[Any]:
    """What a reader finds in a folder."""
    files = [path for path in folder.iterdir() if path.name[0] not in "._"]
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


class Job:
    """The job's files and its processes."""

    def __init__(self, root: Path, script: Path) -> None:
        self.script = script
        self.input, self.files, self.database, self.checkpoints = (root / name for name in ("input", "files", "results.db", "checkpoints"))
        self.log = root / "log"

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, str(self.script), f"--input={self.input}", f"--files={self.files}", f"--database={self.database}"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MILLSTREAM_")}
        with self.log.open("ab") as log:
            return subprocess.Popen([*command, f"--checkpoints={self.checkpoints}"], env=environment, stdout=log, stderr=log)

    def run_and_kill(self, extra_s: float) -> None:
        """Kills the process some time after it has completed a checkpoint of its own."""
        before, process = newest_checkpoint(self.checkpoints), self.start()
        try:
            while newest_checkpoint(self.checkpoints) <= before:
                self.wait(process, 0.01)
            self.wait(process, extra_s)
            process.kill()
            assert process.wait() == -signal.SIGKILL
        finally:
            process.kill()
            process.wait()

    def wait(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        """Waits so long for the process, which must not end meanwhile."""
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(seconds)

    def survive(self, random: Random) -> None:
        """Kills it several times, then lets it run to its end."""
        for _ in range(KILLS):
            self.run_and_kill(random.uniform(0, 0.3))
        last = self.start()
        try:
            assert last.wait(90) == 0, self.log.read_text()
        finally:
            last.kill()
            last.wait()

    def written(self) -> list[Reading]:
        return sorted(map(tuple, lines_of(self.files)))

    def inserted(self) -> list[Reading]:
        connection = sqlite3.connect(self.database)
        try:
            return sorted(connection.execute('SELECT sensor, "window", degrees FROM coldest').fetchall())
        finally:
            connection.close()


@pytest.mark.faults
@pytest.mark.timeout(150)
def test_both_targets_hold_each_window_once_after_kills_at_random_moments(tmp_path: Path) -> None:
    random, job = Random(SEED), Job(tmp_path, TWO_SINKS)
    readings = write_readings(job.input, random)
    job.survive(random)
    assert job.written() == coldest(readings)
    assert job.inserted() == coldest(readings)


@pytest.mark.faults
@pytest.mark.timeout(150)
def test_each_order_is_in_the_output_or_in_the_dead_letters_exactly_once_after_kills(tmp_path: Path) -> None:
    random, job = Random(SEED + 1), Job(tmp_path, DEAD_LETTERS)
    job.input.mkdir()
    malformed, unpriced = set(range(0, 4_000, 13)), set(range(5, 4_000, 17))
    for part in (range(2_000), range(2_000, 4_000)):
        rows = [f'{{"number": {n}, "total": {n * 3}, "pieces": {0 if n in unpriced else 3}' + ("" if n in malformed else "}") for n in part]
        (job.input / f"{part.start}.jsonl").write_text("".join(row + "\n" for row in rows))
    job.survive(random)

    unwritable = set(range(0, 4_000, 7)) - malformed - unpriced
    good = sorted(set(range(4_000)) - malformed - unpriced - unwritable)
    assert sorted(row["number"] for row in lines_of(job.files)) == good
    for kind, numbers in (("source", malformed), ("function", unpriced - malformed), ("sink", unwritable)):
        letters = lines_of(job.files.with_name(f"files-{kind}"))
        assert sorted(int(re.findall(r"number\W+(\d+)", letter["record"])[0]) for letter in letters) == sorted(numbers), kind
        assert all(letter["error"] for letter in letters)
    places = {letter["position"].partition(", column")[0] for letter in lines_of(job.files.with_name("files-source"))}
    assert places == {f"{job.input}/{n // 2_000 * 2_000}.jsonl, line {n % 2_000 + 1}" for n in malformed}
