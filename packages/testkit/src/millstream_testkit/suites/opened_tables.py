"""Tables of a state backend, opened by a test that plays the engine's part."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from millstream.contracts.key_groups import KeyGroups, key_group_range
from millstream.contracts.state_backend import StateBackendContext, StateChunk, TableSpec
from millstream.ports import ManualClock
from millstream.state.serializers import serializer_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
    from pathlib import Path

    from millstream.contracts.state_backend import KeyedTables, StateBackend, TableSnapshot
    from millstream_testkit.state_harness import StateBackendHarness

MAX_PARALLELISM: Final = 8
OPERATOR: Final = "operator"
FLAT: Final = TableSpec("flat", "flat", serializer_for(str), serializer_for(list[int]))
WINDOWS: Final = TableSpec("windows", "namespaced", serializer_for(str), serializer_for(list[int]))
GROUP_OF: Final = KeyGroups(MAX_PARALLELISM)


class TickingClock(ManualClock):
    """Moves by a millisecond whenever somebody looks how much time is left."""

    def monotonic_s(self) -> float:
        self.advance(0.001)
        return super().monotonic_s()


class Opened:
    """The tables of one operator subtask, which takes a table anew only when it is told to.

    Attributes:
        tables: of the backend.
        clock: of the tables.
        swaps: how often `on_swap` was called.
    """

    def __init__(
        self,
        backend: StateBackend,
        limit_s: float,
        *,
        operator_uid: str = OPERATOR,
        subtask: int = 0,
        key_group_of: Callable[[Any], int] = GROUP_OF,
        on_swap: Callable[[], None] = lambda: None,
    ) -> None:
        self.clock = TickingClock()
        self.swaps = 0
        self._limit_s = limit_s
        self._also = on_swap
        self._held: dict[str, MutableMapping[Any, Any]] = {}
        context = StateBackendContext(operator_uid, subtask, MAX_PARALLELISM, key_group_of, self.clock, self._on_swap)
        self.tables: KeyedTables = backend.open(context)

    def _on_swap(self) -> None:
        self.swaps += 1
        self._held.clear()
        self._also()

    def __getitem__(self, spec: TableSpec) -> MutableMapping[Any, Any]:
        """The table, as it was taken after the last swap."""
        if spec.name not in self._held:
            self._held[spec.name] = self.tables.table(spec)
        return self._held[spec.name]

    def window(self, namespace: int) -> MutableMapping[Any, Any]:
        """What is in a namespace of the namespaced table, which is made where it is missing."""
        windows = self[WINDOWS]
        if namespace not in windows:
            windows[namespace] = {}
        inner: MutableMapping[Any, Any] = windows[namespace]
        return inner

    def begin(self, checkpoint_id: int = 1) -> TableSnapshot:
        """The synchronous part of a snapshot."""
        return self.tables.begin_snapshot(checkpoint_id)

    def step(self, snapshot: TableSnapshot) -> bool:
        """A short slice of the rest."""
        return snapshot.advance(self.clock.monotonic_s() + 0.003)

    def finish(self, snapshot: TableSnapshot) -> list[StateChunk]:
        """The rest of it, and the chunks; then the snapshot is given back, as the engine does."""
        begun_s = time.monotonic()
        while not self.step(snapshot):
            assert time.monotonic() - begun_s < self._limit_s, f"advance() has not returned True in {self._limit_s:g} s"
        chunks = list(snapshot.chunks())
        snapshot.abandon()
        return chunks

    def snapshot(self, checkpoint_id: int = 1) -> list[StateChunk]:
        """A whole snapshot, during which nothing is done to the tables."""
        return self.finish(self.begin(checkpoint_id))

    def flat(self) -> dict[str, list[int]]:
        """All of the flat table."""
        return dict(self[FLAT].items())

    def windows(self) -> dict[int, dict[str, list[int]]]:
        """All of the namespaced table, without namespaces in which there is nothing."""
        return {namespace: dict(inner.items()) for namespace, inner in self[WINDOWS].items() if len(inner)}

    def restore(self, chunks: Iterable[StateChunk], *specs: TableSpec) -> None:
        """Takes over the chunks of some tables."""
        found = list(chunks)
        for spec in specs:
            self.tables.restore(spec, [chunk for chunk in found if chunk.table == spec.name])


class Backend:
    """A backend, opened as often as the test likes; what it opened is closed when the test is over.

    Attributes:
        harness: the author's.
        folder: of the backend.
    """

    def __init__(self, harness: StateBackendHarness, folder: Path) -> None:
        self.harness = harness
        self.folder = folder
        self._opened: list[Opened] = []

    def open(self, **changed: Any) -> Opened:
        """Empty tables of a new attempt."""
        opened = Opened(self.harness.backend(self.folder), self.harness.snapshot_limit_s, **changed)
        self._opened.append(opened)
        return opened

    def close(self, opened: Opened) -> None:
        """Closes one."""
        self._opened.remove(opened)
        opened.tables.close()

    def close_all(self) -> None:
        """Closes the rest."""
        while self._opened:
            self._opened.pop().tables.close()

    def restored(self, chunks: Sequence[StateChunk], parallelism: int = 1) -> tuple[dict[str, list[int]], dict[int, dict[str, list[int]]]]:
        """What all subtasks together restore from chunks, each from those of its own key groups."""
        flat: dict[str, list[int]] = {}
        windows: dict[int, dict[str, list[int]]] = {}
        for subtask in range(parallelism):
            owned = key_group_range(subtask, parallelism, MAX_PARALLELISM)
            opened = self.open(subtask=subtask)
            opened.restore([chunk for chunk in chunks if chunk.key_group in owned], FLAT, WINDOWS)
            part, part_windows = opened.flat(), opened.windows()
            strays = [key for entries in (part, *part_windows.values()) for key in entries if GROUP_OF(key) not in owned]
            assert not strays, f"subtask {subtask} of {parallelism} restored {strays}, whose key groups are not its own"
            flat.update(part)
            for namespace, inner in part_windows.items():
                windows.setdefault(namespace, {}).update(inner)
            self.close(opened)
        return flat, windows

    def assert_restores(
        self,
        chunks: Sequence[StateChunk],
        flat: dict[str, list[int]],
        windows: dict[int, dict[str, list[int]]],
        when: str,
        parallelism: int = 1,
    ) -> None:
        """Compares what chunks hold with what they should hold."""
        found, found_windows = self.restored(chunks, parallelism)
        assert found == flat, f"{when}, the flat table is restored as {found}, not as {flat}"
        wanted = {namespace: inner for namespace, inner in windows.items() if inner}
        assert found_windows == wanted, f"{when}, the namespaced table is restored as {found_windows}, not as {wanted}"


@contextmanager
def opening(harness: StateBackendHarness, folder: Path) -> Iterator[Backend]:
    """A backend whose tables are closed at the end."""
    backend = Backend(harness, folder)
    try:
        yield backend
    finally:
        backend.close_all()
