"""Checkpoints that the kit stores, and what somebody who opens the storage anew finds of them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import msgspec

from millstream.checkpoint.manifest import FileRef, Manifest, TaskState, decode_manifest, encode_manifest, verify_file
from millstream.errors import DamagedCheckpoint, MillstreamError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from millstream.contracts.checkpoint_storage import CheckpointStore

JOB: Final = "Storage / test"
FILES: Final = ("task-0-0", "task-0-1")


def parts_of(checkpoint_id: int, attempt: int, name: str) -> list[bytes]:
    """The bytes of a file: the same for nobody else."""
    line = f"checkpoint {checkpoint_id}, attempt {attempt}, file {name}\n".encode()
    return [line, b"", line * 40]


def manifest_of(checkpoint_id: int, attempt: int, names: Sequence[str] = FILES) -> bytes:
    """The manifest of files with such bytes."""
    return manifest_for(checkpoint_id, attempt, {name: b"".join(parts_of(checkpoint_id, attempt, name)) for name in names})


def manifest_for(checkpoint_id: int, attempt: int, files: Mapping[str, bytes]) -> bytes:
    """A manifest as the core writes it, with length and checksum of every file."""
    tasks = [
        TaskState(0, subtask, [], FileRef(name, len(data), hashlib.sha256(data).hexdigest())) for subtask, (name, data) in enumerate(files.items())
    ]
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


def files_of(store: CheckpointStore, checkpoint_id: int) -> dict[str, bytes]:
    """The files of a checkpoint, verified as the core does it, from the manifest.

    Raises:
        MillstreamError, OSError: it cannot be restored.
    """
    where = f"checkpoint {checkpoint_id}"
    manifest = decode_manifest(store.read_manifest(checkpoint_id), where)
    if manifest.checkpoint_id != checkpoint_id:
        raise DamagedCheckpoint(where=where, what=f"its manifest is that of checkpoint {manifest.checkpoint_id}")
    files = {}
    for ref in (task.file for task in manifest.tasks if task.file is not None):
        files[ref.name] = store.read_file(checkpoint_id, ref.name)
        verify_file(ref, files[ref.name], where)
    return files


def problem_of(store: CheckpointStore, checkpoint_id: int) -> str:
    """Why a published checkpoint cannot be restored; nothing when it is whole."""
    try:
        files_of(store, checkpoint_id)
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
