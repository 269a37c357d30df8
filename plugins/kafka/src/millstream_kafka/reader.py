"""Reads the partitions that one subtask was given."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from millstream.contracts.source import Fetched, ReaderContext, SourceReader, Split
from millstream.ports import ThreadExecutor, crash_point
from millstream_kafka.client import Client, KafkaError, KafkaException, Message, TopicPartition, log
from millstream_kafka.errors import OffsetOutOfRange
from millstream_kafka.interruptible import interruptibly
from millstream_kafka.split import KafkaSplit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millstream_kafka.deserializers import Deserializer
    from millstream_kafka.source import KafkaSource

T = TypeVar("T")

_WAIT_S: Final = 0.2
"""How long the waiting thread may stay inside the client."""

_HELLO_S: Final = 2.0
_CLOSE_S: Final = 5.0
_AT_ONCE: Final = 500
"""Messages taken from the client in one call: more of them do not stay in the processor's cache."""

_FIXED: Final = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
}
_PASSING: Final = frozenset({KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT, KafkaError._RESOLVE})
"""Errors between messages after which the client goes on by itself."""


@dataclass(slots=True)
class _Reading:
    """A partition that is being read.

    Attributes:
        split: as it was given.
        position: offset of the record behind the last one that was handed on.
        handed: offsets of what was handed on last, for people.
    """

    split: KafkaSplit
    position: int
    handed: tuple[int, int] = (0, 0)


class KafkaReader(SourceReader[T]):
    """Messages of partitions to records.

    The client fetches in threads of its own; the mailbox thread takes what is there. Only when nothing is, a thread waits inside the
    client for the next message and wakes the reader up.

    Args:
        source: the options.
        context: of the subtask.
        deserializer: makes records of messages.
    """

    pauses_splits: ClassVar[bool] = True

    def __init__(self, source: KafkaSource[T], context: ReaderContext, deserializer: Deserializer[T]) -> None:
        self._context = context
        self._deserializer = deserializer
        self._commits = source.group_id is not None
        self._topics = source.topics
        self._client = Client(source.connection, "KafkaSource")
        group_id = source.group_id or "millstream-without-group"
        fixed = {"group.id": group_id, "isolation.level": source.isolation_level, "enable.partition.eof": source.bounded}
        self._consumer = self._client.consumer({**_FIXED, **fixed, **source.quick()})
        self._waiter = ThreadExecutor(1)
        self._waiting = False
        self._looking_up = False
        self._lookup_error: BaseException | None = None
        self._arrived: list[Message] = []
        self._reading: dict[tuple[str, int], _Reading] = {}
        self._parts: deque[tuple[_Reading, list[Message]]] = deque()
        self._finished: list[str] = []
        self._to_pause: dict[str, bool] = {}
        self._no_more = False
        self._commit_after: dict[int, list[TopicPartition]] = {}
        self._last: _Reading | None = None
        context.metrics.gauge("pendingRecords", self._lag)

    def start(self) -> None:
        try:
            # Connects: else the first fetch waits half a second for a timer of the library. All topics of a cluster are a long answer.
            topic = self._topics[0] if self._topics else None
            interruptibly(lambda: self._consumer.list_topics(topic=topic, timeout=_HELLO_S))
        except KafkaException as error:
            log.info("%s: no broker answers yet: %s", self._client.servers, error)
        self._context.request_split()

    def add_splits(self, splits: Sequence[Split]) -> None:
        assigned = []
        for split in map(KafkaSplit.from_split, splits):
            self._reading[split.topic, split.partition] = _Reading(split, split.offset)
            assigned.append(TopicPartition(split.topic, split.partition, split.offset))
        self._consumer.incremental_assign(assigned)
        self._context.wake()

    def no_more_splits(self) -> None:
        self._no_more = True
        self._context.wake()

    def pause_or_resume_splits(self, pause: Sequence[str], resume: Sequence[str]) -> None:
        self._to_pause.update(dict.fromkeys(pause, True) | dict.fromkeys(resume, False))
        self._context.wake()

    def _pause_or_resume(self) -> None:
        """Called while no thread waits inside the client: a pause gives up what was fetched and not taken yet."""
        changes, self._to_pause = self._to_pause, {}
        for change, paused in ((self._consumer.pause, True), (self._consumer.resume, False)):
            places = [TopicPartition(*place) for place, reading in self._reading.items() if changes.get(reading.split.split_id) is paused]
            if places:
                change(places)

    # --- reading

    def fetch(self, max_records: int) -> Fetched[T] | None:
        while True:
            while self._parts:
                if not self._is_looked_up(self._parts[0][1]):
                    return None
                fetched = self._hand_on(*self._parts.popleft())
                if fetched is not None:
                    return fetched
            if self._waiting or not self._reading:
                return None
            messages, self._arrived = self._arrived, []
            if self._to_pause:
                self._pause_or_resume()
            if not messages:
                messages = self._consumer.consume(min(max_records, _AT_ONCE), 0)
            if not messages:
                self._wait()
                return None
            self._divide(messages)

    def _is_looked_up(self, messages: list[Message]) -> bool:
        """Whether messages can be made records at once. If not, another thread asks for what is missing, and wakes the reader up."""
        if self._looking_up:
            return False
        if self._lookup_error is not None:
            raise self._lookup_error
        lookup = self._deserializer.lookup(messages) if messages[-1].error() is None else None
        if lookup is None:
            return True
        self._looking_up = True
        self._context.executor.submit(lookup, self._looked_up)
        return False

    def _looked_up(self, _: object, error: BaseException | None) -> None:
        # On the other thread. The reader does not touch the deserializer while `_looking_up` is set.
        self._lookup_error = error
        self._looking_up = False
        self._context.wake()

    def _wait(self) -> None:
        self._waiting = True
        self._waiter.submit(lambda: self._consumer.consume(1, _WAIT_S), self._woken)

    def _woken(self, messages: list[Message] | None, error: BaseException | None) -> None:
        # On the waiting thread. The reader touches neither while `_waiting` is set.
        self._arrived = messages or []
        self._waiting = False
        if error is not None:
            log.warning("waiting for messages: %s", error)
        self._context.wake()

    def _divide(self, messages: list[Message]) -> None:
        """Into runs of one partition each, without what is no message."""
        # Never compared with ==: to compare an error with None leaves an exception behind that the next call of anything raises.
        if not any(map(Message.error, messages)):
            self._divide_by_partition(messages)
            return
        begin = 0
        for number, message in enumerate(messages):
            error = message.error()
            if error is not None:
                self._divide_by_partition(messages[begin:number])
                begin = number + 1
                self._take_error(message, error)
        self._divide_by_partition(messages[begin:])

    def _take_error(self, message: Message, error: KafkaError) -> None:
        if error.code() == KafkaError._PARTITION_EOF:
            self._add_part([message])
        elif error.code() not in _PASSING:
            self._fail(message, error)

    def _divide_by_partition(self, messages: list[Message]) -> None:
        if not messages:
            return
        partitions: list[Any] = list(map(Message.partition, messages))
        topics = list(map(Message.topic, messages)) if self._several_topics() else None
        if partitions.count(partitions[0]) == len(partitions) and (topics is None or topics.count(topics[0]) == len(topics)):
            self._add_part(messages)
            return
        places = partitions if topics is None else list(zip(topics, partitions))
        begin = 0
        for number in range(1, len(messages)):
            if places[number] != places[begin]:
                self._add_part(messages[begin:number])
                begin = number
        self._add_part(messages[begin:])

    def _several_topics(self) -> bool:
        topics = {topic for topic, _ in self._reading}
        return len(topics) > 1

    def _add_part(self, messages: list[Message]) -> None:
        place = messages[0].topic(), messages[0].partition()
        reading = self._reading.get(place)  # type: ignore[arg-type]  # a message has both
        if reading is not None:  # else it was read to its end, and the client still had more
            self._parts.append((reading, messages))

    def _fail(self, message: Message, error: KafkaError) -> None:
        topic, partition = message.topic() or "", message.partition() or 0
        reading = self._reading.get((topic, partition))
        if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE) and reading is not None:
            first = end = -1
            try:
                first, end = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=5)
            except KafkaException as unknown:
                log.debug("offsets of %s-%s: %s", topic, partition, unknown)
            raise OffsetOutOfRange(topic=topic, partition=partition, offset=reading.position, first=first, end=end)
        where = f"partition {partition} of topic {topic!r}" if topic else "its topics"
        self._client.fail(f"read {where}", error)

    def _hand_on(self, reading: _Reading, messages: list[Message]) -> Fetched[T] | None:
        last = messages[-1]
        stop = reading.split.stop
        behind: int = last.offset() + 1  # type: ignore[operator]  # a message has one
        if last.error() is not None:  # the end of the partition, alone
            if stop is not None and behind - 1 >= stop:
                self._finish(reading)
            return None
        if stop is not None and behind >= stop:
            messages = [message for message in messages if message.offset() < stop]  # type: ignore[operator]
            self._finish(reading)
        if not messages:
            return None
        fetched = self._deserializer.fetched(reading.split.split_id, messages)
        reading.handed = (messages[0].offset() or 0, messages[-1].offset() or 0)
        reading.position = reading.handed[1] + 1
        self._last = reading
        crash_point("source.split.mid")
        return fetched

    def _finish(self, reading: _Reading) -> None:
        split = reading.split
        if self._reading.pop((split.topic, split.partition), None) is None:
            return
        self._parts = deque(part for part in self._parts if part[0] is not reading)
        self._consumer.incremental_unassign([TopicPartition(split.topic, split.partition)])
        self._finished.append(split.split_id)
        crash_point("source.split.finished_not_checkpointed")

    def position(self, split_id: str) -> str:
        reading = self._last
        if reading is None:
            return ""
        first, last = reading.handed
        offsets = f"offset {first}" if first == last else f"offsets {first} to {last}"
        return f"topic {reading.split.topic!r}, partition {reading.split.partition}, {offsets}"

    def finished(self) -> bool:
        return self._no_more and not self._reading and not self._parts

    def finished_splits(self) -> Sequence[str]:
        finished, self._finished = self._finished, []
        return finished

    def _lag(self) -> int:
        """Records that are there and were not read yet, as far as the client knows without asking."""
        lag = 0
        for (topic, partition), reading in list(self._reading.items()):
            try:
                _, end = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), cached=True)
            except (KafkaException, RuntimeError):  # it was closed meanwhile
                continue
            lag += max(0, end - reading.position) if reading.position >= 0 else 0
        return lag

    # --- checkpoints

    def snapshot(self, checkpoint_id: int) -> Sequence[Split]:
        splits = []
        for reading in self._reading.values():
            split = reading.split
            splits.append(KafkaSplit(split.topic, split.topic_id, split.partition, reading.position, split.stop).to_split())
        if self._commits:
            self._commit_after[checkpoint_id] = [
                TopicPartition(reading.split.topic, reading.split.partition, reading.position)
                for reading in self._reading.values()
                if reading.position >= 0
            ]
        return splits

    def notify_checkpoint_complete(self, checkpoint_id: int) -> None:
        offsets = self._commit_after.pop(checkpoint_id, None)
        self._commit_after = {later: kept for later, kept in self._commit_after.items() if later > checkpoint_id}
        if offsets:
            try:
                self._consumer.commit(offsets=offsets, asynchronous=True)
            except KafkaException as error:  # for information only
                log.warning("offsets of checkpoint %d were not committed to the group: %s", checkpoint_id, error)

    def close(self) -> None:
        closed = Event()
        self._waiter.submit(self._consumer.close, lambda _, error: closed.set())
        # The library waits for answers to commits, a minute or more while a broker is silent; they are for information only.
        self._context.clock.wait(closed, _CLOSE_S)
        self._waiter.close(0)
