"""A keyed stream as a DataStream: what may stand behind key_by, and where each key's records go."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream import (
    DataStream,
    FilterFunction,
    FlatMapFunction,
    KeyedStream,
    MapFunction,
    OutputTag,
    ProcessFunction,
    RuntimeContext,
    StreamExecutionEnvironment,
    ValueStateDescriptor,
    WatermarkStrategy,
    dead_letter,
)
from millstream.contracts.key_groups import KeyGroups, subtask_of_group
from millstream.errors import JobFailedError, KeyedStreamFixed, KeySelectorFailed, MissingUid, NotKeyed, UnsupportedKey, UserFunctionFailed
from millstream.testing import OperatorHarness

Pair = tuple[str, int]
PAIRS: list[Pair] = [("a", 1), ("b", 2), ("a", 3), ("c", 4), ("b", 5), ("d", 6), ("a", 7)]
LETTERS: OutputTag[Any] = OutputTag("letters")


def by_word(pair: Pair) -> str:
    return pair[0]


def by_number(pair: Pair) -> int:
    return pair[1]


def keyed(pairs: Iterable[Pair] = PAIRS, parallelism: int = 1, batch_size: int = 1000) -> KeyedStream[str, Pair]:
    env = StreamExecutionEnvironment().set_parallelism(parallelism).configure("execution.batch_size", batch_size)
    return env.from_collection(list(pairs)).key_by(by_word)


class Doubled(ProcessFunction[Pair, Pair]):
    def process_element(self, value: Pair, ctx: Any, out: Any) -> None:
        out.collect((value[0], value[1] * 2))


class Numbered(MapFunction[Pair, tuple[str, int]]):
    """Each record's word, and how many of that word there were."""

    def open(self, context: RuntimeContext) -> None:
        self.count = context.get_state(ValueStateDescriptor("count", int, default=0))

    def map(self, value: Pair) -> tuple[str, int]:
        if value[1] < 0:
            raise ValueError(value)
        count = (self.count.value() or 0) + 1
        self.count.update(count)
        return value[0], count


class FirstOfEach(FilterFunction[Pair]):
    def open(self, context: RuntimeContext) -> None:
        self.seen = context.get_state(ValueStateDescriptor("seen", bool, default=False))

    def filter(self, value: Pair) -> bool:
        seen = self.seen.value()
        self.seen.update(True)
        return not seen


class MeanOfTwo(FlatMapFunction[Pair, tuple[str, float]]):
    """The mean of every two numbers of a word."""

    def open(self, context: RuntimeContext) -> None:
        self.first = context.get_state(ValueStateDescriptor("first", int))

    def flat_map(self, value: Pair) -> Iterable[tuple[str, float]] | None:
        first = self.first.value()
        if first is None:
            self.first.update(value[1])
            return None
        self.first.clear()
        return [(value[0], (first + value[1]) / 2)]


# --- what may stand behind key_by

OPERATIONS = {
    "map": lambda stream: stream.map(lambda pair: (pair[0], pair[1] * 2)),
    "filter": lambda stream: stream.filter(lambda pair: pair[1] > 2),
    "flat_map": lambda stream: stream.flat_map(lambda pair: [pair] * pair[1]),
    "map_batch": lambda stream: stream.map_batch(lambda pairs: [(word, number * 2) for word, number in pairs]),
    "flat_map_batch": lambda stream: stream.flat_map_batch(lambda pairs: [word for word, number in pairs if number > 2]),
    "process": lambda stream: stream.process(Doubled()),
    "union": lambda stream: stream.union(stream, stream.map(lambda pair: pair)),
    "timestamps": lambda stream: stream.assign_timestamps_and_watermarks(WatermarkStrategy.for_monotonous_timestamps()),
    "nothing": lambda stream: stream,
}


@pytest.mark.parametrize("parallelism", [1, 3])
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_an_operation_behind_key_by_gives_the_records_that_it_gives_without(operation: Any, parallelism: int) -> None:
    plain = StreamExecutionEnvironment().set_parallelism(parallelism).from_collection(PAIRS)
    wanted = sorted(operation(plain).execute_and_collect())
    assert sorted(operation(keyed(parallelism=parallelism)).execute_and_collect()) == wanted


@pytest.mark.parametrize("operation", [operation for name, operation in OPERATIONS.items() if name != "nothing"])
def test_what_an_operation_gives_is_no_longer_keyed(operation: Any) -> None:
    assert type(operation(keyed())) is DataStream


class Where(MapFunction[Any, tuple[int, Any]]):
    """Puts the number of the subtask before each record. Behind a union, so that it has no keys."""

    def open(self, context: RuntimeContext) -> None:
        self.subtask = context.subtask

    def map(self, value: Any) -> tuple[int, Any]:
        return self.subtask, value


@pytest.mark.parametrize("parallelism", [2, 3, 5])
@pytest.mark.parametrize("how", ["map", "map_batch", "process", "union"])
def test_all_records_of_a_key_are_in_the_subtask_that_owns_its_group(how: str, parallelism: int) -> None:
    def tell(subtask: int, pairs: list[Pair]) -> list[Any]:
        return [(subtask, pair) for pair in pairs]

    class Tell(ProcessFunction[Pair, Any]):
        def open(self, context: RuntimeContext) -> None:
            self.subtask = context.subtask

        def process_element(self, value: Pair, ctx: Any, out: Any) -> None:
            out.collect((self.subtask, value))

    stream = keyed([(f"word {n % 17}", n) for n in range(100)], parallelism)
    told = {
        "map": lambda: stream.map(Where()),
        "map_batch": lambda: stream.map_batch(lambda pairs: pairs).map(Where()),
        "process": lambda: stream.process(Tell()),
        "union": lambda: stream.union(stream).map(Where()),
    }[how]()
    group_of = KeyGroups(128)
    rows = list(told.execute_and_collect())
    assert len(rows) == (200 if how == "union" else 100)
    assert all(subtask == subtask_of_group(group_of(pair[0]), parallelism, 128) for subtask, pair in rows)


def test_the_records_of_a_key_keep_their_order() -> None:
    got = defaultdict(list)
    for word, number in keyed([(str(n % 7), n) for n in range(200)], parallelism=3, batch_size=4).map(lambda pair: pair).execute_and_collect():
        got[word].append(number)
    assert got == {str(k): [n for n in range(200) if n % 7 == k] for k in range(7)}


def test_key_by_again_deals_out_by_the_last_key_only() -> None:
    counted = keyed([("a", 1), ("b", 1), ("a", 2)]).key_by(by_number).fold(0, lambda count, pair: count + 1)
    assert list(counted.execute_and_collect()) == [1, 2, 1]
    stream = keyed(parallelism=2)
    stream.key_by(by_number).sum(1).print()
    (edge,) = stream.environment.job_graph("test").vertices[0].outputs
    assert (edge.partitioning.kind, edge.partitioning.selector) == ("hash", by_number)


def test_a_side_output_is_keyed_and_read_like_any_stream() -> None:
    class Split(ProcessFunction[Pair, Pair]):
        def process_element(self, value: Pair, ctx: Any, out: Any) -> None:
            ctx.output(LETTERS, value[0])

    split = keyed(parallelism=2).process(Split())
    assert sorted(split.get_side_output(LETTERS).key_by(lambda word: word).map(str.upper).execute_and_collect()) == sorted("ABACBDA")
    split = keyed().process(Split())
    assert list(split.key_by(by_word).get_side_output(LETTERS).execute_and_collect()) == list("abacbda")


@pytest.mark.parametrize("parallelism", [1, 2])
def test_a_keyed_edge_before_a_stateless_operator_is_chained_only_where_there_is_one_subtask(parallelism: int) -> None:
    stream = keyed(parallelism=parallelism)
    stream.map(lambda pair: pair, name="map").print()
    stream.print()
    vertices = stream.environment.job_graph("test").vertices
    chains = [[operator.name for operator in vertex.chain] for vertex in vertices]
    if parallelism == 1:
        assert chains == [["collection", "map", "print", "print"]]
    else:
        assert chains == [["collection"], ["map", "print"], ["print"]]
        assert [(edge.partitioning.kind, edge.partitioning.selector) for edge in vertices[0].outputs] == [("hash", by_word)] * 2


# --- what a keyed stream has not


@pytest.mark.parametrize("how", ["rebalance", "rescale", "broadcast", "forward", "global_", "shuffle"])
def test_dealing_a_keyed_stream_out_otherwise_is_refused_with_the_fix(how: str) -> None:
    with pytest.raises(KeyedStreamFixed, match=f"dealt out by key, which '{how.strip('_')}' would undo. Deal it out in front of key_by, or behind"):
        getattr(keyed(), how)()


def test_a_custom_partitioner_on_a_keyed_stream_is_refused_with_the_fix() -> None:
    with pytest.raises(KeyedStreamFixed, match="dealt out by key, which 'custom' would undo"):
        keyed().partition_custom(lambda key, n: 0, by_word)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("name", ("x",)), ("uid", ("x",)), ("set_parallelism", (2,)), ("set_max_parallelism", (2,)), ("disable_chaining", ()), ("start_new_chain", ())],
)
def test_a_keyed_stream_is_no_operator_to_be_named(setting: str, value: Any) -> None:
    stream = keyed()
    before = repr(stream.node)
    with pytest.raises(KeyedStreamFixed, match=rf"has no {setting}\. Call {setting}\(\.\.\.\) in front of key_by, or on the operator behind it"):
        getattr(stream, setting)(*value)
    assert repr(stream.node) == before


# --- functions with state of the key


@pytest.mark.parametrize("batch_size", [1, 1000])
@pytest.mark.parametrize("parallelism", [1, 3])
def test_map_filter_and_flat_map_have_state_of_the_records_key(parallelism: int, batch_size: int) -> None:
    def rows(operation: str, function: Any) -> list[Any]:
        return sorted(getattr(keyed(PAIRS, parallelism, batch_size), operation)(function).execute_and_collect())

    assert rows("map", Numbered()) == [("a", 1), ("a", 2), ("a", 3), ("b", 1), ("b", 2), ("c", 1), ("d", 1)]
    assert rows("filter", FirstOfEach()) == [("a", 1), ("b", 2), ("c", 4), ("d", 6)]
    assert rows("flat_map", MeanOfTwo()) == [("a", 2.0), ("b", 3.5)]


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.integers(0, 9))), st.integers(1, 4), st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_state_of_a_key_is_the_same_at_any_parallelism(pairs: list[Pair], parallelism: int, batch_size: int) -> None:
    counts: dict[str, int] = defaultdict(int)
    wanted = []
    for word, _ in pairs:
        counts[word] += 1
        wanted.append((word, counts[word]))
    assert sorted(keyed(pairs, parallelism, batch_size).map(Numbered()).execute_and_collect()) == sorted(wanted)


def numbered(stream: Any) -> Any:
    return stream.key_by(by_word, key_type=str).map(Numbered())


def test_state_of_a_key_comes_back_at_another_parallelism() -> None:
    with OperatorHarness(numbered) as harness:
        harness.process_all([("a", 1), ("b", 1), ("a", 2)])
        saved = harness.snapshot()
    group_of = KeyGroups(128)
    for word, wanted in [("a", 3), ("b", 2)]:
        subtask = subtask_of_group(group_of(word), 2, 128)
        with OperatorHarness(numbered, subtask=subtask, parallelism=2, restore=[saved]) as harness:
            harness.process((word, 1))
            assert harness.values == [(word, wanted)]


@pytest.mark.parametrize("timestamps", [[10, 20, 30, 40], None])
def test_results_take_the_timestamp_of_their_record(timestamps: list[int] | None) -> None:
    pairs = [("a", 1), ("b", 2), ("a", 5), ("b", 4)]
    with OperatorHarness(lambda stream: stream.key_by(by_word).flat_map(MeanOfTwo())) as harness:
        harness.process_all(pairs, timestamps)
        assert harness.records == [(("a", 3.0), timestamps and 30), (("b", 3.0), timestamps and 40)]
    with OperatorHarness(lambda stream: stream.key_by(by_word).filter(FirstOfEach())) as harness:
        harness.process_all(pairs, timestamps)
        assert harness.records == [(("a", 1), timestamps and 10), (("b", 2), timestamps and 20)]


@pytest.mark.parametrize("batch_size", [1, 1000])
def test_a_record_that_fails_is_set_aside_alone(batch_size: int) -> None:
    pairs = [("a", 1), ("b", -1), ("b", -2), ("a", 2), ("b", 3), ("a", -3)]
    mapped = keyed(pairs, batch_size=batch_size).map(Numbered(), on_error="skip")
    assert list(mapped.execute_and_collect()) == [("a", 1), ("a", 2), ("b", 1)]
    letters = keyed(pairs, batch_size=batch_size).map(Numbered(), on_error=dead_letter(LETTERS), name="numbered").get_side_output(LETTERS)
    assert [(letter.record, letter.error) for letter in letters.execute_and_collect()] == [
        (repr(pair), f"ValueError: {pair}") for pair in pairs if pair[1] < 0
    ]


def test_what_a_flat_map_gave_before_it_raised_is_dropped_with_its_record() -> None:
    class Half(FlatMapFunction[Pair, int]):
        def open(self, context: RuntimeContext) -> None:
            self.total = context.get_state(ValueStateDescriptor("total", int, default=0))

        def flat_map(self, value: Pair) -> Iterable[int]:
            yield value[1]
            if value[1] == 2:
                raise ValueError("half way")
            yield -value[1]

    with OperatorHarness(lambda stream: stream.key_by(by_word).flat_map(Half(), on_error="skip")) as harness:
        harness.process_all([("a", 1), ("a", 2), ("b", 3)], [10, 20, 30])
        assert harness.records == [(1, 10), (-1, 10), (3, 30), (-3, 30)]


def test_a_failure_names_the_users_line_the_operator_and_the_record() -> None:
    with pytest.raises(
        JobFailedError, match=r"test_keyed_stream\.py:\d+ in map.*\n.*Numbered\.map in operator 'numbered'.*on record \('a', -1\)"
    ) as raised:
        list(keyed([("a", 1), ("a", -1)]).map(Numbered(), name="numbered").execute_and_collect())
    assert isinstance(raised.value.__cause__, UserFunctionFailed)


@pytest.mark.parametrize("parallelism", [1, 2])
@pytest.mark.parametrize("key", [None, 1.5, []])
def test_a_key_that_cannot_be_one_is_refused(key: Any, parallelism: int) -> None:
    env = StreamExecutionEnvironment().set_parallelism(parallelism)
    with pytest.raises(JobFailedError) as raised:
        list(env.from_collection(PAIRS).key_by(lambda pair: key).map(Numbered(), on_error="skip").execute_and_collect())
    assert isinstance(raised.value.__cause__, UnsupportedKey)


@pytest.mark.parametrize("parallelism", [1, 2])
@pytest.mark.parametrize("raises", [KeyError, StopIteration])
def test_a_key_selector_that_raises_fails_the_job_whatever_the_policy(raises: type[Exception], parallelism: int) -> None:
    def select(pair: Pair) -> str:
        raise raises("no key")

    env = StreamExecutionEnvironment().set_parallelism(parallelism)
    with pytest.raises(JobFailedError) as raised:
        list(env.from_collection(PAIRS).key_by(select).map(Numbered(), on_error="skip").execute_and_collect())
    assert isinstance(raised.value.__cause__, KeySelectorFailed)


def test_with_checkpoints_a_function_that_may_have_state_needs_a_uid() -> None:
    env = StreamExecutionEnvironment().enable_checkpointing(timedelta(seconds=1))
    stream = env.from_collection(PAIRS, uid="in").key_by(by_word)
    stream.map(lambda pair: pair).filter(bool).print()
    env.job_graph("test")
    stream.map(Numbered(), name="numbered").print()
    with pytest.raises(MissingUid, match="'numbered'"):
        env.job_graph("test")


class Greedy(ProcessFunction[Pair, Pair]):
    def open(self, context: RuntimeContext) -> None:
        context.get_state(ValueStateDescriptor("count", int))

    def process_element(self, value: Pair, ctx: Any, out: Any) -> None:
        out.collect(value)


class GreedyBatch(MapFunction[Any, Any]):
    def open(self, context: RuntimeContext) -> None:
        context.get_state(ValueStateDescriptor("count", int))

    def map(self, value: Any) -> Any:
        return value

    __call__ = map


@pytest.mark.parametrize(
    ("build", "fix"),
    [
        (lambda stream: stream.process(Greedy()), r"Make it a KeyedProcessFunction, behind key_by\(\.\.\.\)"),
        (lambda stream: stream.map_batch(GreedyBatch()), r"A list of records has many keys: use map, flat_map or process behind key_by"),
        (lambda stream: stream.union(stream).map(GreedyBatch()), r"Put key_by\(\.\.\.\) in front of it"),
    ],
)
def test_a_function_without_state_per_key_is_told_how_to_get_some(build: Any, fix: str) -> None:
    with pytest.raises(JobFailedError, match=f"asked for keyed state 'count', which needs a key. {fix}") as raised:
        list(build(keyed()).execute_and_collect())
    assert isinstance(raised.value.__cause__, NotKeyed)
