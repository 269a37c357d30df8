"""Collections and generators, driven as the engine drives them: an enumerator, readers, and restores with another parallelism."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.api.sources import CollectionSource, GeneratorSource
from millstream.contracts.metrics import MetricGroup
from millstream.contracts.source import EnumeratorContext, ReaderContext, Source, Split
from millstream.errors import DamagedState, InvalidArgument
from millstream.plugins.builtin import millstream_sources
from millstream.ports import InlineExecutor, LocalStorage, ManualClock, SeededRandom


class Outside:
    """What both kinds of context have."""

    metrics: MetricGroup

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.random = SeededRandom(0)
        self.storage = LocalStorage()
        self.executor = InlineExecutor()


class Running(Outside, EnumeratorContext):
    """An enumerator and its readers, from the start or from a checkpoint."""

    def __init__(
        self,
        source: Source[Any],
        parallelism: int = 1,
        *,
        checkpoint: tuple[bytes, list[bytes]] | None = None,
        clock: ManualClock | None = None,
    ) -> None:
        super().__init__(clock or ManualClock())
        self.parallelism = parallelism
        self.enumerator = source.create_enumerator(self, checkpoint[0] if checkpoint else None)
        self.readers = [source.create_reader(Reading(self, subtask)) for subtask in range(parallelism)]
        for number, encoded in enumerate(checkpoint[1] if checkpoint else []):
            self.readers[number % parallelism].add_splits([msgspec.msgpack.decode(encoded, type=Split)])
        self.enumerator.start()
        for reader in self.readers:
            reader.start()

    def assign(self, subtask: int, splits: Sequence[Split]) -> None:
        self.readers[subtask].add_splits([msgspec.msgpack.decode(msgspec.msgpack.encode(split), type=Split) for split in splits])

    def no_more_splits(self, subtask: int) -> None:
        self.readers[subtask].no_more_splits()

    def send_to_reader(self, subtask: int, message: bytes) -> None:
        raise AssertionError(message)

    def call_later(self, delay_s: float, action: Callable[[], None]) -> None:
        raise AssertionError(action)

    def checkpoint(self) -> tuple[bytes, list[bytes]]:
        splits = [split for reader in self.readers for split in reader.snapshot(1)]
        return self.enumerator.snapshot(1), [msgspec.msgpack.encode(split) for split in splits]

    def read(self, limit: int = 10**9, max_records: int = 3) -> list[Any]:
        """What all readers have just now, in turns; at most `limit` values and a batch."""
        values: list[Any] = []
        more = True
        while more and len(values) < limit:
            more = False
            for reader in self.readers:
                fetched = reader.fetch(max_records)
                if fetched is not None:
                    assert fetched.timestamps is None
                    assert 0 < len(fetched.values) <= max_records
                    values += fetched.values
                    more = True
        return values

    def finished(self) -> list[bool]:
        return [reader.finished() for reader in self.readers]


class Reading(Outside, ReaderContext):
    def __init__(self, running: Running, subtask: int) -> None:
        super().__init__(running.clock)
        self._running = running
        self.subtask = subtask
        self.parallelism = running.parallelism
        self.wakes = 0

    def wake(self) -> None:
        self.wakes += 1

    def request_split(self) -> None:
        self._running.enumerator.handle_split_request(self.subtask)

    def send_to_enumerator(self, message: bytes) -> None:
        raise AssertionError(message)


def square(index: int) -> int:
    return index * index


# --- collections


@pytest.mark.parametrize("values", [[1, 2, 3, 4, 5, 6, 7], (1, 2, 3), [], "abc", range(10), iter([1, 2])])
def test_a_collection_is_emitted_in_order_and_ends(values: Any) -> None:
    expected = [1, 2] if not isinstance(values, Sequence) else list(values)
    running = Running(CollectionSource(values))
    assert running.read() == expected
    assert running.finished() == [True]
    assert running.readers[0].finished_splits() == ["collection"]
    assert list(running.readers[0].finished_splits()) == []


def test_only_one_of_three_readers_gets_the_collection_and_the_others_end_at_once() -> None:
    running = Running(CollectionSource([1, 2, 3]), 3)
    assert running.finished() == [False, True, True]
    assert running.read() == [1, 2, 3]
    assert running.finished() == [True, True, True]


def test_changing_the_list_after_the_source_was_made_changes_nothing() -> None:
    values = [1, 2]
    source = CollectionSource(values)
    values.append(3)
    assert Running(source).read() == [1, 2]


def test_a_batch_may_be_changed_by_its_receiver() -> None:
    source = CollectionSource([1, 2])
    fetched = Running(source).readers[0].fetch(10)
    assert fetched is not None
    fetched.values.clear()
    assert Running(source).read() == [1, 2]


def test_a_checkpoint_does_not_change_while_reading_goes_on() -> None:
    running = Running(CollectionSource(list(range(10))))
    running.read(limit=3)
    snapshot = running.readers[0].snapshot(1)
    running.read()
    assert [split.data for split in snapshot] == [{"next": 3}]


def test_a_checkpoint_before_any_reader_asked_loses_nothing() -> None:
    source = CollectionSource([1, 2])
    enumerator = Running(source).enumerator
    fresh = source.create_enumerator(Running(source), None)
    assert Running(source, 2, checkpoint=(fresh.snapshot(1), [])).read() == [1, 2]
    assert Running(source, checkpoint=(enumerator.snapshot(1), [])).read() == []


def test_a_split_that_comes_back_goes_to_the_successor_of_its_reader() -> None:
    running = Running(CollectionSource([1, 2, 3]), 2)
    running.enumerator.add_splits_back([Split("collection", {"next": 1})], 1)
    running.readers[1].start()
    fetched = running.readers[1].fetch(10)
    assert fetched is not None
    assert fetched.values == [2, 3]


def test_resuming_with_a_shorter_collection_is_refused_with_both_lengths() -> None:
    running = Running(CollectionSource(range(10)))
    running.read(limit=6)
    with pytest.raises(InvalidArgument, match=r"collection of 2 elements, but the checkpoint stands behind element 6.*--resume never"):
        Running(CollectionSource([1, 2]), checkpoint=running.checkpoint())


def test_something_that_is_no_collection_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"CollectionSource\(values=...\) is 7"):
        CollectionSource(7)  # type: ignore[arg-type]


def test_state_of_an_enumerator_that_cannot_be_read_is_named() -> None:
    with pytest.raises(DamagedState, match="splits of a source"):
        Running(CollectionSource([1]), checkpoint=(b"\xc1", []))


# --- generators


def test_a_generator_with_a_count_emits_that_many_and_ends() -> None:
    running = Running(GeneratorSource(square, count=7))
    assert running.read() == [0, 1, 4, 9, 16, 25, 36]
    assert running.finished() == [True]
    assert GeneratorSource(square, count=7).bounded


def test_a_generator_without_a_count_goes_on() -> None:
    running = Running(GeneratorSource(square))
    assert running.read(limit=3000, max_records=1000) == [square(index) for index in range(3000)]
    assert running.finished() == [False]
    assert not GeneratorSource(square).bounded


@pytest.mark.parametrize("count", [0, 1, 2])
def test_readers_without_an_index_end_at_once(count: int) -> None:
    running = Running(GeneratorSource(square, count), 3)
    assert running.finished() == [number >= count for number in range(3)]
    assert running.read() == [0, 1][:count]
    assert all(running.finished())


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.integers(1, 7))
def test_every_index_comes_once_whatever_the_parallelism_before_and_after_restores(
    count: int, read: int, first: int, second: int, third: int, max_records: int
) -> None:
    source = GeneratorSource(square, count)
    running = Running(source, first)
    values = running.read(read // 2, max_records)
    running = Running(source, second, checkpoint=running.checkpoint())
    values += running.read(read // 2, max_records)
    running = Running(source, third, checkpoint=running.checkpoint())
    values += running.read(max_records=max_records)
    assert sorted(values) == [square(index) for index in range(count)]
    assert all(running.finished())


def test_one_reader_with_two_sequences_keeps_them_side_by_side() -> None:
    source = GeneratorSource(lambda index: index)
    running = Running(source, 1, checkpoint=Running(source, 2).checkpoint())
    assert running.read(limit=12, max_records=2) == [0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11]


def test_a_lone_record_comes_the_moment_it_is_due_and_not_before() -> None:
    running = Running(GeneratorSource(square, rate_per_s=2.0))
    reader, clock = running.readers[0], running.clock
    assert running.read() == [0]
    assert reader.ready_at_s() == 0.5
    clock.advance(0.4999)
    assert running.read() == []
    clock.advance(0.0001)
    assert running.read() == [1]
    assert reader.ready_at_s() == 1.0


def test_readers_share_the_rate_and_take_turns() -> None:
    running = Running(GeneratorSource(square, rate_per_s=4.0), 2)
    seen = []
    for _ in range(5):
        seen.append(running.read())
        running.clock.advance(0.25)
    assert seen == [[0], [1], [4], [9], [16]]


@pytest.mark.parametrize(("rate", "stall_s", "made_up"), [(100.0, 0.5, 50), (100.0, 3600.0, 100), (0.1, 3600.0, 1), (50_000.0, 7.0, 50_000)])
def test_after_a_stall_at_most_one_seconds_worth_is_made_up_for(rate: float, stall_s: float, made_up: int) -> None:
    running = Running(GeneratorSource(square, rate_per_s=rate))
    running.clock.advance(100.0)
    running.read(max_records=1000)
    running.clock.advance(stall_s)
    assert len(running.read(max_records=1000)) == made_up


@pytest.mark.parametrize("parallelism", [1, 3])
@pytest.mark.parametrize("rate", [0.7, 3.0, 999.0, 12_345.6])
def test_whoever_only_asks_when_told_to_gets_the_rate_exactly(rate: float, parallelism: int) -> None:
    running = Running(GeneratorSource(square, rate_per_s=rate), parallelism)
    records = calls = 0
    end_s = 20 / rate if rate < 100 else 0.5
    while running.clock.monotonic_s() < end_s:
        records += len(running.read(max_records=1000))
        due = min(ready for reader in running.readers if (ready := reader.ready_at_s()) is not None)
        running.clock.advance(max(0.0, due - running.clock.monotonic_s()))
        calls += 1
    # At most a share of 1 ms for each reader is still to come.
    assert end_s * rate + 1 >= records >= end_s * rate - 1 - rate / 1000
    assert calls <= min(records, 1100 * parallelism * end_s) + 2


def test_the_last_records_of_a_fast_generator_do_not_wait_for_a_full_share() -> None:
    running = Running(GeneratorSource(square, count=12, rate_per_s=10_000.0))
    running.clock.advance(0.001)
    assert len(running.read(max_records=10)) == 10
    running.clock.advance(0.0001)
    assert len(running.read()) == 2
    assert running.finished() == [True]


def test_one_reader_with_three_sequences_is_never_told_to_ask_for_nothing_and_comes_to_the_end() -> None:
    source = GeneratorSource(square, count=1000, rate_per_s=7000.0)
    running = Running(source, checkpoint=Running(source, 3).checkpoint())
    [reader] = running.readers
    records = calls = 0
    while not reader.finished():
        fetched = reader.fetch(1000)
        if fetched is not None:
            records += len(fetched.values)
            continue
        ready = reader.ready_at_s()
        assert ready is not None
        assert ready > running.clock.monotonic_s()
        running.clock.advance(ready - running.clock.monotonic_s())
        calls += 1
    assert records == 1000
    assert 0.999 / 7 <= running.clock.monotonic_s() <= 1 / 7
    assert calls <= 1000 / 2 + 3  # two records of a sequence fall due within 1 ms


def test_a_restored_generator_goes_on_at_its_rate_without_making_up_for_the_time_between() -> None:
    source = GeneratorSource(square, rate_per_s=10.0)
    running = Running(source)
    running.read()
    clock = ManualClock(1_000_000)
    restored = Running(source, checkpoint=running.checkpoint(), clock=clock)
    assert restored.read() == [1]
    clock.advance(0.1)
    assert restored.read() == [4]


def test_an_error_of_the_function_names_its_index_and_leaves_the_position() -> None:
    running = Running(GeneratorSource(lambda index: 1 // (5 - index)))
    with pytest.raises(ZeroDivisionError) as failure:
        running.readers[0].fetch(10)
    assert failure.value.__notes__ == ["raised by the function of a GeneratorSource for index 5, subtask 0"]
    assert running.readers[0].snapshot(1)[0].data["next"] == 0


def test_a_function_that_raises_stop_iteration_does_not_end_the_stream_quietly() -> None:
    def take_none(index: int) -> int:
        return next(iter(()))

    with pytest.raises(StopIteration) as raised:
        Running(GeneratorSource(take_none)).readers[0].fetch(10)
    assert raised.value.__notes__ == ["raised by the function of a GeneratorSource for index 0, subtask 0"]


def test_resuming_with_another_count_is_refused() -> None:
    checkpoint = Running(GeneratorSource(square, 10)).checkpoint()
    with pytest.raises(InvalidArgument, match=r"count=...\) is 20, but the checkpoint was taken with 10.*count=10"):
        Running(GeneratorSource(square, 20), checkpoint=checkpoint)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"function": 1}, "function"),
        ({"function": square, "count": -1}, "count"),
        ({"function": square, "count": True}, "count"),
        ({"function": square, "count": 1.5}, "count"),
        ({"function": square, "rate_per_s": 0}, "rate_per_s"),
        ({"function": square, "rate_per_s": float("inf")}, "rate_per_s"),
        ({"function": square, "rate_per_s": "fast"}, "rate_per_s"),
    ],
)
def test_options_of_a_generator_that_make_no_sense_are_refused_by_name(options: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidArgument, match=rf"GeneratorSource\({named}=...\)"):
        GeneratorSource(**options)


# --- both


@pytest.mark.parametrize("source", [CollectionSource([1, 2, 3]), GeneratorSource(square, 3)])
def test_a_source_reads_the_same_in_another_process(source: Source[Any]) -> None:
    assert Running(pickle.loads(pickle.dumps(source))).read() == Running(source).read()


def test_plugin_entries_name_the_classes_and_their_capabilities() -> None:
    for entry in millstream_sources():
        factory: Any = entry.load()
        assert issubclass(factory, Source)
        assert entry.load_capabilities() is factory.__dataclass_fields__["capabilities"].default
