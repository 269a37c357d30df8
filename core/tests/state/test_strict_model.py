"""Random programs that read, change and write state: strict state finds a fault exactly where state kept as bytes would go another way."""

from __future__ import annotations

from collections import defaultdict
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream import (
    AggregateFunction,
    AggregatingStateDescriptor,
    KeyedProcessFunction,
    ListStateDescriptor,
    MapStateDescriptor,
    ReducingStateDescriptor,
    RuntimeContext,
    ValueStateDescriptor,
)
from millstream.errors import StateNotWrittenBack
from millstream.testing import OperatorHarness

KEYS = "ab"
SLOTS = 3
Step = tuple[Any, ...]
seen: list[Any] = []
"""What the program, and the functions of its states, were given by the state."""
forgotten: list[list[Any]] = []
"""The names that the program forgot, each time a state gave it something."""


def combine(before: list[int], value: list[int]) -> list[int]:
    seen.append(deepcopy(before))
    return before + value


class Leaking(AggregateFunction[list[int], list[int], list[int]]):
    """Gives its accumulator away."""

    def create_accumulator(self) -> list[int]:
        return []

    def add(self, value: list[int], accumulator: list[int]) -> list[int]:
        return combine(accumulator, value)

    def get_result(self, accumulator: list[int]) -> list[int]:
        return accumulator


class Bytes:
    """State of all kinds as a backend has it that keeps bytes: what goes in or out is copied."""

    def __init__(self) -> None:
        self.key = ""
        self.stored: dict[str, dict[str, Any]] = {kind: {} for kind in ("value", "list", "map", "reducing", "aggregating")}
        self.states = {kind: BytesState(self, kind) for kind in self.stored}


class BytesState:
    def __init__(self, owner: Bytes, kind: str) -> None:
        self.owner, self.kind = owner, kind

    @property
    def stored(self) -> Any:
        return self.owner.stored[self.kind]

    @property
    def entries(self) -> Any:
        return self.stored.setdefault(self.owner.key, {})

    def clear(self) -> None:
        self.stored.pop(self.owner.key, None)

    def value(self) -> Any:
        return deepcopy(self.stored.get(self.owner.key))

    def update(self, value: Any) -> None:
        self.stored[self.owner.key] = [deepcopy(element) for element in value] if self.kind == "list" else deepcopy(value)

    def add(self, value: Any) -> None:
        key = self.owner.key
        if self.kind == "list":
            self.stored[key] = [*self.stored.get(key, []), deepcopy(value)]
        elif self.kind == "reducing" and key not in self.stored:
            self.stored[key] = deepcopy(value)
        else:
            self.stored[key] = deepcopy(combine(deepcopy(self.stored.get(key, [])), value))

    def get(self, key: Any = None) -> Any:
        if self.kind == "map":
            return deepcopy(self.entries.get(key))
        return [deepcopy(element) for element in self.stored.get(self.owner.key, [])] if self.kind == "list" else self.value()

    def put(self, key: str, value: Any) -> None:
        self.entries[key] = deepcopy(value)

    def remove(self, key: str) -> None:
        self.entries.pop(key, None)

    def items(self) -> Any:
        return iter([(key, deepcopy(value)) for key, value in self.entries.items()])


class Program:
    """Does the steps of each record. Slots hold lists of numbers that it made, or was given by a state, over all records.

    `lists` are what a list state handed out, by key. On bytes they do not grow with the state, so that none is used after an `add`.

    Of what a state gives it forgets all other names: to change an object under one name and to write it under another is beyond what
    strict state can see. On the heap it finds out which names those are, and then does the same on bytes.
    """

    def __init__(self, states: dict[str, Any], *, on_heap: bool) -> None:
        self.states = states
        self.on_heap = on_heap
        self.slots: list[Any] = [[0] for _ in range(SLOTS)]
        self.lists: dict[str, Any] = {}
        if on_heap:
            forgotten.clear()

    def call(self, key: str, steps: list[Step]) -> None:
        for name, *arguments in steps:
            getattr(self, name)(key, *arguments)

    def given(self, slot: int, value: Any) -> None:
        seen.append(deepcopy(value))
        if value is not None:
            self.forget_other_names([value])
            self.slots[slot] = value

    def forget_other_names(self, objects: Any) -> None:
        if self.on_heap:
            known = set(map(id, objects))
            names: list[Any] = [slot for slot, value in enumerate(self.slots) if id(value) in known]
            forgotten.append(names + [key for key, elements in self.lists.items() if known & set(map(id, elements))])
            now = forgotten[-1]
        else:
            now = forgotten.pop(0)
        for name in now:
            if isinstance(name, int):
                self.slots[name] = [0]
            else:
                del self.lists[name]

    def fresh(self, key: str, slot: int, number: int) -> None:
        self.slots[slot] = [number]

    def change(self, key: str, slot: int, number: int) -> None:
        self.slots[slot].append(number)

    def copy(self, key: str, slot: int) -> None:
        self.slots[slot] = list(self.slots[slot])

    def read(self, key: str, kind: str, slot: int) -> None:
        state = self.states[kind]
        self.given(slot, state.value() if kind == "value" else state.get())

    def write(self, key: str, kind: str, slot: int) -> None:
        state = self.states[kind]
        (state.update if kind == "value" else state.add)(self.slots[slot])
        if kind == "list":
            self.lists.pop(key, None)

    def clear(self, key: str, kind: str) -> None:
        self.states[kind].clear()

    def read_list(self, key: str, slot: int, index: int) -> None:
        elements = self.states["list"].get()
        seen.append(deepcopy(list(elements)))
        if elements:
            self.forget_other_names(elements)
            self.lists[key] = elements
            self.slots[slot] = elements[index % len(elements)]

    def change_list(self, key: str, number: int, drop: bool) -> None:
        elements = self.lists.get(key)
        if elements is not None:
            if drop and len(elements) > 1:
                elements.pop()
            else:
                elements.append([number])

    def write_list(self, key: str) -> None:
        if key in self.lists:
            self.states["list"].update(self.lists[key])

    def replace_list(self, key: str, slot: int) -> None:
        self.states["list"].update([self.slots[slot]])

    def get(self, key: str, entry: str, slot: int) -> None:
        self.given(slot, self.states["map"].get(entry))

    def put(self, key: str, entry: str, slot: int) -> None:
        self.states["map"].put(entry, self.slots[slot])

    def remove(self, key: str, entry: str) -> None:
        self.states["map"].remove(entry)

    def items(self, key: str, slot: int) -> None:
        for _, value in sorted(self.states["map"].items()):
            self.given(slot, value)


class Runs(KeyedProcessFunction[Any, Any, Any]):
    def open(self, context: RuntimeContext) -> None:
        self.program = Program(
            {
                "value": context.get_state(ValueStateDescriptor[Any]("value")),
                "list": context.get_list_state(ListStateDescriptor[Any]("list")),
                "map": context.get_map_state(MapStateDescriptor[Any, Any]("map")),
                "reducing": context.get_reducing_state(ReducingStateDescriptor[Any]("reducing", combine)),
                "aggregating": context.get_aggregating_state(AggregatingStateDescriptor("aggregating", Leaking())),
            },
            on_heap=True,
        )

    def process_element(self, value: Any, ctx: Any, out: Any) -> None:
        self.program.call(*value)


Records = list[tuple[str, list[Step]]]


def contents(stored: dict[str, Any]) -> Any:
    return deepcopy({kind: {key: value for key, value in stored[kind].items() if value != {}} for kind in sorted(stored)})


def run_on_heap(records: Records, *, strict: bool) -> list[Any]:
    """What it was given, and what each checkpoint holds."""
    seen.clear()
    harness = OperatorHarness(lambda stream: stream.key_by(lambda record: record[0]).process(Runs()), strict=strict)
    for number, record in enumerate(records):
        harness.process(record)
        harness.snapshot(number + 1)
        if not strict:
            declared = harness.operator.keyed._declared  # type: ignore[attr-defined]
            seen.append(contents({kind: declared[kind].handle._table for kind in Bytes().stored}))
    return list(seen)


def run_on_bytes(records: Records) -> list[Any]:
    seen.clear()
    state = Bytes()
    program = Program(state.states, on_heap=False)
    for key, steps in records:
        state.key = key
        program.call(key, steps)
        seen.append(contents(state.stored))
    return list(seen)


slots = st.integers(0, SLOTS - 1)
numbers = st.integers(1, 3)
entries = st.sampled_from("xy")
steps = st.one_of(
    st.tuples(st.just("fresh"), slots, numbers),
    st.tuples(st.just("change"), slots, numbers),
    st.tuples(st.just("copy"), slots),
    st.tuples(st.just("read"), st.sampled_from(["value", "reducing", "aggregating"]), slots),
    st.tuples(st.just("write"), st.sampled_from(["value", "list", "reducing", "aggregating"]), slots),
    st.tuples(st.just("clear"), st.sampled_from(["value", "list", "map", "reducing", "aggregating"])),
    st.tuples(st.just("read_list"), slots, st.integers(0, 2)),
    st.tuples(st.just("change_list"), numbers, st.booleans()),
    st.tuples(st.just("write_list")),
    st.tuples(st.just("replace_list"), slots),
    st.tuples(st.just("get"), entries, slots),
    st.tuples(st.just("put"), entries, slots),
    st.tuples(st.just("remove"), entries),
    st.tuples(st.just("items"), slots),
)
programs = st.lists(st.tuples(st.sampled_from(KEYS), st.lists(steps, min_size=1, max_size=6)), min_size=1, max_size=6)

verdicts: dict[bool, int] = defaultdict(int)


@settings(max_examples=400)
@given(programs)
def check_any_program(records: Records) -> None:
    differs = run_on_heap(records, strict=False) != run_on_bytes(records)
    verdicts[differs] += 1
    if differs:
        with pytest.raises(StateNotWrittenBack):
            run_on_heap(records, strict=True)
    else:
        run_on_heap(records, strict=True)


def test_strict_state_finds_a_fault_exactly_where_state_kept_as_bytes_would_go_another_way() -> None:
    verdicts.clear()
    check_any_program()
    assert min(verdicts[False], verdicts[True]) > 20, f"programs without and with a fault: {verdicts}"
