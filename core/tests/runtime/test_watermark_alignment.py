"""Watermark alignment: sources of a group do not run ahead of each other in event time, and nobody waits for ever."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream import StreamExecutionEnvironment, WatermarkStrategy
from millstream.contracts.watermarks import WatermarkAlignment
from millstream.errors import InvalidArgument
from millstream.graph.execution_graph import SubtaskId
from millstream.ports import InlineExecutor, LocalStorage, LocalTransport, ManualClock, SeededRandom
from millstream.records import MAX_TIMESTAMP, MIN_TIMESTAMP
from millstream.runtime.deployment import Ports
from millstream.runtime.event_time import EventTime
from millstream.runtime.messages import ReportedWatermark, WatermarkLimit
from millstream.runtime.operators.base import Output
from millstream.runtime.watermark_aligner import WatermarkAligner
from millstream.testing import At, ScriptedSource, Wait

DRIFT_MS = 100
INTERVAL_S = 0.01


def environment(parallelism: int = 1) -> StreamExecutionEnvironment:
    ports = Ports(ManualClock(1_000_000), SeededRandom(), LocalTransport(), LocalStorage(), InlineExecutor())
    env = StreamExecutionEnvironment(ports=ports).set_parallelism(parallelism)
    return env.configure("execution.batch_size", 1).configure("execution.watermark_interval", timedelta(milliseconds=5))


def aligned(idle_ms: int | None = None) -> WatermarkStrategy[Any]:
    strategy = WatermarkStrategy.for_monotonous_timestamps().with_watermark_alignment(
        "inputs", timedelta(milliseconds=DRIFT_MS), timedelta(seconds=INTERVAL_S)
    )
    return strategy if idle_ms is None else strategy.with_idleness(timedelta(milliseconds=idle_ms))


def fast(name: str = "fast", count: int = 100) -> list[Any]:
    """As fast as it is read: 20 ms of event time in 1 ms."""
    return [item for n in range(count) for item in (Wait(0.001), At(20 * n, (name, 20 * n)))]


def slow(name: str = "slow", count: int = 100) -> list[Any]:
    """20 ms of event time in 20 ms."""
    return [item for n in range(count) for item in (Wait(0.020), At(20 * n, (name, 20 * n)))]


def drift(seen: list[tuple[str, int]], of: str = "fast", behind: str = "slow") -> int:
    """The furthest that one input was ahead of the other, in ms, while both had something left."""
    last = {of: 0, behind: 0}
    furthest = 0
    total = sum(name == behind for name, _ in seen)
    for name, time in seen:
        last[name] = time
        total -= name == behind
        if total:
            furthest = max(furthest, last[of] - last[behind])
    return furthest


ALLOWED_MS = DRIFT_MS + 20 * 12
"""What is read before the first limit is told, and between two: 20 ms of event time in each of 10 ms."""


def read(env: StreamExecutionEnvironment, *streams: Any) -> list[tuple[str, int]]:
    seen: list[tuple[str, int]] = []
    for stream in streams:
        stream.map(lambda pair: seen.append(pair) or pair).print()
    env.execute()
    return seen


def test_without_alignment_the_fast_source_runs_away() -> None:
    env = environment()
    strategy = WatermarkStrategy.for_monotonous_timestamps()
    seen = read(env, env.from_source(ScriptedSource(fast()), strategy, name="a"), env.from_source(ScriptedSource(slow()), strategy, name="b"))
    assert drift(seen) > 1_500


def test_a_source_waits_for_the_slow_one_of_its_group() -> None:
    env = environment()
    seen = read(env, env.from_source(ScriptedSource(fast()), aligned(), name="a"), env.from_source(ScriptedSource(slow()), aligned(), name="b"))
    assert len(seen) == 200
    assert drift(seen) <= ALLOWED_MS


def test_a_split_waits_for_the_slow_one_of_its_source() -> None:
    env = environment()
    seen = read(env, env.from_source(ScriptedSource(fast(), slow()), aligned(), name="a"))
    assert len(seen) == 200
    assert drift(seen) <= ALLOWED_MS


def test_subtasks_of_a_source_wait_for_each_other() -> None:
    env = environment(parallelism=2)
    seen = read(env, env.from_source(ScriptedSource(fast(), slow()), aligned(), name="a"))
    assert len(seen) == 200
    assert drift(seen) <= ALLOWED_MS


def test_a_reader_that_cannot_pause_a_split_waits_as_a_whole() -> None:
    env = environment()
    event_time = aligned().with_timestamp_assigner(lambda pair: pair[1])
    run_ahead = env.generate(lambda n: ("fast", 20 * n), count=100, rate_per_s=1000.0, watermark_strategy=event_time)
    seen = read(env, run_ahead, env.from_source(ScriptedSource(slow()), aligned(), name="b"))
    assert len(seen) == 200
    assert drift(seen) <= ALLOWED_MS


def test_a_split_that_is_held_does_not_go_idle() -> None:
    """FLINK-35886: else event time goes on without it, and what it brings next is late."""
    told: list[object] = []
    output, clock = Output(), ManualClock()
    output.emit_watermark, output.emit_status = told.append, told.append
    time = EventTime(aligned(idle_ms=1_000), output, clock, MIN_TIMESTAMP, lambda *_: None)
    time.add_split("a")
    time.process("a", [1], [100])

    def pass_s(seconds: int) -> None:
        for _ in range(seconds):
            clock.advance(1.0)
            time.tick()

    time.held = {"a"}
    pass_s(10)
    assert told == [99]
    time.held = set()
    pass_s(2)
    assert told == [99]
    pass_s(2)
    assert told == [99, True]  # from when it was read again


def test_an_idle_source_holds_nobody_back() -> None:
    env = environment()
    silent = [At(0, ("slow", 0)), Wait(3.0), At(5_000, ("slow", 5_000))]
    seen = read(env, env.from_source(ScriptedSource(fast()), aligned(), name="a"), env.from_source(ScriptedSource(silent), aligned(30), name="b"))
    assert seen[-1] == ("slow", 5_000)


def test_a_source_at_its_end_holds_nobody_back() -> None:
    env = environment()
    short = [At(0, ("slow", 0))]
    seen = read(env, env.from_source(ScriptedSource(fast()), aligned(), name="a"), env.from_source(ScriptedSource(short), aligned(), name="b"))
    assert len(seen) == 101


def test_groups_do_not_wait_for_each_other() -> None:
    env = environment()
    other = WatermarkStrategy.for_monotonous_timestamps().with_watermark_alignment("others", timedelta(0), timedelta(seconds=INTERVAL_S))
    seen = read(env, env.from_source(ScriptedSource(fast()), aligned(), name="a"), env.from_source(ScriptedSource(slow()), other, name="b"))
    assert drift(seen) > 1_500


# --- what it refuses


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (lambda s: s.with_watermark_alignment("", timedelta(seconds=1)), "the alignment group"),
        (lambda s: s.with_watermark_alignment("g", timedelta(seconds=-1)), "max_drift"),
        (lambda s: s.with_watermark_alignment("g", timedelta(seconds=1), timedelta(0)), "update_interval"),
        (lambda _: WatermarkStrategy.no_watermarks().with_watermark_alignment("g", timedelta(seconds=1)), "makes watermarks"),
    ],
)
def test_what_cannot_be_aligned_is_refused(make: Callable[[WatermarkStrategy[Any]], object], wrong: str) -> None:
    with pytest.raises(InvalidArgument, match=wrong):
        make(WatermarkStrategy.for_monotonous_timestamps())


def test_assign_timestamps_and_watermarks_refuses_alignment() -> None:
    env = environment()
    with pytest.raises(InvalidArgument, match="only a source can wait"):
        env.from_collection([1]).assign_timestamps_and_watermarks(aligned())


# --- the aligner, driven by hand


class Told:
    """An aligner for two sources of one group, `a` with two subtasks and `b` with one; and what it has told them."""

    A0, A1, B0 = SubtaskId(0, 0), SubtaskId(0, 1), SubtaskId(1, 0)

    def __init__(self) -> None:
        self.limits: dict[SubtaskId, list[WatermarkLimit]] = {}
        self.later: list[Callable[[], None]] = []
        self.aligner = WatermarkAligner(_Job(), self._send, lambda _, action: self.later.append(action))  # type: ignore[arg-type]  # all of a job that it looks at

    def _send(self, subtask: SubtaskId, message: object) -> None:
        assert isinstance(message, WatermarkLimit)
        self.limits.setdefault(subtask, []).append(message)

    def report(self, uid: str, subtask: SubtaskId, watermark: int, number: int = 1, attempt: int = 0) -> None:
        self.aligner.receive(ReportedWatermark(uid, subtask, attempt, watermark, number))

    def interval(self) -> dict[SubtaskId, int]:
        """The limits after another interval."""
        due, self.later = self.later, []
        for action in due:
            action()
        return {subtask: told[-1].limit for subtask, told in self.limits.items()}


class _Operator:
    def __init__(self, uid: str, drift_ms: int) -> None:
        self.uid, self.alignment = uid, WatermarkAlignment("g", drift_ms, 1_000)


class _Job:
    def operators(self) -> list[tuple[None, _Operator]]:
        return [(None, _Operator("a", 10)), (None, _Operator("b", 50))]


def test_each_source_may_be_ahead_of_the_lowest_by_its_own_drift() -> None:
    told = Told()
    told.aligner.start()
    for uid, subtask, watermark in (("a", told.A0, 500), ("a", told.A1, 700), ("b", told.B0, 400)):
        told.report(uid, subtask, watermark)
    assert told.interval() == {told.A0: 410, told.A1: 410, told.B0: 450}


def test_a_report_that_comes_late_or_again_changes_nothing() -> None:
    told = Told()
    told.aligner.start()
    told.report("a", told.A0, 500, number=2)
    told.report("a", told.A0, 300, number=1)
    assert told.interval() == {told.A0: 510}


def test_subtasks_that_begin_again_are_heard_from_their_first_report() -> None:
    told = Told()
    told.aligner.start()
    told.report("a", told.A0, 500, number=7)
    told.report("b", told.B0, 900)
    told.interval()
    told.aligner.forget([told.A0])
    assert told.interval()[told.B0] == 950
    told.report("a", told.A0, 100, number=1, attempt=1)
    assert told.interval() == {told.A0: 110, told.B0: 150}
    assert told.limits[told.A0][-1].number == 1


def test_who_holds_nobody_back_has_the_highest_limit() -> None:
    told = Told()
    told.aligner.start()
    told.report("a", told.A0, MAX_TIMESTAMP)
    assert told.interval() == {told.A0: MAX_TIMESTAMP}


def test_who_has_read_nothing_holds_everybody() -> None:
    told = Told()
    told.aligner.start()
    told.report("a", told.A0, MIN_TIMESTAMP)
    told.report("b", told.B0, 900)
    assert told.interval()[told.B0] == MIN_TIMESTAMP + 50


def test_a_closed_aligner_is_silent() -> None:
    told = Told()
    told.aligner.start()
    told.report("a", told.A0, 1)
    told.aligner.close()
    assert told.interval() == {}
    assert told.later == []


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 40)), min_size=2, max_size=4), st.integers(1, 2))
def test_whatever_the_speeds_everything_is_read_and_the_drift_is_bounded(paces: list[tuple[int, int]], parallelism: int) -> None:
    """Each split is a pace: ms between two records, and ms of event time between them."""
    env = environment(parallelism)
    scripts = [[item for n in range(30) for item in (Wait(wait / 1000), At(step * n, (str(i), step * n)))] for i, (wait, step) in enumerate(paces)]
    seen: list[tuple[str, int]] = []
    stream = env.from_source(ScriptedSource(*scripts), aligned(), name="a")
    stream.map(lambda pair: seen.append(pair) or pair).print()  # type: ignore[func-returns-value]  # append gives None
    env.execute()
    assert len(seen) == 30 * len(paces)
    left = {str(number): 30 for number in range(len(paces))}
    last = dict.fromkeys(left, 0)
    for name, time in seen:
        last[name], left[name] = time, left[name] - 1
        running = [last[other] for other in left if left[other]]
        if left[name] and running:
            reach = 1 + int(INTERVAL_S * 1000 * 2)  # steps that the fastest can take before it hears
            assert time - min(running) <= DRIFT_MS + reach * 40 + 40
