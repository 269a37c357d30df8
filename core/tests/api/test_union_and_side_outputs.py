"""union and side outputs: records, timestamps and event time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from millstream import (
    KeyedProcessFunction,
    OutputTag,
    ProcessFunction,
    ProcessWindowFunction,
    StreamExecutionEnvironment,
    TumblingEventTimeWindows,
    WatermarkStrategy,
)
from millstream.errors import InvalidArgument, InvalidName, JobFailedError, UnknownSideOutput
from millstream.records import MAX_TIMESTAMP

ODD: OutputTag[int] = OutputTag("odd", int)


class Split(ProcessFunction[int, int]):
    """Even numbers to the main output, odd ones to the side."""

    def process_element(self, value: int, ctx: Any, out: Any) -> None:
        if value % 2:
            ctx.output(ODD, value)
        else:
            out.collect(value)


class Look(ProcessFunction[Any, Any]):
    def process_element(self, value: Any, ctx: Any, out: Any) -> None:
        out.collect((value, ctx.timestamp()))


class AtEnd(KeyedProcessFunction[int, Any, Any]):
    """Passes records, and says when event time is complete."""

    def process_element(self, value: Any, ctx: Any, out: Any) -> None:
        ctx.timer_service().register_event_time_timer(MAX_TIMESTAMP)
        out.collect(value)

    def on_timer(self, timestamp: int, ctx: Any, out: Any) -> None:
        out.collect("complete")


def own_time(value: int) -> int:
    return value


STAMPED: WatermarkStrategy[Any] = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(own_time)


@pytest.mark.parametrize("parallelism", [1, 3])
def test_union_has_all_records_of_all_streams_each_in_its_order(parallelism: int) -> None:
    env = StreamExecutionEnvironment().set_parallelism(parallelism)
    a, b, c = (env.from_collection(range(first, first + 5)) for first in (0, 10, 20))
    rows = list(a.union(b, c).global_().map(lambda n: n).execute_and_collect())
    assert sorted(rows) == [*range(5), *range(10, 15), *range(20, 25)]
    if parallelism == 1:
        assert [n for n in rows if n < 10] == list(range(5))


def test_union_with_itself_doubles_every_record() -> None:
    stream = StreamExecutionEnvironment().from_collection([1, 2, 3])
    assert Counter(stream.union(stream).execute_and_collect()) == Counter([1, 1, 2, 2, 3, 3])


def test_union_three_times_with_itself() -> None:
    stream = StreamExecutionEnvironment().from_collection([1, 2])
    assert Counter(stream.union(stream, stream).map(lambda n: n).execute_and_collect()) == {1: 3, 2: 3}


def test_the_branches_of_a_union_do_not_share_lists() -> None:
    def clobber(numbers: list[int]) -> list[int]:
        changed = [n + 100 for n in numbers]
        numbers.clear()
        numbers.extend(changed)
        return list(numbers)

    stream = StreamExecutionEnvironment().from_collection([1, 2])
    rows = stream.map_batch(clobber).union(stream).execute_and_collect()
    assert sorted(rows) == [1, 2, 101, 102]


def test_event_time_of_a_union_is_that_of_the_slowest_stream() -> None:
    """A window of the union fires only when every input has passed it: nothing of the slow one is late."""

    class Values(ProcessWindowFunction[int, Any, int, Any]):
        def process(self, key: int, context: Any, elements: Any) -> Iterator[Any]:
            yield context.window().start, sorted(elements)

    env = StreamExecutionEnvironment().configure("execution.batch_size", 1)
    fast = env.from_collection([1, 11, 21, 31, 41], STAMPED)
    slow = env.from_collection([2, 3, 4, 12, 22, 23, 24, 35], STAMPED)
    windows = TumblingEventTimeWindows(10)
    rows = fast.union(slow).key_by(lambda _: 0).window(windows).process(Values()).execute_and_collect()
    assert list(rows) == [(0, [1, 2, 3, 4]), (10, [11, 12]), (20, [21, 22, 23, 24]), (30, [31, 35]), (40, [41])]


def test_a_stream_without_watermarks_holds_the_union_until_it_ends() -> None:
    class Values(ProcessWindowFunction[int, Any, int, Any]):
        def process(self, key: int, context: Any, elements: Any) -> Iterator[Any]:
            yield sorted(elements)

    env = StreamExecutionEnvironment().configure("execution.batch_size", 1)
    silent: WatermarkStrategy[Any] = WatermarkStrategy.no_watermarks().with_timestamp_assigner(own_time)
    rows = env.from_collection([1, 11, 21, 31], STAMPED).union(env.from_collection([22, 12, 2], silent)).key_by(lambda _: 0)
    windows = rows.window(TumblingEventTimeWindows(10)).process(Values())
    assert list(windows.execute_and_collect()) == [[1, 2], [11, 12], [21, 22], [31]]


@pytest.mark.parametrize("batch_size", [1, 3, 1000])
def test_main_and_side_output_each_have_their_records_with_timestamps(batch_size: int) -> None:
    env = StreamExecutionEnvironment().configure("execution.batch_size", batch_size)
    main = env.from_collection(range(6), STAMPED).process(Split())
    rows = main.map(lambda n: ("main", n)).union(main.get_side_output(ODD).map(lambda n: ("side", n))).process(Look())
    assert sorted(rows.execute_and_collect(), key=lambda row: row[1]) == [
        (("main", 0), 0), (("side", 1), 1), (("main", 2), 2), (("side", 3), 3), (("main", 4), 4), (("side", 5), 5),
    ]  # fmt: skip


def test_asking_twice_for_a_side_output_gives_the_same_records_twice() -> None:
    main = StreamExecutionEnvironment().from_collection(range(4)).process(Split())
    both = main.get_side_output(ODD).map(lambda n: n).union(main.get_side_output(OutputTag("odd", int)).map(lambda n: n))
    assert sorted(both.execute_and_collect()) == [1, 1, 3, 3]


def test_watermarks_flow_to_side_outputs_too() -> None:
    main = StreamExecutionEnvironment().from_collection([1, 2], STAMPED).process(Split())
    assert list(main.get_side_output(ODD).key_by(lambda _: 0).process(AtEnd()).execute_and_collect()) == [1, "complete"]


def test_a_side_output_crosses_to_other_subtasks() -> None:
    env = StreamExecutionEnvironment().set_parallelism(3)
    main = env.from_collection(range(30)).rebalance().process(Split())
    assert sorted(main.get_side_output(ODD).key_by(lambda n: n).reduce(lambda a, b: b).execute_and_collect()) == list(range(1, 30, 2))


def test_a_side_output_that_nobody_reads_goes_nowhere() -> None:
    assert list(StreamExecutionEnvironment().from_collection(range(4)).process(Split()).execute_and_collect()) == [0, 2]


def test_a_tag_is_its_id_and_its_type() -> None:
    assert OutputTag("odd", int) == ODD
    assert hash(OutputTag("odd", int)) == hash(ODD)
    assert OutputTag("odd", str) != ODD
    assert OutputTag("even", int) != ODD


def test_one_id_with_two_types_is_refused_when_the_job_is_built() -> None:
    main = StreamExecutionEnvironment().from_collection([1]).process(Split())
    main.get_side_output(ODD)
    with pytest.raises(InvalidArgument, match="the type of side output 'odd' is .*str.*int.*or another id"):
        main.get_side_output(OutputTag("odd", str))


@pytest.mark.parametrize("tag_id", ["", None, 5, "line\nbreak"])
def test_a_tag_needs_a_name_that_can_be_read(tag_id: Any) -> None:
    with pytest.raises(InvalidName):
        OutputTag(tag_id)


def test_an_output_to_something_that_is_no_tag_is_an_error_with_the_fix() -> None:
    class Wrong(ProcessFunction[int, int]):
        def process_element(self, value: int, ctx: Any, out: Any) -> None:
            ctx.output(5, value)

    with pytest.raises(JobFailedError, match=r"side output 5, which is neither an OutputTag.*Pass the OutputTag") as raised:
        list(StreamExecutionEnvironment().from_collection([1]).process(Wrong()).execute_and_collect())
    assert isinstance(raised.value.__cause__, UnknownSideOutput)


def test_on_timer_and_window_functions_reach_side_outputs_with_their_time() -> None:
    class Timed(KeyedProcessFunction[int, int, int]):
        def process_element(self, value: int, ctx: Any, out: Any) -> None:
            ctx.timer_service().register_event_time_timer(value + 5)

        def on_timer(self, timestamp: int, ctx: Any, out: Any) -> None:
            ctx.output(ODD, timestamp * 10)

    class Windowed(ProcessWindowFunction[int, int, int, Any]):
        def process(self, key: int, context: Any, elements: Any) -> Iterator[int]:
            context.output(ODD, sum(elements))
            return iter(())

    def side(build: Any) -> list[Any]:
        stream = StreamExecutionEnvironment().from_collection([1, 2, 11], STAMPED).key_by(lambda _: 0)
        return list(build(stream).get_side_output(ODD).process(Look()).execute_and_collect())

    assert side(lambda keyed: keyed.process(Timed())) == [(60, 6), (70, 7), (160, 16)]
    assert side(lambda keyed: keyed.window(TumblingEventTimeWindows(10)).process(Windowed())) == [(3, 9), (11, 19)]
