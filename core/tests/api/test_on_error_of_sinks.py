"""on_error where records meet sinks, windows and timestamps: fail, skip, dead letter."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from millstream import (
    DeadLetterRecord,
    KeyedProcessFunction,
    OutputTag,
    ProcessWindowFunction,
    StreamExecutionEnvironment,
    TumblingEventTimeWindows,
    WatermarkStrategy,
    dead_letter,
)
from millstream.api.sinks import CollectSink
from millstream.contracts.guarantee import SinkCapabilities
from millstream.contracts.sink import Sink, SinkContext, SinkWriter
from millstream.contracts.two_phase_commit import Committed, TwoPhaseCommitSink, TwoPhaseCommitWriter
from millstream.contracts.write_ahead import Marker, WriteAheadLanes, WriteAheadSink
from millstream.errors import InvalidArgument, JobFailedError, KeySelectorFailed, RecordRefused, SinkFailed

SECOND = TumblingEventTimeWindows.of(timedelta(seconds=1))
VALUES: list[Any] = [1, "two", 3]


def refusing(values: Sequence[Any], context: SinkContext) -> list[int]:
    """The numbers among the values; the others are rejected."""
    kept = []
    for value in values:
        if isinstance(value, int):
            kept.append(value)
        else:
            context.reject(value, TypeError(f"{value!r} is no number"))
    return kept


class NumberWriter(SinkWriter[Any]):
    def __init__(self, written: list[int], context: SinkContext, late: bool) -> None:
        self.written, self.context, self.late = written, context, late
        self.waiting: list[Any] = []

    def write(self, values: Sequence[Any], timestamps: Sequence[int] | None) -> None:
        self.waiting += values
        if not self.late:
            self.flush()

    def flush(self) -> None:
        waiting, self.waiting = self.waiting, []
        self.written += refusing(waiting, self.context)


class Numbers(Sink[Any]):
    """Takes numbers only, and says so at once or, as a client that works in the background does, when it is flushed."""

    capabilities = SinkCapabilities(kind="plain")

    def __init__(self, written: list[int], late: bool = False) -> None:
        self.written, self.late = written, late

    def open(self, context: SinkContext) -> NumberWriter:
        return NumberWriter(self.written, context, self.late)


class PreparedNumbersWriter(TwoPhaseCommitWriter[Any]):
    def __init__(self, written: list[int], context: SinkContext) -> None:
        self.written, self.context = written, context
        self.open: list[int] = []

    def write(self, values: Sequence[Any], timestamps: Sequence[int] | None) -> None:
        self.open += refusing(values, self.context)

    def prepare(self, checkpoint_id: int) -> bytes | None:
        sealed, self.open = self.open, []
        return bytes(sealed) or None

    def commit(self, lane: int, checkpoint_id: int, committable: bytes) -> Committed:
        self.written += committable
        return Committed()

    def abort_lingering(self, keep: Sequence[bytes]) -> None:
        pass


class PreparedNumbers(TwoPhaseCommitSink[Any]):
    capabilities = SinkCapabilities(kind="two_phase_commit", prepared_survives_disconnect=True, fencing=True, visible_only_committed=True)

    def __init__(self, written: list[int]) -> None:
        self.written = written

    def open(self, context: SinkContext) -> PreparedNumbersWriter:
        return PreparedNumbersWriter(self.written, context)


class LoggedLanes(WriteAheadLanes[Any]):
    def __init__(self, written: list[int]) -> None:
        self.written = written

    def fence(self, lane: int) -> None:
        pass

    def read_marker(self, lane: int) -> Marker | None:
        return None

    def commit_batch(self, lane: int, checkpoint_id: int, chunk: int, records: Sequence[Any]) -> None:
        self.written += records


class LoggedNumbers(WriteAheadSink[Any]):
    capabilities = SinkCapabilities(kind="write_ahead", atomic_marker=True, fencing=True)

    def __init__(self, written: list[int]) -> None:
        self.written = written

    def check(self, records: Sequence[Any]) -> None:
        for record in records:
            if not isinstance(record, int):
                raise TypeError(f"{record!r} is no number")

    def open(self, context: SinkContext) -> LoggedLanes:
        return LoggedLanes(self.written)


class TypedNumbers(LoggedNumbers):
    """Has no check of its own: what its log cannot carry is the record's fault too."""

    record_type = int

    def check(self, records: Sequence[Any]) -> None:
        pass


class FormedNumbers(LoggedNumbers):
    """Finds out when it makes what it will send."""

    record_type = bytes

    def __init__(self, written: list[int]) -> None:
        self.written = written

    def check(self, records: Sequence[Any]) -> None:
        pass

    def log_form(self, records: Sequence[Any], timestamps: Sequence[int] | None) -> Sequence[bytes]:
        super().check(records)
        return [record.to_bytes(8, "big") for record in records]

    def open(self, context: SinkContext) -> LoggedLanes:
        return FormedLanes(self.written)


class FormedLanes(LoggedLanes):
    def commit_batch(self, lane: int, checkpoint_id: int, chunk: int, records: Sequence[Any]) -> None:
        self.written += [int.from_bytes(record, "big") for record in records]


SINKS = {
    "plain": Numbers,
    "plain, at the flush": lambda written: Numbers(written, late=True),
    "two-phase commit": PreparedNumbers,
    "write-ahead": LoggedNumbers,
    "write-ahead, by the log": TypedNumbers,
    "write-ahead, by its form": FormedNumbers,
}
EACH = pytest.mark.parametrize("make", SINKS.values(), ids=SINKS)


def environment(batch_size: int = 1000) -> StreamExecutionEnvironment:
    return StreamExecutionEnvironment().configure("execution.batch_size", batch_size)


@EACH
def test_a_record_that_a_sink_cannot_write_ends_the_job_at_once_and_is_named(make: Any) -> None:
    env = environment().configure("checkpoint.storage", "memory").configure("checkpoint.interval", "1s")
    env.from_collection(VALUES, uid="in").sink_to(make([]), uid="numbers", name="Numbers")
    with pytest.raises(JobFailedError, match=r"cannot write record 'two'.*on_error='skip' or on_error=dead_letter\(sink\)") as raised:
        env.execute("refused")
    cause = raised.value.__cause__
    assert isinstance(cause, RecordRefused)
    assert (cause.uid, cause.sink, cause.record) == ("numbers", "Numbers", "'two'")
    assert raised.value.restarts == 0


@EACH
@pytest.mark.parametrize("batch_size", [1, 2, 1000])
def test_skip_leaves_out_what_a_sink_cannot_write_and_counts_it(make: Any, batch_size: int) -> None:
    written: list[int] = []
    env = environment(batch_size)
    env.from_collection(VALUES).sink_to(make(written), name="numbers", on_error="skip")
    assert env.execute("skip").counts["numbers.numRecordsRejected"] == 1
    assert written == [1, 3]


@EACH
@pytest.mark.parametrize("batch_size", [1, 2, 1000])
def test_dead_letter_sets_aside_what_a_sink_cannot_write_with_its_error_and_place(make: Any, batch_size: int) -> None:
    written: list[int] = []
    letters: deque[DeadLetterRecord] = deque()
    env = environment(batch_size)
    env.from_collection(VALUES).sink_to(make(written), uid="numbers", on_error=dead_letter(CollectSink(letters)))
    env.execute("letters")
    assert written == [1, 3]
    assert [(letter.operator, letter.record) for letter in letters] == [("numbers", "'two'")]
    assert "two" in letters[0].error
    assert letters[0].position.startswith("in the collection, elements ")


def test_a_dead_letter_target_that_fails_is_named_as_such() -> None:
    class Broken(Sink[Any]):
        capabilities = SinkCapabilities(kind="plain")

        def open(self, context: SinkContext) -> SinkWriter[Any]:
            raise OSError("no such host")

    env = environment()
    env.from_collection(VALUES).sink_to(Numbers([]), name="numbers", on_error=dead_letter(Broken()))
    with pytest.raises(JobFailedError, match=r"(?s)no such host.*raised by sink 'dead letters of numbers'") as raised:
        env.execute("broken letters")
    assert isinstance(raised.value.__cause__, SinkFailed)


def test_dead_letters_of_a_sink_cannot_go_to_a_side_output_that_nobody_can_read() -> None:
    with pytest.raises(InvalidArgument, match=r"dead_letter\(sink\)"):
        environment().from_collection(VALUES).sink_to(Numbers([]), on_error=dead_letter(OutputTag("letters")))


def test_dead_letters_may_go_to_a_side_output() -> None:
    tag: OutputTag[DeadLetterRecord] = OutputTag("letters")
    good = environment().from_collection([2, 0]).map(lambda n: 4 // n, on_error=dead_letter(tag))
    assert [letter.record for letter in good.get_side_output(tag).execute_and_collect()] == ["0"]


def test_dead_letters_to_a_side_output_that_nobody_reads_are_counted_and_dropped() -> None:
    rows = environment().from_collection([2, 0]).map(lambda n: 4 // n, name="op", on_error=dead_letter(OutputTag("letters"))).execute_and_collect()
    assert list(rows) == [2]
    assert rows.result().counts["op.numRecordsFailed"] == 1


# --- windows


def windowed(values: list[tuple[str, int, int]]) -> Any:
    strategy: WatermarkStrategy[Any] = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(lambda value: value[1])
    return environment().from_collection(values, strategy).key_by(lambda value: value[0]).window(SECOND)


def lowest_quotient(a: Any, b: Any) -> Any:
    return (a[0], a[1], min(a[2], 8 // b[2]))


IN_WINDOWS = [("a", 0, 9), ("a", 1, 0), ("b", 2, 5), ("a", 3, 4), ("a", 1_500, 7)]


def test_a_record_on_which_a_windows_function_raises_is_skipped_and_the_window_goes_on() -> None:
    rows = windowed(IN_WINDOWS).reduce(lowest_quotient, name="op", on_error="skip").execute_and_collect()
    assert list(rows) == [("a", 0, 2), ("b", 2, 5), ("a", 1_500, 7)]
    assert rows.result().counts["op.numRecordsFailed"] == 1


def test_a_record_on_which_a_windows_function_raises_becomes_a_dead_letter() -> None:
    letters: deque[DeadLetterRecord] = deque()
    rows = windowed(IN_WINDOWS).reduce(lowest_quotient, on_error=dead_letter(CollectSink(letters))).execute_and_collect()
    assert [row[2] for row in rows] == [2, 5, 7]
    assert [(letter.record, letter.error.partition(":")[0]) for letter in letters] == [("('a', 1, 0)", "ZeroDivisionError")]


def test_a_window_whose_function_raises_when_it_fires_gives_a_letter_instead_of_a_result() -> None:
    class Inverse(ProcessWindowFunction[Any, Any, str, Any]):
        def process(self, key: str, context: Any, elements: Any) -> Any:
            return [(key, 8 // sum(value[2] for value in elements))]

    letters: deque[DeadLetterRecord] = deque()
    rows = windowed([("a", 0, 0), ("b", 0, 4), ("a", 1_000, 2)]).process(Inverse(), on_error=dead_letter(CollectSink(letters))).execute_and_collect()
    assert list(rows) == [("b", 2), ("a", 4)]
    assert [letter.record for letter in letters] == ["\"window TimeWindow(start=0, end=1000) of key 'a'\""]


# --- timestamps and keys


@pytest.mark.parametrize("way", ["in the source", "behind it"])
@pytest.mark.parametrize("batch_size", [1, 1000])
def test_a_record_without_a_usable_time_is_set_aside_by_policy(way: str, batch_size: int) -> None:
    strategy: WatermarkStrategy[Any] = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(lambda row: row["time"])
    rows: list[dict[str, int]] = [{"time": 1}, {"tim": 2}, {"time": 3}]
    letters: deque[DeadLetterRecord] = deque()
    policy = dead_letter(CollectSink(letters))
    env = environment(batch_size)
    if way == "in the source":
        from millstream.api.sources.collection import CollectionSource

        stream = env.from_source(CollectionSource(rows), strategy, on_error=policy)
    else:
        stream = env.from_collection(rows).assign_timestamps_and_watermarks(strategy, on_error=policy)
    assert list(stream.execute_and_collect()) == [{"time": 1}, {"time": 3}]
    assert [(letter.record, letter.error) for letter in letters] == [("{'tim': 2}", "KeyError: 'time'")]


class Echo(KeyedProcessFunction[Any, Any, Any]):
    def process_element(self, value: Any, ctx: Any, out: Any) -> None:
        out.collect(value)


KEYED = {
    "reduce": lambda s, p: s.reduce(lambda a, b: b, on_error=p),
    "fused": lambda s, p: s.fold(0, lambda a, b: b, on_error=p),
    "process": lambda s, p: s.process(Echo(), on_error=p),
}


@pytest.mark.parametrize("parallelism", [1, 2])
@pytest.mark.parametrize("build", KEYED.values(), ids=KEYED)
def test_a_key_selector_that_raises_fails_the_job_at_any_parallelism_whatever_the_policy(parallelism: int, build: Any) -> None:
    """A record without a key belongs to no subtask. At parallelism 1 it was skipped, at 2 it failed the job."""
    env = environment().set_parallelism(parallelism)
    stream = env.from_collection([{"id": 1}, {"ad": 2}]).map(lambda row: row).key_by(lambda row: row["id"])
    with pytest.raises(JobFailedError, match="filter in front of key_by") as raised:
        list(build(stream, "skip").execute_and_collect())
    assert isinstance(raised.value.__cause__, KeySelectorFailed)
