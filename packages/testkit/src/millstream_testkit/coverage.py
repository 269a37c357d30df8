"""What the newest complete checkpoint covers, read from outside: from the source's journal and the checkpoint folder's file names."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from millstream_testkit.epoch_source import EpochSource


def covered_numbers(source: EpochSource, journal: Path, checkpoints: Path) -> set[int] | None:
    """The numbers that a complete checkpoint covers; None when that cannot be told, because the checkpoints were cleaned up."""
    # Looked for again when none is found: a look may begin before the newest was published, and come too late for the one before it.
    newest = _newest(checkpoints) or _newest(checkpoints) or _newest(checkpoints)
    if newest == 0:
        return None if any(checkpoints.glob("*/.highest-*")) else set()
    # Each split's last line up to that checkpoint: a split that was read to its end is not mentioned by later attempts.
    read: dict[int, int] = {}
    for entry in map(json.loads, journal.read_text().splitlines()):
        for split, position in entry["read"].items():
            done = read.get(int(split)) == source.length(int(split))
            if entry["checkpoint"] == newest or (entry["checkpoint"] < newest and position == source.length(int(split)) and not done):
                read[int(split)] = position
    return {number for split, position in read.items() for number in range(split, source.records, source.splits)[:position]}


def _newest(checkpoints: Path) -> int:
    return max((_id_of(path.parent.name) for path in checkpoints.glob("*/chk-*/_metadata")), default=0)


def _id_of(folder: str) -> int:
    match = re.fullmatch(r"chk-(\d+)", folder, re.ASCII)
    return int(match[1]) if match else 0
