"""What the brokers say of topics."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from millstream.errors import did_you_mean
from millstream.ports import SystemClock
from millstream_kafka.answers import answers
from millstream_kafka.client import REQUEST_S, Client, KafkaError, KafkaException, TopicCollection, Uuid
from millstream_kafka.errors import TopicUnknown
from millstream_kafka.interruptible import interruptibly
from millstream_kafka.versions import too_old

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millstream_kafka.client import AdminClient

_NO_ID: Final = str(Uuid(0, 0))
_PATIENCE_S: Final = 3.0
_AGAIN_S: Final = 0.1


@dataclass(frozen=True)
class Topic:
    """A topic as it is now.

    Attributes:
        name: its name.
        topic_id: what tells it from another of that name.
        partitions: how many it has.
        replicas: of the partition that has the fewest.
        rights: what the user may do with it, as Kafka calls it: `READ`; None where brokers do not tell.
    """

    name: str
    topic_id: str
    partitions: int
    replicas: int = 1
    rights: frozenset[str] | None = None


def described(client: Client, admin: AdminClient, names: Sequence[str]) -> dict[str, Topic | None]:
    """Each topic, or None where there is none of that name. Creates none.

    Raises:
        KafkaUnreachable, KafkaRefused, KafkaFailed: the brokers do not say, or are too old to.
    """
    found: dict[str, Topic | None] = {}
    if not names:
        return found

    def ask(timeout_s: float) -> Any:
        return admin.describe_topics(TopicCollection(list(names)), include_authorized_operations=True, request_timeout=timeout_s)

    for name, description in answers(client, admin, f"describe topic {names[0]!r}", ask).items():
        if isinstance(description, KafkaError):
            if description.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                client.fail(f"describe topic {name!r}", description)
            found[name] = None
        else:
            found[name] = topic = _topic(description)
            if topic.topic_id == _NO_ID:
                raise too_old(client.servers, f"tell topic {name!r} from another of its name", "a broker knows no ids of topics")
    return found


def _topic(description: Any) -> Topic:
    rights = description.authorized_operations
    return Topic(
        name=description.name,
        topic_id=str(description.topic_id),
        partitions=len(description.partitions),
        replicas=min((len(partition.replicas) for partition in description.partitions), default=0),
        rights=None if rights is None else frozenset(right.name for right in rights),
    )


def existing(client: Client, admin: AdminClient) -> list[str]:
    """Names of all topics that the user may see, without those that brokers keep for themselves."""
    try:
        topics: Any = interruptibly(lambda: admin.list_topics(timeout=REQUEST_S)).topics
    except KafkaException as error:
        client.fail("list its topics", error)
    return sorted(name for name in topics if not name.startswith("__"))


def required(client: Client, admin: AdminClient, names: Sequence[str], bootstrap_servers: str) -> list[Topic]:
    """Topics of which each has to be there.

    Raises:
        TopicUnknown: one is not.
    """
    clock = SystemClock()
    over_s = clock.monotonic_s() + _PATIENCE_S
    found = described(client, admin, names)
    while not all(found.values()) and clock.monotonic_s() < over_s:
        admin.poll(_AGAIN_S)  # one that was just made is not known to every broker at once
        found = described(client, admin, names)
    for name, topic in found.items():
        if topic is None:
            hint = did_you_mean(name, existing(client, admin))
            raise TopicUnknown(topic=repr(name), bootstrap_servers=bootstrap_servers, hint=hint)
    return [topic for topic in found.values() if topic is not None]


def matching(client: Client, admin: AdminClient, pattern: str) -> list[Topic]:
    """Topics whose whole name matches a regular expression."""
    names = [name for name in existing(client, admin) if re.fullmatch(pattern, name)]
    return [topic for topic in described(client, admin, names).values() if topic is not None]
