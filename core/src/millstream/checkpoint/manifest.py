"""The manifest of a checkpoint: what it holds, in which files, with a length and a checksum for every file.

On disk: one line `millstream-checkpoint <format> <sha256 of the rest>`, then JSON. Published last, so that a checkpoint with a manifest
is a whole one. Anything that does not verify is refused, never read as empty.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from millstream.contracts.serializer import SerializerDescription
from millstream.errors import DamagedCheckpoint, UnknownCheckpointFormat
from millstream.state.keyed import StateDescription

if TYPE_CHECKING:
    from millstream.contracts.checkpoint_storage import CheckpointStore

FORMAT: Final = 2
READABLE: Final = frozenset({1, 2})
"""1 knows no shared files."""

_MAGIC: Final = b"millstream-checkpoint"


class BlobRef(msgspec.Struct, frozen=True):
    """A piece of a task's state file.

    Attributes:
        offset: of the first byte.
        length: in bytes.
    """

    offset: int
    length: int


class ChunkRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a chunk of a keyed table is.

    Attributes:
        file: the name of the earlier file that holds it; empty for the task's own.
    """

    table: str
    key_group: int
    entries: int
    blob: BlobRef
    file: str = ""


class OperatorListRef(msgspec.Struct, frozen=True):
    """Items of an operator list state.

    Attributes:
        mode: how the items are dealt out: `split` and `lane` when the parallelism changes, `union` and `broadcast` always.
        items: in order; of a `broadcast` the one copy.
        lanes: the lane of each item, for mode `lane`.
        description: how the items were written; None where that is the engine's own affair.
    """

    mode: Literal["split", "union", "broadcast", "lane"]
    items: list[BlobRef]
    lanes: list[int] = []
    description: SerializerDescription | None = None


class AheadRange(msgspec.Struct, frozen=True):
    """Key groups whose event time had come further than the subtask's own, in a subtask that had them before.

    Attributes:
        start: the first of them.
        stop: behind the last.
        watermark: their event time, ms.
    """

    start: int
    stop: int
    watermark: int


class OperatorState(msgspec.Struct, frozen=True):
    """State of one operator in one subtask.

    Attributes:
        uid: the operator.
        watermark: its event time, ms; None before the first watermark.
        tables: what its keyed tables were written as.
        chunks: their contents.
        lists: its operator list states.
        ahead: key groups that are to be treated as if `watermark` were higher.
    """

    uid: str
    watermark: int | None = None
    tables: dict[str, StateDescription] = {}
    chunks: list[ChunkRef] = []
    lists: dict[str, OperatorListRef] = {}
    ahead: list[AheadRange] = []


class FileRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file of the checkpoint.

    Attributes:
        shared: it belongs to no checkpoint, and later ones may refer to it.
    """

    name: str
    length: int
    sha256: str
    shared: bool = False


class TaskState(msgspec.Struct, frozen=True):
    """State of one subtask.

    Attributes:
        operators: of the chain.
        file: written for this checkpoint, by all operators together; None when there was nothing to write.
        earlier: shared files of earlier checkpoints that hold chunks which have not changed since.
    """

    vertex: int
    subtask: int
    operators: list[OperatorState]
    file: FileRef | None = None
    earlier: list[FileRef] = []

    def files(self) -> list[FileRef]:
        """All files that hold something of it."""
        return [*([self.file] if self.file else []), *self.earlier]

    def file_of(self, chunk: ChunkRef) -> FileRef | None:
        """The file that holds a chunk; None when the task's state has no such file."""
        return next((file for file in self.earlier if file.name == chunk.file), None) if chunk.file else self.file


class OperatorInfo(msgspec.Struct, frozen=True):
    """An operator that has a place in the checkpoint."""

    uid: str
    name: str
    parallelism: int
    max_parallelism: int
    keeps_state: bool


class Manifest(msgspec.Struct, frozen=True):
    """A checkpoint.

    Attributes:
        job_name: the job it belongs to.
        run_id: the run it belongs to; a restore keeps it.
        checkpoint_id: strictly increasing over the life of the job's name.
        kind: `checkpoint`, `final` (the input had ended) or `savepoint`.
        triggered_ms: wall clock at the trigger.
        completed_ms: wall clock when all state was stored.
        attempt: highest attempt number used so far.
        millstream: version that wrote it.
        python: version that wrote it.
        operators: everything that may have state.
        tasks: state of the subtasks.
        enumerators: state of the split enumerators by source uid.
        lanes: the most subtasks that a sink has had in the run so far.
    """

    job_name: str
    run_id: str
    checkpoint_id: int
    kind: Literal["checkpoint", "final", "savepoint"]
    triggered_ms: int
    completed_ms: int
    attempt: int
    millstream: str
    python: str
    operators: list[OperatorInfo]
    tasks: list[TaskState]
    enumerators: dict[str, bytes] = {}
    lanes: int = 0

    @property
    def state_bytes(self) -> int:
        """Size of all state."""
        return self.stored_bytes + sum(c.blob.length for task in self.tasks for state in task.operators for c in state.chunks if c.file)

    @property
    def stored_bytes(self) -> int:
        """Size of what was written for this checkpoint; the rest had been stored by earlier ones."""
        return sum(task.file.length for task in self.tasks if task.file)

    def shared_files(self) -> frozenset[str]:
        """Names of the shared files that it refers to."""
        return frozenset(file.name for task in self.tasks for file in task.files() if file.shared)


def encode_manifest(manifest: Manifest) -> bytes:
    """The manifest as bytes with format number and checksum."""
    body = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    return b"%s %d %s\n%s" % (_MAGIC, FORMAT, hashlib.sha256(body).hexdigest().encode(), body)


def decode_manifest(data: bytes, where: str) -> Manifest:
    """The manifest.

    Args:
        data: as `encode_manifest` made it.
        where: what to call it in errors.

    Raises:
        DamagedCheckpoint: it is not, or no longer, a manifest.
        UnknownCheckpointFormat: a later release wrote it.
    """
    head, newline, body = data.partition(b"\n")
    words = head.split(b" ")
    if not newline or len(words) != 3 or words[0] != _MAGIC or not words[1].isdigit():
        raise DamagedCheckpoint(where=where, what="its manifest does not begin as one")
    if int(words[1]) not in READABLE:
        raise UnknownCheckpointFormat(where=where, found=int(words[1]), known=FORMAT)
    if hashlib.sha256(body).hexdigest().encode() != words[2]:
        raise DamagedCheckpoint(where=where, what="its manifest does not match its own checksum")
    try:
        return msgspec.json.decode(body, type=Manifest)
    except msgspec.MsgspecError as error:
        raise DamagedCheckpoint(where=where, what=f"its manifest cannot be read ({error})") from error


class StateFileWriter:
    """Lays the blobs of one task out in one file."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self._offset = 0
        self._sha256 = hashlib.sha256()

    def add(self, blob: bytes) -> BlobRef:
        """Appends a blob."""
        ref = BlobRef(self._offset, len(blob))
        self.parts.append(blob)
        self._offset += len(blob)
        self._sha256.update(blob)
        return ref

    def file_ref(self, name: str) -> FileRef | None:
        """The finished file; None when it is empty."""
        return FileRef(name, self._offset, self._sha256.hexdigest()) if self.parts else None

    def shared_ref(self, prefix: str) -> FileRef:
        """The finished file as one that checkpoints share. Its name says whose it is, and what is in it."""
        digest = self._sha256.hexdigest()
        return FileRef(f"{prefix}-{digest[:16]}", self._offset, digest, shared=True)


_MOVED: Final = ", which it shares with other checkpoints: its folder can only be moved or copied together with the folder shared beside it"


def read_state_file(store: CheckpointStore, checkpoint_id: int, ref: FileRef) -> bytes:
    """A file that a checkpoint refers to, verified.

    Raises:
        DamagedCheckpoint: it is missing, or not what the manifest promises.
        OSError: it cannot be read just now.
    """
    where = store.location(checkpoint_id)
    try:
        data = store.read_shared(ref.name) if ref.shared else store.read_file(checkpoint_id, ref.name)
    except FileNotFoundError as error:
        raise DamagedCheckpoint(where=where, what=f"file {ref.name} is missing{_MOVED if ref.shared else ''}") from error
    verify_file(ref, data, where)
    return data


def verify_file(ref: FileRef, data: bytes, where: str) -> None:
    """Raises DamagedCheckpoint unless the bytes are the ones the manifest promises."""
    if len(data) != ref.length:
        raise DamagedCheckpoint(where=where, what=f"file {ref.name} has {len(data)} bytes instead of {ref.length}")
    if hashlib.sha256(data).hexdigest() != ref.sha256:
        raise DamagedCheckpoint(where=where, what=f"file {ref.name} does not match its checksum")


def blob(data: bytes, ref: BlobRef, where: str) -> bytes:
    """One blob of a verified file."""
    if ref.offset < 0 or ref.length < 0 or ref.offset + ref.length > len(data):
        raise DamagedCheckpoint(where=where, what=f"a reference points beyond the end of a state file ({ref.offset}+{ref.length})")
    return data[ref.offset : ref.offset + ref.length]


def plain(manifest: Manifest) -> Any:
    """The manifest as plain data, for tools that print it."""
    return msgspec.to_builtins(manifest)
