"""Snapshots of state with a time to live: nothing expired is in them, and nothing that is done while they are pending changes them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.contracts.key_groups import key_group
from millstream.contracts.state_backend import KeyedTables, StateBackendContext, TableSnapshot
from millstream.contracts.state_descriptors import ListStateDescriptor, MapStateDescriptor, ValueStateDescriptor
from millstream.contracts.state_ttl import StateTtlConfig
from millstream.ports import ManualClock
from millstream.state.key_context import KeyContext
from millstream.state.keyed import KeyedStateStore
from millstream.state.serializers import serializer_for
from millstream_memory import MemoryStateBackend

GROUPS = 4
TTL_MS = 10
KEYS = [f"key-{number}" for number in range(12)]


class Operator:
    """States with a time to live on real tables."""

    def __init__(
        self, clock: ManualClock, ttl_ms: int | None = TTL_MS, saved: tuple[Any, Any] | None = None, update_type: Any = "on_create_and_write"
    ) -> None:
        self.clock = clock
        self.context = KeyContext()
        self.tables: KeyedTables = MemoryStateBackend().open(
            StateBackendContext("op", 0, GROUPS, lambda key: key_group(key, GROUPS), clock, lambda: self.store.rebind())
        )
        self.store = KeyedStateStore(self.tables, self.context, "op", serializer_for(str), serializer_for, clock)
        if saved is not None:
            self.store.restore(*saved)
        ttl = None if ttl_ms is None else StateTtlConfig(timedelta(milliseconds=ttl_ms), update_type)
        self.value = self.store.get_state(ValueStateDescriptor("value", int, ttl=ttl))
        self.list = self.store.get_list_state(ListStateDescriptor("list", int, ttl=ttl))
        self.map = self.store.get_map_state(MapStateDescriptor("map", int, int, ttl=ttl))

    def write(self, key: str, number: int) -> None:
        self.context.key = key
        self.value.update(number)
        self.list.add(number)
        self.map.put(number, number)

    def read(self, key: str) -> Any:
        self.context.key = key
        return self.value.value(), sorted(self.list.get()), sorted(self.map.items())

    def all(self) -> dict[str, Any]:
        return {key: self.read(key) for key in KEYS}

    def finish(self, snapshot: TableSnapshot) -> tuple[Any, Any]:
        while not snapshot.advance(0.0):
            pass
        chunks: dict[str, Any] = {}
        for chunk in snapshot.chunks():
            chunks.setdefault(chunk.table, []).append(chunk)
        return chunks, self.store.descriptions()


WRITES = st.lists(st.tuples(st.sampled_from(KEYS), st.integers(0, 3)), max_size=12)
MEANWHILE = st.lists(st.one_of(st.tuples(st.just("read"), st.sampled_from(KEYS)), st.tuples(st.just("write"), st.sampled_from(KEYS)),
                               st.tuples(st.just("clear"), st.sampled_from(KEYS)), st.just(("slice", ""))), max_size=15)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(WRITES, WRITES, MEANWHILE, st.sampled_from(["on_create_and_write", "on_read_and_write"]))
def test_a_snapshot_holds_what_had_not_expired_at_its_barrier_whatever_is_done_meanwhile(
    old: list[tuple[str, int]], new: list[tuple[str, int]], meanwhile: list[tuple[str, str]], update_type: str
) -> None:
    clock = ManualClock()
    operator, plain = Operator(clock, update_type=update_type), Operator(clock, None)
    for key, number in old:
        operator.write(key, number)
    clock.advance(TTL_MS / 1000)
    for key, number in new:
        operator.write(key, number)
        plain.write(key, number)
    snapshot = operator.tables.begin_snapshot(1)
    for what, key in meanwhile:
        operator.context.key = key
        if what == "slice":
            snapshot.advance(0.0)
        elif what == "read":
            operator.read(key)
        elif what == "write":
            operator.write(key, 9)
        else:
            for state in (operator.value, operator.list, operator.map):
                state.clear()
    saved = operator.finish(snapshot)
    for ttl_ms in (TTL_MS, 1000, None):  # also where the time to live is another one, or gone: what had expired is not back
        assert Operator(clock, ttl_ms, saved).all() == plain.all()


@pytest.mark.parametrize("ttl_ms", [1000, None])
def test_what_had_expired_and_was_touched_while_a_snapshot_was_pending_does_not_come_back(ttl_ms: int | None) -> None:
    clock = ManualClock()
    operator = Operator(clock)
    operator.write("key-0", 1)
    clock.advance(TTL_MS / 1000)
    snapshot = operator.tables.begin_snapshot(1)
    assert operator.read("key-0") == (None, [], [])
    chunks, descriptions = operator.finish(snapshot)
    assert [chunk.table for part in chunks.values() for chunk in part] == ["list", "map"]  # encoded early, as they were
    restored = Operator(clock, ttl_ms, (chunks, descriptions))
    assert restored.read("key-0") == (None, [], [])


def test_no_chunk_is_written_for_a_key_group_of_which_all_has_expired() -> None:
    clock = ManualClock()
    operator = Operator(clock)
    operator.write("key-0", 1)
    clock.advance(TTL_MS / 1000)
    operator.write("key-1", 1)
    assert key_group("key-0", GROUPS) != key_group("key-1", GROUPS)
    chunks, _ = operator.finish(operator.tables.begin_snapshot(1))
    assert {(chunk.key_group, chunk.entries) for part in chunks.values() for chunk in part} == {(key_group("key-1", GROUPS), 1)}


def test_nothing_is_cleaned_up_incrementally_while_a_snapshot_is_pending() -> None:
    """It would have entries encoded one by one that nobody touches."""
    clock = ManualClock()
    operator = Operator(clock)
    for key in KEYS:
        operator.write(key, 1)
    clock.advance(TTL_MS / 1000)
    snapshot = operator.tables.begin_snapshot(1)
    for _ in KEYS:
        operator.write("key-0", 2)
    assert len(operator.tables.table(operator.store._declared["value"].spec)) == len(KEYS)
    operator.finish(snapshot)
    for _ in KEYS:
        operator.write("key-0", 2)
    assert len(operator.tables.table(operator.store._declared["value"].spec)) == 1
