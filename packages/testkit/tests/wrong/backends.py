"""A small right state backend, and backends that are wrong, each by one well-known mistake, with the suite that must catch them.

Not collected by itself: `test_wrong_connectors.py` runs it.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Iterator, MutableMapping
from pathlib import Path
from typing import Any, ClassVar

from millstream.contracts.state_backend import KeyedTables, StateBackend, StateChunk, TableSnapshot, TableSpec
from millstream.contracts.state_chunks import decode_chunk, encode_chunk
from millstream.errors import DamagedState, MillstreamError, StateNotEncodable
from millstream_testkit import StateBackendDeclaration, StateBackendHarness, StateBackendSuite


class Snapshot(TableSnapshot):
    """Everything was encoded at the barrier."""

    def __init__(self, chunks: list[StateChunk]) -> None:
        self._chunks = chunks

    def advance(self, until_s: float) -> bool:
        return True

    def chunks(self) -> Iterable[StateChunk]:
        return self._chunks

    def abandon(self) -> None:
        """Nothing is held."""


class Tables(KeyedTables):
    """Plain dicts."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._live: dict[str, Any] = {}
        self._specs: dict[str, TableSpec] = {}

    def table(self, spec: TableSpec) -> MutableMapping[Any, Any]:
        self._specs[spec.name] = spec
        table: dict[Any, Any] = self._live.setdefault(spec.name, {})
        return table

    def begin_snapshot(self, checkpoint_id: int) -> TableSnapshot:
        return Snapshot(list(self.encoded(self._live)))

    def encoded(self, live: dict[str, Any]) -> Iterator[StateChunk]:
        """The chunks of all tables."""
        for name, table in live.items():
            spec = self._specs[name]
            try:
                yield from self.chunks_of(spec, table)
            except MillstreamError as error:
                raise StateNotEncodable(operator=self._context.operator_uid, state=name, entry="", reason=str(error)) from error

    def chunks_of(self, spec: TableSpec, table: Any) -> Iterator[StateChunk]:
        """The chunks of one table."""
        groups: dict[int, list[Any]] = {}
        for namespace, entries in table.items() if spec.layout == "namespaced" else [(None, table)]:
            for key, value in entries.items():
                groups.setdefault(self.group_of(key), []).append((key, namespace, value))
        for group, found in groups.items():
            keys, namespaces, values = zip(*found)
            yield encode_chunk(spec, group, keys, values, None if spec.layout == "flat" else namespaces)

    def group_of(self, key: Any) -> int:
        """The key group of a chunk's entry."""
        group: int = self._context.key_group_of(key)
        return group

    def restore(self, spec: TableSpec, chunks: Iterable[StateChunk]) -> None:
        table = self._live.setdefault(spec.name, {})
        self._specs.setdefault(spec.name, spec)
        for chunk in chunks:
            for keys, namespaces, values in decode_chunk(spec, chunk):
                for key, namespace, value in zip(keys, namespaces or [None] * len(keys), values):
                    (table if namespace is None else table.setdefault(namespace, {}))[key] = value


class Backend(StateBackend):
    """Opens tables of a class."""

    def __init__(self, tables: type[KeyedTables]) -> None:
        self.tables = tables

    def open(self, context: Any) -> KeyedTables:
        return self.tables(context)  # type: ignore[call-arg]


class RightHarness(StateBackendHarness):
    """Nothing is wrong with it, except that the task stands still while it encodes; it says so."""

    declares = StateBackendDeclaration(sliced=False)
    tables: ClassVar[type[KeyedTables]] = Tables

    def backend(self, folder: Path) -> Backend:
        return Backend(self.tables)


class _Later(Snapshot):
    """Encodes when it is asked for more."""

    def __init__(self, encoded: Iterator[StateChunk]) -> None:
        super().__init__([])
        self._encoded = encoded

    def advance(self, until_s: float) -> bool:
        self._chunks += self._encoded
        return True


class _Turning(Tables):
    """Puts the entries of a group into another order each time."""

    def begin_snapshot(self, checkpoint_id: int) -> TableSnapshot:
        self._live = {name: dict(reversed(table.items())) for name, table in self._live.items()}
        self._context.on_swap()
        return super().begin_snapshot(checkpoint_id)


class NeverGivesTheSameBytesHarness(RightHarness):
    """Makes a checkpoint store everything again, though nothing has changed."""

    tables = _Turning


class _AliasingTables(Tables):
    def begin_snapshot(self, checkpoint_id: int) -> TableSnapshot:
        live = {name: {key: dict(value) if type(value) is dict else value for key, value in table.items()} for name, table in self._live.items()}
        return _Later(self.encoded(live))


class SnapshotAliasesLiveValuesHarness(RightHarness):
    """Copies the tables at the barrier, and not what is in them."""

    tables = _AliasingTables


class _OneNamespace(Tables):
    def chunks_of(self, spec: TableSpec, table: Any) -> Iterator[StateChunk]:
        if spec.layout == "namespaced":
            table = {0: {key: value for entries in table.values() for key, value in entries.items()}}
        return super().chunks_of(spec, table)


class LosesNamespacesHarness(RightHarness):
    tables = _OneNamespace


class _Leaking(Tables):
    """Chunks are collected in the tables, and taken out of them when they are ready."""

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self._collected: list[StateChunk] = []

    def begin_snapshot(self, checkpoint_id: int) -> TableSnapshot:
        self._collected += self.encoded(self._live)
        collected = self._collected

        class Taking(Snapshot):
            def chunks(self) -> Iterable[StateChunk]:
                chunks = list(collected)
                collected.clear()
                return reversed(chunks)

        return Taking([])


class AbandonedSnapshotLeaksHarness(RightHarness):
    """What an abandoned snapshot had encoded is part of the next one."""

    tables = _Leaking


class _Upserting(Tables):
    """Remembers what the last snapshot had, and adds what was written since."""

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self._before: dict[str, Any] = {}

    def begin_snapshot(self, checkpoint_id: int) -> TableSnapshot:
        for name, table in copy.deepcopy(self._live).items():
            before = self._before.setdefault(name, {})
            for key, value in table.items():
                before[key] = {**before.get(key, {}), **value} if type(value) is dict else value
        return Snapshot(list(self.encoded(self._before)))


class DeletedEntriesComeBackHarness(RightHarness):
    """A snapshot has what was written since the last one, and no word of what was deleted."""

    tables = _Upserting


class _NextGroup(Tables):
    def group_of(self, key: Any) -> int:
        return (super().group_of(key) + 1) % 8


class MovesKeyGroupsHarness(RightHarness):
    tables = _NextGroup


class _Silent(Tables):
    """Users write into another dict while the snapshot is encoded from the first, and are not told."""

    def begin_snapshot(self, checkpoint_id: int) -> TableSnapshot:
        frozen, self._live = self._live, copy.deepcopy(self._live)
        return _Later(self.encoded(frozen))


class SwapsSilentlyHarness(RightHarness):
    tables = _Silent


class _StaysPending(Tables):
    _pending = False

    def begin_snapshot(self, checkpoint_id: int) -> TableSnapshot:
        if self._pending:
            msg = "a snapshot is pending"
            raise RuntimeError(msg)
        self._pending = True
        snapshot = super().begin_snapshot(checkpoint_id)
        self._pending = False
        return snapshot


class StaysPendingAfterAFailureHarness(RightHarness):
    tables = _StaysPending


class ClaimsSlicesHarness(RightHarness):
    """Encodes all at the barrier, and says that it does not."""

    declares = StateBackendDeclaration(sliced=True)


class _Files(Tables):
    _kept: ClassVar[list[Any]] = []

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self._kept.append(os.open(__file__, os.O_RDONLY))


class HoldsFilesHarness(RightHarness):
    tables = _Files


class _Forgiving(Tables):
    def restore(self, spec: TableSpec, chunks: Iterable[StateChunk]) -> None:
        try:
            super().restore(spec, chunks)
        except DamagedState:
            return


class TakesDamageForEmptyHarness(RightHarness):
    tables = _Forgiving


class _Stored(dict[Any, Any]):
    """Hands out copies, as if each value were decoded."""

    def __getitem__(self, key: Any) -> Any:
        return copy.deepcopy(super().__getitem__(key))


class _Copying(Tables):
    def table(self, spec: TableSpec) -> MutableMapping[Any, Any]:
        self._live.setdefault(spec.name, _Stored() if spec.layout == "flat" else {})
        return super().table(spec)


class HandsOutCopiesHarness(RightHarness):
    tables = _Copying


class _Replacing(Tables):
    def restore(self, spec: TableSpec, chunks: Iterable[StateChunk]) -> None:
        self._live.pop(spec.name, None)
        super().restore(spec, chunks)


class RestoreReplacesHarness(RightHarness):
    """What another former subtask had is gone."""

    tables = _Replacing


class _Sharing(Tables):
    _by_operator: ClassVar[dict[str, Any]] = {}

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self._live = self._by_operator.setdefault(context.operator_uid, {})


class SharesTablesHarness(RightHarness):
    """Subtasks of one operator in one process have the same tables."""

    tables = _Sharing


class TestRightBackend(StateBackendSuite):
    harness = RightHarness


class TestSnapshotAliasesLiveValues(StateBackendSuite):
    harness = SnapshotAliasesLiveValuesHarness


class TestLosesNamespaces(StateBackendSuite):
    harness = LosesNamespacesHarness


class TestAbandonedSnapshotLeaks(StateBackendSuite):
    harness = AbandonedSnapshotLeaksHarness


class TestDeletedEntriesComeBack(StateBackendSuite):
    harness = DeletedEntriesComeBackHarness


class TestMovesKeyGroups(StateBackendSuite):
    harness = MovesKeyGroupsHarness


class TestSwapsSilently(StateBackendSuite):
    harness = SwapsSilentlyHarness


class TestStaysPendingAfterAFailure(StateBackendSuite):
    harness = StaysPendingAfterAFailureHarness


class TestClaimsSlices(StateBackendSuite):
    harness = ClaimsSlicesHarness


class TestHoldsFiles(StateBackendSuite):
    harness = HoldsFilesHarness


class TestTakesDamageForEmpty(StateBackendSuite):
    harness = TakesDamageForEmptyHarness


class TestHandsOutCopies(StateBackendSuite):
    harness = HandsOutCopiesHarness


class TestRestoreReplaces(StateBackendSuite):
    harness = RestoreReplacesHarness


class TestSharesTables(StateBackendSuite):
    harness = SharesTablesHarness


class TestNeverGivesTheSameBytes(StateBackendSuite):
    harness = NeverGivesTheSameBytesHarness
