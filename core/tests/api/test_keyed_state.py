"""ValueState, ListState and MapState as a keyed process function uses them, and operator list state."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream import (
    KeyedProcessFunction,
    ListStateDescriptor,
    MapFunction,
    MapStateDescriptor,
    ReduceFunction,
    RuntimeContext,
    StreamExecutionEnvironment,
    ValueStateDescriptor,
    WatermarkStrategy,
)
from millstream.errors import InvalidArgument, InvalidName, JobFailedError, NoCurrentKey, StateDeclaredTwice, TypeNotCarried

Step = Callable[[Any, Any, Any], Any]


class WithState(KeyedProcessFunction[str, Any, Any]):
    """Declares states in open and hands them to `step(states, value, ctx)`, whose result is emitted."""

    def __init__(self, step: Step, **descriptors: Any) -> None:
        self.step = step
        self.descriptors = descriptors

    def open(self, context: RuntimeContext) -> None:
        get = {ValueStateDescriptor: context.get_state, ListStateDescriptor: context.get_list_state, MapStateDescriptor: context.get_map_state}
        self.states = {name: get[type(descriptor)](descriptor) for name, descriptor in self.descriptors.items()}

    def process_element(self, value: Any, ctx: Any, out: Any) -> None:
        out.collect(self.step(self.states, value, ctx))


def run(rows: list[Any], step: Step, parallelism: int = 1, **descriptors: Any) -> list[Any]:
    env = StreamExecutionEnvironment().set_parallelism(parallelism)
    return list(env.from_collection(rows).key_by(lambda row: row[0]).process(WithState(step, **descriptors)).execute_and_collect())


@pytest.mark.parametrize("declared", [int, None])
def test_an_unset_value_is_none_or_the_default_and_each_key_has_its_own(declared: Any) -> None:
    def count(states: Any, value: Any, ctx: Any) -> Any:
        before = states["n"].value()
        states["n"].update((before or 0) + 1)
        return value, before, states["n"].value()

    assert run(["a", "b", "a", "a"], count, n=ValueStateDescriptor("n", declared)) == [("a", None, 1), ("b", None, 1), ("a", 1, 2), ("a", 2, 3)]
    assert run(["a", "a"], count, n=ValueStateDescriptor("n", declared, default=7)) == [("a", 7, 8), ("a", 8, 9)]


def test_clear_forgets_the_value_of_the_current_key_only() -> None:
    def step(states: Any, value: Any, ctx: Any) -> Any:
        if value[1] == "clear":
            states["n"].clear()
            states["n"].clear()
        elif value[1] == "set":
            states["n"].update(1)
        return states["n"].value()

    rows = [("a", "set"), ("b", "set"), ("a", "clear"), ("a", "look"), ("b", "look")]
    assert run(rows, step, n=ValueStateDescriptor("n", default=0)) == [1, 1, 0, 0, 1]


def test_none_may_be_the_value() -> None:
    def step(states: Any, value: Any, ctx: Any) -> Any:
        before = states["n"].value()
        states["n"].update(None)
        return before

    assert run(["a", "a"], step, n=ValueStateDescriptor("n", default="unset")) == ["unset", None]


def test_list_state_appends_replaces_and_clears() -> None:
    def step(states: Any, value: Any, ctx: Any) -> Any:
        _, action, *values = value
        {"add": lambda: states["l"].add(values[0]), "all": lambda: states["l"].add_all(values), "put": lambda: states["l"].update(values),
         "clear": lambda: states["l"].clear(), "look": lambda: None}[action]()  # fmt: skip
        return list(states["l"].get())

    rows = [("a", "look"), ("a", "add", 1), ("a", "all", 2, 3), ("b", "look"), ("a", "put", 9), ("a", "add", 4), ("a", "clear"), ("a", "put")]
    assert run(rows, step, l=ListStateDescriptor("l", int)) == [[], [1], [1, 2, 3], [], [9], [9, 4], [], []]


def test_map_state_works_entry_by_entry() -> None:
    def step(states: Any, value: Any, ctx: Any) -> Any:
        m, (_, action, *values) = states["m"], value
        {"put": lambda: m.put(*values), "remove": lambda: m.remove(*values), "all": lambda: m.put_all([("x", 1), ("y", 2)]),
         "clear": m.clear, "look": lambda: None}[action]()  # fmt: skip
        return sorted(m.items()), sorted(m.keys()), sorted(m.values()), m.get("x"), m.contains("x"), m.is_empty()

    rows = [("a", "put", "x", 5), ("b", "look"), ("a", "all"), ("a", "remove", "x"), ("a", "remove", "x"), ("a", "clear")]
    empty = ([], [], [], None, False, True)
    assert run(rows, step, m=MapStateDescriptor("m", str, int)) == [
        ([("x", 5)], ["x"], [5], 5, True, False),
        empty,
        ([("x", 1), ("y", 2)], ["x", "y"], [1, 2], 1, True, False),
        ([("y", 2)], ["y"], [2], None, False, False),
        ([("y", 2)], ["y"], [2], None, False, False),
        empty,
    ]


def test_on_timer_has_the_state_of_the_key_of_the_timer() -> None:
    class Sessions(KeyedProcessFunction[str, Any, Any]):
        def open(self, context: RuntimeContext) -> None:
            self.total = context.get_state(ValueStateDescriptor("total", int, 0))

        def process_element(self, value: Any, ctx: Any, out: Any) -> None:
            self.total.update((self.total.value() or 0) + value[1])
            ctx.timer_service().register_event_time_timer(100)

        def on_timer(self, timestamp: int, ctx: Any, out: Any) -> None:
            out.collect((ctx.get_current_key(), self.total.value()))
            self.total.clear()

    stamped: WatermarkStrategy[Any] = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(lambda row: row[1])
    stream = StreamExecutionEnvironment().from_collection([("a", 1), ("b", 10), ("a", 20)], stamped).key_by(lambda row: row[0])
    assert sorted(stream.process(Sessions()).execute_and_collect()) == [("a", 21), ("b", 10)]


USES: dict[str, Any] = {
    "value": (ValueStateDescriptor("s", int), [lambda s: s.value(), lambda s: s.update(1), lambda s: s.clear()]),
    "list": (ListStateDescriptor("s", int), [lambda s: list(s.get()), lambda s: s.add(1), lambda s: s.add_all([1]), lambda s: s.update([1]), lambda s: s.clear()]),
    "map": (
        MapStateDescriptor("s", int, int),
        [lambda s: s.get(1), lambda s: s.put(1, 1), lambda s: s.put_all([(1, 1)]), lambda s: s.remove(1), lambda s: s.contains(1),
         lambda s: list(s.items()), lambda s: s.is_empty(), lambda s: s.clear()],
    ),
}  # fmt: skip


@pytest.mark.parametrize("when", ["open", "close"])
@pytest.mark.parametrize(("kind", "number"), [(kind, number) for kind, (_, uses) in USES.items() for number in range(len(uses))])
def test_state_outside_of_a_record_has_no_key_and_every_use_is_refused(kind: str, number: int, when: str) -> None:
    descriptor, uses = USES[kind]
    refused: list[NoCurrentKey] = []

    class Early(WithState):
        def open(self, context: RuntimeContext) -> None:
            super().open(context)
            if when == "open":
                self.refuse()

        def close(self) -> None:
            if when == "close":
                self.refuse()

        def refuse(self) -> None:
            with pytest.raises(NoCurrentKey, match=r"belongs to no key\. Use it while a record is processed or in on_timer") as raised:
                uses[number](self.states["s"])
            refused.append(raised.value)

    stream = StreamExecutionEnvironment().from_collection(["a"]).key_by(lambda row: row).process(Early(lambda *_: None, s=descriptor))
    list(stream.execute_and_collect())
    assert len(refused) == 1


def test_a_reduce_function_has_no_current_key_for_state_of_its_own() -> None:
    class Counts(ReduceFunction[int]):
        def open(self, context: RuntimeContext) -> None:
            self.calls = context.get_state(ValueStateDescriptor("calls", int, 0))

        def reduce(self, first: int, second: int) -> int:
            self.calls.update(1)
            return first + second

    with pytest.raises(JobFailedError) as raised:
        list(StreamExecutionEnvironment().from_collection([1, 2]).key_by(lambda _: 0).reduce(Counts()).execute_and_collect())
    assert isinstance(raised.value.__cause__, NoCurrentKey)


def test_one_name_is_one_state_and_asking_again_gives_the_same() -> None:
    class Twice(KeyedProcessFunction[str, Any, Any]):
        def open(self, context: RuntimeContext) -> None:
            self.first = context.get_state(ValueStateDescriptor("n", int))
            self.second = context.get_state(ValueStateDescriptor("n", int))

        def process_element(self, value: Any, ctx: Any, out: Any) -> None:
            self.first.update(value)
            out.collect(self.second.value())

    assert list(StreamExecutionEnvironment().from_collection([1, 2]).key_by(lambda _: 0).process(Twice()).execute_and_collect()) == [1, 2]


@pytest.mark.parametrize("other", [ValueStateDescriptor("n", str), ListStateDescriptor("n", int), MapStateDescriptor("n", str, int)])
def test_one_name_for_two_states_is_refused(other: Any) -> None:
    with pytest.raises(JobFailedError, match=r"declares state 'n' as .* has declared it as .*Give the two states different names") as raised:
        run(["a"], lambda *_: None, first=ValueStateDescriptor("n", int), second=other)
    assert isinstance(raised.value.__cause__, StateDeclaredTwice)


@pytest.mark.parametrize("name", ["", None, 3])
@pytest.mark.parametrize("descriptor", [ValueStateDescriptor, ListStateDescriptor, MapStateDescriptor])
def test_a_state_needs_a_name(descriptor: Any, name: Any) -> None:
    with pytest.raises(InvalidName, match="cannot be the name of a state"):
        descriptor(name)


def test_names_of_the_engine_are_kept_for_the_engine() -> None:
    with pytest.raises(JobFailedError, match="the name of a state is '@timers.event'") as raised:
        run(["a"], lambda *_: None, s=ValueStateDescriptor("@timers.event"))
    assert isinstance(raised.value.__cause__, InvalidArgument)


def test_a_declared_type_that_cannot_be_carried_is_refused_before_any_record() -> None:
    seen: list[Any] = []
    with pytest.raises(JobFailedError, match="declared type complex cannot be written") as raised:
        run(["a"], lambda states, value, ctx: seen.append(value), s=ValueStateDescriptor("s", complex))
    assert isinstance(raised.value.__cause__, TypeNotCarried)
    assert seen == []


def test_operator_list_state_belongs_to_the_subtask_and_needs_no_key() -> None:
    class Buffer(MapFunction[int, list[int]]):
        def open(self, context: RuntimeContext) -> None:
            self.seen = context.get_operator_list_state(ListStateDescriptor("seen", int))

        def map(self, value: int) -> list[int]:
            self.seen.add(value)
            return list(self.seen.get())

    rows = StreamExecutionEnvironment().from_collection(range(4)).rebalance().map(Buffer()).set_parallelism(2).execute_and_collect()
    assert sorted(rows) == [[0], [0, 2], [1], [1, 3]]


ACTIONS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["set", "add", "put", "clear"]), st.integers(0, 5)), max_size=40)


@settings(max_examples=40, deadline=None)
@given(actions=ACTIONS, parallelism=st.integers(1, 3))
def test_states_of_each_key_are_as_in_plain_dicts(actions: list[Any], parallelism: int) -> None:
    def step(states: Any, value: Any, ctx: Any) -> Any:
        key, action, n = value
        {"set": lambda: states["v"].update(n), "add": lambda: states["l"].add(n), "put": lambda: states["m"].put(n, n * n),
         "clear": lambda: [state.clear() for state in states.values()]}[action]()  # fmt: skip
        return key, states["v"].value(), list(states["l"].get()), dict(states["m"].items())

    values: dict[str, Any] = {}
    lists: dict[str, list[int]] = defaultdict(list)
    maps: dict[str, dict[int, int]] = defaultdict(dict)
    wanted = defaultdict(list)
    for key, action, n in actions:
        if action == "set":
            values[key] = n
        elif action == "add":
            lists[key].append(n)
        elif action == "put":
            maps[key][n] = n * n
        else:
            for state in (values, lists, maps):
                state.pop(key, None)  # type: ignore[attr-defined]
        wanted[key].append((key, values.get(key), list(lists[key]), dict(maps[key])))
    got = defaultdict(list)
    descriptors = {"v": ValueStateDescriptor("v"), "l": ListStateDescriptor("l", int), "m": MapStateDescriptor("m", int, int)}
    for row in run(actions, step, parallelism, **descriptors):
        got[row[0]].append(row)
    assert got == wanted
