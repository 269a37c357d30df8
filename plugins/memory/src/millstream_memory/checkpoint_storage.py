"""Checkpoint storage in the memory of this process.

A checkpoint kept here survives a restart of the job inside the process, and nothing else: neither the end of the process nor a second
one can see it. For jobs under development and for tests.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from threading import Lock, RLock
from typing import TYPE_CHECKING

from millstream.contracts.checkpoint_storage import CheckpointStorage, CheckpointStorageContext, CheckpointStore
from millstream.errors import CheckpointFileTooLarge, InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

DEFAULT_LIMIT_BYTES = 5 * 1024 * 1024
_FILE_NAME = re.compile(r"[a-z0-9.-]+")


@dataclass
class _Checkpoint:
    files: dict[str, bytes] = field(default_factory=dict)
    manifest: bytes | None = None


@dataclass
class _Begun:
    files: set[str] = field(default_factory=set)
    shared: set[str] = field(default_factory=set)


@dataclass
class _Shelf:
    """The checkpoints of one job, shared by all stores that were opened for it."""

    checkpoints: dict[int, _Checkpoint] = field(default_factory=dict)
    shared: dict[str, bytes] = field(default_factory=dict)
    documents: dict[str, bytes] = field(default_factory=dict)
    highest_id: int = 0
    lock: RLock = field(default_factory=RLock)  # taken again by the check of a publish


_shelves: dict[tuple[str, str], _Shelf] = {}
_shelves_lock = Lock()


@dataclass(frozen=True)
class MemoryCheckpointStorage(CheckpointStorage):
    """Keeps checkpoints in this process.

    Args:
        name: storages of one name share what they hold, within the process and by job.
        limit_bytes: size up to which one file of a checkpoint is accepted, >= 1.
    """

    name: str = "default"
    limit_bytes: int = DEFAULT_LIMIT_BYTES

    durable = False

    def __post_init__(self) -> None:
        if self.limit_bytes < 1:
            raise InvalidArgument(what="limit_bytes of the memory checkpoint storage", value=str(self.limit_bytes), allowed="1 or more")

    def open(self, context: CheckpointStorageContext) -> MemoryCheckpointStore:
        with _shelves_lock:
            shelf = _shelves.setdefault((self.name, context.job_name), _Shelf())
        return MemoryCheckpointStore(shelf, f"memory://{self.name}/{context.job_name}", self.limit_bytes)


class MemoryCheckpointStore(CheckpointStore):
    """The checkpoints of one job."""

    def __init__(self, shelf: _Shelf, location: str, limit_bytes: int) -> None:
        self._begun: dict[int, _Begun] = {}  # what this store wrote of checkpoints that it has not published
        self._shelf = shelf
        self._location = location
        self._limit_bytes = limit_bytes

    def write_file(self, checkpoint_id: int, name: str, parts: Iterable[bytes]) -> None:
        data = self._collect(f"{self.location(checkpoint_id)}/{_checked(name)}", parts)
        with self._shelf.lock:
            checkpoint = self._unpublished(checkpoint_id)
            if name in checkpoint.files:
                msg = f"{self.location(checkpoint_id)}/{name} exists already"
                raise FileExistsError(msg)
            checkpoint.files[name] = data
            self._begun.setdefault(checkpoint_id, _Begun()).files.add(name)

    def write_shared(self, checkpoint_id: int, name: str, parts: Iterable[bytes]) -> None:
        data = self._collect(f"{self._location}/shared/{_checked(name)}", parts)
        with self._shelf.lock:
            self._unpublished(checkpoint_id)
            self._shelf.shared[name] = data
            self._begun.setdefault(checkpoint_id, _Begun()).shared.add(name)

    def _collect(self, where: str, parts: Iterable[bytes]) -> bytes:
        kept: list[bytes] = []
        size_bytes = 0
        for part in parts:
            size_bytes += len(part)
            if size_bytes > self._limit_bytes:
                raise CheckpointFileTooLarge(where=where, limit_bytes=self._limit_bytes)
            kept.append(bytes(part))
        return b"".join(kept)

    def _unpublished(self, checkpoint_id: int) -> _Checkpoint:
        shelf = self._shelf
        checkpoint = shelf.checkpoints.setdefault(checkpoint_id, _Checkpoint())
        if checkpoint.manifest is not None:
            msg = f"{self.location(checkpoint_id)} is published already"
            raise FileExistsError(msg)
        shelf.highest_id = max(shelf.highest_id, checkpoint_id)
        return checkpoint

    def publish(self, checkpoint_id: int, manifest: bytes, check: Callable[[], None] = lambda: None) -> None:
        with self._shelf.lock:  # a new leader that looks for the newest checkpoint comes before the check, or finds this one
            check()
            self._unpublished(checkpoint_id).manifest = bytes(manifest)
            self._begun.pop(checkpoint_id, None)

    def unpublished(self) -> Sequence[int]:
        with self._shelf.lock:
            return sorted(number for number, checkpoint in self._shelf.checkpoints.items() if checkpoint.manifest is None)

    def published(self) -> Sequence[int]:
        with self._shelf.lock:
            return sorted(number for number, checkpoint in self._shelf.checkpoints.items() if checkpoint.manifest is not None)

    def highest_id(self) -> int:
        with self._shelf.lock:
            return self._shelf.highest_id

    def read_manifest(self, checkpoint_id: int) -> bytes:
        return self._published(checkpoint_id)[0]

    def read_file(self, checkpoint_id: int, name: str) -> bytes:
        files = self._published(checkpoint_id)[1]
        if name not in files:
            msg = f"{self.location(checkpoint_id)} has no file {name!r}"
            raise FileNotFoundError(msg)
        return files[name]

    def _published(self, checkpoint_id: int) -> tuple[bytes, dict[str, bytes]]:
        with self._shelf.lock:
            checkpoint = self._shelf.checkpoints.get(checkpoint_id)
        if checkpoint is None or checkpoint.manifest is None:
            msg = f"there is no checkpoint {self.location(checkpoint_id)} in this process; it ended with the process that took it"
            raise FileNotFoundError(msg)
        return checkpoint.manifest, checkpoint.files

    def read_shared(self, name: str) -> bytes:
        with self._shelf.lock:
            data = self._shelf.shared.get(name)
        if data is None:
            msg = f"{self._location} has no shared file {name!r}"
            raise FileNotFoundError(msg)
        return data

    def delete_shared(self, name: str) -> None:
        with self._shelf.lock:
            self._shelf.shared.pop(name, None)

    def shared(self) -> Sequence[str]:
        with self._shelf.lock:
            return list(self._shelf.shared)

    def delete(self, checkpoint_id: int) -> None:
        with self._shelf.lock:
            self._shelf.checkpoints.pop(checkpoint_id, None)

    def withdraw(self, checkpoint_id: int) -> None:
        with self._shelf.lock:
            begun, checkpoint = self._begun.pop(checkpoint_id, None), self._shelf.checkpoints.get(checkpoint_id)
            if begun is None or (checkpoint is not None and checkpoint.manifest is not None):
                return
            for name in begun.shared:
                self._shelf.shared.pop(name, None)
            if checkpoint is not None:
                for name in begun.files:
                    checkpoint.files.pop(name, None)
                if not checkpoint.files:  # otherwise a new leader uses the id, too
                    del self._shelf.checkpoints[checkpoint_id]

    def close(self) -> None:
        for checkpoint_id in list(self._begun):
            self.withdraw(checkpoint_id)

    def write_document(self, name: str, data: bytes) -> None:
        with self._shelf.lock:
            self._shelf.documents[name] = bytes(data)

    def create_document(self, name: str, data: bytes) -> bool:
        with self._shelf.lock:
            if name in self._shelf.documents:
                return False
            self._shelf.documents[name] = bytes(data)
            return True

    def read_document(self, name: str) -> bytes | None:
        with self._shelf.lock:
            return self._shelf.documents.get(name)

    def delete_document(self, name: str) -> None:
        with self._shelf.lock:
            self._shelf.documents.pop(name, None)

    def documents(self) -> Sequence[str]:
        with self._shelf.lock:
            return list(self._shelf.documents)

    def location(self, checkpoint_id: int | None = None) -> str:
        return self._location if checkpoint_id is None else f"{self._location}/chk-{checkpoint_id}"


def _checked(name: str) -> str:
    if not _FILE_NAME.fullmatch(name):
        raise InvalidArgument(what="name of a checkpoint file", value=repr(name), allowed="letters a-z, digits, dots and hyphens")
    return name
