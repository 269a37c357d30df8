"""What can go wrong with Kafka and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from millstream.errors import MillstreamError


@dataclass(kw_only=True, eq=False)
class KafkaUnreachable(MillstreamError):
    """No broker answered in time. It may come back: the restart strategy decides.

    Attributes:
        bootstrap_servers: where it was looked for.
        doing: what was to be done there.
        reason: of the client.
    """

    code: ClassVar[str] = "kafka.unreachable"
    permanent: ClassVar[bool] = False
    outage: ClassVar[bool] = True

    bootstrap_servers: str
    doing: str
    reason: str

    def sentence(self) -> str:
        return (
            f"Kafka at {self.bootstrap_servers} cannot be reached to {self.doing}: {self.reason}. Check that the brokers run, that the address is "
            "theirs, and that security.protocol and the credentials are those that this listener asks for."
        )


@dataclass(kw_only=True, eq=False)
class KafkaFailed(MillstreamError):
    """The client or a broker gave up on something; another attempt may succeed.

    Attributes:
        bootstrap_servers: of the brokers.
        doing: what failed.
        reason: of the client.
    """

    code: ClassVar[str] = "kafka.failed"
    permanent: ClassVar[bool] = False

    bootstrap_servers: str
    doing: str
    reason: str

    def sentence(self) -> str:
        return f"Kafka at {self.bootstrap_servers} failed to {self.doing}: {self.reason}."


@dataclass(kw_only=True, eq=False)
class KafkaRefused(MillstreamError):
    """A broker refuses what the job asks of it, and will refuse it again.

    Attributes:
        bootstrap_servers: of the brokers.
        doing: what was refused.
        reason: of the broker.
        fix: what to do.
    """

    code: ClassVar[str] = "kafka.refused"

    bootstrap_servers: str
    doing: str
    reason: str
    fix: str

    def sentence(self) -> str:
        return f"Kafka at {self.bootstrap_servers} refuses to {self.doing}: {self.reason}. {self.fix}."


@dataclass(kw_only=True, eq=False)
class TopicUnknown(MillstreamError):
    """A topic that the job names does not exist.

    Attributes:
        topic: its name, or the pattern that no topic matches.
        bootstrap_servers: where it was looked for.
        hint: ` Did you mean 'x'?`, or nothing.
    """

    code: ClassVar[str] = "kafka.topic_unknown"

    topic: str
    bootstrap_servers: str
    hint: str = ""

    def sentence(self) -> str:
        return f"Kafka at {self.bootstrap_servers} has no topic {self.topic}.{self.hint} Create it, or correct the name."


@dataclass(kw_only=True, eq=False)
class TopicVanished(MillstreamError):
    """A topic or partition that is being read is gone, or another one has its name now.

    Attributes:
        topic: its name.
        reason: what was found in its place.
    """

    code: ClassVar[str] = "kafka.topic_vanished"

    topic: str
    reason: str

    def sentence(self) -> str:
        return (
            f"Topic {self.topic!r} is being read, and {self.reason}. What it held and was not read is lost, and positions in it mean nothing any "
            "more. Start the job without its checkpoints (--resume never) to read what is there now."
        )


@dataclass(kw_only=True, eq=False)
class OffsetOutOfRange(MillstreamError):
    """The position to go on from is not in the partition any more, or not yet.

    Attributes:
        topic: of the partition.
        partition: its number.
        offset: of the record wanted next; -1 where unknown.
        first: offset of the first record that is there; -1 where unknown.
        end: offset behind the last one; -1 where unknown.
    """

    code: ClassVar[str] = "kafka.offset_out_of_range"

    topic: str
    partition: int
    offset: int
    first: int
    end: int

    def sentence(self) -> str:
        where = f"Partition {self.partition} of topic {self.topic!r}"
        if self.first > self.offset >= 0:
            what = (
                f"{where} begins at offset {self.first} now, and {self.first - self.offset} records from offset {self.offset} on were not read yet: "
            )
            return what + "retention has deleted them. Give the topic a longer retention; to go on without them, start the job with --resume never."
        return (
            f"{where} holds offsets {self.first} to {self.end - 1}, and the job wants to go on from {self.offset}: the topic was made anew, or "
            "brokers have lost records. To read what is there now, start the job with --resume never."
        )


@dataclass(kw_only=True, eq=False)
class SettingRefused(MillstreamError):
    """A setting of the client that the guarantee depends on, or that the client does not know.

    Attributes:
        what: where it was given.
        name: of the setting; empty when it is not one alone.
        reason: why it cannot be given.
        fix: what to give instead.
    """

    code: ClassVar[str] = "kafka.setting_refused"

    what: str
    name: str
    reason: str
    fix: str

    def sentence(self) -> str:
        what = f"{self.what} sets {self.name!r}" if self.name else self.what
        return f"{what}: {self.reason}. {self.fix}."
