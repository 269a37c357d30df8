"""Checkpoints that the kit stores, and what somebody who opens the storage anew finds of them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import msgspec

from millstream.checkpoint.manifest import FileRef, Manifest, TaskState, decode_manifest, encode_manifest, verify_file
from millstream.errors import MillstreamError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millstream.contracts.checkpoint_storage import CheckpointStore

JOB: Final = "Storage / test"
FILES: Final = ("task-0-0", "task-0-1")


def parts_of(checkpoint_id: int, attempt: int, name: str) -> list[bytes]:
    """The bytes of a file: the same for nobody else."""
    line = f"checkpoint {checkpoint_id}, attempt {attempt}, file {name}\n".encode()
    return [line, b"", line * 40]


def manifest_of(checkpoint_id: int, attempt: int, names: Sequence[str] = FILES) -> bytes:
    """The manifest, as the core writes it, with length and checksum of every file."""
    tasks = []
    for subtask, name in enumerate(names):
        data = b"".join(parts_of(checkpoint_id, attempt, name))
        tasks.append(TaskState(0, subtask, [], FileRef(name, len(data), hashlib.sha256(data).hexdigest())))
    return encode_manifest(
        Manifest(
            job_name=JOB,
            run_id="0" * 32,
            checkpoint_id=checkpoint_id,
            kind="checkpoint",
            triggered_ms=0,
            completed_ms=0,
            attempt=attempt,
            millstream="",
            python="",
            operators=[],
            tasks=tasks,
        )
    )


def store_checkpoint(store: CheckpointStore, checkpoint_id: int, attempt: int = 0) -> None:
    """Stores a whole checkpoint, in the coordinator's order."""
    for name in FILES:
        store.write_file(checkpoint_id, name, parts_of(checkpoint_id, attempt, name))
    store.publish(checkpoint_id, manifest_of(checkpoint_id, attempt))


def problem_of(store: CheckpointStore, checkpoint_id: int) -> str:
    """Why a published checkpoint cannot be restored; nothing when it is whole. As the core decides it, from the manifest."""
    where = f"checkpoint {checkpoint_id}"
    try:
        manifest = decode_manifest(store.read_manifest(checkpoint_id), where)
        if manifest.checkpoint_id != checkpoint_id:
            return f"its manifest is that of checkpoint {manifest.checkpoint_id}"
        for task in manifest.tasks:
            if task.file is not None:
                verify_file(task.file, store.read_file(checkpoint_id, task.file.name), where)
    except (MillstreamError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


class Seen(msgspec.Struct, frozen=True):
    """What is in a storage.

    Attributes:
        published: why it is damaged, or nothing, by checkpoint.
        unpublished: ids that were begun.
        highest: the highest id that it remembers.
        documents: their contents by name.
    """

    published: dict[int, str]
    unpublished: list[int]
    highest: int
    documents: dict[str, str]

    @property
    def damaged(self) -> dict[int, str]:
        """Checkpoints that exist and cannot be restored."""
        return {number: problem for number, problem in self.published.items() if problem}


def look(store: CheckpointStore) -> Seen:
    """Looks at everything."""
    ids = list(store.published())
    documents = {name: data for name in store.documents() if (data := store.read_document(name)) is not None}
    return Seen(
        {number: problem_of(store, number) for number in ids},
        list(store.unpublished()),
        store.highest_id(),
        {name: data.decode(errors="replace") for name, data in documents.items()},
    )
