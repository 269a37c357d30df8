"""Source that reads topics of Apache Kafka.

Guarantee: exactly once, because positions are offsets, kept in the job's checkpoints. Offsets that a group commits are for others to look
at: the job never goes on from them, except for the first start with `Offsets.committed()`.

Needs: topics that keep records until they were read. A position that is gone, a topic that vanished or was made anew stop the job.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from millstream.contracts.guarantee import SourceCapabilities
from millstream.contracts.source import EnumeratorContext, ReaderContext, Source
from millstream.errors import InvalidArgument
from millstream.plugins.formats import format_of
from millstream_kafka.names import ALLOWED, is_topic
from millstream_kafka.offsets import Offsets
from millstream_kafka.settings import REFUSED_BY_SOURCE, Connection, check_function, connection, texts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from millstream.contracts.format import Format
    from millstream_kafka.enumerator import KafkaEnumerator
    from millstream_kafka.reader import KafkaReader
    from millstream_kafka.record import KafkaRecord

T = TypeVar("T")

CAPABILITIES: Final = SourceCapabilities(replayable=True)
_QUICK: Final = {"fetch.queue.backoff.ms": 5}
"""The library waits a second before it fetches on when its queue was full."""
_LONGEST: Final = timedelta(days=365)


@dataclass(frozen=True)
class KafkaSource(Source[T]):
    """Reads topics; each partition is one split, read in order by one subtask.

    Records carry the timestamps of their messages, in ms. Only committed transactions are read, unless told otherwise.

    Args:
        bootstrap_servers: addresses of some brokers, `host:port`, with commas.
        topics: name of a topic, or several.
        format: what a value is: a Format, such as AvroFormat(registry), or the name of one ("raw", "text", "json").
        topic_pattern: instead of topics: a regular expression for the whole name. Topics that appear later are read too.
        deserializer: instead of a format: a function of KafkaRecord, for keys, headers and the rest. What it raises makes the message
            rejected input, for the source's `on_error`.
        start: where to begin when the job starts for the first time.
        stop: where to end, found out at the same moment; given offsets may be of records still to come. None to read for ever.
        group_id: group to which offsets are committed behind each checkpoint, for information.
        isolation_level: "read_committed" or "read_uncommitted".
        tombstones: what becomes of messages without a value: "fail" makes them rejected input, "skip" passes over them, "none" makes None of
            them. A deserializer sees them as they are.
        discovery_interval: how often to look for new partitions, and whether the topics are still there.
        client: further settings of librdkafka, by name: TLS, SASL, sizes. Passwords as `Secret("${env:NAME}")`.

    Raises:
        InvalidArgument: an option makes no sense.
        SettingRefused: a setting of the client that the guarantee depends on.
        UnknownPlugin: no plugin offers the format.
    """

    bootstrap_servers: str | Sequence[str]
    topics: str | Sequence[str] = ()
    format: Format[T] | str = "raw"
    topic_pattern: str | None = None
    deserializer: Callable[[KafkaRecord], T] | None = None
    start: Offsets = field(default_factory=Offsets.earliest)
    stop: Offsets | None = None
    group_id: str | None = None
    isolation_level: Literal["read_committed", "read_uncommitted"] = "read_committed"
    tombstones: Literal["fail", "skip", "none"] = "fail"
    discovery_interval: timedelta = timedelta(minutes=1)
    client: Mapping[str, Any] = field(default_factory=dict, repr=False)
    bounded: bool = field(init=False)
    capabilities: SourceCapabilities = field(init=False, default=CAPABILITIES, repr=False)
    connection: Connection = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._set("connection", connection("KafkaSource", self.bootstrap_servers, self.client, REFUSED_BY_SOURCE))
        self._set("bootstrap_servers", self.connection.bootstrap_servers)
        self._set("client", self.connection.settings)
        self._set("topics", self._given_topics())
        given = self.format
        self._set("format", format_of("KafkaSource(format=...)", given))
        self._set("bounded", self.stop is not None)
        self._check_topics()
        check_function("KafkaSource(deserializer=...)", self.deserializer, "the KafkaRecord")
        if self.deserializer is not None and self.format != format_of("KafkaSource(format=...)", "raw"):
            value = f"{given!r}, beside a deserializer"
            raise InvalidArgument(what="KafkaSource(format=...)", value=value, allowed="a format or a deserializer, one of both")
        self._check_choice("isolation_level", ("read_committed", "read_uncommitted"))
        self._check_choice("tombstones", ("fail", "skip", "none"))
        for name in ("start", "stop"):
            place: object = getattr(self, name)
            if not isinstance(place, Offsets) and not (name == "stop" and place is None):
                allowed = "Offsets.earliest(), .latest(), .at(when), .committed() or .given({...})"
                raise InvalidArgument(what=f"KafkaSource({name}=...)", value=repr(place), allowed=allowed)
            if isinstance(place, Offsets) and place.kind == "committed" and self.group_id is None:
                raise InvalidArgument(what="KafkaSource(group_id=...)", value="None", allowed=f"a group, for {name}=Offsets.committed()")
        group: Any = self.group_id
        if group is not None and (not isinstance(group, str) or not group.strip()):
            raise InvalidArgument(what="KafkaSource(group_id=...)", value=repr(group), allowed="the name of a group, or None for none")
        interval: Any = self.discovery_interval
        if not isinstance(interval, timedelta) or not timedelta(0) < interval <= _LONGEST:
            allowed = "a timedelta above zero, of at most 365 days"
            raise InvalidArgument(what="KafkaSource(discovery_interval=...)", value=repr(interval), allowed=allowed)

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    def _given_topics(self) -> tuple[str, ...]:
        found = texts(self.topics)
        if found is None:
            raise InvalidArgument(what="KafkaSource(topics=...)", value=repr(self.topics), allowed="the name of a topic, or several")
        return found

    def _check_topics(self) -> None:
        if (not self.topics) == (self.topic_pattern is None):
            value = f"topics={self.topics!r}, topic_pattern={self.topic_pattern!r}"
            raise InvalidArgument(what="KafkaSource(topics=...)", value=value, allowed="topics or a topic_pattern, one of both")
        wrong = [name for name in self.topics if not is_topic(name)]
        if wrong:
            allowed = f"names of topics: {ALLOWED}; topic_pattern takes a regular expression"
            raise InvalidArgument(what="KafkaSource(topics=...)", value=repr(wrong[0]), allowed=allowed)
        if len(set(self.topics)) < len(self.topics):
            raise InvalidArgument(what="KafkaSource(topics=...)", value=repr(self.topics), allowed="names of topics, each of them once")
        pattern: Any = self.topic_pattern
        if pattern is not None and not isinstance(pattern, str):
            raise InvalidArgument(
                what="KafkaSource(topic_pattern=...)", value=repr(pattern), allowed="a text: a regular expression for the whole name"
            )
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                allowed = "a regular expression for the whole name"
                raise InvalidArgument(what="KafkaSource(topic_pattern=...)", value=f"{pattern!r} ({error})", allowed=allowed) from None

    def _check_choice(self, name: str, allowed: tuple[str, ...]) -> None:
        if getattr(self, name) not in allowed:
            named = ", ".join(f'"{one}"' for one in allowed)
            raise InvalidArgument(what=f"KafkaSource({name}=...)", value=repr(getattr(self, name)), allowed=named)

    def quick(self) -> dict[str, Any]:
        """Settings of the client that are better than its defaults, unless the user chose."""
        return {name: value for name, value in _QUICK.items() if name not in self.client}

    def create_enumerator(self, context: EnumeratorContext, state: bytes | None) -> KafkaEnumerator:
        from millstream_kafka.enumerator import KafkaEnumerator

        return KafkaEnumerator(self, context, state)

    def create_reader(self, context: ReaderContext) -> KafkaReader[T]:
        from millstream_kafka.deserializers import RecordDeserializer, RegistryDeserializer, ValueDeserializer
        from millstream_kafka.reader import KafkaReader
        from millstream_kafka.registry.format import RegistryFormat

        if self.deserializer is not None:
            return KafkaReader(self, context, RecordDeserializer(self.deserializer))
        format = format_of("KafkaSource(format=...)", self.format)
        if isinstance(format, RegistryFormat):
            return KafkaReader(self, context, RegistryDeserializer(format, self.tombstones))
        return KafkaReader(self, context, ValueDeserializer(format.decoder(), self.tombstones))
