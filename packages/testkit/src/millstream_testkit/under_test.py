"""The plugin through which jobs of the kit find the state backend and the checkpoint storage that are under test: the settings
`state.backend = testkit` and `checkpoint.storage = testkit://`.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from millstream.plugins import CheckpointStorageEntry, StateBackendEntry, hookimpl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from millstream.contracts.checkpoint_storage import CheckpointStorage
    from millstream.contracts.state_backend import StateBackend

BACKEND: Final = "testkit"
STORAGE: Final = "testkit://"


@dataclass
class _Makers:
    backend: Callable[[], StateBackend] | None = None
    storage: Callable[[], CheckpointStorage] | None = None


_now = _Makers()


@contextmanager
def under_test(backend: Callable[[], StateBackend], storage: Callable[[], CheckpointStorage]) -> Iterator[None]:
    """In the `with` block, jobs and operators of this process use these."""
    _now.backend, _now.storage = backend, storage
    try:
        yield
    finally:
        _now.backend = _now.storage = None


def make_backend() -> StateBackend:
    """The factory of the backend's entry."""
    assert _now.backend is not None, "no state backend is under test"
    return _now.backend()


def make_storage(location: str) -> CheckpointStorage:
    """The factory of the storage's entry."""
    assert _now.storage is not None, "no checkpoint storage is under test"
    return _now.storage()


class UnderTest:
    """The plugin."""

    @hookimpl
    def millstream_state_backends(self) -> Iterator[StateBackendEntry]:
        """The backend's entry."""
        yield StateBackendEntry(name=BACKEND, factory=f"{__name__}:make_backend", description="The state backend under test")

    @hookimpl
    def millstream_checkpoint_storages(self) -> Iterator[CheckpointStorageEntry]:
        """The storage's entry."""
        yield CheckpointStorageEntry(name=BACKEND, factory=f"{__name__}:make_storage", description="The checkpoint storage under test")
