"""Where the one checkpoint of a job without checkpointing goes: nowhere that outlives the job.

Such a job still ends with a last checkpoint, because that is what makes sinks commit their tail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.contracts.checkpoint_storage import CheckpointStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


class EphemeralStore(CheckpointStore):
    """A store in memory, for one run."""

    def __init__(self) -> None:
        self._files: dict[tuple[int, str], bytes] = {}
        self._manifests: dict[int, bytes] = {}
        self._shared: dict[str, bytes] = {}
        self._documents: dict[str, bytes] = {}

    def write_file(self, checkpoint_id: int, name: str, parts: Iterable[bytes]) -> None:
        self._files[checkpoint_id, name] = b"".join(parts)

    def write_shared(self, checkpoint_id: int, name: str, parts: Iterable[bytes]) -> None:
        self._shared[name] = b"".join(parts)

    def read_shared(self, name: str) -> bytes:
        if name not in self._shared:
            raise FileNotFoundError(name)
        return self._shared[name]

    def delete_shared(self, name: str) -> None:
        self._shared.pop(name, None)

    def shared(self) -> Sequence[str]:
        return list(self._shared)

    def publish(self, checkpoint_id: int, manifest: bytes, check: Callable[[], None] = lambda: None) -> None:
        check()
        self._manifests[checkpoint_id] = manifest

    def published(self) -> Sequence[int]:
        return sorted(self._manifests)

    def highest_id(self) -> int:
        return max(self._manifests, default=0)

    def read_manifest(self, checkpoint_id: int) -> bytes:
        if checkpoint_id not in self._manifests:
            raise FileNotFoundError(checkpoint_id)
        return self._manifests[checkpoint_id]

    def read_file(self, checkpoint_id: int, name: str) -> bytes:
        if (checkpoint_id, name) not in self._files:
            raise FileNotFoundError(name)
        return self._files[checkpoint_id, name]

    def delete(self, checkpoint_id: int) -> None:
        self._manifests.pop(checkpoint_id, None)
        for key in [key for key in self._files if key[0] == checkpoint_id]:
            del self._files[key]

    def write_document(self, name: str, data: bytes) -> None:
        self._documents[name] = data

    def create_document(self, name: str, data: bytes) -> bool:
        if name in self._documents:
            return False
        self._documents[name] = data
        return True

    def read_document(self, name: str) -> bytes | None:
        return self._documents.get(name)

    def delete_document(self, name: str) -> None:
        self._documents.pop(name, None)

    def documents(self) -> Sequence[str]:
        return list(self._documents)

    def location(self, checkpoint_id: int | None = None) -> str:
        return "memory of this run"
