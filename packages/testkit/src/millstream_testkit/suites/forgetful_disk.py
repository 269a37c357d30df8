"""A disk that stands in for the machine's: it dies, loses power, or fails in the middle of any call."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from millstream.ports import ManualClock, SeededRandom
from millstream.ports.crash import CrashPointReached
from millstream.testing import DiskStorage, SimulatedDisk

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHANGES = ("make_folder", "open_write", "open_append", "write", "sync_file", "sync_folder", "rename", "rename_new", "delete", "delete_folder")


class OneLife(DiskStorage):
    """The disk as one process sees it.

    Args:
        disk: outlives it.
        dies_at: number of the changing call in the middle of which the process dies, 1-based; 0 for never.
        fails_at: number of the one that fails with EIO; 0 for none.

    Attributes:
        calls: what was called that changes something, in order.
        dead: it has died.
    """

    def __init__(self, disk: SimulatedDisk, *, dies_at: int = 0, fails_at: int = 0) -> None:
        super().__init__(disk)
        self.calls: list[str] = []
        self.dead = False
        self._dies_at = dies_at
        self._fails_at = fails_at

    @contextmanager
    def _call(self, operation: str, path: str) -> Iterator[None]:
        if self.dead:
            raise CrashPointReached("a dead process")
        if not operation.startswith(_CHANGES):
            yield
            return
        self.calls.append(f"{operation.partition(' ')[0]} {path.rpartition('/')[2]}")
        if len(self.calls) == self._fails_at:
            raise OSError(errno.EIO, "Input/output error", path)
        if len(self.calls) == self._dies_at:
            self.dead = True
            raise CrashPointReached(self.calls[-1])
        yield


def new_disk() -> SimulatedDisk:
    """An empty one."""
    return SimulatedDisk(ManualClock())


def random_of(*parts: Any) -> SeededRandom:
    """What is left of what was not synced follows from these."""
    return SeededRandom("/".join(map(str, parts)))
