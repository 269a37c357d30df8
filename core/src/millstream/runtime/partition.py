"""Dealing the records of a batch out over the subtasks behind an edge."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from millstream.contracts.key_groups import KeyGroups, subtask_of_group
from millstream.errors import InvalidArgument, MillstreamError
from millstream.records import RecordBatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from millstream.graph.job_graph import JobEdge
    from millstream.ports import Random


T = TypeVar("T")

Failure: TypeAlias = "Callable[[object, BaseException, object], MillstreamError]"
"""Makes an error of a user function, what it raised, and the record."""


class Partitioner(Protocol):
    """Says which channels get which part of a batch."""

    def split(self, batch: RecordBatch[Any]) -> Iterable[tuple[int, RecordBatch[Any]]]:
        """Pairs of channel number and batch. No list is handed out twice."""


class OneChannel:
    """Everything to one channel: forward and global."""

    def __init__(self, channel: int) -> None:
        self._channel = channel

    def split(self, batch: RecordBatch[Any]) -> Iterable[tuple[int, RecordBatch[Any]]]:
        return ((self._channel, batch),)


class Broadcast:
    """A copy to every channel."""

    def __init__(self, channels: int) -> None:
        self._channels = channels

    def split(self, batch: RecordBatch[Any]) -> Iterable[tuple[int, RecordBatch[Any]]]:
        return [(number, copy_batch(batch)) for number in range(self._channels)]


class RoundRobin:
    """Record by record to the next channel: rebalance, and rescale within its range."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._next = 0

    def split(self, batch: RecordBatch[Any]) -> Iterable[tuple[int, RecordBatch[Any]]]:
        n = self._channels
        first, self._next = self._next, (self._next + len(batch.values)) % n
        parts = []
        for offset in range(min(n, len(batch.values))):
            times = batch.timestamps
            part = RecordBatch(batch.values[offset::n], times[offset::n] if times is not None else None, batch.highest)
            parts.append(((first + offset) % n, part))
        return parts


class ByFunction:
    """Each record to the channel that a function of it names: hash, shuffle and custom.

    Args:
        choose: gives the channels of records.
    """

    def __init__(self, channels: int, choose: Callable[[list[Any]], list[int]]) -> None:
        self._channels = channels
        self._choose = choose

    def split(self, batch: RecordBatch[Any]) -> Iterable[tuple[int, RecordBatch[Any]]]:
        numbers = self._choose(batch.values)
        if numbers.count(numbers[0]) == len(numbers):
            return ((numbers[0], batch),)
        values = _dealt(self._channels, numbers, batch.values)
        times = None if batch.timestamps is None else _dealt(self._channels, numbers, batch.timestamps)
        highest = batch.highest
        return [(number, RecordBatch(part, times[number] if times is not None else None, highest)) for number, part in enumerate(values) if part]


def _dealt(channels: int, numbers: list[int], items: list[T]) -> list[list[T]]:
    parts: list[list[T]] = [[] for _ in range(channels)]
    append = [part.append for part in parts]
    for number, item in zip(numbers, items, strict=True):
        append[number](item)
    return parts


class Called:
    """A user's function over the records of a batch, in one pass of the interpreter.

    Args:
        function: to call.
        named: what errors call it.
        failure: makes the error for what it raises.
    """

    def __init__(self, function: Callable[..., Any], named: object, failure: Failure) -> None:
        self._function = function
        self._named = named
        self._failure = failure

    def __call__(self, values: list[Any], *arguments: Iterable[Any]) -> list[Any]:
        """What it gives for each of the first of `arguments`, or else of the values; the values are the records, for errors."""
        results: list[Any] = []
        try:
            # extend keeps what was done before an exception: so it is known which record is at fault.
            results.extend(map(self._function, *(arguments or (values,))))
        except MillstreamError:
            raise
        except Exception as error:
            raise self._failure(self._named, error, values[len(results)]) from error
        if len(results) < len(values):  # it raised StopIteration, which ends map() silently
            ended = StopIteration()
            raise self._failure(self._named, ended, values[len(results)]) from ended
        return results


def copy_batch(batch: RecordBatch[Any]) -> RecordBatch[Any]:
    """The same records in lists of their own."""
    return RecordBatch(list(batch.values), list(batch.timestamps) if batch.timestamps is not None else None, batch.highest)


def receivers_of(edge: JobEdge, subtask: int, senders: int, receivers: int) -> range:
    """The subtasks that one sender of an edge has a channel to."""
    kind = edge.partitioning.kind
    if kind == "forward":
        return range(subtask, subtask + 1)
    if kind == "rescale":
        return rescale_range(subtask, senders, receivers)
    return range(receivers)


def make_partitioner(edge: JobEdge, receivers: int, random: Random, failure: Failure) -> Partitioner:
    """The partitioner of one sending subtask that has channels to so many receivers; channel numbers count these.

    `failure` makes the error for a selector that raises: of the function, what it raised, and the records at hand.
    """
    kind, selector = edge.partitioning.kind, edge.partitioning.selector
    if kind in ("forward", "global"):
        return OneChannel(0)
    if kind == "broadcast":
        return Broadcast(receivers)
    if kind in ("rebalance", "rescale"):
        return RoundRobin(receivers)
    if kind == "shuffle":
        return ByFunction(receivers, lambda values: [random.below(receivers) for _ in values])
    assert selector is not None  # noqa: S101 - hash and custom always carry one
    called = Called(selector, selector, failure)
    if kind == "custom":
        key = Called(edge.partitioning.key, selector, failure) if edge.partitioning.key is not None else None
        return ByFunction(receivers, _custom(called, key, receivers))
    groups = KeyGroups(edge.target_max_parallelism)
    target = [subtask_of_group(group, receivers, edge.target_max_parallelism) for group in range(edge.target_max_parallelism)]
    return ByFunction(receivers, lambda values: [target[group] for group in groups.of_batch(called(values))])


def rescale_range(subtask: int, senders: int, receivers: int) -> range:
    """The receivers that one sender of a rescale edge feeds: neighbours, never all of them unless there is one sender."""
    if receivers >= senders:
        return range(-(-subtask * receivers // senders), -(-(subtask + 1) * receivers // senders))
    target = subtask * receivers // senders
    return range(target, target + 1)


def _custom(selector: Called, key: Called | None, receivers: int) -> Callable[[list[Any]], list[int]]:
    known = set(range(receivers))

    def choose(values: list[Any]) -> list[int]:
        keys = key(values) if key is not None else values
        numbers = selector(values, keys, repeat(receivers))
        if set(map(type, numbers)) == {int} and known.issuperset(numbers):
            return numbers
        for number in numbers:
            if not isinstance(number, int) or not 0 <= number < receivers:
                raise InvalidArgument(what="the result of the custom partitioner", value=repr(number), allowed=f"an int in range({receivers})")
        return numbers

    return choose
