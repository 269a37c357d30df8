"""The topic in which each lane of transactional sinks has its marker: one message per lane that counts, the last one."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from millstream.contracts.versions import check_version
from millstream.contracts.write_ahead import Marker
from millstream.ports import SystemClock
from millstream_kafka.client import OFFSET_BEGINNING, Client, Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition, log
from millstream_kafka.errors import KafkaUnreachable
from millstream_kafka.interruptible import interruptibly
from millstream_kafka.message import OutgoingMessage
from millstream_kafka.offset_lookup import OffsetLookup
from millstream_kafka.patience import patiently
from millstream_kafka.preflight import make_marker_topic
from millstream_kafka.producing import produce

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from millstream.contracts.sink import EndedRun
    from millstream.ports import Clock
    from millstream_kafka.second_client import Transactions
    from millstream_kafka.target import KafkaTarget

_STEP_S: Final = 0.05
_HELLO_S: Final = 15.0
_AT_ONCE: Final = 100
_PATIENCE_S: Final = 0.5
_MOVED_S: Final = 30.0
_SETTINGS: Final = {
    "group.id": "millstream-without-group",
    "enable.auto.commit": False,
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    "enable.partition.eof": True,
    "fetch.wait.max.ms": 10,  # at the end it is not worth waiting for more
}


class _Stored(msgspec.Struct):
    """What a marker's message holds.

    Attributes:
        version: of this layout.
        checkpoint: the last epoch of which something was written.
        chunk: number of its last chunk.
    """

    version: int
    checkpoint: int
    chunk: int


def key_of(run_id: str, sink_uid: str, lane: int) -> bytes:
    """By which a lane's marker is found."""
    return f"{run_id}/{lane}/{sink_uid}".encode()


def _is_of_run(key: bytes, run: EndedRun) -> bool:
    run_id, _, rest = key.decode(errors="replace").partition("/")
    _, _, uid = rest.partition("/")
    return (run_id, uid) == (run.run_id, run.sink_uid)


class MarkerTopic:
    """Reads and moves markers. Makes the topic if it is missing.

    The key of a lane decides about its partition, so that few lanes stand in each other's way: behind the first message of an open
    transaction nothing of a partition can be seen.

    Args:
        client: for the brokers.
        name: of the topic.
        clock: for limits.

    Raises:
        KafkaRefused: a topic of that name would lose markers.
    """

    def __init__(self, client: Client, name: str, clock: Clock) -> None:
        self._client = client
        self._name = name
        self._clock = clock
        self._count = make_marker_topic(client, client.servers, name)

    def _partition_of(self, key: bytes) -> int:
        return zlib.crc32(key) % self._count

    def message(self, key: bytes, marker: Marker | None) -> OutgoingMessage:
        """Moves a lane's marker; None removes it."""
        value = msgspec.json.encode(_Stored(1, marker.checkpoint_id, marker.chunk)) if marker is not None else None
        return OutgoingMessage(self._name, value, key, partition=self._partition_of(key))

    def read(self, key: bytes, patience_s: float, *, strict: bool) -> Marker | None:
        """A lane's marker, as committed.

        Args:
            patience_s: how long to wait for transactions that are open, of whatever lane.
            strict: whether they must have ended then. Else what stands in front of the first of them is enough: of one lane, what is committed
                stands in front of what is not.

        Raises:
            KafkaUnreachable: a transaction was open for longer.
            KafkaRefused, KafkaFailed: the topic cannot be read.
        """
        return self._read([self._partition_of(key)], patience_s, strict=strict).get(key)

    def newest(self, key: bytes, transactions: Transactions) -> Marker | None:
        """A lane's marker, as committed, whatever stays open in front of it.

        Readers see nothing behind the first transaction that is open. It may be of another lane or job, and stay open for as long as that
        job is down; nobody waits for it, who may have to be waited for in turn. What is hidden is looked up in the log itself.

        Args:
            transactions: to look it up.

        Raises:
            KafkaUnreachable, KafkaRefused, KafkaFailed: the topic cannot be read.
        """
        partition = self._partition_of(key)
        place = (self._name, partition)
        stable, end = (self._ends([place], read_committed=level)[place] for level in (True, False))
        seen = self.read(key, _PATIENCE_S, strict=False)
        if stable >= end:
            return seen
        ranges = patiently(lambda: transactions.committed(self._name, partition, stable, end), _MOVED_S)
        hidden = self._hidden(key, TopicPartition(self._name, partition, stable), end, ranges)
        return max((marker for marker in (seen, hidden) if marker is not None), default=None)

    def _hidden(self, key: bytes, begin: TopicPartition, end: int, committed: Sequence[range]) -> Marker | None:
        """The last marker of the lane at one of these offsets, from a place to an end."""
        markers: dict[bytes, Marker] = {}
        for message in self._messages(begin, end):
            if message.key() == key and any(message.offset() in offsets for offsets in committed):
                _take(markers, key, message.value())
        return markers.get(key)

    def _messages(self, begin: TopicPartition, end: int) -> Iterator[Message]:
        """All that is between two offsets, whatever becomes of it."""
        consumer = self._client.consumer({**_SETTINGS, "isolation.level": "read_uncommitted"})
        over_s = self._clock.monotonic_s() + _HELLO_S
        offset = begin.offset
        try:
            interruptibly(lambda: consumer.list_topics(self._name, timeout=_HELLO_S))
            consumer.assign([begin])
            while offset < end:
                if self._clock.monotonic_s() > over_s:
                    reason = f"the end of topic {self._name!r} was not reached within {_HELLO_S:.1f} s: at {offset} of {end}"
                    raise KafkaUnreachable(bootstrap_servers=self._client.servers, doing="read markers", reason=reason)
                for message in consumer.consume(_AT_ONCE, _STEP_S):
                    error, offset = message.error(), message.offset() or 0
                    if error is None:
                        yield message
                        offset += 1
                    elif error.code() != KafkaError._PARTITION_EOF:
                        self._client.fail(f"read topic {self._name!r}", error)
        except KafkaException as error:
            self._client.fail(f"read topic {self._name!r}", error)
        finally:
            consumer.close()

    def _connect(self, handle: Consumer | Producer) -> None:
        """Else the first fetch, or the first message, waits half a second for a timer of the library."""
        interruptibly(lambda: handle.list_topics(self._name, timeout=_HELLO_S))

    def _ends(self, places: Sequence[tuple[str, int]], *, read_committed: bool) -> dict[tuple[str, int], int]:
        return OffsetLookup(self._client, self._client.admin(), None, read_committed=read_committed).ends(places)

    def forget(self, run: EndedRun, target: KafkaTarget[Any]) -> None:
        """Removes the markers of a run that is over, also those that no reader sees yet, behind what others hold open."""
        markers = self._read(range(self._count), _HELLO_S, strict=False, isolation="read_uncommitted")
        producer = self._client.producer(target.settings())
        interruptibly(lambda: producer.list_topics(self._name, timeout=_HELLO_S))
        try:
            produce(producer, [self.message(key, None) for key in markers if _is_of_run(key, run)])
        except KafkaException as error:
            self._client.fail(f"write to topic {self._name!r}", error)
        producer.flush(_HELLO_S)

    def _read(self, partitions: Sequence[int], patience_s: float, *, strict: bool, isolation: str = "read_committed") -> dict[bytes, Marker]:
        places = [(self._name, number) for number in partitions]
        ends = {partition: end for (_, partition), end in self._ends(places, read_committed=False).items() if end}
        if not ends:
            return {}
        consumer = self._client.consumer({**_SETTINGS, "isolation.level": isolation})
        try:
            interruptibly(lambda: consumer.list_topics(self._name, timeout=_HELLO_S))
            consumer.assign([TopicPartition(self._name, partition, OFFSET_BEGINNING) for partition in ends])
            return self._read_to(ends, consumer, patience_s, strict=strict)
        except KafkaException as error:
            self._client.fail(f"read topic {self._name!r}", error)
        finally:
            consumer.close()

    def _read_to(self, ends: dict[int, int], consumer: Consumer, patience_s: float, *, strict: bool) -> dict[bytes, Marker]:
        markers: dict[bytes, Marker] = {}
        left, unseen = dict(ends), set(ends)
        begun_s = self._clock.monotonic_s()
        while left:
            waited_s = self._clock.monotonic_s() - begun_s
            if waited_s > patience_s and (not unseen or waited_s > patience_s + _HELLO_S):
                reason = f"the end of topic {self._name!r} was not reached within {waited_s:.1f} s: {left}; a transaction may be open"
                if strict or unseen:
                    raise KafkaUnreachable(bootstrap_servers=self._client.servers, doing="read markers", reason=reason)
                log.info("%s", reason)
                break
            for message in consumer.consume(_AT_ONCE, _STEP_S):
                error, partition, offset = message.error(), message.partition() or 0, message.offset() or 0
                if error is None:
                    _take(markers, message.key(), message.value())
                    offset += 1
                elif error.code() == KafkaError._PARTITION_EOF:
                    unseen.discard(partition)
                else:
                    self._client.fail(f"read topic {self._name!r}", error)
                if offset >= ends.get(partition, 0):
                    left.pop(partition, None)
                    unseen.discard(partition)
        return markers


def forget_markers(target: KafkaTarget[Any], topic: str, run: EndedRun) -> None:
    """Removes the markers of a run that is over."""
    MarkerTopic(Client(target.connection, "KafkaSink"), topic, SystemClock()).forget(run, target)


def _take(markers: dict[bytes, Marker], key: object, value: object) -> None:
    if not isinstance(key, bytes):
        return
    if not isinstance(value, bytes):
        markers.pop(key, None)
        return
    stored = msgspec.json.decode(value, type=_Stored)
    check_version("The marker of a Kafka sink's lane", stored.version, 1)
    markers[key] = Marker(stored.checkpoint, stored.chunk)
