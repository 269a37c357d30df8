"""What is in the checkpoint store and in the target at one moment, to tell whether somebody changed it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from millstream_testkit.harness import SinkHarness
    from millstream_testkit.job_folder import JobFolder
    from millstream_testkit.oracle import Row


@dataclass(frozen=True)
class Standing:
    """Attributes:
    store: digest of each file of the checkpoint storage.
    rows: what a reader finds.
    leftovers: what is in the target and not visible.
    files: digest of each file of a target that is a folder.
    """

    store: dict[str, str]
    rows: list[Row]
    leftovers: list[str]
    files: dict[str, str]

    def changes(self, later: Standing) -> list[str]:
        """What is different later, a phrase each."""
        found = [f"the checkpoint store changed: {what}" for what in _differences(self.store, later.store)]
        found += [f"the target's files changed: {what}" for what in _differences(self.files, later.files)]
        if self.rows != later.rows:
            found.append(f"what readers see changed: {len(self.rows)} rows before, {len(later.rows)} after")
        if self.leftovers != later.leftovers:
            found.append(f"what is left in the target changed: {self.leftovers} before, {later.leftovers} after")
        return found


def standing_of(harness: SinkHarness, folder: JobFolder) -> Standing:
    """As of now."""
    target = Path(folder.target)
    files = _digests(target) if target.is_dir() else {}
    return Standing(_digests(folder.checkpoints), sorted(harness.seen(folder.target)), sorted(harness.leftovers(folder.target)), files)


def _digests(root: Path) -> dict[str, str]:
    found = {}
    for path in root.rglob("*"):
        try:
            found[str(path.relative_to(root))] = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        except FileNotFoundError:
            continue  # gone meanwhile
    return found


def _differences(before: dict[str, str], after: dict[str, str]) -> list[str]:
    names = sorted(before.keys() | after.keys())
    words = {(True, False): "is gone", (False, True): "is new", (True, True): "is another"}
    return [f"{name} {words[name in before, name in after]}" for name in names if before.get(name) != after.get(name)]
