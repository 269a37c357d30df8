"""Writes sensor readings as CSV files, the same for the same seed.

    python examples/demo/generate.py FOLDER [--readings 240000] [--seed 7]

Columns: `id` (`sensor-17`), `timestamp` (event time in ms since 1970, UTC), `temperature` (degrees Celsius). Event time moves on 25 ms a
reading; one reading in ten arrives late, by less than 3 s. The files follow one another in time.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

SENSORS = 50
FILES = 6
START_MS = 1_700_000_000_000
STEP_MS = 25
LATEST_MS = 2_900
"""How late a reading arrives at most: within the 3 s that the job allows, so that every reading counts."""

COLUMNS = ("id", "timestamp", "temperature")


def readings(count: int, seed: int) -> Iterator[tuple[str, int, float]]:
    """Readings in order of arrival."""
    random = Random(seed)
    level = [random.uniform(10, 30) for _ in range(SENSORS)]
    for index in range(count):
        sensor = random.randrange(SENSORS)
        level[sensor] += random.gauss(0, 0.1)
        timestamp = START_MS + index * STEP_MS
        if random.random() < 0.1:
            timestamp -= random.randint(1, LATEST_MS)
        yield f"sensor-{sensor:02d}", timestamp, round(level[sensor], 2)


def write(folder: Path, count: int, seed: int) -> list[Path]:
    """Writes all readings into a new folder and returns its files in order.

    Raises:
        FileExistsError: the folder is there already.
    """
    folder.mkdir(parents=True)
    source = readings(count, seed)
    paths = []
    for number in range(FILES):
        path = folder / f"readings-{number}.csv"
        share = count * (number + 1) // FILES - count * number // FILES
        with path.open("w", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(COLUMNS)
            rows.writerows(next(source) for _ in range(share))
        paths.append(path)
    return paths


def main() -> int:
    parser = argparse.ArgumentParser(description="Writes sensor readings as CSV files.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--readings", type=int, default=240_000)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    try:
        paths = write(options.folder, options.readings, options.seed)
    except FileExistsError:
        print(f"{options.folder} exists already. Name another folder, or remove it.", file=sys.stderr)
        return 1
    print(f"{options.readings:,} readings of {SENSORS} sensors in {len(paths)} files below {options.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
