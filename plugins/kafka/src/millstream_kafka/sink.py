"""Sink that writes to topics of Apache Kafka.

Guarantee: with `delivery="exactly_once"` the records of a checkpoint and a marker become visible in one transaction when the checkpoint is
complete, once, to readers with `isolation.level=read_committed`. No transaction stays open meanwhile, so that nothing is lost however long
the job is down. With "at_least_once" records are sent at once, and those behind the last checkpoint come again after a failure.

Needs: Kafka 2.8 or newer, 3.0 for "exactly_once_2pc"; for both kinds of transactions the rights to transactional ids with the sink's prefix, and to
the topic of markers. A user without them is told before a record comes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from millstream.contracts.sink import AnySink, BaseSink
from millstream.errors import InvalidArgument
from millstream.plugins.formats import format_of
from millstream_kafka.names import ALLOWED, is_topic
from millstream_kafka.settings import REFUSED_BY_SINK, check_function, connection
from millstream_kafka.target import KafkaTarget, check_limit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from millstream.contracts.format import Format
    from millstream.contracts.guarantee import SinkCapabilities

T = TypeVar("T")

_PREFIX = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_DELIVERIES = ("at_least_once", "exactly_once", "exactly_once_2pc")
_MARKER_TOPICS = {"exactly_once": "millstream-markers", "exactly_once_2pc": "millstream-markers-2pc"}
_LONGEST = timedelta(milliseconds=2**31 - 1)
"""That a transaction may take by Kafka's protocol."""
_TIMEOUTS = {"exactly_once": timedelta(minutes=1), "exactly_once_2pc": timedelta(minutes=15)}


@dataclass(frozen=True)
class KafkaSink(BaseSink[T]):
    """Writes each record as a message, with its event time as the message's timestamp where the stream has one.

    Args:
        bootstrap_servers: addresses of some brokers, `host:port`, with commas.
        topic: name, or a function of the record.
        format: of the value: a Format, or the name of one ("raw", "text", "json"). None as a record is written as a tombstone.
        delivery: "at_least_once", "exactly_once", or "exactly_once_2pc": records are sent at once into a transaction that is committed when
            the checkpoint is complete. Its load is smoother, and it needs the extra `millstream-kafka[2pc]`; what a checkpoint has prepared is
            lost when the job is down longer than `transaction_timeout`, which ends it with an error.
        key: function of the record: bytes, str or None. Messages of one key are in one partition, in order: the one that Java's producer
            chooses, too.
        key_format: what else a key is: a Format, for keys with a schema of their own say, or the name of one.
        headers: function of the record: names and values.
        partition: function of the record: number of the partition; without it the key decides.
        transactional_id_prefix: how transactional ids of "exactly_once" begin.
        transaction_timeout: how long the brokers keep a transaction that is not ended. For "exactly_once" one is open while the records of
            a checkpoint are written, and a minute is the default; for "exactly_once_2pc" from the first record to the end of its checkpoint
            and however long the job is down in between: 15 minutes, the most that brokers allow unless told otherwise. A job whose
            checkpoints may take longer is refused.
        marker_topic: compacted topic for markers, made if it is missing; several sinks and jobs of one delivery may share it. None for
            "millstream-markers", and "millstream-markers-2pc" for "exactly_once_2pc": there transactions stay open while a job is down, and
            "exactly_once" would have to wait for them.
        client: further settings of librdkafka, by name: TLS, SASL, compression, sizes. Passwords as `Secret("${env:NAME}")`.

    Raises:
        InvalidArgument: an option makes no sense.
        SettingRefused: a setting of the client that the guarantee depends on.
        UnknownPlugin: no plugin offers a format.
    """

    bootstrap_servers: str | Sequence[str]
    topic: str | Callable[[T], str]
    format: Format[T] | str = "raw"
    delivery: Literal["at_least_once", "exactly_once", "exactly_once_2pc"] = "at_least_once"
    key: Callable[[T], Any] | None = None
    headers: Callable[[T], Mapping[str, Any] | Sequence[tuple[str, Any]]] | None = None
    partition: Callable[[T], int] | None = None
    transactional_id_prefix: str = "millstream"
    transaction_timeout: timedelta | None = None
    marker_topic: str | None = None
    client: Mapping[str, Any] = field(default_factory=dict, repr=False)
    key_format: Format[Any] | str | None = None
    capabilities: SinkCapabilities = field(init=False, repr=False)
    target: KafkaTarget[T] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        connected = connection("KafkaSink", self.bootstrap_servers, self.client, REFUSED_BY_SINK)
        object.__setattr__(self, "bootstrap_servers", connected.bootstrap_servers)
        object.__setattr__(self, "client", connected.settings)
        object.__setattr__(self, "format", format_of("KafkaSink(format=...)", self.format))
        if self.delivery not in _DELIVERIES:
            raise InvalidArgument(what="KafkaSink(delivery=...)", value=repr(self.delivery), allowed=" or ".join(f'"{one}"' for one in _DELIVERIES))
        if not callable(self.topic):
            self._check_topic("topic", self.topic)
        prefix: Any = self.transactional_id_prefix
        if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
            raise InvalidArgument(what="KafkaSink(transactional_id_prefix=...)", value=repr(prefix), allowed="letters, digits, '.', '_' and '-'")
        if self.marker_topic is None:
            object.__setattr__(self, "marker_topic", _MARKER_TOPICS.get(self.delivery))
        else:
            self._check_topic("marker_topic", self.marker_topic)
        if self.topic == self.marker_topic and self.delivery != "at_least_once":
            allowed = "another topic, for markers alone: it is compacted, and readers of the records would find markers among them"
            raise InvalidArgument(what="KafkaSink(marker_topic=...)", value=f"{self.marker_topic!r}, the topic of the records", allowed=allowed)
        for name in ("key", "headers", "partition"):
            check_function(f"KafkaSink({name}=...)", getattr(self, name), "the record")
        timeout: Any = self.transaction_timeout
        if timeout is not None and (not isinstance(timeout, timedelta) or not timedelta(seconds=1) <= timeout <= _LONGEST):
            raise InvalidArgument(what="KafkaSink(transaction_timeout=...)", value=repr(timeout), allowed="a timedelta of a second to 24 days")
        check_limit("KafkaSink(client=...)", connected)
        keys = format_of("KafkaSink(key_format=...)", self.key_format) if self.key_format is not None else None
        if keys is not None and self.key is None:
            raise InvalidArgument(what="KafkaSink(key_format=...)", value="given without key=", allowed="key=..., a function of the record, with it")
        values = format_of("KafkaSink(format=...)", self.format)
        markers = self.marker_topic if self.delivery != "at_least_once" else None
        target = KafkaTarget(connected, self.topic, values, self.key, self.headers, self.partition, keys, markers)
        object.__setattr__(self, "target", target)
        object.__setattr__(self, "capabilities", self.resolve().capabilities)

    def _check_topic(self, name: str, value: object) -> None:
        if not is_topic(value):
            raise InvalidArgument(what=f"KafkaSink({name}=...)", value=repr(value), allowed=ALLOWED)

    def resolve(self) -> AnySink:
        from millstream_kafka.at_least_once import AtLeastOnceKafkaSink
        from millstream_kafka.exactly_once import ExactlyOnceKafkaSink
        from millstream_kafka.two_phase import TwoPhaseKafkaSink

        if self.delivery == "at_least_once":
            return AtLeastOnceKafkaSink(self.target)
        kind = ExactlyOnceKafkaSink if self.delivery == "exactly_once" else TwoPhaseKafkaSink
        timeout = self.transaction_timeout or _TIMEOUTS[self.delivery]
        return kind(self.target, self.transactional_id_prefix, self.marker_topic or "", timeout.total_seconds())
