"""The topic in which each lane of write-ahead sinks has its marker: one message per lane that counts, the last one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from millstream.contracts.versions import check_version
from millstream.contracts.write_ahead import Marker
from millstream_kafka.client import OFFSET_BEGINNING, Client, KafkaError, KafkaException, TopicPartition
from millstream_kafka.errors import KafkaUnreachable
from millstream_kafka.message import OutgoingMessage
from millstream_kafka.offset_lookup import OffsetLookup

if TYPE_CHECKING:
    from millstream.ports import Clock

PARTITION: Final = 0
_STEP_S: Final = 0.05
_AT_ONCE: Final = 100


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


def is_of_run(key: bytes, run_id: str, sink_uid: str) -> bool:
    """Whether it is a key of some lane of a sink's run."""
    run, _, rest = key.decode(errors="replace").partition("/")
    _, _, uid = rest.partition("/")
    return (run, uid) == (run_id, sink_uid)


def marker_message(topic: str, key: bytes, marker: Marker) -> OutgoingMessage:
    """Moves a lane's marker."""
    value = msgspec.json.encode(_Stored(1, marker.checkpoint_id, marker.chunk))
    return OutgoingMessage(topic, value, key, partition=PARTITION)


def read_markers(client: Client, bootstrap_servers: str, topic: str, clock: Clock, timeout_s: float) -> dict[bytes, Marker]:
    """Every lane's marker, as committed.

    Reads to the end as it is now, open transactions included: whoever has one open on this topic must end it first, or time out, because
    behind its first message nothing can be seen.

    Args:
        timeout_s: how long that may take.

    Raises:
        KafkaUnreachable, KafkaRefused, KafkaFailed: the end was not reached.
    """
    lookup = OffsetLookup(client, client.admin(), None, read_committed=False)
    end = lookup.ends([(topic, PARTITION)])[topic, PARTITION]
    consumer = client.consumer(
        {
            "group.id": "millstream-without-group",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 10,  # at the end it is not worth waiting for more
        }
    )
    markers: dict[bytes, Marker] = {}
    over_s = clock.monotonic_s() + timeout_s
    try:
        consumer.list_topics(topic, timeout=timeout_s)  # else the first fetch waits for a timer of the library
        consumer.assign([TopicPartition(topic, PARTITION, OFFSET_BEGINNING)])
        reached = 0
        while reached < end:
            if clock.monotonic_s() > over_s:
                reason = f"offset {end} of the topic of markers was not reached within {timeout_s:g} s; at {reached}, a transaction may be open"
                raise KafkaUnreachable(bootstrap_servers=bootstrap_servers, doing=f"read topic {topic!r}", reason=reason)
            for message in consumer.consume(_AT_ONCE, _STEP_S):
                error, offset = message.error(), message.offset() or 0
                if error is None:
                    _take(markers, message.key(), message.value())
                    reached = offset + 1
                elif error.code() == KafkaError._PARTITION_EOF:
                    reached = max(reached, offset)
                else:
                    client.fail(f"read topic {topic!r}", error)
    except KafkaException as error:
        client.fail(f"read topic {topic!r}", error)
    finally:
        consumer.close()
    return markers


def _take(markers: dict[bytes, Marker], key: object, value: object) -> None:
    if not isinstance(key, bytes):
        return
    if not isinstance(value, bytes):
        markers.pop(key, None)
        return
    stored = msgspec.json.decode(value, type=_Stored)
    check_version("The marker of a Kafka sink's lane", stored.version, 1)
    markers[key] = Marker(stored.checkpoint, stored.chunk)
