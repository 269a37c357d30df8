"""Finds out which offsets a place means."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

from millstream.errors import InvalidArgument
from millstream.ports import SystemClock
from millstream_kafka.client import (
    OFFSET_BEGINNING,
    OFFSET_INVALID,
    REQUEST_S,
    Client,
    IsolationLevel,
    KafkaError,
    KafkaException,
    OffsetSpec,
    TopicPartition,
)
from millstream_kafka.errors import KafkaUnreachable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from millstream_kafka.client import AdminClient
    from millstream_kafka.offsets import Offsets

Partition: TypeAlias = "tuple[str, int]"

_PATIENCE_S: Final = 30.0
"""For a partition to get another leader: brokers need 9 s to miss one of them, if not told otherwise."""
_ANSWER_S: Final = 3.0
_AGAIN_S: Final = 0.1
_FEW: Final = 50
_SOON: Final = frozenset(
    {
        KafkaError._NOENT,
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
    }
)
"""What is said while a topic is being made, or a partition gets another leader."""

_EARLIEST: Any = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]


class OffsetLookup:
    """Asks the brokers.

    Args:
        client: to explain errors.
        admin: to ask.
        group_id: for committed offsets.
        read_committed: the end is in front of the first open transaction.
    """

    def __init__(self, client: Client, admin: AdminClient, group_id: str | None, *, read_committed: bool) -> None:
        self._client = client
        self._admin = admin
        self._group_id = group_id
        level = IsolationLevel.READ_COMMITTED if read_committed else IsolationLevel.READ_UNCOMMITTED
        self._level = level
        self._clock = SystemClock()

    def find(self, what: str, place: Offsets, partitions: Sequence[Partition], *, to_come: bool = False) -> dict[Partition, int]:
        """The offset of a place in each partition; -2 for the first record there is.

        Args:
            what: the option, for errors.
            to_come: the place may be behind all that is there now.

        Raises:
            InvalidArgument: the place says nothing of a partition, or an offset that is not there.
        """
        if not partitions:
            return {}
        if place.kind == "earliest":
            return dict.fromkeys(partitions, OFFSET_BEGINNING)
        if place.kind == "latest":
            return self.ends(partitions)
        if place.kind == "timestamp":
            found = self._listed({partition: OffsetSpec.for_timestamp(place.timestamp_ms) for partition in partitions})
            return self._or_ends({partition: offset for partition, offset in found.items() if offset >= 0}, partitions)
        known = self._committed(partitions) if place.kind == "committed" else {(name, number): offset for name, number, offset in place.by_partition}
        self._check_places(what, known if place.kind == "given" else {}, partitions)
        known = {partition: known[partition] for partition in partitions if partition in known}
        self._check_range(what, known, to_come=to_come)
        missing = [partition for partition in partitions if partition not in known]
        if missing and place.otherwise == "fail":
            raise InvalidArgument(
                what=what,
                value=f"Offsets.{place.kind}(), which has no offset for partition {missing[0][1]} of topic {missing[0][0]!r}",
                allowed='otherwise="earliest" or "latest" for such partitions',
            )
        return {**known, **(self.ends(missing) if place.otherwise == "latest" else dict.fromkeys(missing, OFFSET_BEGINNING))}

    def beginnings(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        """Offsets of the first records."""
        return self._listed(dict.fromkeys(partitions, _EARLIEST))

    def ends(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        """Offsets behind the last records."""
        return self._listed(dict.fromkeys(partitions, _LATEST))

    def _or_ends(self, found: dict[Partition, int], partitions: Sequence[Partition]) -> dict[Partition, int]:
        return {**found, **self.ends([partition for partition in partitions if partition not in found])}

    def _listed(self, asked: Mapping[Partition, Any]) -> dict[Partition, int]:
        found: dict[Partition, int] = {}
        begun_s = self._clock.monotonic_s()
        while left := {partition: spec for partition, spec in asked.items() if partition not in found}:
            self._look_for_leaders(left)
            answered, error = self._asked(left)
            found.update(answered)
            if len(found) < len(asked):
                if self._clock.monotonic_s() - begun_s > _PATIENCE_S:
                    self._give_up([partition for partition in left if partition not in found], error)
                self._admin.poll(_AGAIN_S)
        return found

    def _look_for_leaders(self, partitions: Iterable[Partition]) -> None:
        """The library asks the leaders that it has heard of last, and never of its own accord who they are now."""
        topics = {topic for topic, _ in partitions}
        try:
            # All topics of a cluster are a long answer, and so are many of one.
            for topic in sorted(topics) if len(topics) <= _FEW else [None]:
                self._admin.list_topics(topic=topic, timeout=REQUEST_S)
        except KafkaException as error:
            self._client.fail("look up offsets", error)

    def _asked(self, partitions: Mapping[Partition, Any]) -> tuple[dict[Partition, int], KafkaError | None]:
        """Of partitions whose leader has answered; and what was said of another."""
        found, refused = {}, None
        specs = {TopicPartition(*partition): spec for partition, spec in partitions.items()}
        for place, future in self._admin.list_offsets(specs, isolation_level=self._level, request_timeout=_ANSWER_S).items():
            try:
                offset = future.result().offset
            except KafkaException as error:
                refused = error.args[0]
                if refused.code() not in _SOON:
                    self._client.fail("look up offsets", error)
            else:
                # No error is told where a leader does not answer: the offset is none.
                if offset != OFFSET_INVALID:
                    found[place.topic, place.partition] = offset
        return found, refused

    def _give_up(self, partitions: Sequence[Partition], error: KafkaError | None) -> NoReturn:
        topic, partition = partitions[0]
        doing = f"look up offsets of partition {partition} of topic {topic!r}"
        if error is not None:
            self._client.fail(doing, error)
        raise KafkaUnreachable(
            bootstrap_servers=self._client.servers, doing=doing, reason=f"its leader has not answered for {_PATIENCE_S:.0f} s, and it gets no other"
        )

    def _committed(self, partitions: Sequence[Partition]) -> dict[Partition, int]:
        consumer = self._client.consumer({"group.id": self._group_id})
        try:
            found = consumer.committed([TopicPartition(*partition) for partition in partitions], timeout=REQUEST_S)
        except KafkaException as error:
            self._client.fail(f"look up what group {self._group_id!r} has committed", error)
        finally:
            consumer.close()
        return {(place.topic, place.partition): place.offset for place in found if place.offset >= 0}

    def _check_places(self, what: str, given: Mapping[Partition, int], partitions: Sequence[Partition]) -> None:
        unknown = sorted(set(given) - set(partitions))
        if not unknown:
            return
        topic, partition = unknown[0]
        counts = Counter(name for name, _ in partitions)
        there = f"partitions 0 to {counts[topic] - 1} of it" if topic in counts else f"partitions of {', '.join(map(repr, sorted(counts)))}"
        raise InvalidArgument(what=what, value=f"an offset in partition {partition} of topic {topic!r}", allowed=f"{there}, which are read")

    def _check_range(self, what: str, offsets: dict[Partition, int], *, to_come: bool) -> None:
        if not offsets:
            return
        first, end = self.beginnings(list(offsets)), {} if to_come else self.ends(list(offsets))
        for (topic, partition), offset in offsets.items():
            place = (topic, partition)
            if not first[place] <= offset <= end.get(place, offset):
                value = f"offset {offset} in partition {partition} of topic {topic!r}"
                there = f"from {first[place]} on, which is the first" if to_come else f"from {first[place]} to {end[place]}, which is what is"
                raise InvalidArgument(what=what, value=value, allowed=f"an offset {there} there")
