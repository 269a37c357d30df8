"""The long tier of faults: half of the time cases over processes, in an order drawn by lot, then as many simulated seeds as there is time for.

    python integration-tests/faults/long_run.py [--minutes 60] [--seed BASE] [--every-case | --simulation-only]

All cases over processes are more than 3,600, and take about two hours on two processors: `--every-case` runs them, however long it takes.

Each run appends a line to `ledger.csv` beside this file, whatever came of it: commit it.
"""

from __future__ import annotations

import argparse
import csv
import logging
import os
import secrets
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(HERE))

from simulated_cases import SimulatedCase  # noqa: E402 - beside this script
from time_limit import UNTIL  # noqa: E402

TOGETHER = 25
"""Seeds that a process runs in one go."""

TWICE = 100
"""Every so manieth seed is run twice, and must take the same course."""


@dataclass
class Line:
    """A run, as the ledger has it.

    Attributes:
        commit: with a `+` when there were changes that it does not have.
        process_cases: of the tests that kill, stop and disturb real processes.
        first_seed: of the simulated ones, which follow one another.
        twice: seeds that were run twice with equal trace hashes.
        result: `passed`, or what failed: tests by number, seeds by name.
    """

    date: str
    commit: str
    python: str
    minutes: float = 0.0
    process_cases: int = 0
    first_seed: int = 0
    seeds: int = 0
    twice: int = 0
    result: str = ""


@dataclass
class Swept:
    """What came of some seeds."""

    seeds: int = 0
    twice: int = 0
    failed: list[int] = field(default_factory=list)


def sweep(seeds: Sequence[int]) -> Swept:
    """Runs the cases of these seeds; in a process of its own."""
    logging.disable(logging.CRITICAL)
    swept = Swept()
    for seed in seeds:
        swept.seeds += 1
        try:
            result = SimulatedCase(seed).run()
            if seed % TWICE == 0:
                assert SimulatedCase(seed).run().trace_hash == result.trace_hash, "it takes two courses"
                swept.twice += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, the other seeds are run
            swept.failed.append(seed)
            print(f"seed {seed}: {error if isinstance(error, AssertionError) else traceback.format_exc()}", flush=True)
    return swept


def simulate_until(deadline_s: float, base: int) -> Swept:
    """Runs seeds on all processors until that monotonic time."""
    total, numbers = Swept(), iter(range(base, sys.maxsize, TOGETHER))
    processors = os.cpu_count() or 1
    with ProcessPoolExecutor(processors) as pool:
        running: set[Future[Swept]] = {pool.submit(sweep, range(first, first + TOGETHER)) for first in next_of(numbers, processors)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                swept = future.result()
                total.seeds += swept.seeds
                total.twice += swept.twice
                total.failed += swept.failed
                if time.monotonic() < deadline_s:
                    running |= {pool.submit(sweep, range(first, first + TOGETHER)) for first in next_of(numbers, 1)}
    return total


def next_of(numbers: Iterator[int], count: int) -> list[int]:
    """So many of them."""
    return [next(numbers) for _ in range(count)]


def run_processes(minutes: float | None, seed: int) -> tuple[int, int]:
    """Cases over real processes, until the time is over: how many were run, and how many failed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])}
    if minutes is not None:
        environment[UNTIL] = str(time.time() + minutes * 60)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        workers = str(max(2, os.cpu_count() or 2))
        subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "time_limit", "-n", workers, "-m", "faults", "--millstream-full", "-q",
             f"--randomly-seed={seed % 2**32}", f"--junitxml={report}"],
            env=environment, cwd=ROOT, check=False,
        )  # fmt: skip
        suite = ElementTree.parse(report).getroot()[0]  # noqa: S314 - pytest has just written it
    return int(suite.attrib["tests"]) - int(suite.attrib["skipped"]), int(suite.attrib["failures"]) + int(suite.attrib["errors"])


def commit() -> str:
    """What is checked out."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain") else "")


def note(line: Line, ledger: Path) -> None:
    """Appends it."""
    is_new = not ledger.exists()
    with ledger.open("a", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Line)], lineterminator="\n")
        if is_new:
            writer.writeheader()
        writer.writerow(asdict(line))


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=60.0, help="in all: half of them for processes, unless an option says otherwise")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**9) * 100)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--every-case", action="store_true", help="over processes, and then seeds for all those minutes")
    which.add_argument("--simulation-only", action="store_true")
    parser.add_argument("--ledger", type=Path, default=HERE / "ledger.csv")
    options = parser.parse_args(arguments)
    line = Line(f"{datetime.now(UTC):%Y-%m-%d}", commit(), f"{sys.version_info.major}.{sys.version_info.minor}", first_seed=options.seed)
    began_s, wrong = time.monotonic(), 0
    left = options.minutes
    if not options.simulation_only:
        left = options.minutes if options.every_case else options.minutes / 2
        line.process_cases, wrong = run_processes(None if options.every_case else left, options.seed)
    print(f"simulating from seed {options.seed} for {left:g} minutes", flush=True)
    swept = simulate_until(time.monotonic() + left * 60, options.seed)
    line.seeds, line.twice = swept.seeds, swept.twice
    line.minutes = round((time.monotonic() - began_s) / 60, 1)
    found = [*([f"{wrong} process cases"] if wrong else []), *(f"seed {seed}" for seed in sorted(swept.failed))]
    line.result = "passed" if not found else "failed: " + " ".join(found)
    note(line, options.ledger)
    print(f"{line.seeds} seeds, {line.process_cases} process cases: {line.result}")
    return 0 if not found else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
