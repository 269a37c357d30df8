"""Where checkpoints are kept: named files per checkpoint that become a checkpoint when its manifest is published.

The manifest's content, checksums included, belongs to the core (`millstream.checkpoint.manifest`); a storage moves bytes. All methods
may block and may be called from executor threads; each returns only when what it did is durable.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from millstream.errors import NoCheckpointToResume, SavepointsUnsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from millstream.ports import Storage


@dataclass(frozen=True)
class CheckpointStorageContext:
    """For whom checkpoints are kept.

    Attributes:
        job_name: a job is its name within a checkpoint root.
        storage: files, for storages that use them.
    """

    job_name: str
    storage: Storage


def _nothing() -> None:
    """The check of somebody who has no rivals."""


class CheckpointStore(ABC):
    """The checkpoints of one job."""

    @abstractmethod
    def write_file(self, checkpoint_id: int, name: str, parts: Iterable[bytes]) -> None:
        """Writes one file of an unpublished checkpoint, durable on return. `name` is [a-z0-9.-]+ and new.

        Raises:
            OSError: it could not be written; nothing counts of what was.
        """

    @abstractmethod
    def write_shared(self, checkpoint_id: int, name: str, parts: Iterable[bytes]) -> None:
        """Writes one file that later checkpoints may refer to as well, durable on return: no checkpoint is the owner of it.

        Args:
            checkpoint_id: the checkpoint that it is written for; when that is withdrawn, so is the file.
            name: [a-z0-9.-]+; of this content only. Somebody who died may have written it already: it is written again.

        Raises:
            OSError: it could not be written; nothing counts of what was.
        """

    @abstractmethod
    def read_shared(self, name: str) -> bytes:
        """A shared file. FileNotFoundError when it is missing."""

    @abstractmethod
    def delete_shared(self, name: str) -> None:
        """Removes a shared file that no checkpoint refers to any more. Absent is no error."""

    @abstractmethod
    def shared(self) -> Sequence[str]:
        """Names of the shared files."""

    @abstractmethod
    def publish(self, checkpoint_id: int, manifest: bytes, check: Callable[[], None] = _nothing) -> None:
        """Makes the checkpoint exist, atomically and durably. Publishing twice is an error (FileExistsError).

        Args:
            check: called at the last moment before the atomic step, when everything else is in place; what it raises prevents that step.
        """

    def fence(self) -> None:
        """From now on no checkpoint can be published whose `publish` had called `check` before, and had not published yet.

        A new leader calls it before it looks for the checkpoint to go on from: one that an old leader was about to publish either exists
        by then, or never will. Whatever else processes that died left half-written may be removed here.
        """

    @abstractmethod
    def published(self) -> Sequence[int]:
        """Ids of published checkpoints, ascending."""

    def unpublished(self) -> Sequence[int]:
        """Ids of checkpoints that were begun and never published, ascending. The leader of a new run deletes them."""
        return ()

    @abstractmethod
    def highest_id(self) -> int:
        """The highest id ever seen here, published or not; 0 when there is none. New ids must be above it."""

    @abstractmethod
    def read_manifest(self, checkpoint_id: int) -> bytes:
        """The manifest of a published checkpoint. FileNotFoundError when there is none."""

    @abstractmethod
    def read_file(self, checkpoint_id: int, name: str) -> bytes:
        """A file of a published checkpoint. FileNotFoundError when it is missing."""

    @abstractmethod
    def delete(self, checkpoint_id: int) -> None:
        """Removes a checkpoint, published or not: the manifest first, so that no half of it can be read. Absent is no error."""

    def withdraw(self, checkpoint_id: int) -> None:
        """Gives up a checkpoint that this process began and has not published. Published, it stays.

        Where several processes share the storage, only what this one wrote may go: after a change of leaders, the id may be in use by
        the new one.
        """
        if checkpoint_id not in self.published():
            self.delete(checkpoint_id)

    def close(self) -> None:
        """Withdraws every checkpoint that is begun. Nobody in this process writes any more."""

    @abstractmethod
    def write_document(self, name: str, data: bytes) -> None:
        """Replaces a small document of the job, atomically and durably."""

    @abstractmethod
    def create_document(self, name: str, data: bytes) -> bool:
        """Writes a small document if it does not exist; False when it does."""

    @abstractmethod
    def read_document(self, name: str) -> bytes | None:
        """The document, or None."""

    @abstractmethod
    def delete_document(self, name: str) -> None:
        """Removes a document, durably. Absent is no error."""

    @abstractmethod
    def documents(self) -> Sequence[str]:
        """Names of the documents. One that is there from before the call until after it is among them."""

    @abstractmethod
    def location(self, checkpoint_id: int | None = None) -> str:
        """Where the job's checkpoints, or one of them, are, for people and for `--resume`."""


class CheckpointStorage(ABC):
    """A picklable description of where checkpoints are kept.

    Attributes:
        durable: a checkpoint outlives the process.
    """

    durable: bool

    @abstractmethod
    def open(self, context: CheckpointStorageContext) -> CheckpointStore:
        """The checkpoints of one job; creates nothing yet."""

    def find(self, location: str, storage: Storage) -> tuple[CheckpointStore, int]:
        """The store and the id of a checkpoint given by where it is, as `CheckpointStore.location` tells it.

        Raises:
            NoCheckpointToResume: there is none.
        """
        raise NoCheckpointToResume(path=location, why=f"{type(self).__name__} has no checkpoints that a path leads to")

    def open_savepoint(self, location: str, storage: Storage) -> CheckpointStore:
        """The store of one savepoint, which has a place of its own; creates nothing yet.

        Every process of the job opens it by what `CheckpointStore.location()` tells, writes files of one id into it, and one of them
        publishes. `find` leads to it by the same location. It refers to nothing outside, so that its place can be moved or copied.

        Args:
            location: of the savepoint: below the target that somebody gave.

        Raises:
            SavepointsUnsupported: this storage keeps none.
        """
        raise SavepointsUnsupported(target=location, storage=type(self).__name__)

    def delete_savepoint(self, location: str, storage: Storage) -> None:
        """Removes a savepoint, published or half-written, and its place: the manifest first. Absent is no error.

        Raises:
            NoCheckpointToResume: something else is there.
            SavepointsUnsupported: this storage keeps none.
        """
        raise SavepointsUnsupported(target=location, storage=type(self).__name__)

    def jobs(self, storage: Storage) -> Sequence[str]:
        """Names of the jobs that have checkpoints here, sorted; for tools."""
        return ()
