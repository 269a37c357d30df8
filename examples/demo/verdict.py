"""Says whether the job's output is exactly right. Plain Python over the input and output files; knows nothing of the engine.

    python examples/demo/verdict.py INPUT_FOLDER OUTPUT_FOLDER

A window here is one sensor's 15 seconds of event time: its result must be there, once, with the lowest temperature of its readings.

It reads what any other program would read: the finished files of the output folder. Names that begin with a dot are work in progress.
Exit code: 0 exact; 1 not exact; 2 something could not be read.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

WINDOW_MS = 15_000
READING = ("id", "timestamp", "temperature")
RESULT = ("id", "window_start", "temperature")

Window: TypeAlias = tuple[str, int]
"""Sensor id, start of the window in ms."""


@dataclass
class Verdict:
    """What was found, window by window.

    Attributes:
        expected: number of windows that the input has.
        found: number of those that the output has, each counted once.
        missing: windows that the output does not have.
        doubled: windows that it has more than once.
        unknown: windows of the output that no reading belongs to.
        wrong: windows with another temperature than the lowest.
        torn: output lines that are no result, as `file:line`.
    """

    expected: int
    found: int = 0
    missing: list[Window] = field(default_factory=list)
    doubled: list[Window] = field(default_factory=list)
    unknown: list[Window] = field(default_factory=list)
    wrong: list[Window] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        """Whether every window is there, once, and right."""
        return not (self.missing or self.doubled or self.unknown or self.wrong or self.torn)


def files(folder: Path) -> list[Path]:
    """The finished CSV files below a folder.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(2, "no such folder", str(folder))
    paths = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts))


def rows(folder: Path, columns: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Where each row stands, as `file:line`, and its columns in the order asked for; a column that is cut off is empty."""
    for path in files(folder):
        with path.open(newline="") as file:
            reader = csv.DictReader(file)
            for row in reader:
                yield f"{path.name}:{reader.line_num}", [row.get(column) or "" for column in columns]


def lowest_temperatures(folder: Path) -> dict[Window, float]:
    """The right answer: the lowest temperature of each window that has a reading."""
    lowest: dict[Window, float] = {}
    for place, row in rows(folder, READING):
        try:
            timestamp, temperature = int(row[1]), float(row[2])
        except ValueError:
            message = f"{place} is not a reading: {row}"
            raise ValueError(message) from None
        window = (row[0], timestamp - timestamp % WINDOW_MS)
        lowest[window] = min(temperature, lowest.get(window, temperature))
    return lowest


def judge(input_folder: Path, output_folder: Path) -> Verdict:
    """Compares the output with what the input asks for.

    Raises:
        ValueError: the input has a malformed row.
    """
    lowest = lowest_temperatures(input_folder)
    verdict = Verdict(expected=len(lowest))
    times: Counter[Window] = Counter()
    for place, row in rows(output_folder, RESULT):
        try:
            window, temperature = (row[0], int(row[1])), float(row[2])
        except ValueError:
            verdict.torn.append(place)
            continue
        times[window] += 1
        if window not in lowest:
            verdict.unknown.append(window)
        elif temperature != lowest[window]:
            verdict.wrong.append(window)
    verdict.missing = sorted(lowest.keys() - times.keys())
    verdict.doubled = sorted(window for window, count in times.items() if count > 1)
    verdict.found = len(lowest.keys() & times.keys())
    return verdict


def show(verdict: Verdict) -> None:
    """Prints the verdict, and the first windows of each kind of damage."""
    print(f"windows expected {verdict.expected:6,}")
    print(f"windows found    {verdict.found:6,}")
    damage = {"missing": verdict.missing, "doubled": verdict.doubled, "unknown": verdict.unknown, "wrong value": verdict.wrong}
    for kind, windows in damage.items():
        # The first two are always shown: they are what exactly once is about.
        if windows or kind in ("missing", "doubled"):
            examples = ", ".join(f"{sensor} at {start}" for sensor, start in windows[:3])
            print(f"windows {kind:<11}{len(windows):4,}" + (f"   such as {examples}" if examples else ""))
    if verdict.torn:
        print(f"torn lines         {len(verdict.torn):4,}   such as {', '.join(verdict.torn[:3])}")
    print("EXACT" if verdict.exact else "NOT EXACT")


def main() -> int:
    parser = argparse.ArgumentParser(description="Says whether the job's output is exactly right.")
    parser.add_argument("input", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    try:
        verdict = judge(options.input, options.output)
    except (OSError, ValueError) as error:
        print(f"cannot judge {options.output}: {error}", file=sys.stderr)
        return 2
    show(verdict)
    return 0 if verdict.exact else 1


if __name__ == "__main__":
    sys.exit(main())
