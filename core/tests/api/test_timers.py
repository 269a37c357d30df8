"""Timers: dedup, delete, order, past timers, re-registration, end of input, and processing time on a manual clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream import KeyedProcessFunction, ProcessFunction, StreamExecutionEnvironment, WatermarkStrategy
from millstream.errors import InvalidArgument, JobFailedError, NoCurrentKey, TimerLoop, UserFunctionFailed
from millstream.ports import InlineExecutor, LocalStorage, LocalTransport, ManualClock, SeededRandom
from millstream.records import MAX_TIMESTAMP, MIN_TIMESTAMP
from millstream.runtime.deployment import Ports

STAMPED: WatermarkStrategy[Any] = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(lambda row: row[1])
OnElement = Callable[[Any, Any, Any], Any]


class Timed(KeyedProcessFunction[str, Any, Any]):
    """A function made of two functions (value, ctx, out) and (timestamp, ctx, out)."""

    def __init__(self, on_element: OnElement, on_timer: OnElement | None = None) -> None:
        self.element = on_element
        self.timer = on_timer or (lambda timestamp, ctx, out: out.collect((ctx.get_current_key(), timestamp)))

    def process_element(self, value: Any, ctx: Any, out: Any) -> Any:
        return self.element(value, ctx, out)

    def on_timer(self, timestamp: int, ctx: Any, out: Any) -> Any:
        return self.timer(timestamp, ctx, out)


def run(rows: list[Any], on_element: OnElement, on_timer: OnElement | None = None, batch_size: int = 1) -> list[Any]:
    """Rows (key, event time, ...), in ascending order of time, each followed by the watermark event time - 1."""
    env = StreamExecutionEnvironment().configure("execution.batch_size", batch_size)
    return list(env.from_collection(rows, STAMPED).key_by(lambda row: row[0]).process(Timed(on_element, on_timer)).execute_and_collect())


def at(*times: int) -> OnElement:
    """Registers timers."""

    def register(value: Any, ctx: Any, out: Any) -> None:
        for time in times:
            ctx.timer_service().register_event_time_timer(time)

    return register


def test_a_timer_fires_when_the_watermark_reaches_its_time() -> None:
    """The watermark is the time of the last row minus 1: a timer of 10 fires behind the row at 11."""
    rows = [("a", 1), ("a", 10), ("a", 11), ("a", 30)]

    def element(value: Any, ctx: Any, out: Any) -> None:
        out.collect(value[1])
        if value[1] == 1:
            ctx.timer_service().register_event_time_timer(10)

    assert run(rows, element, lambda t, ctx, out: out.collect(("timer", t))) == [1, 10, 11, ("timer", 10), 30]


def test_registering_twice_fires_once() -> None:
    assert run([("a", 1), ("a", 2)], at(50, 50)) == [("a", 50)]


def test_timers_of_different_keys_are_different_timers() -> None:
    assert sorted(run([("a", 1), ("b", 2)], at(50))) == [("a", 50), ("b", 50)]


def test_timers_fire_in_the_order_of_their_time() -> None:
    assert run([("a", 1)], at(50, 20, 40, 30)) == [("a", 20), ("a", 30), ("a", 40), ("a", 50)]


def test_timers_of_one_time_fire_in_the_order_of_registration() -> None:
    rows = [(key, number) for number, key in enumerate("cabd", start=1)]
    assert run(rows, at(50)) == [("c", 50), ("a", 50), ("b", 50), ("d", 50)]


def test_a_deleted_timer_does_not_fire_and_deleting_what_is_not_there_is_no_error() -> None:
    def element(value: Any, ctx: Any, out: Any) -> None:
        timers = ctx.timer_service()
        if value[1] == 1:
            timers.register_event_time_timer(50)
            timers.register_event_time_timer(60)
        else:
            timers.delete_event_time_timer(50)
            timers.delete_event_time_timer(55)
            timers.delete_event_time_timer(50)

    assert run([("a", 1), ("a", 2)], element) == [("a", 60)]


def test_deleting_touches_only_the_timer_of_the_current_key() -> None:
    def element(value: Any, ctx: Any, out: Any) -> None:
        if value[1] < 3:
            ctx.timer_service().register_event_time_timer(50)
        else:
            ctx.timer_service().delete_event_time_timer(50)

    assert run([("a", 1), ("b", 2), ("a", 3)], element) == [("b", 50)]


def test_a_timer_deleted_by_another_timer_of_its_watermark_does_not_fire() -> None:
    def timer(timestamp: int, ctx: Any, out: Any) -> None:
        out.collect(timestamp)
        ctx.timer_service().delete_event_time_timer(timestamp + 10)

    assert run([("a", 1)], at(20, 30, 40), timer) == [20, 40]


def test_a_timer_registered_again_after_it_was_deleted_fires() -> None:
    def element(value: Any, ctx: Any, out: Any) -> None:
        timers = ctx.timer_service()
        timers.register_event_time_timer(50)
        timers.delete_event_time_timer(50)
        timers.register_event_time_timer(50)

    assert run([("a", 1)], element) == [("a", 50)]


def test_a_past_timer_waits_for_the_next_rise_of_the_watermark_and_fires_with_its_own_time() -> None:
    def element(value: Any, ctx: Any, out: Any) -> None:
        out.collect(("row", value[1]))
        if value[1] == 20:
            ctx.timer_service().register_event_time_timer(5)

    rows = [("a", 1), ("a", 10), ("a", 20), ("a", 30)]
    assert run(rows, element) == [("row", 1), ("row", 10), ("row", 20), ("a", 5), ("row", 30)]
    # Without a rise behind the row it waits, here until the end of the input.
    same_time = [("a", 10), ("a", 20), ("a", 20)]
    assert run(same_time, lambda value, ctx, out: (out.collect(value[1]), at(5)(value, ctx, out))[1]) == [10, ("a", 5), 20, ("a", 5), 20, ("a", 5)]


def test_current_watermark_is_minimal_before_the_first_and_the_new_one_while_timers_fire() -> None:
    seen: list[Any] = []

    def element(value: Any, ctx: Any, out: Any) -> None:
        seen.append(("row", ctx.timer_service().current_watermark()))
        ctx.timer_service().register_event_time_timer(15)

    def timer(timestamp: int, ctx: Any, out: Any) -> None:
        seen.append(("timer", timestamp, ctx.timestamp(), ctx.timer_service().current_watermark(), ctx.time_domain()))

    run([("a", 10), ("a", 40)], element, timer)
    assert seen == [("row", MIN_TIMESTAMP), ("row", 9), ("timer", 15, 15, 39, "event")]


def test_everything_a_watermark_causes_comes_before_the_watermark() -> None:
    """A second operator behind sees timer output while its own watermark is still the old one."""

    class Behind(KeyedProcessFunction[int, Any, Any]):
        def process_element(self, value: Any, ctx: Any, out: Any) -> None:
            out.collect((value, ctx.timestamp(), ctx.timer_service().current_watermark()))

    env = StreamExecutionEnvironment().configure("execution.batch_size", 1)
    timed = env.from_collection([("a", 10), ("a", 40)], STAMPED).key_by(lambda row: row[0]).process(Timed(at(15, 100)))
    rows = list(timed.key_by(lambda _: 0).process(Behind()).execute_and_collect())
    assert rows == [(("a", 15), 15, 9), (("a", 100), 100, 39)]


def test_a_timer_registered_while_timers_fire_fires_in_the_same_rise_when_it_is_due() -> None:
    def timer(timestamp: int, ctx: Any, out: Any) -> None:
        out.collect(timestamp)
        if timestamp < 25:
            ctx.timer_service().register_event_time_timer(timestamp + 5)

    rows = [("a", 1), ("a", 41)]

    def element(value: Any, ctx: Any, out: Any) -> None:
        out.collect(("row", value[1]))
        if value[1] == 1:
            ctx.timer_service().register_event_time_timer(10)

    assert run(rows, element, timer) == [("row", 1), ("row", 41), 10, 15, 20, 25]


def test_a_timer_that_registers_its_own_time_a_few_times_fires_again_each_time() -> None:
    fired: list[int] = []

    def timer(timestamp: int, ctx: Any, out: Any) -> None:
        fired.append(timestamp)
        if len(fired) < 4:
            ctx.timer_service().register_event_time_timer(10)

    run([("a", 1), ("a", 30)], lambda value, ctx, out: at(10)(value, ctx, out) if value[1] == 1 else None, timer)
    assert fired == [10, 10, 10, 10]


@pytest.mark.parametrize("step", [0, -1])
def test_a_timer_that_registers_itself_in_the_past_for_ever_is_an_error_not_a_hang(step: int) -> None:
    def timer(timestamp: int, ctx: Any, out: Any) -> None:
        ctx.timer_service().register_event_time_timer(timestamp + step)

    with pytest.raises(JobFailedError, match="on_timer keeps registering timers") as raised:
        run([("a", 1), ("a", 30)], at(10), timer)
    assert isinstance(raised.value.__cause__, TimerLoop)


def test_a_periodic_timer_that_never_ends_is_an_error_at_the_end_of_input_not_a_hang() -> None:
    def timer(timestamp: int, ctx: Any, out: Any) -> None:
        ctx.timer_service().register_event_time_timer(timestamp + 1000)

    with pytest.raises(JobFailedError, match="on_timer keeps registering timers.*end of the input") as raised:
        run([("a", 1)], at(1000), timer)
    assert isinstance(raised.value.__cause__, TimerLoop)


def test_a_long_but_finite_series_of_timers_in_one_rise_is_no_loop() -> None:
    """A day of one-second timers behind one jump of the watermark."""
    fired: list[int] = []

    def timer(timestamp: int, ctx: Any, out: Any) -> None:
        fired.append(timestamp)
        if ctx.timer_service().current_watermark() < MAX_TIMESTAMP:
            ctx.timer_service().register_event_time_timer(timestamp + 1)

    run([("a", 1), ("a", 150_000)], lambda value, ctx, out: at(2)(value, ctx, out) if value[1] == 1 else None, timer)
    assert fired == list(range(2, 150_001))


def test_all_timers_fire_at_the_end_of_the_input() -> None:
    assert run([("a", 1)], at(10**15, MAX_TIMESTAMP, 7)) == [("a", 7), ("a", 10**15), ("a", MAX_TIMESTAMP)]


def test_timers_work_without_any_watermark_before_the_end() -> None:
    env = StreamExecutionEnvironment()
    stream = env.from_collection([("a", 1), ("b", 2)]).key_by(lambda row: row[0]).process(Timed(at(5)))
    assert list(stream.execute_and_collect()) == [("a", 5), ("b", 5)]


def test_output_of_an_event_time_timer_has_the_time_of_the_timer() -> None:
    class Look(ProcessFunction[Any, Any]):
        def process_element(self, value: Any, ctx: Any, out: Any) -> None:
            out.collect(ctx.timestamp())

    env = StreamExecutionEnvironment()

    def timer(timestamp: int, ctx: Any, out: Any) -> Iterator[Any]:
        yield "first"
        yield "second"

    stream = env.from_collection([("a", 1)], STAMPED).key_by(lambda row: row[0]).process(Timed(at(20, 30), timer))
    assert list(stream.process(Look()).execute_and_collect()) == [20, 20, 30, 30]


def test_an_error_in_on_timer_names_the_timer_and_its_key() -> None:
    def timer(timestamp: int, ctx: Any, out: Any) -> None:
        raise ValueError("stale")

    with pytest.raises(JobFailedError, match=r"\AValueError: stale\n  .*test_timers\.py") as raised:
        run([("a", 1)], at(20), timer)
    failure = raised.value.__cause__
    assert isinstance(failure, UserFunctionFailed)
    assert "timer 20 of key 'a'" in failure.record


@pytest.mark.parametrize("time", [None, 1.5, "10", MAX_TIMESTAMP + 1, MIN_TIMESTAMP - 1, timedelta(seconds=1)])
@pytest.mark.parametrize("domain", ["event", "processing"])
def test_a_time_that_is_no_event_time_is_refused(time: Any, domain: str) -> None:
    def element(value: Any, ctx: Any, out: Any) -> None:
        getattr(ctx.timer_service(), f"register_{domain}_time_timer")(time)

    with pytest.raises(JobFailedError, match="the time of a timer is .*ms since the epoch") as raised:
        run([("a", 1)], element)
    assert isinstance(raised.value.__cause__, InvalidArgument)


def test_a_timer_outside_of_a_record_belongs_to_no_key() -> None:
    class Late(KeyedProcessFunction[str, Any, Any]):
        def process_element(self, value: Any, ctx: Any, out: Any) -> None:
            self.ctx = ctx

        def close(self) -> None:
            with pytest.raises(NoCurrentKey):
                self.ctx.timer_service().register_event_time_timer(5)
            refused.append(True)

    refused: list[bool] = []
    env = StreamExecutionEnvironment()
    list(env.from_collection([("a", 1)]).key_by(lambda row: row[0]).process(Late()).execute_and_collect())
    assert refused == [True]


COMMANDS = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["register", "delete", "wait"]), st.integers(0, 60)), max_size=30)


@settings(max_examples=60, deadline=None)
@given(commands=COMMANDS, batch_size=st.sampled_from([1, 4, 1000]), parallelism=st.integers(1, 3))
def test_timers_of_each_key_fire_as_a_sorted_set_does(commands: list[Any], batch_size: int, parallelism: int) -> None:
    """Event time goes on by 2 with each command; a model per key is a set of times, emptied up to each watermark."""
    rows = [(key, 2 * number, action, time) for number, (key, action, time) in enumerate(commands, start=1)]

    def element(value: Any, ctx: Any, out: Any) -> None:
        _, _, action, time = value
        if action == "register":
            ctx.timer_service().register_event_time_timer(time)
        elif action == "delete":
            ctx.timer_service().delete_event_time_timer(time)

    env = StreamExecutionEnvironment().configure("execution.batch_size", batch_size).set_parallelism(parallelism)
    stream = env.from_collection(rows, STAMPED).key_by(lambda row: row[0]).process(Timed(element))
    fired: dict[str, list[int]] = {"a": [], "b": []}
    for key, time in stream.execute_and_collect():
        fired[key].append(time)

    pending: dict[str, set[int]] = {"a": set(), "b": set()}
    wanted: dict[str, list[int]] = {"a": [], "b": []}

    def rise(watermark: int) -> None:
        for key, times in pending.items():
            due = sorted(time for time in times if time <= watermark)
            wanted[key] += due
            times.difference_update(due)

    for number, (key, event_time, action, time) in enumerate(rows, start=1):
        if action == "register":
            pending[key].add(time)
        elif action == "delete":
            pending[key].discard(time)
        if number % batch_size == 0:
            rise(event_time - 1)
    rise(MAX_TIMESTAMP)
    assert fired == wanted


# --- processing time


class VirtualTime:
    """An environment whose clock moves only when nothing else is left to do."""

    def __init__(self, start_ms: int = 1_000_000) -> None:
        self.clock = ManualClock(start_ms)
        ports = Ports(self.clock, SeededRandom(1), LocalTransport(), LocalStorage(), InlineExecutor())
        self.env = StreamExecutionEnvironment(ports=ports)

    def run(self, count: int, on_element: OnElement, on_timer: OnElement | None = None) -> list[Any]:
        """Records 0, 1, ... of key "a", one a second."""
        stream = self.env.generate(lambda index: index, count=count, rate_per_s=1.0).key_by(lambda _: "a")
        return list(stream.process(Timed(on_element, on_timer)).execute_and_collect())


def after_ms(delay_ms: int) -> OnElement:
    def register(value: Any, ctx: Any, out: Any) -> None:
        timers = ctx.timer_service()
        out.collect(value)
        if value == 0:
            timers.register_processing_time_timer(timers.current_processing_time() + delay_ms)

    return register


def test_a_processing_time_timer_fires_when_the_clock_gets_there() -> None:
    time = VirtualTime()
    fired: list[tuple[int, int, Any, str]] = []

    def timer(timestamp: int, ctx: Any, out: Any) -> None:
        fired.append((timestamp, ctx.timer_service().current_processing_time(), ctx.timestamp(), ctx.time_domain()))
        out.collect("timer")

    rows = time.run(4, after_ms(1500), timer)
    assert rows.index("timer") == 2
    ((due, now, timestamp, domain),) = fired
    assert 0 <= now - due <= 1
    assert (timestamp, domain) == (None, "processing")


def test_a_processing_time_timer_in_the_past_fires_as_soon_as_possible() -> None:
    assert VirtualTime().run(3, after_ms(-5000)) == [0, ("a", 995_000), 1, 2]


def test_processing_time_timers_fire_once_in_order_and_can_be_deleted() -> None:
    def element(value: Any, ctx: Any, out: Any) -> None:
        timers = ctx.timer_service()
        if value == 0:
            for delay in (1500, 500, 1500, 700):
                timers.register_processing_time_timer(1_000_000 + delay)
            timers.delete_processing_time_timer(1_000_700)
            timers.delete_processing_time_timer(1_000_701)

    assert VirtualTime().run(4, element) == [("a", 1_000_500), ("a", 1_001_500)]


def test_a_processing_time_timer_may_register_the_next_one() -> None:
    def timer(timestamp: int, ctx: Any, out: Any) -> None:
        out.collect(timestamp)
        ctx.timer_service().register_processing_time_timer(timestamp + 1000)

    rows = VirtualTime().run(4, lambda value, ctx, out: after_ms(500)(value, ctx, out), timer)
    assert [row for row in rows if row > 3] == [1_000_500, 1_001_500, 1_002_500]


def test_a_processing_time_timer_due_after_the_end_of_input_does_not_keep_the_job_alive() -> None:
    time = VirtualTime()
    assert time.run(2, after_ms(3_600_000)) == [0, 1]
    assert time.clock.now_ms() < 1_000_000 + 60_000


def test_output_of_a_processing_time_timer_has_no_timestamp() -> None:
    class Look(ProcessFunction[Any, Any]):
        def process_element(self, value: Any, ctx: Any, out: Any) -> None:
            out.collect((value, ctx.timestamp()))

    env = VirtualTime().env
    strategy: WatermarkStrategy[Any] = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(lambda n: n)
    stream = env.generate(lambda index: index, count=3, rate_per_s=1.0, watermark_strategy=strategy).key_by(lambda _: "a")
    rows = list(stream.process(Timed(after_ms(1500), lambda t, ctx, out: out.collect("timer"))).process(Look()).execute_and_collect())
    assert rows == [(0, 0), (1, 1), ("timer", None), (2, 2)]


def test_event_and_processing_time_timers_of_one_time_are_two_timers() -> None:
    def element(value: Any, ctx: Any, out: Any) -> None:
        if value == 0:
            ctx.timer_service().register_processing_time_timer(1_000_500)
            ctx.timer_service().register_event_time_timer(1_000_500)
            ctx.timer_service().delete_processing_time_timer(99)

    def timer(timestamp: int, ctx: Any, out: Any) -> None:
        out.collect((timestamp, ctx.time_domain()))

    assert VirtualTime().run(3, element, timer) == [(1_000_500, "processing"), (1_000_500, "event")]
