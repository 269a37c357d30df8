"""ProcessFunction and KeyedProcessFunction: what they see of a record, and how they emit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from millstream import (
    KeyedProcessFunction,
    ListStateDescriptor,
    MapStateDescriptor,
    OutputTag,
    ProcessFunction,
    RuntimeContext,
    StreamExecutionEnvironment,
    ValueStateDescriptor,
    WatermarkStrategy,
)
from millstream.errors import InvalidArgument, JobFailedError, NotKeyed

STAMPED: WatermarkStrategy[Any] = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(lambda value: value * 10)


@pytest.fixture(params=[1, 1000])
def env(request: pytest.FixtureRequest) -> StreamExecutionEnvironment:
    return StreamExecutionEnvironment().configure("execution.batch_size", request.param)


class Echo(ProcessFunction[int, Any]):
    """Emits in each of the three ways."""

    def __init__(self, way: str) -> None:
        self.way = way

    def process_element(self, value: int, ctx: Any, out: Any) -> Any:
        rows = [(value, ctx.timestamp())] * (value % 3)
        if self.way == "collect":
            for row in rows:
                out.collect(row)
            return None
        return rows if self.way == "return" else self.generate(rows)

    def generate(self, rows: list[Any]) -> Iterator[Any]:
        yield from rows


class KeyedEcho(KeyedProcessFunction[int, int, Any]):
    def __init__(self, way: str) -> None:
        self.echo = Echo(way)

    def process_element(self, value: int, ctx: Any, out: Any) -> Any:
        return self.echo.process_element(value, ctx, out)


@pytest.mark.parametrize("way", ["collect", "return", "generate"])
@pytest.mark.parametrize("keyed", [False, True])
@pytest.mark.parametrize("stamped", [False, True])
def test_a_function_may_collect_return_or_generate(env: StreamExecutionEnvironment, way: str, keyed: bool, stamped: bool) -> None:
    stream = env.from_collection([1, 2, 3, 4], STAMPED if stamped else None)
    processed = stream.key_by(lambda n: n % 2).process(KeyedEcho(way)) if keyed else stream.process(Echo(way))
    assert list(processed.execute_and_collect()) == [(n, n * 10 if stamped else None) for n in (1, 2, 2, 4)]


@pytest.mark.parametrize("keyed", [False, True])
def test_output_inherits_the_timestamp_of_its_record(env: StreamExecutionEnvironment, keyed: bool) -> None:
    class Look(ProcessFunction[Any, Any]):
        def process_element(self, value: Any, ctx: Any, out: Any) -> None:
            out.collect(ctx.timestamp())

    stream = env.from_collection([1, 2, 3, 4], STAMPED)
    processed = stream.key_by(lambda n: n % 2).process(KeyedEcho("collect")) if keyed else stream.process(Echo("collect"))
    assert list(processed.process(Look()).execute_and_collect()) == [10, 20, 20, 40]


def test_none_is_collected_like_any_other_value(env: StreamExecutionEnvironment) -> None:
    class Nothing(ProcessFunction[int, None]):
        def process_element(self, value: int, ctx: Any, out: Any) -> None:
            out.collect(None)

    assert list(env.from_collection([1, 2]).process(Nothing()).execute_and_collect()) == [None, None]


def test_the_context_knows_the_key_of_each_record(env: StreamExecutionEnvironment) -> None:
    class Keys(KeyedProcessFunction[str, int, Any]):
        def process_element(self, value: int, ctx: Any, out: Any) -> None:
            out.collect((ctx.get_current_key(), value))

    stream = env.from_collection([1, 2, 3]).key_by(lambda n: "odd" if n % 2 else "even")
    assert list(stream.process(Keys()).execute_and_collect()) == [("odd", 1), ("even", 2), ("odd", 3)]


@pytest.mark.parametrize(
    "descriptor", [ValueStateDescriptor("v", int), ListStateDescriptor("l", int), MapStateDescriptor("m", str, int)], ids=["value", "list", "map"]
)
def test_keyed_state_without_key_by_is_refused_with_the_fix(env: StreamExecutionEnvironment, descriptor: Any) -> None:
    class WantsState(ProcessFunction[int, int]):
        def open(self, context: RuntimeContext) -> None:
            {"v": context.get_state, "l": context.get_list_state, "m": context.get_map_state}[descriptor.name](descriptor)

        def process_element(self, value: int, ctx: Any, out: Any) -> None:
            out.collect(value)

    with pytest.raises(
        JobFailedError, match=rf"'wants' asked for keyed state '{descriptor.name}', which needs a key\. Make it a KeyedProcessFunction, behind key_by"
    ) as raised:
        list(env.from_collection([1]).process(WantsState(), name="wants").execute_and_collect())
    assert isinstance(raised.value.__cause__, NotKeyed)


@pytest.mark.parametrize(
    ("build", "advice"),
    [
        (lambda s: s.process(KeyedEcho("collect")), r"a ProcessFunction, or key_by\(...\) first for a KeyedProcessFunction"),
        (lambda s: s.process(lambda value: value), "a ProcessFunction"),
        (lambda s: s.key_by(lambda n: n).process(lambda value: value), "a KeyedProcessFunction object"),
        (lambda s: s.key_by(lambda n: n).process(KeyedEcho), "a KeyedProcessFunction object"),
    ],
)
def test_the_wrong_kind_of_function_is_refused_when_the_job_is_built(env: StreamExecutionEnvironment, build: Any, advice: str) -> None:
    with pytest.raises(InvalidArgument, match=advice):
        build(env.from_collection([1]))


def test_an_error_names_job_operator_subtask_record_and_the_users_own_line_first(env: StreamExecutionEnvironment) -> None:
    class Bad(KeyedProcessFunction[int, int, int]):
        def process_element(self, value: int, ctx: Any, out: Any) -> None:
            self.deeper(value)

        def deeper(self, value: int) -> None:
            raise LookupError(f"no such sensor: {value}")

    stream = env.from_collection([1, 7]).filter(lambda n: n == 7).key_by(lambda n: n).process(Bad(), name="enrich", uid="enrich-v1")
    with pytest.raises(JobFailedError) as raised:
        list(stream.execute_and_collect("sensors"))
    text = str(raised.value)
    first, second, *_ = text.splitlines()
    assert first == "LookupError: no such sensor: 7"
    assert "test_process_functions.py" in second
    assert second.endswith('in deeper: raise LookupError(f"no such sensor: {value}")')
    for part in ("operator 'enrich'", "uid 'enrich-v1'", "subtask 0", "job 'sensors'", "on record 7", "on_error='skip'"):
        assert part in text


def test_what_a_function_does_to_the_list_it_returned_later_changes_nothing(env: StreamExecutionEnvironment) -> None:
    class Reuses(ProcessFunction[int, int]):
        def __init__(self) -> None:
            self.buffer: list[int] = []

        def process_element(self, value: int, ctx: Any, out: Any) -> list[int]:
            self.buffer.clear()
            self.buffer.append(value)
            return self.buffer

    assert list(env.from_collection([1, 2, 3]).process(Reuses()).execute_and_collect()) == [1, 2, 3]


def test_side_and_main_output_of_one_record(env: StreamExecutionEnvironment) -> None:
    tag: OutputTag[str] = OutputTag("note", str)

    class Both(KeyedProcessFunction[int, int, int]):
        def process_element(self, value: int, ctx: Any, out: Any) -> None:
            ctx.output(tag, f"saw {value}")
            out.collect(value)

    main = env.from_collection([1, 2]).key_by(lambda n: n).process(Both())
    assert sorted(map(str, main.map(lambda n: n).union(main.get_side_output(tag)).execute_and_collect())) == ["1", "2", "saw 1", "saw 2"]
