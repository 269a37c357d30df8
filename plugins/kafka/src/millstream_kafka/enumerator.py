"""Finds partitions and gives each to one reader."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Final

import msgspec

from millstream.contracts.source import EnumeratorContext, Split, SplitEnumerator
from millstream.contracts.versions import check_version
from millstream.ports import crash_point
from millstream_kafka.client import OFFSET_BEGINNING, Client
from millstream_kafka.errors import TopicUnknown, TopicVanished
from millstream_kafka.offset_lookup import OffsetLookup
from millstream_kafka.rights import require_group, require_rights
from millstream_kafka.split import KafkaSplit
from millstream_kafka.topics import Topic, described, matching, required

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millstream_kafka.source import KafkaSource

_STATE_FORMAT: Final = 1
_COLLECT_S: Final = 0.05
"""How often it is looked whether the brokers have answered."""


class _State(msgspec.Struct, array_like=True):
    """What a checkpoint keeps of the enumerator.

    Attributes:
        format: number of this layout.
        known: id and number of partitions found so far, by topic.
        unassigned: splits that no reader has.
    """

    format: int
    known: dict[str, tuple[str, int]]
    unassigned: list[KafkaSplit]


class KafkaEnumerator(SplitEnumerator):
    """Looks for partitions when the job starts and, for an input without an end, again and again.

    The start rule is for the partitions that are there when the job starts for the first time. One that is found later is read from its
    first record: nobody can have read it before.

    Args:
        source: the options.
        context: of the coordinator.
        state: what an earlier enumerator's `snapshot` returned.

    Raises:
        KafkaUnreachable, KafkaRefused: the brokers do not answer, or not this user.
        TopicUnknown: there is nothing to read.
        TopicVanished: what was read before is gone.
        InvalidArgument: it cannot be begun there.
    """

    def __init__(self, source: KafkaSource[Any], context: EnumeratorContext, state: bytes | None) -> None:
        self._source = source
        self._context = context
        self._client = Client(source.connection, "KafkaSource")
        self._admin = self._client.admin()
        if source.group_id is not None:
            require_group(self._client, self._admin, source.group_id)
        read_committed = source.isolation_level == "read_committed"
        self._lookup = OffsetLookup(self._client, self._admin, source.group_id, read_committed=read_committed)
        self._known: dict[str, tuple[str, int]] = {}
        self._unassigned: list[KafkaSplit] = []
        self._readers: dict[int, None] = {}
        self._answers: list[tuple[list[Topic] | None, BaseException | None]] = []
        self._closed = False
        if state is not None:
            restored = msgspec.msgpack.decode(state, type=_State)
            check_version("The partitions that a Kafka source has found", restored.format, _STATE_FORMAT)
            self._known, self._unassigned = restored.known, restored.unassigned
            self._take(self._look())
        else:
            self._begin(self._look())

    # --- discovery

    def _look(self) -> list[Topic]:
        """The topics as they are, those that are being read included. Blocks."""
        topics = self._found()
        for topic in topics:
            require_rights(self._source.connection.bootstrap_servers, topic, ["READ"])
        return topics

    def _found(self) -> list[Topic]:
        source = self._source
        if source.topic_pattern is None:
            if not self._known:
                return required(self._client, self._admin, source.topics, source.connection.bootstrap_servers)
            wanted = source.topics
        else:
            found = matching(self._client, self._admin, source.topic_pattern)
            if not found and not self._known:
                name = f"that matches {source.topic_pattern!r}"
                raise TopicUnknown(topic=name, bootstrap_servers=source.connection.bootstrap_servers)
            wanted = tuple(topic.name for topic in found)
        found_again = described(self._client, self._admin, sorted({*wanted, *self._known}))
        for name, topic in found_again.items():
            if topic is None and name in self._known:
                raise TopicVanished(topic=name, reason="it is gone")
            if topic is None:
                raise TopicUnknown(topic=repr(name), bootstrap_servers=source.connection.bootstrap_servers)
        return [topic for topic in found_again.values() if topic is not None]

    def _begin(self, topics: list[Topic]) -> None:
        partitions = [(topic.name, number) for topic in topics for number in range(topic.partitions)]
        starts = self._lookup.find("KafkaSource(start=...)", self._source.start, partitions)
        stops: dict[tuple[str, int], int] = {}
        if self._source.stop is not None:
            stops = self._lookup.find("KafkaSource(stop=...)", self._source.stop, partitions, to_come=True)
            begin = [partition for partition, offset in starts.items() if offset == OFFSET_BEGINNING]
            starts.update(self._lookup.beginnings(begin))
        ids = {topic.name: topic.topic_id for topic in topics}
        for topic, number in partitions:
            start, stop = starts[topic, number], stops.get((topic, number))
            if stop is None or start < stop:
                self._unassigned.append(KafkaSplit(topic, ids[topic], number, start, stop))
        self._known = {topic.name: (topic.topic_id, topic.partitions) for topic in topics}

    def _take(self, topics: list[Topic]) -> None:
        """Partitions that were not there before."""
        for topic in topics:
            topic_id, count = self._known.get(topic.name, (topic.topic_id, 0))
            if topic_id != topic.topic_id:
                raise TopicVanished(topic=topic.name, reason="it was deleted and another one has its name now")
            if topic.partitions < count:
                raise TopicVanished(topic=topic.name, reason=f"it has {topic.partitions} partitions instead of {count}")
            if self._source.stop is None:
                new = range(count, topic.partitions)
                self._unassigned += [KafkaSplit(topic.name, topic_id, number, OFFSET_BEGINNING) for number in new]
                self._known[topic.name] = (topic_id, topic.partitions)

    def start(self) -> None:
        self._serve()
        self._look_again_later()

    def _look_again_later(self) -> None:
        self._context.call_later(self._source.discovery_interval.total_seconds(), self._look_again)

    def _look_again(self) -> None:
        if not self._closed:
            self._context.executor.submit(self._look, lambda found, error: self._answers.append((found, error)))
            self._context.call_later(_COLLECT_S, self._collect)

    def _collect(self) -> None:
        """The brokers' answer, on the coordinator's thread."""
        if self._closed:
            return
        if not self._answers:
            self._context.call_later(_COLLECT_S, self._collect)
            return
        found, error = self._answers.pop()
        if error is not None and not getattr(error, "outage", False):
            raise error
        if found is not None:
            self._take(found)
            self._serve()
        self._look_again_later()

    # --- readers

    def handle_split_request(self, subtask: int) -> None:
        self._readers[subtask] = None
        self._serve()
        if subtask in self._readers:  # more may come; a reader that has none meanwhile must not stop event time
            self._context.no_splits_yet(subtask)

    def add_splits_back(self, splits: Sequence[Split], subtask: int) -> None:
        self._readers.pop(subtask, None)
        self._unassigned += [KafkaSplit.from_split(split) for split in splits]
        self._serve()

    def _serve(self) -> None:
        shares: dict[int, list[KafkaSplit]] = {}
        for split in self._unassigned:
            shares.setdefault(self._owner(split), []).append(split)
        for subtask in self._readers:
            if subtask in shares:
                taken = shares.pop(subtask)
                self._context.assign(subtask, [split.to_split() for split in taken])
                crash_point("source.assign.before_ack")
        self._unassigned = [split for share in shares.values() for split in share]
        if self._source.stop is not None:
            for subtask in list(self._readers):
                self._context.no_more_splits(subtask)
                del self._readers[subtask]

    def _owner(self, split: KafkaSplit) -> int:
        """Neighbouring partitions go to neighbouring readers, and topics do not all begin with the same one."""
        return (zlib.crc32(split.topic.encode()) + split.partition) % self._context.parallelism

    def snapshot(self, checkpoint_id: int) -> bytes:
        return msgspec.msgpack.encode(_State(_STATE_FORMAT, self._known, self._unassigned))

    def close(self) -> None:
        self._closed = True
