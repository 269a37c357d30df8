"""What a write-ahead sink makes of its records before they get into the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millstream import StreamExecutionEnvironment, WatermarkStrategy
from millstream.contracts.guarantee import SinkCapabilities
from millstream.contracts.sink import SinkContext
from millstream.contracts.write_ahead import Marker, WriteAheadLanes, WriteAheadSink


class Stamped(WriteAheadSink[str]):
    """Sends texts with their event times."""

    capabilities = SinkCapabilities(kind="write_ahead", atomic_marker=True, fencing=True)
    record_type = tuple[bytes, int | None]

    def __init__(self, sent: list[Any]) -> None:
        self.sent = sent

    def log_form(self, records: Sequence[str], timestamps: Sequence[int] | None) -> Sequence[tuple[bytes, int | None]]:
        return [(record.encode(), None if timestamps is None else timestamps[number]) for number, record in enumerate(records)]

    def open(self, context: SinkContext) -> Lanes:
        return Lanes(self.sent)


class Lanes(WriteAheadLanes[tuple[bytes, int | None]]):
    def __init__(self, sent: list[Any]) -> None:
        self.sent = sent

    def fence(self, lane: int) -> None:
        pass

    def read_marker(self, lane: int) -> Marker | None:
        return None

    def commit_batch(self, lane: int, checkpoint_id: int, chunk: int, records: Sequence[Any]) -> None:
        self.sent += records


def sent(strategy: WatermarkStrategy[str]) -> list[Any]:
    """What a job sends of three records."""
    written: list[Any] = []
    env = StreamExecutionEnvironment().configure("checkpoint.storage", "memory").configure("checkpoint.interval", "1s")
    env.from_collection(["a", "b", "c"], watermark_strategy=strategy, uid="in").sink_to(Stamped(written), uid="out")
    env.execute("stamped")
    return written


def test_the_log_keeps_what_the_sink_makes_of_a_record_and_its_event_time() -> None:
    in_time = WatermarkStrategy[str].for_monotonous_timestamps().with_timestamp_assigner(ord)
    assert sent(in_time) == [(b"a", 97), (b"b", 98), (b"c", 99)]


def test_without_event_time_a_sink_is_told_that_there_is_none() -> None:
    assert sent(WatermarkStrategy.no_watermarks()) == [(b"a", None), (b"b", None), (b"c", None)]
