from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from millstream.contracts.key_groups import KeyGroups
from millstream.contracts.state_backend import KeyedTables, StateBackendContext, StateChunk, TableSpec
from millstream.contracts.state_chunks import decode_chunk
from millstream.contracts.state_descriptors import ListStateDescriptor, MapStateDescriptor, ValueStateDescriptor
from millstream.errors import DamagedState, StateNotEncodable, UnsupportedKey
from millstream.ports import ManualClock
from millstream.state.key_context import KeyContext
from millstream.state.keyed import KeyedStateStore
from millstream.state.serializers import serializer_for
from millstream_memory import MemoryStateBackend

COUNT = TableSpec("count", "flat", serializer_for(str), serializer_for(int))
LISTS = TableSpec("lists", "flat", serializer_for(str), serializer_for(list[int]))
WINDOWS = TableSpec("windows", "namespaced", serializer_for(str), serializer_for(list[int]))


class TickingClock(ManualClock):
    """Moves by a millisecond whenever it is read."""

    def monotonic_s(self) -> float:
        self.advance(0.001)
        return super().monotonic_s()


class Swaps:
    """Counts how often tables were swapped."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def opened(on_swap: Callable[[], None] = lambda: None, max_parallelism: int = 4, clock: ManualClock | None = None) -> KeyedTables:
    context = StateBackendContext("dedupe-v1", 0, max_parallelism, KeyGroups(max_parallelism), clock or ManualClock(), on_swap)
    return MemoryStateBackend().open(context)


def finish(tables: KeyedTables) -> list[StateChunk]:
    snapshot = tables.begin_snapshot(1)
    assert snapshot.advance(until_s=1.0)
    return list(snapshot.chunks())


def test_the_backend_can_be_sent_to_a_worker():
    assert pickle.loads(pickle.dumps(MemoryStateBackend())) == MemoryStateBackend()


def test_without_a_snapshot_a_table_is_a_bare_dict():
    tables = opened()
    assert type(tables.table(COUNT)) is dict
    assert tables.table(COUNT) is tables.table(COUNT)


def test_a_table_is_guarded_between_barrier_and_last_chunk_and_the_same_dict_again_afterwards():
    swaps = Swaps()
    tables = opened(swaps)
    bare = tables.table(COUNT)
    bare["a"] = 1
    snapshot = tables.begin_snapshot(1)
    assert swaps.count == 1
    guarded = tables.table(COUNT)
    assert guarded is not bare
    guarded["b"] = 2
    assert snapshot.advance(until_s=1.0)
    assert swaps.count == 2
    assert tables.table(COUNT) is bare
    assert bare == {"a": 1, "b": 2}


def test_a_table_made_while_a_snapshot_is_pending_is_bare_and_not_part_of_it():
    tables = opened()
    tables.table(COUNT)["a"] = 1
    snapshot = tables.begin_snapshot(1)
    late = tables.table(LISTS)
    late["x"] = [1]
    assert type(late) is dict
    assert snapshot.advance(until_s=1.0)
    assert [chunk.table for chunk in snapshot.chunks()] == ["count"]


def test_chunks_come_by_table_and_group_without_empty_ones():
    tables = opened(max_parallelism=128)
    tables.table(LISTS)
    tables.table(COUNT).update({f"k{i}": i for i in range(50)})
    chunks = finish(tables)
    groups = KeyGroups(128)
    assert [chunk.key_group for chunk in chunks] == sorted({groups(f"k{i}") for i in range(50)})
    assert {chunk.table for chunk in chunks} == {"count"}
    found: dict[str, int] = {}
    for chunk in chunks:
        for keys, _, values in decode_chunk(COUNT, chunk):
            assert {groups(key) for key in keys} == {chunk.key_group}
            found.update(zip(keys, values))
    assert found == tables.table(COUNT)


def test_nothing_at_all_makes_no_chunks():
    assert finish(opened()) == []


def test_a_large_table_is_encoded_in_slices_that_look_at_the_clock():
    clock = TickingClock()
    tables = opened(clock=clock)
    tables.table(COUNT).update({f"k{i}": i for i in range(20_000)})
    snapshot = tables.begin_snapshot(1)
    slices = 1
    while not snapshot.advance(clock.monotonic_s() + 0.005):
        slices += 1
    # Each look at the clock comes after 512 entries at most, once to regroup them and once to encode them.
    assert slices >= 2 * 20_000 / 512 / 5
    assert sum(chunk.entries for chunk in snapshot.chunks()) == 20_000


def test_an_advance_whose_time_is_over_makes_some_progress_all_the_same():
    tables = opened()
    tables.table(COUNT)["a"] = 1
    snapshot = tables.begin_snapshot(1)
    calls = 1
    while not snapshot.advance(until_s=-1.0):
        calls += 1
    assert calls <= 4


@pytest.mark.parametrize("steps", range(20))
def test_entries_touched_while_their_key_group_is_half_encoded_are_as_they_were(steps: int):
    tables = opened(max_parallelism=3)
    tables.table(LISTS).update({f"k{i}": [i] for i in range(400)})
    snapshot = tables.begin_snapshot(1)
    for _ in range(steps):
        snapshot.advance(until_s=-1.0)
    for value in tables.table(LISTS).values():
        value.append(-1)
    assert snapshot.advance(until_s=1.0)
    new = opened(max_parallelism=3)
    new.restore(LISTS, snapshot.chunks())
    assert new.table(LISTS) == {f"k{i}": [i] for i in range(400)}


def test_large_values_are_encoded_a_few_at_a_time():
    clock = TickingClock()
    tables = opened(clock=clock, max_parallelism=1)
    tables.table(LISTS).update({f"k{i}": [2**60] * 10_000 for i in range(40)})
    snapshot = tables.begin_snapshot(1)
    slices = 1
    while not snapshot.advance(clock.monotonic_s()):
        slices += 1
    assert slices >= 8


def test_chunks_are_not_given_before_they_are_ready_nor_after_the_snapshot_was_abandoned():
    tables = opened()
    tables.table(COUNT)["a"] = 1
    snapshot = tables.begin_snapshot(1)
    with pytest.raises(RuntimeError, match="call advance until it returns True"):
        snapshot.chunks()
    snapshot.abandon()
    snapshot.abandon()
    with pytest.raises(RuntimeError):
        snapshot.chunks()
    with pytest.raises(RuntimeError, match="abandoned"):
        snapshot.advance(1.0)


def test_abandoning_late_or_advancing_once_more_changes_nothing():
    swaps = Swaps()
    tables = opened(swaps)
    tables.table(COUNT)["a"] = 1
    snapshot = tables.begin_snapshot(1)
    assert snapshot.advance(1.0)
    assert snapshot.advance(1.0)
    snapshot.abandon()
    assert swaps.count == 2
    assert len(list(snapshot.chunks())) == 1


def test_a_second_snapshot_waits_for_the_first():
    tables = opened()
    first = tables.begin_snapshot(1)
    with pytest.raises(RuntimeError, match="checkpoint 2 cannot begin: an earlier snapshot of operator 'dedupe-v1' is pending"):
        tables.begin_snapshot(2)
    first.abandon()
    tables.begin_snapshot(2)


def test_a_guard_that_somebody_kept_writes_through_after_the_snapshot():
    tables = opened()
    bare = tables.table(LISTS)
    bare.update({"a": [1], "b": [2]})
    snapshot = tables.begin_snapshot(1)
    kept = tables.table(LISTS)
    snapshot.abandon()
    kept["a"].append(9)
    kept["c"] = [3]
    assert bare == {"a": [1, 9], "b": [2], "c": [3]}


def test_a_guarded_table_behaves_like_a_dict_for_what_is_absent():
    tables = opened()
    tables.table(LISTS)["a"] = [1]
    tables.table(WINDOWS)[0] = {"a": [1]}
    tables.begin_snapshot(1)
    flat, windows = tables.table(LISTS), tables.table(WINDOWS)
    for table, absent in ((flat, "x"), (windows, 7), (windows[0], "x")):
        with pytest.raises(KeyError):
            table[absent]
        with pytest.raises(KeyError):
            del table[absent]
        with pytest.raises(KeyError):
            table.pop(absent)
        assert table.pop(absent, None) is None
        assert table.get(absent) is None
        assert absent not in table
        assert len(table) == 1
    assert "a" in flat
    assert repr(flat) == "GatheringTable({'a': [1]})"
    assert repr(windows) == "GatheringNamespaces({0: {'a': [1]}})"


def test_a_namespace_made_meanwhile_is_a_bare_dict_at_once():
    tables = opened()
    tables.table(WINDOWS)[0] = {"a": [1]}
    snapshot = tables.begin_snapshot(1)
    windows = tables.table(WINDOWS)
    inner = windows.setdefault(15_000, {})
    assert type(inner) is dict
    inner["b"] = [2]
    windows[30_000] = {"c": [3]}
    assert snapshot.advance(1.0)
    assert tables.table(WINDOWS) == {0: {"a": [1]}, 15_000: {"b": [2]}, 30_000: {"c": [3]}}


def test_a_value_that_cannot_be_encoded_ends_the_snapshot_and_names_operator_state_and_key():
    tables = opened()
    table = tables.table(COUNT)
    table.update({"a": 1, "b": "not a number"})
    snapshot = tables.begin_snapshot(1)
    with pytest.raises(StateNotEncodable, match=r"State 'count' of operator 'dedupe-v1'.* at key 'b'") as refused:
        snapshot.advance(1.0)
    assert type(refused.value.__cause__).__name__ == "ValueNotOfType"
    assert tables.table(COUNT) is table
    table["b"] = 2
    assert sum(chunk.entries for chunk in finish(tables)) == 2


def test_touching_a_value_that_cannot_be_encoded_fails_the_checkpoint_and_not_the_code_that_touched_it():
    tables = opened()
    tables.table(COUNT).update({"a": 1, "b": "not a number"})
    snapshot = tables.begin_snapshot(1)
    assert tables.table(COUNT)["b"] == "not a number"
    with pytest.raises(StateNotEncodable, match="at key 'b'"):
        snapshot.advance(1.0)
    with pytest.raises(RuntimeError):
        snapshot.advance(1.0)


def test_a_namespace_beyond_64_bits_fails_the_checkpoint_and_names_the_state():
    tables = opened()
    tables.table(WINDOWS)[2**63] = {"a": [1]}
    with pytest.raises(StateNotEncodable, match="State 'windows' of operator 'dedupe-v1'"):
        tables.begin_snapshot(1).advance(1.0)


def test_a_key_without_a_group_ends_the_snapshot_for_good():
    tables = opened()
    tables.table(COUNT)[1.5] = 1
    snapshot = tables.begin_snapshot(1)
    with pytest.raises(UnsupportedKey):
        snapshot.advance(1.0)
    with pytest.raises(RuntimeError, match="abandoned"):
        snapshot.advance(1.0)
    assert type(tables.table(COUNT)) is dict


def test_a_damaged_chunk_is_never_restored():
    tables = opened()
    tables.table(COUNT)["a"] = 1
    (chunk,) = finish(tables)
    damaged = StateChunk(chunk.table, chunk.key_group, chunk.entries, chunk.data[:-1] + bytes([chunk.data[-1] ^ 1]))
    new = opened()
    with pytest.raises(DamagedState, match="state 'count'"):
        new.restore(COUNT, [damaged])
    assert new.table(COUNT) == {}


def test_one_name_has_one_layout():
    tables = opened()
    tables.table(COUNT)
    with pytest.raises(ValueError, match="table 'count' of operator 'dedupe-v1' is flat, not namespaced"):
        tables.table(TableSpec("count", "namespaced", COUNT.keys, COUNT.values))


def test_closing_ends_a_pending_snapshot():
    tables = opened()
    tables.table(COUNT)["a"] = 1
    snapshot = tables.begin_snapshot(1)
    tables.close()
    with pytest.raises(RuntimeError):
        snapshot.advance(1.0)


def handles(key_context: KeyContext) -> Iterator[Any]:
    """Tables and the store of handles above them, swapped together as the engine does it."""
    stores: list[KeyedStateStore] = []
    tables = opened(lambda: [store.rebind() for store in stores] and None)
    stores.append(KeyedStateStore(tables, key_context, "dedupe", serializer_for(), serializer_for, ManualClock()))
    yield tables
    yield stores[0]


def test_handles_used_while_a_snapshot_is_pending_do_not_reach_into_it():
    context = KeyContext()
    tables, store = handles(context)
    value = store.get_state(ValueStateDescriptor("value"))
    items = store.get_list_state(ListStateDescriptor("items", int))
    totals = store.get_map_state(MapStateDescriptor("totals", str, int))
    rng = random.Random(7)

    def use(times: int) -> None:
        for n in range(times):
            context.key = f"k{rng.randrange(40)}"
            current = value.value() or {"seen": []}
            current["seen"].append(n)
            value.update(current)
            items.add(n)
            totals.put(f"t{n % 5}", n)
            if n % 7 == 0:
                totals.remove("t0")
                items.clear()

    use(300)
    before = {name: pickle.dumps(dict(sorted(tables._tables[name].live.items()))) for name in ("value", "items", "totals")}
    snapshot = tables.begin_snapshot(1)
    while not snapshot.advance(until_s=-1.0):
        use(10)
    use(50)

    restored = opened()
    new_store = KeyedStateStore(restored, context, "dedupe", serializer_for(), serializer_for, ManualClock())
    chunks: dict[str, list[StateChunk]] = {}
    for chunk in snapshot.chunks():
        chunks.setdefault(chunk.table, []).append(chunk)
    new_store.restore(chunks, store.descriptions())
    new_store.get_state(ValueStateDescriptor("value"))
    new_store.get_list_state(ListStateDescriptor("items", int))
    new_store.get_map_state(MapStateDescriptor("totals", str, int))
    for name, stored in before.items():
        assert dict(sorted(restored._tables[name].live.items())) == pickle.loads(stored)
