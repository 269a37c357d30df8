"""What is in the checkpoint store and in the target at one moment, to tell whether somebody changed it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from millstream_testkit.harness import SinkHarness
    from millstream_testkit.job_folder import JobFolder
    from millstream_testkit.oracle import Row


_UNPUBLISHED: Final = re.compile(r"[^/]+/(chk-\d+/(\.?task-\S+|\.\d+-\S+\.tmp)|shared/\S+) is new")
"""State files, shared ones, and what will be one of both once it is whole."""


@dataclass(frozen=True)
class Standing:
    """Both of them.

    Attributes:
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
        """What is different later, a phrase each.

        State files of a checkpoint that is never published do not count: nobody refers to them, and the next start of the job removes them.
        """
        found = [f"the checkpoint store changed: {what}" for what in _differences(self.store, later.store) if not _UNPUBLISHED.fullmatch(what)]
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
            if path.is_file():
                found[str(path.relative_to(root))] = hashlib.sha256(path.read_bytes()).hexdigest()
        except FileNotFoundError:
            continue  # gone meanwhile
    return found


def _differences(before: dict[str, str], after: dict[str, str]) -> list[str]:
    names = sorted(before.keys() | after.keys())
    words = {(True, False): "is gone", (False, True): "is new", (True, True): "is another"}
    return [f"{name} {words[name in before, name in after]}" for name in names if before.get(name) != after.get(name)]
