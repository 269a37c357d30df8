"""What the coordinator has to know of a savepoint: where it goes, and who asked for it.

A savepoint is a checkpoint that belongs to the user: never dropped for a newer one, never deleted by the engine, and whole in itself. One
that is taken while the job runs on commits nothing and is not what a restart goes on from: what sinks have sealed for it stays pending,
also in later checkpoints, and is committed with the next checkpoint that is completed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.contracts.checkpoint_storage import CheckpointStore

Done: TypeAlias = "Callable[[str | None, Exception | None], None]"
"""Takes a path, or why there is none."""


@dataclass(frozen=True)
class SavepointPlace:
    """Where one savepoint goes.

    Attributes:
        location: as the store tells it, for every process that writes a part of it, and for `--resume`.
        store: nothing else is in it.
        remove: deletes whatever was written of it. May block.
    """

    location: str
    store: CheckpointStore
    remove: Callable[[], None]


class SavepointRequest:
    """Somebody's wish for a savepoint.

    Args:
        make_place: gives the place for a savepoint of that id. Writes nothing.
        done: told once what came of it.
    """

    def __init__(self, make_place: Callable[[int], SavepointPlace], done: Done) -> None:
        self.make_place = make_place
        self._done: Done | None = done

    def answer(self, path: str | None, error: Exception | None) -> None:
        """Tells who asked. Later answers count no more."""
        done, self._done = self._done, None
        if done is not None:
            done(path, error)
