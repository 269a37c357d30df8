"""Checkpoints in the memory of the JobManager's process, for a TaskManager: it asks for each step, and waits for the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from millstream.contracts.checkpoint_storage import CheckpointStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

ASKED: Final = CheckpointStore.__abstractmethods__ | {"withdraw"}
"""What may be asked for."""


class AskedStore(CheckpointStore):
    """Hands each call on.

    Args:
        ask: calls a method of the store there, and gives or raises what comes of it.
    """

    def __init__(self, ask: Callable[..., Any]) -> None:
        self._ask = ask

    # What comes back is what the contract says, because a store of that contract gave it; mypy sees a message: hence the ignores.

    def write_file(self, checkpoint_id: int, name: str, parts: Iterable[bytes]) -> None:
        self._ask("write_file", checkpoint_id, name, list(parts))

    def write_shared(self, checkpoint_id: int, name: str, parts: Iterable[bytes]) -> None:
        self._ask("write_shared", checkpoint_id, name, list(parts))

    def read_shared(self, name: str) -> bytes:
        return self._ask("read_shared", name)  # type: ignore[no-any-return]

    def delete_shared(self, name: str) -> None:
        self._ask("delete_shared", name)

    def shared(self) -> Sequence[str]:
        return self._ask("shared")  # type: ignore[no-any-return]

    def publish(self, checkpoint_id: int, manifest: bytes, check: Callable[[], None] = lambda: None) -> None:
        check()
        self._ask("publish", checkpoint_id, manifest)

    def published(self) -> Sequence[int]:
        return self._ask("published")  # type: ignore[no-any-return]

    def highest_id(self) -> int:
        return self._ask("highest_id")  # type: ignore[no-any-return]

    def read_manifest(self, checkpoint_id: int) -> bytes:
        return self._ask("read_manifest", checkpoint_id)  # type: ignore[no-any-return]

    def read_file(self, checkpoint_id: int, name: str) -> bytes:
        return self._ask("read_file", checkpoint_id, name)  # type: ignore[no-any-return]

    def delete(self, checkpoint_id: int) -> None:
        self._ask("delete", checkpoint_id)

    def withdraw(self, checkpoint_id: int) -> None:
        self._ask("withdraw", checkpoint_id)

    def write_document(self, name: str, data: bytes) -> None:
        self._ask("write_document", name, data)

    def create_document(self, name: str, data: bytes) -> bool:
        return self._ask("create_document", name, data)  # type: ignore[no-any-return]

    def read_document(self, name: str) -> bytes | None:
        return self._ask("read_document", name)  # type: ignore[no-any-return]

    def delete_document(self, name: str) -> None:
        self._ask("delete_document", name)

    def documents(self) -> Sequence[str]:
        return self._ask("documents")  # type: ignore[no-any-return]

    def location(self, checkpoint_id: int | None = None) -> str:
        return self._ask("location", checkpoint_id)  # type: ignore[no-any-return]
