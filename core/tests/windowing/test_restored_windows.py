"""Windows and event time behind a restore: they go on where the checkpoint was taken, and nothing is shown twice."""

from __future__ import annotations

from typing import Any

from millstream import OutputTag, TumblingEventTimeWindows
from millstream.records import MAX_TIMESTAMP, RecordBatch
from millstream.testing import OperatorHarness

LATE: OutputTag[Any] = OutputTag("late")
SIZE_MS = 10


def sums(lateness_ms: int, *restore: bytes) -> OperatorHarness:
    def add(stream: Any) -> Any:
        windows = stream.key_by(lambda record: record[0]).window(TumblingEventTimeWindows(SIZE_MS)).side_output_late_data(LATE)
        windows._lateness_ms = lateness_ms
        return windows.reduce(lambda one, other: (one[0], one[1] + other[1]))

    return OperatorHarness(add, restore=restore)


def feed(into: OperatorHarness, time: int, number: int) -> None:
    into.operator.process_batch(RecordBatch([("a", number)], [time]))


def shown(by: OperatorHarness) -> list[Any]:
    return [record for record, _ in by.records]


def test_a_window_that_has_fired_does_not_fire_again_when_it_is_restored() -> None:
    first = sums(7)
    feed(first, 3, 1)
    first.watermark(9)
    assert shown(first) == [("a", 1)]
    restored = sums(7, first.snapshot())
    restored.watermark(12)
    restored.watermark(MAX_TIMESTAMP)
    assert shown(restored) == []


def test_a_late_record_fires_a_restored_window_with_all_that_it_has() -> None:
    first = sums(7)
    feed(first, 3, 1)
    first.watermark(9)
    restored = sums(7, first.snapshot())
    feed(restored, 4, 2)
    assert shown(restored) == [("a", 3)]


def test_what_was_late_before_a_restore_is_late_behind_it() -> None:
    first = sums(0)
    feed(first, 3, 1)
    first.watermark(20)
    restored = sums(0, first.snapshot())
    feed(restored, 4, 2)
    restored.watermark(MAX_TIMESTAMP)
    assert (shown(restored), restored.side(LATE)) == ([], [("a", 2)])
