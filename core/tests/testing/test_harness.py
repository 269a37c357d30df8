"""The operator harness as the author of a function uses it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from millstream import KeyedProcessFunction, OutputTag, TumblingEventTimeWindows, ValueStateDescriptor, schema_evolution
from millstream.contracts.key_groups import KeyGroups, key_group_range
from millstream.errors import InvalidArgument, RewoundTarget, StateIncompatible
from millstream.runtime.operators.keyed import KeyedBy, ReduceSpec
from millstream.testing import LedgerTarget, OperatorHarness, TransactionalTarget

LATE: OutputTag[Any] = OutputTag("late")


class QuietKeys(KeyedProcessFunction[str, tuple[str, int], str]):
    """Tells of keys that were not seen for a minute."""

    def open(self, context: Any) -> None:
        self.due = context.get_state(ValueStateDescriptor("due", int))

    def process_element(self, value: tuple[str, int], ctx: Any, out: Any) -> None:
        if self.due.value() is not None:
            ctx.timer_service().delete_processing_time_timer(self.due.value())
        due = ctx.timer_service().current_processing_time() + 60_000
        self.due.update(due)
        ctx.timer_service().register_processing_time_timer(due)

    def on_timer(self, timestamp: int, ctx: Any, out: Any) -> None:
        self.due.clear()
        out.collect(f"{ctx.get_current_key()} was quiet at {timestamp}")


def running_sum(stream: Any) -> Any:
    return stream.key_by(lambda pair: pair[0]).sum(1)


def windows(stream: Any) -> Any:
    tumbling = stream.key_by(lambda pair: pair[0]).window(TumblingEventTimeWindows.of(timedelta(seconds=10)))
    return tumbling.side_output_late_data(LATE).reduce(lambda a, b: (a[0], a[1] + b[1]))


def test_records_in_records_out() -> None:
    with OperatorHarness(running_sum) as harness:
        harness.process(("a", 1), timestamp=5)
        harness.process_all([("b", 2), ("a", 3)], [6, 7])
        assert harness.records == [(("a", 1), 5), (("b", 2), 6), (("a", 4), 7)]
        assert harness.take() == [("a", 1), ("b", 2), ("a", 4)]
        assert harness.values == []
        assert harness.counts()["numRecordsIn"] == 3


def test_a_spec_will_do() -> None:
    harness = OperatorHarness(ReduceSpec(KeyedBy(lambda word: word), lambda a, b: a + b))
    harness.process_all(["a", "b", "a"])
    assert harness.values == ["a", "b", "aa"]


def test_windows_fire_behind_the_watermark_and_late_records_go_to_their_tag() -> None:
    harness = OperatorHarness(windows)
    harness.process_all([("a", 1), ("a", 2), ("b", 4)], [0, 9_999, 10_000])
    harness.watermark(9_999)
    assert harness.records == [(("a", 3), 9_999)]
    harness.process(("a", 5), timestamp=3)
    assert (harness.side(LATE), harness.watermarks) == ([("a", 5)], [9_999])


def test_processing_time_moves_only_when_told_to() -> None:
    harness = OperatorHarness(lambda stream: stream.key_by(lambda pair: pair[0]).process(QuietKeys()))
    harness.process(("a", 1))
    harness.advance(30)
    harness.process_all([("a", 1), ("b", 1)])
    harness.advance(59.999)
    assert harness.values == []
    harness.advance(0.001)
    assert harness.values == ["a was quiet at 90000", "b was quiet at 90000"]


def test_timers_and_state_come_back_from_a_snapshot() -> None:
    def job(stream: Any) -> Any:
        return stream.key_by(lambda pair: pair[0]).process(QuietKeys())

    before = OperatorHarness(job)
    before.process(("a", 1))
    after = OperatorHarness(job, restore=[before.snapshot()])
    after.advance(60)
    assert after.values == ["a was quiet at 60000"]


def test_state_is_dealt_out_anew_at_another_parallelism() -> None:
    keys = [f"key-{number}" for number in range(30)]
    one = OperatorHarness(running_sum, max_parallelism=16)
    one.process_all([(key, 1) for key in keys])
    group_of = KeyGroups(16)

    def dealt(parallelism: int, restore: list[bytes]) -> list[OperatorHarness]:
        subtasks = [OperatorHarness(running_sum, subtask=i, parallelism=parallelism, max_parallelism=16, restore=restore) for i in range(parallelism)]
        for number, subtask in enumerate(subtasks):
            subtask.process_all([(key, 1) for key in keys if group_of(key) in key_group_range(number, parallelism, 16)])
        return subtasks

    three = dealt(3, [one.snapshot(1)])
    assert sorted(value for subtask in three for value in subtask.values) == sorted((key, 2) for key in keys)
    two = dealt(2, [subtask.snapshot(2) for subtask in three])
    assert sorted(value for subtask in two for value in subtask.values) == sorted((key, 3) for key in keys)


def test_a_restored_window_operator_goes_on_at_its_watermark() -> None:
    before = OperatorHarness(windows)
    before.process_all([("a", 1)], [15_000])
    before.watermark(12_000)
    after = OperatorHarness(windows, restore=[before.snapshot()])
    after.process_all([("a", 2), ("a", 3)], [9_000, 16_000])
    after.watermark(19_999)
    assert (after.side(LATE), after.values) == ([("a", 2)], [("a", 4)])


def test_idleness_is_passed_on() -> None:
    harness = OperatorHarness(lambda stream: stream.map(str))
    harness.idle()
    harness.idle(False)
    assert harness.statuses == [True, False]


@pytest.mark.parametrize("target", [TransactionalTarget[int](), LedgerTarget[int]()], ids=["two_phase_commit", "write_ahead"])
def test_a_sink_shows_what_a_completed_checkpoint_covers_also_on_recovery(target: Any) -> None:
    def job(stream: Any) -> Any:
        return stream.sink_to(target.sink(), uid="out")

    first = OperatorHarness(job)
    first.process_all([1, 2])
    first.snapshot(1)
    first.process(3)
    saved = first.snapshot(2)
    assert target.visible() == []
    first.complete(1)
    assert target.visible() == [1, 2]
    OperatorHarness(job, restore=[saved], attempt=1)
    assert (target.visible(), target.leftovers()) == ([1, 2, 3], [])


def test_a_sink_ahead_of_the_snapshot_refuses_it() -> None:
    target = LedgerTarget[int]()

    def job(stream: Any) -> Any:
        return stream.sink_to(target.sink(), uid="out")

    first = OperatorHarness(job)
    saved = first.snapshot(1)
    first.process(1)
    first.snapshot(2)
    first.complete(2)
    with pytest.raises(RewoundTarget):
        OperatorHarness(job, restore=[saved], attempt=1)


@dataclass
class Order:
    shop: str
    total: int


@schema_evolution(renamed={"total": "sum"})
@dataclass
class Renamed:
    shop: str
    sum: float


@dataclass
class Retyped:
    shop: str
    total: str


def test_records_that_a_write_ahead_sink_has_yet_to_commit_follow_their_type() -> None:
    target = LedgerTarget[Any]()
    first = OperatorHarness(lambda stream: stream.sink_to(target.sink(Order), uid="out"))
    first.process_all([Order("a", 1), Order("b", 2)])
    saved = first.snapshot(1)
    with pytest.raises(StateIncompatible, match=r"write-ahead log.*field 'total' of .* was int and is str now"):
        OperatorHarness(lambda stream: stream.sink_to(target.sink(Retyped), uid="out"), restore=[saved], attempt=1)
    assert target.visible() == []
    OperatorHarness(lambda stream: stream.sink_to(target.sink(Renamed), uid="out"), restore=[saved], attempt=2)
    assert target.visible() == [Renamed("a", 1.0), Renamed("b", 2.0)]


def test_it_runs_one_operator_not_a_program() -> None:
    with pytest.raises(InvalidArgument, match="exactly one operator"):
        OperatorHarness(lambda stream: stream.map(str).map(str))
    with pytest.raises(InvalidArgument, match="exactly one operator"):
        OperatorHarness(lambda stream: stream)
