"""How records find their subtask, and that parallelism changes no result."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream import MapFunction, RuntimeContext, StreamExecutionEnvironment, TumblingEventTimeWindows, WatermarkStrategy
from millstream.contracts.key_groups import default_max_parallelism, key_group, subtask_of_group
from millstream.errors import InvalidArgument, InvalidParallelism, JobFailedError


class Where(MapFunction[Any, tuple[int, Any]]):
    """Puts the number of the subtask before each record."""

    def open(self, context: RuntimeContext) -> None:
        self.subtask = context.subtask

    def map(self, value: Any) -> tuple[int, Any]:
        return self.subtask, value


def dealt(stream: Any, parallelism: int) -> dict[int, list[Any]]:
    """What each subtask of the next operator got, in order."""
    got = defaultdict(list)
    for subtask, value in stream.map(Where()).set_parallelism(parallelism).execute_and_collect():
        got[subtask].append(value)
    return dict(got)


def numbers(count: int, senders: int = 1, batch_size: int = 1000) -> Any:
    """0, 1, ... from so many sending subtasks, each sending (sender, number)."""
    env = StreamExecutionEnvironment().configure("execution.batch_size", batch_size)
    stream = env.from_collection(range(count))
    if senders == 1:
        return stream
    return stream.rebalance().map(Where()).set_parallelism(senders).disable_chaining()


@pytest.mark.parametrize("batch_size", [1, 4, 1000])
@pytest.mark.parametrize("receivers", [1, 2, 3, 4])
def test_rebalance_deals_in_turn_and_evenly(receivers: int, batch_size: int) -> None:
    got = dealt(numbers(12, batch_size=batch_size).rebalance(), receivers)
    assert got == {receiver: list(range(receiver, 12, receivers)) for receiver in range(receivers)}


def test_without_a_word_another_parallelism_means_rebalance() -> None:
    assert dealt(numbers(6), 2) == {0: [0, 2, 4], 1: [1, 3, 5]}


@pytest.mark.parametrize("receivers", [2, 4])
def test_rebalance_from_several_senders_loses_and_doubles_nothing(receivers: int) -> None:
    got = dealt(numbers(24, senders=3).rebalance(), receivers)
    assert sorted(value for part in got.values() for _, value in part) == list(range(24))
    assert {len(part) for part in got.values()} == {24 // receivers}


@pytest.mark.parametrize(("senders", "receivers"), [(2, 4), (2, 2), (2, 3), (3, 4)])
def test_rescale_to_more_subtasks_keeps_each_sender_to_its_neighbours(senders: int, receivers: int) -> None:
    got = dealt(numbers(24, senders=senders).rescale(), receivers)
    assert sorted(value for part in got.values() for _, value in part) == list(range(24))
    assert set(got) == set(range(receivers))
    for part in got.values():
        assert len({sender for sender, _ in part}) == 1


@pytest.mark.parametrize(("senders", "receivers"), [(4, 2), (3, 2), (4, 1)])
def test_rescale_to_fewer_subtasks_sends_each_sender_to_one(senders: int, receivers: int) -> None:
    got = dealt(numbers(24, senders=senders).rescale(), receivers)
    assert sorted(value for part in got.values() for _, value in part) == list(range(24))
    assert set(got) == set(range(receivers))
    receivers_of = defaultdict(set)
    for receiver, part in got.items():
        for sender, _ in part:
            receivers_of[sender].add(receiver)
    assert all(len(found) == 1 for found in receivers_of.values())


@pytest.mark.parametrize("receivers", [1, 3])
def test_broadcast_gives_every_subtask_every_record_in_order(receivers: int) -> None:
    assert dealt(numbers(5).broadcast(), receivers) == {receiver: list(range(5)) for receiver in range(receivers)}


def test_broadcast_gives_each_subtask_a_list_of_its_own() -> None:
    def clobber(values: list[int]) -> list[int]:
        for index in range(len(values)):
            values[index] += 100
        return list(values)

    stream = numbers(3).broadcast().map_batch(clobber).set_parallelism(2)
    assert Counter(stream.execute_and_collect()) == {100: 2, 101: 2, 102: 2}


def test_global_sends_everything_to_the_first_subtask() -> None:
    assert dealt(numbers(12, senders=3).global_().map(lambda pair: pair[1]).set_parallelism(3).forward(), 3).keys() == {0}


def test_shuffle_sends_each_record_once_to_some_subtask() -> None:
    env = StreamExecutionEnvironment().configure("execution.seed", 7)
    got = dealt(env.from_collection(range(400)).shuffle(), 4)
    assert sorted(value for part in got.values() for value in part) == list(range(400))
    assert all(50 < len(part) < 150 for part in got.values())
    assert all(part == sorted(part) for part in got.values())


@pytest.mark.parametrize("receivers", [1, 2, 4])
def test_a_custom_partitioner_names_the_subtask(receivers: int) -> None:
    got = dealt(numbers(12).partition_custom(lambda key, n: (key * 5) % n, lambda value: value + 1), receivers)
    assert got == {r: part for r in range(receivers) if (part := [v for v in range(12) if (v + 1) * 5 % receivers == r])}


@pytest.mark.parametrize("wrong", [-1, 2, None, 1.0, "0"])
def test_a_custom_partitioner_that_names_no_subtask_is_an_error(wrong: Any) -> None:
    with pytest.raises(JobFailedError, match=r"the result of the custom partitioner is .*Give an int in range\(2\)") as raised:
        dealt(numbers(3).partition_custom(lambda key, n: wrong, lambda value: value), 2)
    assert isinstance(raised.value.__cause__, InvalidArgument)


def test_a_custom_partitioner_that_raises_shows_its_own_line() -> None:
    stream = numbers(3).map(lambda n: n).disable_chaining()
    with pytest.raises(JobFailedError, match=r"\AZeroDivisionError: .*\n  .*test_partitioning\.py:\d+ in "):
        dealt(stream.partition_custom(lambda key, n: n // 0, lambda value: value), 2)


def test_forward_keeps_records_in_their_subtask() -> None:
    got = dealt(numbers(12, senders=3).forward(), 3)
    assert all(sender == receiver for receiver, part in got.items() for sender, _ in part)
    assert sorted(value for part in got.values() for _, value in part) == list(range(12))


def test_forward_to_another_parallelism_is_refused_before_anything_runs() -> None:
    with pytest.raises(InvalidParallelism, match=r"has parallelism 3, but its forward input .* has 2\. Put rebalance\(\)"):
        dealt(numbers(12, senders=2).forward(), 3)


@pytest.mark.parametrize("parallelism", [2, 3, 4])
def test_a_key_lands_on_the_subtask_that_owns_its_group(parallelism: int) -> None:
    from millstream import KeyedProcessFunction

    class Owner(KeyedProcessFunction[Any, Any, Any]):
        def open(self, context: RuntimeContext) -> None:
            self.subtask = context.subtask

        def process_element(self, value: Any, ctx: Any, out: Any) -> None:
            out.collect((value, self.subtask))

    keys = [f"key-{number}" for number in range(50)] + list(range(50))
    env = StreamExecutionEnvironment().set_parallelism(parallelism)
    rows = env.from_collection(keys).key_by(lambda key: key).process(Owner()).execute_and_collect()
    groups = default_max_parallelism(parallelism)
    for key, subtask in rows:
        assert subtask == subtask_of_group(key_group(key, groups), parallelism, groups)


@pytest.mark.parametrize("parallelism", [0, -1, 1.5, "2", None])
def test_a_parallelism_that_cannot_be_is_refused(parallelism: Any) -> None:
    with pytest.raises(InvalidArgument, match="parallelism is .*Give an int, 1 or more"):
        numbers(3).map(lambda n: n).set_parallelism(parallelism)


def test_a_collection_has_one_reader() -> None:
    with pytest.raises(InvalidArgument, match="parallelism of source 'collection' is 2.*this source cannot be split"):
        numbers(3).set_parallelism(2)


def test_a_generator_divides_its_numbers_among_its_readers() -> None:
    env = StreamExecutionEnvironment().set_parallelism(3)
    assert sorted(env.generate(lambda index: index, count=20).map(lambda n: n).execute_and_collect()) == list(range(20))


# --- parallelism changes no result

EVENTS = st.lists(st.tuples(st.sampled_from(["a", "b", "c", "d", 1, 2]), st.integers(0, 200)), max_size=60)
Pipeline = Callable[[Any], Any]


def windows(stream: Any) -> Any:
    # The bound is the whole range, so that no record is late whatever the order in which subtasks are read.
    strategy: WatermarkStrategy[Any] = WatermarkStrategy.for_bounded_out_of_orderness(timedelta(milliseconds=200))
    stamped = stream.assign_timestamps_and_watermarks(strategy.with_timestamp_assigner(lambda row: row[1]))
    return stamped.key_by(lambda row: row[0]).window(TumblingEventTimeWindows(20, 7)).reduce(lambda a, b: (a[0], a[1] + b[1]))


PIPELINES: dict[str, Pipeline] = {
    "stateless": lambda s: s.map(lambda row: (row[0], row[1] + 1)).filter(lambda row: row[1] % 3).flat_map(lambda row: [row, row]),
    "rolling": lambda s: s.key_by(lambda row: row[0]).fold((0, 0), lambda acc, row: (acc[0] + 1, acc[1] + row[1])),
    "windows": windows,
    "two keys": lambda s: s.key_by(lambda row: row[0]).sum(1).key_by(lambda row: row[1] % 7).fold(0, lambda n, _: n + 1),
}


@pytest.mark.parametrize("name", PIPELINES)
@settings(max_examples=20, deadline=None)
@given(events=EVENTS, parallelism=st.integers(2, 4), batch_size=st.sampled_from([1, 5, 1000]))
def test_parallelism_and_batches_change_no_result(name: str, events: list[Any], parallelism: int, batch_size: int) -> None:
    def results(parallelism: int, batch_size: int) -> Counter[Any]:
        env = StreamExecutionEnvironment().set_parallelism(parallelism).configure("execution.batch_size", batch_size)
        return Counter(PIPELINES[name](env.from_collection(events)).execute_and_collect())

    assert results(parallelism, batch_size) == results(1, 1000)
