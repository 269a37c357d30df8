"""What a write-ahead sink makes of its records before they get into the log."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from millstream import StreamExecutionEnvironment, WatermarkStrategy
from millstream.contracts.guarantee import SinkCapabilities
from millstream.contracts.sink import SinkContext
from millstream.contracts.write_ahead import Marker, WriteAheadLanes, WriteAheadSink
from millstream.errors import InvalidName, JobFailedError


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


class Refusing(Stamped):
    """Cannot make its log of some records: for their own fault, or for another's."""

    def __init__(self, sent: list[Any], error: Exception) -> None:
        super().__init__(sent)
        self.error = error

    def log_form(self, records: Sequence[str], timestamps: Sequence[int] | None) -> Sequence[tuple[bytes, int | None]]:
        if "b" in records:
            raise self.error
        return super().log_form(records, timestamps)


def refused(error: Exception) -> list[Any]:
    written: list[Any] = []
    env = StreamExecutionEnvironment().configure("checkpoint.storage", "memory").configure("checkpoint.interval", "1s")
    env.from_collection(["a", "b", "c"], uid="in").sink_to(Refusing(written, error), uid="out", on_error="skip")
    env.execute("refused")
    return written


def test_a_record_that_has_no_log_form_is_skipped_if_asked() -> None:
    assert refused(ValueError("no form")) == [(b"a", None), (b"c", None)]


def test_what_is_not_the_records_fault_fails_the_job_though_records_may_be_skipped() -> None:
    with pytest.raises(JobFailedError) as raised:
        refused(InvalidName(what="schema", name="b"))
    assert isinstance(raised.value.__cause__, InvalidName)
