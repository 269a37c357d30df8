"""Strict state: functions that change what they read without writing it back, and functions that do not, for each kind of state."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from millstream import (
    AggregateFunction,
    AggregatingStateDescriptor,
    KeyedProcessFunction,
    ListStateDescriptor,
    MapFunction,
    MapStateDescriptor,
    ProcessWindowFunction,
    ReducingStateDescriptor,
    RuntimeContext,
    StateTtlConfig,
    StreamExecutionEnvironment,
    TumblingEventTimeWindows,
    ValueStateDescriptor,
    WatermarkStrategy,
)
from millstream.contracts.state_backend import KeyedTables
from millstream.errors import JobFailedError, StateNotWrittenBack, UserFunctionFailed
from millstream.ports import ManualClock
from millstream.state.keyed import KeyedStateStore
from millstream.state.serializers import serializer_for
from millstream.state.strict import StateWatch, WatchedKeyContext
from millstream.testing import OperatorHarness, simulate

TTL = StateTtlConfig(timedelta(days=1))
Use = Callable[[Any], object]


@dataclass
class Basket:
    goods: list[str] = field(default_factory=list)


class Gather(AggregateFunction[Any, list[Any], Any]):
    """Keeps everything, in one list that it changes; `result` makes something of it."""

    def __init__(self, result: Callable[[list[Any]], Any] = tuple) -> None:
        self.result = result

    def create_accumulator(self) -> list[Any]:
        return []

    def add(self, value: Any, accumulator: list[Any]) -> list[Any]:
        accumulator.append(value)
        return accumulator

    def get_result(self, accumulator: list[Any]) -> Any:
        return self.result(accumulator)


def extend(before: list[Any], value: list[Any]) -> list[Any]:
    before.extend(value)
    return before


class States(KeyedProcessFunction[Any, Any, Any]):
    """Gives the state of one kind to the functions that come as records."""

    def __init__(self, kind: str, **options: Any) -> None:
        self.kind = kind
        self.options = options

    def open(self, context: RuntimeContext) -> None:
        make: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
            "value": (context.get_state, lambda **o: ValueStateDescriptor("state", **o)),
            "list": (context.get_list_state, lambda **o: ListStateDescriptor("state", **o)),
            "map": (context.get_map_state, lambda **o: MapStateDescriptor("state", **o)),
            "reducing": (context.get_reducing_state, lambda **o: ReducingStateDescriptor("state", extend, **o)),
            "aggregating": (context.get_aggregating_state, lambda **o: AggregatingStateDescriptor("state", Gather(list), **o)),
            "leaking": (context.get_aggregating_state, lambda **o: AggregatingStateDescriptor("state", Gather(lambda found: found), **o)),
            "sorting": (context.get_aggregating_state, lambda **o: AggregatingStateDescriptor("state", Gather(lambda found: found.sort()), **o)),
            "split": (context.get_operator_list_state, lambda **o: ListStateDescriptor("state", **o)),
            "union": (context.get_union_list_state, lambda **o: ListStateDescriptor("state", **o)),
            "broadcast": (context.get_broadcast_state, lambda **o: MapStateDescriptor("state", **o)),
        }
        get, descriptor = make[self.kind]
        self.state = get(descriptor(**self.options))
        self.kept: Any = None

    def process_element(self, value: Any, ctx: Any, out: Any) -> None:
        for use in value[1:]:
            use(self)


def running(kind: str, *, strict: bool = True, restore: bytes | None = None, **options: Any) -> OperatorHarness:
    return OperatorHarness(
        lambda stream: stream.key_by(lambda record: record[0], key_type=str).process(States(kind, **options), uid="states"),
        strict=strict,
        restore=() if restore is None else [restore],
    )


def apply(change: Callable[[Any], object], times: int = 1) -> Use:
    """Reads and changes, and does not write."""
    return lambda function: [change(function.state) for _ in range(times)]


def value_of(state: Any) -> Any:
    return state.value()


def put_changed(state: Any) -> None:
    changed = state.get("x")
    changed.append(1)
    state.put("x", changed)


def update_changed(state: Any) -> None:
    changed = state.value()
    changed.append(1)
    state.update(changed)


def update_all(state: Any) -> None:
    elements = state.get()
    elements[0].append(1)
    elements.append([2])
    state.update(elements)


def put_each(state: Any) -> None:
    for key, value in state.items():
        value.append(1)
        state.put(key, value)


def write_then_change(write: Callable[[Any, list[Any]], object]) -> Callable[[Any], None]:
    def written(state: Any) -> None:
        value = [5]
        write(state, value)
        value.append(6)

    return written


SET_UP: dict[str, Use] = {
    "value": lambda f: f.state.update([0]),
    "list": lambda f: f.state.add_all([[0], [1]]),
    "map": lambda f: f.state.put_all([("x", [0]), ("y", [1])]),
    "reducing": lambda f: f.state.add([0]),
    "aggregating": lambda f: f.state.add([0]),
    "leaking": lambda f: f.state.add([0]),
    "sorting": lambda f: [f.state.add(2), f.state.add(1)],
}
SET_UP |= {"split": SET_UP["list"], "union": SET_UP["list"], "broadcast": SET_UP["map"]}

GUILTY: list[tuple[str, str, Callable[[Any], object]]] = [
    ("value", "what value() gave", lambda s: s.value().append(1)),
    ("value", "what was updated", write_then_change(lambda s, v: s.update(v))),
    ("list", "an element", lambda s: s.get()[0].append(1)),
    ("list", "the list", lambda s: s.get().append([1])),
    ("list", "the order", lambda s: s.get().reverse()),
    ("list", "what was added", write_then_change(lambda s, v: s.add(v))),
    ("list", "what was added with others", write_then_change(lambda s, v: s.add_all([[1], v]))),
    ("list", "what the list was updated with", write_then_change(lambda s, v: s.update([v]))),
    ("list", "the list, and added", lambda s: [s.get().append([1]), s.add([2])]),
    ("map", "the value of an entry", lambda s: s.get("x").append(1)),
    ("map", "a value out of values()", lambda s: [value.append(1) for value in s.values()]),
    ("map", "a value out of items(), another one written", lambda s: [dict(s.items())["x"].append(1), s.put("y", [2])]),
    ("map", "what was put", write_then_change(lambda s, v: s.put("z", v))),
    ("map", "what was put with others", write_then_change(lambda s, v: s.put_all([("z", v)]))),
    ("reducing", "what get() gave", lambda s: s.get().append(1)),
    ("reducing", "the first value added", lambda s: [s.clear(), write_then_change(lambda s, v: s.add(v))(s)]),
    ("leaking", "the accumulator, as a result", lambda s: s.get().append(1)),
    ("sorting", "the accumulator, for a result", lambda s: s.get()),
    ("aggregating", "an added value that is in the accumulator", write_then_change(lambda s, v: s.add(v))),
]
GUILTY += [(mode, what, change) for kind, what, change in GUILTY for mode in {"list": ("split", "union"), "map": ("broadcast",)}.get(kind, ())]

INNOCENT: list[tuple[str, str, Callable[[Any], object]]] = [
    ("value", "only reads", lambda s: len(s.value())),
    ("value", "writes what it changed", update_changed),
    ("value", "changes a copy", lambda s: list(s.value()).append(1)),
    ("value", "changes what it then forgets", lambda s: [s.value().append(1), s.clear()]),
    ("value", "changes what it then replaces", lambda s: [s.value().append(1), s.update([7])]),
    ("list", "only reads", lambda s: [len(element) for element in s.get()]),
    ("list", "writes what it changed", update_all),
    ("list", "reads and adds", lambda s: [s.get(), s.add([9]), s.get(), s.add_all([[1], [2]]), s.get()]),
    ("list", "changes a copy", lambda s: sorted(s.get())),
    ("list", "changes what it then forgets", lambda s: [s.get()[0].append(1), s.clear(), s.add([1])]),
    ("map", "only reads", lambda s: [s.get("x"), s.contains("y"), list(s.items()), list(s.keys()), list(s.values()), s.is_empty()]),
    ("map", "writes what it changed", put_changed),
    ("map", "writes each entry that it changed", put_each),
    ("map", "changes what it then removes", lambda s: [s.get("x").append(1), s.remove("x")]),
    ("map", "changes what it then forgets", lambda s: [s.get("x").append(1), s.clear()]),
    ("reducing", "reads and adds", lambda s: [s.get(), s.add([1]), s.get(), s.add([2])]),
    ("aggregating", "reads and adds", lambda s: [s.get(), s.add(1), s.get(), s.add(2)]),
    ("aggregating", "changes a result that is a copy", lambda s: s.get().append(1)),
]
INNOCENT += [(mode, what, use) for kind, what, use in INNOCENT for mode in {"list": ("split", "union"), "map": ("broadcast",)}.get(kind, ())]

FIX = {"value": "update()", "list": "update()", "map": "put()", "reducing": "add()", "aggregating": "add()"}
FIX |= {"split": "update()", "union": "update()", "broadcast": "put()", "leaking": FIX["aggregating"], "sorting": FIX["aggregating"]}


def named(cases: list[tuple[str, str, Callable[[Any], object]]]) -> list[Any]:
    return [pytest.param(kind, use, id=f"{kind}: {what}") for kind, what, use in cases]


@pytest.mark.parametrize(("kind", "change"), named(GUILTY))
def test_a_change_that_is_not_written_back_is_found_at_the_end_of_the_call(kind: str, change: Callable[[Any], object]) -> None:
    harness = running(kind)
    harness.process(("k", SET_UP[kind]))
    with pytest.raises(StateNotWrittenBack) as caught:
        harness.process(("k", apply(change)))
    assert (caught.value.operator, caught.value.state, caught.value.function) == ("process(States)", "state", "States")
    assert FIX[kind] in caught.value.fix
    where = {"map": "of key 'k'", "broadcast": "in entry '", "split": "", "union": ""}.get(kind, "at key 'k'")
    assert where in caught.value.where
    assert bool(caught.value.where) is (kind not in ("split", "union"))
    assert caught.value.before != caught.value.after


@pytest.mark.parametrize(("kind", "change"), named(GUILTY))
def test_the_same_on_what_a_checkpoint_brought_back(kind: str, change: Callable[[Any], object]) -> None:
    before = running(kind)
    before.process(("k", SET_UP[kind]))
    harness = running(kind, restore=before.snapshot())
    with pytest.raises(StateNotWrittenBack):
        harness.process(("k", apply(change)))


@pytest.mark.parametrize(("kind", "change"), named(GUILTY))
def test_without_strict_state_the_same_goes_unnoticed(kind: str, change: Callable[[Any], object]) -> None:
    harness = running(kind, strict=False)
    harness.process_all([("k", SET_UP[kind]), ("k", apply(change))])
    harness.snapshot()


@pytest.mark.parametrize(("kind", "use"), named(INNOCENT))
def test_what_is_written_back_or_forgotten_is_in_order(kind: str, use: Callable[[Any], object]) -> None:
    harness = running(kind)
    harness.process_all([("k", SET_UP[kind]), ("k", apply(use)), ("other", SET_UP[kind]), ("other", apply(use)), ("k", SET_UP[kind])])
    restored = running(kind, restore=harness.snapshot())
    restored.process_all([("k", apply(use)), ("k", SET_UP[kind]), ("other", SET_UP[kind]), ("other", apply(use))])
    restored.snapshot()


@pytest.mark.parametrize(
    ("kind", "change"), [case for case in named(GUILTY) if case.values[0] in ("value", "list", "map", "reducing", "leaking", "sorting")]
)
def test_state_with_a_time_to_live_is_watched_as_well(kind: str, change: Callable[[Any], object]) -> None:
    harness = running(kind, ttl=TTL)
    harness.process(("k", SET_UP[kind]))
    with pytest.raises(StateNotWrittenBack):
        harness.process(("k", apply(change)))


@pytest.mark.parametrize(("kind", "use"), [case for case in named(INNOCENT) if case.values[0] in ("value", "list", "map", "reducing", "aggregating")])
def test_with_a_time_to_live_too_what_is_written_back_is_in_order(kind: str, use: Callable[[Any], object]) -> None:
    harness = running(kind, ttl=TTL)
    harness.process_all([("k", SET_UP[kind]), ("k", apply(use)), ("k", SET_UP[kind])])
    harness.advance(timedelta(days=2).total_seconds())
    harness.process_all([("k", SET_UP[kind]), ("k", apply(use))])
    harness.snapshot()


@pytest.mark.parametrize("kind", ["value", "list", "map"])
def test_what_a_function_kept_for_itself_is_watched_between_its_calls(kind: str) -> None:
    def keep(function: Any) -> None:
        function.kept = function.state.value() if kind == "value" else function.state.get("x") if kind == "map" else function.state.get()[0]

    harness = running(kind)
    harness.process_all([("k", SET_UP[kind], keep), ("other", lambda _: None)])
    with pytest.raises(StateNotWrittenBack, match="'k'"):
        harness.process(("other", lambda function: function.kept.append(1)))


@pytest.mark.parametrize("kind", ["value", "list", "map", "leaking", "split", "broadcast"])
def test_a_change_is_found_before_the_next_record_of_the_batch(kind: str) -> None:
    change = {"value": lambda s: s.value().append(1), "map": lambda s: s.get("x").append(1), "leaking": lambda s: s.get().append(1)}
    change |= {"broadcast": change["map"]}
    harness = running(kind)
    seen: list[Any] = []
    with pytest.raises(StateNotWrittenBack):
        harness.process_all([("k", SET_UP[kind], apply(change.get(kind, lambda s: s.get()[0].append(1)))), ("other", seen.append)])
    assert not seen


def test_a_change_is_found_when_the_state_is_read_again_in_the_same_call() -> None:
    harness = running("value")
    harness.process(("k", SET_UP["value"]))
    seen: list[Any] = []
    with pytest.raises(StateNotWrittenBack):
        harness.process(("k", lambda f: f.state.value().append(1), lambda f: seen.append(f.state.value())))
    assert not seen


def test_the_message_names_function_place_values_and_fix() -> None:
    harness = running("map", key_type=str, value_type=list[int])
    harness.process(("ann", SET_UP["map"]))
    with pytest.raises(StateNotWrittenBack) as caught:
        harness.process(("ann", lambda f: f.state.get("x").append(1)))
    message = str(caught.value)
    assert "State 'state' of operator 'process(States)', function States, was changed in entry 'x' of key 'ann' without being written back" in message
    assert "[0] became [0, 1]" in message
    assert "Call put() with what was changed, or change a copy" in message


def test_a_data_class_with_a_declared_type_is_watched() -> None:
    harness = running("value", type=Basket)
    harness.process(("k", lambda f: f.state.update(Basket(["a"]))))
    with pytest.raises(StateNotWrittenBack, match="goods"):
        harness.process(("k", lambda f: f.state.value().goods.append("b")))


@pytest.mark.parametrize("written", [False, True])
def test_the_default_of_a_value_state_belongs_to_all_keys(written: bool) -> None:
    def use(function: Any) -> None:
        value = function.state.value()
        value.append(1)
        if written:
            function.state.update(value)

    harness = running("value", default=[])
    with pytest.raises(StateNotWrittenBack, match="in its default, which is the same object for all keys"):
        harness.process(("k", use))


def test_a_default_that_is_copied_before_it_is_changed_is_in_order() -> None:
    harness = running("value", default=[])
    harness.process_all([(key, lambda f: f.state.update([*f.state.value(), 1])) for key in "aab"])
    harness.process(("c", lambda f: f.state.value()))
    harness.snapshot()


def test_a_value_that_has_no_encoded_form_is_the_affair_of_checkpoints() -> None:
    harness = running("value")
    harness.process_all([("k", lambda f: f.state.update(object())), ("k", lambda f: f.state.value()), ("k", lambda f: f.state.update(1))])
    harness.snapshot()


def test_a_value_that_loses_its_encoded_form_was_changed() -> None:
    harness = running("value")
    harness.process(("k", SET_UP["value"]))
    with pytest.raises(StateNotWrittenBack):
        harness.process(("k", lambda f: f.state.value().append(object())))


class Timed(KeyedProcessFunction[Any, Any, Any]):
    """Yields its results, and changes its state in a timer."""

    def open(self, context: RuntimeContext) -> None:
        self.state = context.get_state(ValueStateDescriptor[Any]("seen"))

    def process_element(self, value: Any, ctx: Any, out: Any) -> Any:
        seen = self.state.value() or []
        seen.append(value)
        yield len(seen)
        self.state.update(seen)
        ctx.timer_service().register_event_time_timer(100)

    def on_timer(self, timestamp: int, ctx: Any, out: Any) -> Any:
        seen: Any = self.state.value()
        seen.append(timestamp)
        yield len(seen)


def test_generators_and_timers_are_calls_like_others() -> None:
    harness = OperatorHarness(lambda stream: stream.key_by(lambda value: value % 2).process(Timed()))
    harness.process_all([1, 2, 3], [1, 2, 3])
    assert harness.take() == [1, 1, 2]
    with pytest.raises(StateNotWrittenBack, match="at key 1"):
        harness.watermark(200)


def test_a_record_that_is_skipped_may_leave_no_change_behind() -> None:
    class Fails(KeyedProcessFunction[Any, Any, Any]):
        def open(self, context: RuntimeContext) -> None:
            self.state = context.get_state(ValueStateDescriptor[Any]("seen"))

        def process_element(self, value: Any, ctx: Any, out: Any) -> None:
            seen = self.state.value() or []
            seen.append(value)
            if value < 0:
                raise ValueError(value)
            self.state.update(seen)

    harness = OperatorHarness(lambda stream: stream.key_by(lambda value: 0).process(Fails(), on_error="skip"))
    harness.process_all([1, 2])
    with pytest.raises(StateNotWrittenBack):
        harness.process_all([-1, 3])
    plain = OperatorHarness(lambda stream: stream.key_by(lambda value: 0).process(Fails()))
    with pytest.raises(UserFunctionFailed):
        plain.process_all([1, -1])


# --- what operators of the engine keep


def windowed(add: Callable[[Any], Any]) -> OperatorHarness:
    def operator(stream: Any) -> Any:
        windows = stream.key_by(lambda record: record[0]).window(TumblingEventTimeWindows.of(timedelta(milliseconds=10)))
        return add(windows.allowed_lateness(timedelta(milliseconds=100)))

    return OperatorHarness(operator)


class Changes(ProcessWindowFunction[Any, Any, Any, Any]):
    def process(self, key: Any, context: Any, elements: Any) -> list[Any]:
        for element in elements:
            element.append("seen")
        return ["fired"]


def append_to(before: Any, value: Any) -> Any:
    before.append(value[1])
    return before


@pytest.mark.parametrize("kind", ["reducing", "aggregating", "buffering"])
def test_functions_of_windows_may_change_and_return_what_they_are_given(kind: str) -> None:
    add: dict[str, Callable[[Any], Any]] = {
        "reducing": lambda windows: windows.reduce(append_to),
        "aggregating": lambda windows: windows.aggregate(Gather(len)),
        "buffering": lambda windows: windows.process(Counts()),
    }
    harness = windowed(add[kind])
    harness.process_all([["a", 1], ["b", 1], ["a", 2], ["a", 3]], [1, 2, 3, 11])
    harness.snapshot(1)
    harness.process_all([["a", 4], ["b", 5]], [4, 5])
    harness.watermark(9)
    harness.process_all([["a", 6]], [6])
    harness.snapshot(2)
    results = {
        "reducing": [["a", 1, 2, 4, 6], ["b", 1, 5], ["a", 1, 2, 4, 6]],
        "aggregating": [3, 2, 4],
        "buffering": [3, 2, 4],
    }
    assert harness.take() == results[kind]


class Counts(ProcessWindowFunction[Any, Any, Any, Any]):
    def process(self, key: Any, context: Any, elements: Any) -> list[Any]:
        return [len(list(elements))]


@pytest.mark.parametrize("kind", ["reducing", "aggregating", "buffering"])
def test_a_window_function_may_not_change_what_its_window_goes_on_to_hold(kind: str) -> None:
    add: dict[str, Callable[[Any], Any]] = {
        "reducing": lambda windows: windows.reduce(append_to, window_function=Changes()),
        "aggregating": lambda windows: windows.aggregate(Gather(lambda found: found), window_function=Changes()),
        "buffering": lambda windows: windows.process(Changes()),
    }
    harness = windowed(add[kind])
    harness.process_all([["a", 1], ["a", 2]], [1, 2])
    with pytest.raises(StateNotWrittenBack, match="at key 'a' of the window that starts at 0"):
        harness.watermark(9)


def test_a_window_function_may_change_what_goes_with_its_window() -> None:
    harness = OperatorHarness(
        lambda stream: stream.key_by(lambda record: record[0]).window(TumblingEventTimeWindows.of(timedelta(milliseconds=10))).process(Changes())
    )
    harness.process_all([["a", 1], ["a", 2]], [1, 2])
    harness.watermark(9)
    harness.snapshot()
    assert harness.values == ["fired"]


def test_get_result_of_a_window_may_not_change_the_accumulator() -> None:
    harness = windowed(lambda windows: windows.aggregate(Gather(lambda found: found.pop())))
    harness.process_all([["a", 1], ["a", 2]], [1, 2])
    with pytest.raises(StateNotWrittenBack, match="at key 'a'"):
        harness.watermark(9)


# --- whole jobs


def job(settings: dict[str, Any], build: Callable[[Any], Any], records: list[Any]) -> list[Any]:
    env = StreamExecutionEnvironment({"execution.batch_size": 1, **settings})
    return list(build(env.from_collection(records)).execute_and_collect())


def test_a_record_that_is_changed_behind_a_rolling_operation_is_found() -> None:
    def build(stream: Any) -> Any:
        summed = stream.key_by(lambda row: row["key"]).reduce(lambda a, b: {**a, "n": a["n"] + b["n"]}, uid="summed")
        return summed.map(lambda row: row.pop("n"))

    records = [{"key": "a", "n": n} for n in range(3)]
    with pytest.raises(JobFailedError, match="State '@rolling' of operator 'reduce.*at key 'a'"):
        job({"state.strict": True}, build, records)


@pytest.mark.parametrize("strict", [False, True])
def test_rolling_functions_may_change_and_return_what_they_are_given(strict: bool) -> None:
    def fold(accumulator: list[int], value: int) -> list[int]:
        accumulator.append(value)
        return accumulator

    def build(stream: Any) -> Any:
        return stream.key_by(lambda value: value % 2).fold([], fold).map(len)

    assert job({"state.strict": strict}, build, [1, 2, 3, 4]) == [1, 1, 2, 2]


class Careless(KeyedProcessFunction[Any, Any, Any]):
    def open(self, context: RuntimeContext) -> None:
        self.seen = context.get_state(ValueStateDescriptor[Any]("seen"))

    def process_element(self, value: Any, ctx: Any, out: Any) -> None:
        seen = self.seen.value()
        if seen is None:
            self.seen.update([value])
        else:
            seen.append(value)
        out.collect(value)


def test_a_job_is_strict_when_the_setting_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(stream: Any) -> Any:
        return stream.key_by(lambda value: 0).process(Careless())

    assert job({}, build, [1, 2, 3]) == [1, 2, 3]
    with pytest.raises(JobFailedError, match="was changed at key 0 without being written back"):
        job({"state.strict": True}, build, [1, 2, 3])
    monkeypatch.setenv("MILLSTREAM__STATE__STRICT", "true")
    with pytest.raises(JobFailedError, match="was changed at key 0 without being written back"):
        job({}, build, [1, 2, 3])


def test_such_a_job_is_not_started_again() -> None:
    """It would meet the same error."""
    starts: list[int] = []

    class Counted(Careless):
        def open(self, context: RuntimeContext) -> None:
            starts.append(context.attempt)
            super().open(context)

    def program(env: StreamExecutionEnvironment) -> None:
        numbers = env.generate(lambda index: index, count=40, watermark_strategy=WatermarkStrategy.no_watermarks(), uid="numbers")
        numbers.key_by(lambda number: number % 2).process(Counted(), uid="careless")

    result = simulate(program, seed=1)
    assert isinstance(result.error, StateNotWrittenBack) or isinstance(getattr(result.error, "__cause__", None), StateNotWrittenBack)
    assert starts == [0]


class Remembers(MapFunction[Any, Any]):
    """Has operator state, without keys."""

    def open(self, context: RuntimeContext) -> None:
        self.rows = context.get_operator_list_state(ListStateDescriptor[Any]("rows"))

    def map(self, value: Any) -> Any:
        rows: Any = self.rows.get()
        if not rows:
            self.rows.add([value])
        else:
            rows[0].append(value)
        return value


def test_operator_state_without_keys_is_looked_at_when_it_is_read_and_at_barriers() -> None:
    with pytest.raises(JobFailedError, match="State 'rows' of operator 'map.Remembers.', function Remembers, was changed without being written back"):
        job({"state.strict": True}, lambda stream: stream.map(Remembers()), [1, 2])


# --- another backend


class BytesTable(dict[Any, Any]):
    """A table that keeps bytes: what it gives is always a copy."""

    def __getitem__(self, key: Any) -> Any:
        return pickle.loads(super().__getitem__(key))

    def get(self, key: Any, default: Any = None) -> Any:
        return pickle.loads(super().get(key, pickle.dumps(default)))

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, pickle.dumps(value))


class BytesTables(KeyedTables):
    def __init__(self) -> None:
        self.tables: dict[str, BytesTable] = {}

    def table(self, spec: Any) -> Any:
        return self.tables.setdefault(spec.name, BytesTable())

    def begin_snapshot(self, checkpoint_id: int) -> Any:
        raise NotImplementedError

    def restore(self, spec: Any, chunks: Any) -> None:
        raise NotImplementedError


def on_bytes() -> tuple[WatchedKeyContext, KeyedStateStore, BytesTables]:
    watch = StateWatch("operator", "Function")
    keys = WatchedKeyContext(watch)
    keys.key = "k"
    tables = BytesTables()
    return keys, KeyedStateStore(tables, keys, "operator", serializer_for(), serializer_for, ManualClock(), watch=watch), tables


@pytest.mark.parametrize("kind", ["value", "reducing", "leaking"])
def test_on_a_backend_that_keeps_bytes_the_change_that_it_loses_is_found(kind: str) -> None:
    keys, store, tables = on_bytes()
    state: Any = {
        "value": lambda: store.get_state(ValueStateDescriptor[Any]("state")),
        "reducing": lambda: store.get_reducing_state(ReducingStateDescriptor[Any]("state", extend)),
        "leaking": lambda: store.get_aggregating_state(AggregatingStateDescriptor("state", Gather(lambda found: found))),
    }[kind]()
    (state.update if kind == "value" else state.add)([1])
    keys.key = "k"
    before = dict(tables.tables["state"].items())
    (state.value if kind == "value" else state.get)().append(2)
    assert dict(tables.tables["state"].items()) == before
    with pytest.raises(StateNotWrittenBack):
        keys.key = "other"


def test_on_a_backend_that_keeps_bytes_what_is_written_back_is_in_order() -> None:
    keys, store, _ = on_bytes()
    value = store.get_state(ValueStateDescriptor[Any]("value"))
    reduced = store.get_reducing_state(ReducingStateDescriptor[Any]("reduced", extend))
    for number in range(3):
        keys.key = "k"
        found = value.value() or []
        found.append(number)
        value.update(found)
        reduced.add([number])
        value.value()
        reduced.get()
    keys.key = "other"
    keys.key = "k"
    assert value.value() == reduced.get() == [0, 1, 2]
