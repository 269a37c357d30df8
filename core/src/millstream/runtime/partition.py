"""Dealing the records of a batch out over the subtasks behind an edge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from millstream.contracts.key_groups import KeyGroups, subtask_of_group
from millstream.errors import InvalidArgument, MillstreamError
from millstream.records import RecordBatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from millstream.graph.job_graph import JobEdge
    from millstream.ports import Random


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
        choose: gives the channel of a record.
        function: the user's part of `choose`, to be named in errors.
        failure: makes the error for what the user's part raised.
    """

    def __init__(self, channels: int, choose: Callable[[Any], int], function: object, failure: Failure) -> None:
        self._channels = channels
        self._choose = choose
        self._function = function
        self._failure = failure

    def split(self, batch: RecordBatch[Any]) -> Iterable[tuple[int, RecordBatch[Any]]]:
        choose = self._choose
        values: list[list[Any]] = [[] for _ in range(self._channels)]
        times: list[list[int]] | None = None if batch.timestamps is None else [[] for _ in range(self._channels)]
        value = None
        try:
            if times is None or batch.timestamps is None:
                for value in batch.values:
                    values[choose(value)].append(value)
            else:
                for value, timestamp in zip(batch.values, batch.timestamps, strict=True):
                    number = choose(value)
                    values[number].append(value)
                    times[number].append(timestamp)
        except MillstreamError:
            raise
        except Exception as error:
            raise self._failure(self._function, error, value) from error
        highest = batch.highest
        return [(number, RecordBatch(part, times[number] if times is not None else None, highest)) for number, part in enumerate(values) if part]


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
        return ByFunction(receivers, lambda _: random.below(receivers), None, failure)
    assert selector is not None  # noqa: S101 - hash and custom always carry one
    if kind == "custom":
        return ByFunction(receivers, _checked(selector, edge.partitioning.key, receivers), selector, failure)
    group_of = KeyGroups(edge.target_max_parallelism)
    target = [subtask_of_group(group, receivers, edge.target_max_parallelism) for group in range(edge.target_max_parallelism)]
    return ByFunction(receivers, lambda value: target[group_of(selector(value))], selector, failure)


def rescale_range(subtask: int, senders: int, receivers: int) -> range:
    """The receivers that one sender of a rescale edge feeds: neighbours, never all of them unless there is one sender."""
    if receivers >= senders:
        return range(-(-subtask * receivers // senders), -(-(subtask + 1) * receivers // senders))
    target = subtask * receivers // senders
    return range(target, target + 1)


def _checked(selector: Callable[[Any, int], int], key: Callable[[Any], Any] | None, receivers: int) -> Callable[[Any], int]:
    def choose(value: Any) -> int:
        number = selector(key(value) if key else value, receivers)
        if not isinstance(number, int) or not 0 <= number < receivers:
            raise InvalidArgument(what="the result of the custom partitioner", value=repr(number), allowed=f"an int in range({receivers})")
        return number

    return choose
