"""The store of a TaskManager process that writes its part of checkpoints, which another process publishes and deletes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.checkpoint.messages import CheckpointAborted, CheckpointCompleted
from millstream.contracts.checkpoint_storage import CheckpointStore
from millstream.errors import CheckpointStorageFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from millstream.contracts.checkpoint_storage import CheckpointStorage, CheckpointStorageContext
    from millstream.ports import Executor


class TaskStore(CheckpointStore):
    """One store to read from, and one for each checkpoint under way to write to.

    A store remembers what it wrote until that is published or given up, of which those of this process are not told: they are dropped
    instead. One that remembered the files of a completed checkpoint could take files that later checkpoints share for its own.

    Args:
        open_store: another store of the same job.
    """

    def __init__(self, open_store: Callable[[], CheckpointStore]) -> None:
        self._open = open_store
        self._reader = open_store()
        self._writers: dict[int, CheckpointStore] = {}

    def _writer(self, checkpoint_id: int) -> CheckpointStore:
        return self._writers.setdefault(checkpoint_id, self._open())

    def write_file(self, checkpoint_id: int, name: str, parts: Iterable[bytes]) -> None:
        self._writer(checkpoint_id).write_file(checkpoint_id, name, parts)

    def write_shared(self, checkpoint_id: int, name: str, parts: Iterable[bytes]) -> None:
        self._writer(checkpoint_id).write_shared(checkpoint_id, name, parts)

    def read_file(self, checkpoint_id: int, name: str) -> bytes:
        return self._reader.read_file(checkpoint_id, name)

    def read_shared(self, name: str) -> bytes:
        return self._reader.read_shared(name)

    def published(self) -> Sequence[int]:
        return self._reader.published()

    def delete_shared(self, name: str) -> None:
        self._reader.delete_shared(name)

    def shared(self) -> Sequence[str]:
        return self._reader.shared()

    def publish(self, checkpoint_id: int, manifest: bytes, check: Callable[[], None] = lambda: None) -> None:
        self._writer(checkpoint_id).publish(checkpoint_id, manifest, check)

    def highest_id(self) -> int:
        return self._reader.highest_id()

    def read_manifest(self, checkpoint_id: int) -> bytes:
        return self._reader.read_manifest(checkpoint_id)

    def delete(self, checkpoint_id: int) -> None:
        self._reader.delete(checkpoint_id)

    def write_document(self, name: str, data: bytes) -> None:
        self._reader.write_document(name, data)

    def create_document(self, name: str, data: bytes) -> bool:
        return self._reader.create_document(name, data)

    def read_document(self, name: str) -> bytes | None:
        return self._reader.read_document(name)

    def delete_document(self, name: str) -> None:
        self._reader.delete_document(name)

    def documents(self) -> Sequence[str]:
        return self._reader.documents()

    def location(self, checkpoint_id: int | None = None) -> str:
        return self._reader.location(checkpoint_id)

    def completed(self, checkpoint_id: int) -> None:
        """A checkpoint is published: what was written for it, and for those before it, is the JobManager's from now on."""
        for number in [number for number in self._writers if number <= checkpoint_id]:
            self._writers.pop(number, None)

    def withdraw(self, checkpoint_id: int) -> None:
        """A checkpoint was given up: deletes what this process wrote for it."""
        writer = self._writers.pop(checkpoint_id, None)
        if writer is not None:
            writer.withdraw(checkpoint_id)


def open_task_store(kept: CheckpointStorage, context: CheckpointStorageContext) -> TaskStore:
    """The store of a process.

    Raises:
        CheckpointStorageFailed: the storage cannot be reached.
    """
    try:
        return TaskStore(lambda: kept.open(context))
    except OSError as error:
        raise CheckpointStorageFailed(job_name=context.job_name, where=str(kept), reason=str(error)) from error


def note_outcome(store: TaskStore, executor: Executor, message: object) -> None:
    """Tells the store of a process what a message to one of its tasks says of a checkpoint."""
    if isinstance(message, CheckpointCompleted):
        store.completed(message.checkpoint_id)
    elif isinstance(message, CheckpointAborted):
        checkpoint_id = message.checkpoint_id
        executor.submit(lambda: store.withdraw(checkpoint_id), lambda _, __: None)
