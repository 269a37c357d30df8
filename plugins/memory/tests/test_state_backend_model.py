"""Random programs on the tables of the backend, with snapshots taken, slowly encoded, abandoned and restored in between.

The oracle is a deep copy made at each barrier. Values are lists that the programs change in place, which is what tears a snapshot
that keeps references only.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.contracts.key_groups import key_group, key_group_range
from millstream.contracts.state_backend import KeyedTables, StateBackendContext, StateChunk, TableSnapshot, TableSpec
from millstream.ports import ManualClock
from millstream.state.serializers import serializer_for
from millstream_memory import MemoryStateBackend

MAX_PARALLELISM = 4
KEYS = [f"k{i}" for i in range(8)]
STEP = 3
"""Entries between two looks at the clock, so that snapshots of so few keys take many steps."""
FLAT = TableSpec("flat", "flat", serializer_for(str), serializer_for(list[int]))
WINDOWS = TableSpec("windows", "namespaced", serializer_for(str), serializer_for(list[int]))


@pytest.fixture(autouse=True, scope="module")
def small_steps() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("millstream_memory.pending.STEP_ENTRIES", STEP)
        patch.setattr("millstream_memory.group.MOST_ENTRIES", 2)
        yield


def flat_entries(tables: KeyedTables) -> dict[str, list[int]]:
    return dict(tables.table(FLAT).items())


def window_entries(tables: KeyedTables) -> dict[int, dict[str, list[int]]]:
    return {namespace: dict(inner.items()) for namespace, inner in tables.table(WINDOWS).items() if len(inner)}


def opened(on_swap: Any = lambda: None) -> KeyedTables:
    context = StateBackendContext("op", 0, MAX_PARALLELISM, lambda key: key_group(key, MAX_PARALLELISM), ManualClock(), on_swap)
    return MemoryStateBackend().open(context)


def check_restored(chunks: list[StateChunk], flat: dict[str, list[int]], windows: dict[int, dict[str, list[int]]], parallelism: int) -> None:
    """What all new subtasks together restore is what there was at the barrier, each key where its group belongs."""
    together: dict[str, list[int]] = {}
    together_windows: dict[int, dict[str, list[int]]] = {}
    for subtask in range(parallelism):
        owned = key_group_range(subtask, parallelism, MAX_PARALLELISM)
        tables = opened()
        for spec in (FLAT, WINDOWS):
            tables.restore(spec, [chunk for chunk in chunks if chunk.table == spec.name and chunk.key_group in owned])
        assert all(key_group(key, MAX_PARALLELISM) in owned for key in flat_entries(tables))
        assert together.keys().isdisjoint(flat_entries(tables))
        together.update(flat_entries(tables))
        for namespace, inner in window_entries(tables).items():
            assert together_windows.setdefault(namespace, {}).keys().isdisjoint(inner)
            together_windows[namespace].update(inner)
    assert together == flat
    assert together_windows == {namespace: inner for namespace, inner in windows.items() if inner}


@dataclass
class Machine:
    """The backend and plain dicts, driven alike."""

    flat: dict[str, list[int]] = field(default_factory=dict)
    windows: dict[int, dict[str, list[int]]] = field(default_factory=dict)
    at_barrier: tuple[Any, Any] | None = None
    snapshot: TableSnapshot | None = None
    number: int = 0
    finished: int = 0

    def __post_init__(self) -> None:
        self.tables = opened(self.take_tables)
        self.take_tables()

    def take_tables(self) -> None:
        if hasattr(self, "tables"):
            self.live_flat = self.tables.table(FLAT)
            self.live_windows = self.tables.table(WINDOWS)

    def fresh(self) -> tuple[list[int], list[int]]:
        self.number += 1
        return [self.number], [self.number]

    def run(self, what: str, key: str, namespace: int, parallelism: int) -> None:
        if what.startswith("snapshot_"):
            getattr(self, what)(parallelism)
        else:
            for table, model in (
                (self.live_flat, self.flat),
                (self.window(self.live_windows, namespace), self.window(self.windows, namespace)),
            ):
                self.number += 1
                result, expected = (getattr(Machine, what)(self, entries, key) for entries in (table, model))
                assert result == expected
            if what == "pop":
                self.fire(namespace)
        if self.snapshot is None:  # comparing reads every value, and would have all of a pending snapshot encoded at once
            assert list(self.live_flat.items()) == list(self.flat.items())  # in the same order, too
            assert self.live_windows == self.windows

    @staticmethod
    def window(windows: Any, namespace: int) -> Any:
        return windows.setdefault(namespace, {})

    # Each of these does the same to a table and to its model; what it returns is compared.

    def put(self, entries: Any, key: str) -> None:
        entries[key] = [self.number]

    def change(self, entries: Any, key: str) -> Any:
        if key not in entries:
            return None
        entries[key].append(self.number)
        return list(entries[key])

    def change_got(self, entries: Any, key: str) -> None:
        entries.get(key, []).append(self.number)

    def set_default(self, entries: Any, key: str) -> None:
        entries.setdefault(key, []).append(self.number)

    def replace_by_changed(self, entries: Any, key: str) -> None:
        value = entries.get(key, [])
        value.append(self.number)
        entries[key] = value

    def change_all(self, entries: Any, key: str) -> None:
        for value in entries.values():
            value.append(self.number)

    def change_items(self, entries: Any, key: str) -> Any:
        for other, value in entries.items():
            if other < key:
                value.clear()
        return sorted(entries.keys())

    def move(self, entries: Any, key: str) -> None:
        if key in entries and KEYS[0] != key:
            entries[KEYS[0]] = entries.pop(key)
            entries[KEYS[0]].append(self.number)

    def pop(self, entries: Any, key: str) -> Any:
        value = entries.pop(key, None)
        if value is not None:
            value.append(self.number)
        return value

    def pop_item(self, entries: Any, key: str) -> Any:
        if not len(entries):
            return None
        other, value = entries.popitem()
        value.append(self.number)
        return other

    def delete(self, entries: Any, key: str) -> Any:
        try:
            del entries[key]
        except KeyError as missing:
            return missing.args
        return len(entries)

    def update(self, entries: Any, key: str) -> Any:
        entries.update({key: [self.number], KEYS[1]: [-self.number]})
        return sorted(entries)

    def clear(self, entries: Any, key: str) -> None:
        entries.clear()

    def fire(self, namespace: int) -> None:
        """Takes a window out, as when it fires, and changes what was in it; another one is moved, as when sessions merge."""
        for windows in (self.live_windows, self.windows):
            for value in windows.pop(namespace).values():
                value.append(self.number)
            if len(windows):
                windows[namespace] = windows.pop(min(windows)) if self.number % 2 else windows.popitem()[1]
                for value in windows[namespace].values():
                    value.append(-self.number)

    # Snapshots.

    def snapshot_begin(self, parallelism: int) -> None:
        if self.snapshot is None:
            self.at_barrier = copy.deepcopy((self.flat, self.windows))
            self.snapshot = self.tables.begin_snapshot(1)

    def snapshot_step(self, parallelism: int) -> None:
        if self.snapshot is not None and self.snapshot.advance(until_s=0.0):
            assert self.at_barrier is not None
            check_restored(list(self.snapshot.chunks()), *self.at_barrier, parallelism)
            self.snapshot = None
            self.finished += 1

    def snapshot_finish(self, parallelism: int) -> None:
        finished = self.finished
        while self.snapshot is not None and self.finished == finished:
            self.snapshot_step(parallelism)

    def snapshot_abandon(self, parallelism: int) -> None:
        if self.snapshot is not None:
            self.snapshot.abandon()
            self.snapshot = None


CHANGES = [
    "put", "change", "change_got", "set_default", "replace_by_changed", "change_all", "change_items", "move", "pop", "pop_item", "delete",
    "update", "clear",
]  # fmt: skip
STEPS = ["put"] * 4 + CHANGES + ["snapshot_begin"] * 6 + ["snapshot_step"] * 12 + ["snapshot_finish", "snapshot_abandon"]


@settings(max_examples=150, deadline=None)
@given(
    st.sets(st.sampled_from(KEYS)),
    st.lists(st.tuples(st.sampled_from(STEPS), st.sampled_from(KEYS), st.integers(0, 2), st.integers(1, 4)), min_size=5, max_size=60),
)
def test_a_snapshot_holds_what_there_was_at_its_barrier_whatever_is_done_meanwhile(filled: set[str], program: list[tuple[str, str, int, int]]):
    machine = Machine()
    for key in sorted(filled):
        for namespace in (0, 1):
            machine.run("put", key, namespace, 1)
    for step in program:
        machine.run(*step)
    machine.run("snapshot_finish", KEYS[0], 0, 3)
    machine.run("snapshot_begin", KEYS[0], 0, 3)
    machine.run("snapshot_finish", KEYS[0], 0, 3)
    assert machine.finished >= 1


@pytest.mark.parametrize("steps", range(24))
@pytest.mark.parametrize("change", [*CHANGES, "fire_only"])
def test_any_change_at_any_step_of_a_snapshot_leaves_it_as_it_was(change: str, steps: int):
    machine = Machine()
    for key in KEYS:
        for namespace in (0, 1):
            machine.run("put", key, namespace, 1)
    machine.run("snapshot_begin", KEYS[0], 0, 1)
    for _ in range(steps):
        machine.run("snapshot_step", KEYS[0], 0, 2)
    if change == "fire_only":
        machine.fire(0)
    else:
        for key in KEYS:
            machine.run(change, key, 0, 1)
    machine.run("snapshot_finish", KEYS[0], 0, 2)
    assert machine.finished == 1


COUNTS = TableSpec("counts", "flat", serializer_for(str), serializer_for(int))


@settings(max_examples=200, deadline=None)
@given(
    st.sets(st.sampled_from(KEYS)),
    st.lists(st.tuples(st.sampled_from(["put", "count", "delete", "step", "step"]), st.sampled_from(KEYS)), max_size=40),
)
def test_values_that_cannot_change_are_in_a_snapshot_as_they_were(filled: set[str], program: list[tuple[str, str]]):
    tables = opened()
    tables.table(COUNTS).update(dict.fromkeys(sorted(filled), 0))
    snapshot = tables.begin_snapshot(1)
    ready = False
    for number, (what, key) in enumerate(program, start=1):
        table = tables.table(COUNTS)
        if what == "put":
            table[key] = number
        elif what == "count":
            table[key] = table.get(key, 0) + number
        elif what == "delete":
            table.pop(key, None)
        else:
            ready = ready or snapshot.advance(until_s=0.0)
    while not ready:
        ready = snapshot.advance(until_s=0.0)
    restored = opened()
    restored.restore(COUNTS, snapshot.chunks())
    assert restored.table(COUNTS) == dict.fromkeys(filled, 0)
