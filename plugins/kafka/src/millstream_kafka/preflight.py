"""Looks at settings of brokers and topics before data flows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from millstream_kafka.answers import answers
from millstream_kafka.client import RIGHTS, Client, ConfigResource, KafkaError, NewTopic, ResourceType, log
from millstream_kafka.errors import KafkaRefused
from millstream_kafka.rights import require_rights
from millstream_kafka.topics import described, required

if TYPE_CHECKING:
    from collections.abc import Mapping

    from millstream_kafka.client import AdminClient
    from millstream_kafka.topics import Topic

_MARKER_PARTITIONS: Final = 32
_MARKER_CONFIG: Final = {
    "cleanup.policy": "compact",
    # Markers are small and many: old ones go soon, so that the rest is read fast.
    "min.cleanable.dirty.ratio": "0.1",
    "segment.bytes": str(16 * 1024 * 1024),
    "segment.ms": str(60 * 60 * 1000),
}


def settings_of(client: Client, admin: AdminClient, topic: str) -> dict[str, str]:
    """Settings of a topic; empty where the user may not see them."""
    resource = ConfigResource(ResourceType.TOPIC, topic)
    doing = f"read the settings of topic {topic!r}"
    (found,) = answers(client, admin, doing, lambda timeout_s: admin.describe_configs([resource], request_timeout=timeout_s)).values()
    if isinstance(found, KafkaError):
        if found.code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED):
            log.info("the settings of topic %r cannot be seen: %s", topic, found.str())
            return {}
        client.fail(doing, found)
    return {entry.name: entry.value for entry in found.values()}


def check_topic(client: Client, bootstrap_servers: str, topic: str, limit_bytes: int, *, has_keys: bool) -> None:
    """A topic that is written to.

    Args:
        limit_bytes: the largest message that the sink lets pass.
        has_keys: whether the sink gives keys to messages.

    Raises:
        TopicUnknown: it is not there.
        KafkaRefused: the user may not write it, or it would refuse what the sink lets pass.
    """
    admin = client.admin()
    (found,) = required(client, admin, [topic], bootstrap_servers)
    require_rights(bootstrap_servers, found, ["WRITE"])
    settings = settings_of(client, admin, topic)
    warn_of_durability(found, settings)
    if "compact" in settings.get("cleanup.policy", "") and not has_keys:
        raise KafkaRefused(
            bootstrap_servers=bootstrap_servers,
            doing=f"take messages without a key in topic {topic!r}",
            reason=f"its cleanup.policy is {settings['cleanup.policy']!r}, which keeps the last message of each key",
            fix="Give the sink key=..., or write to a topic with cleanup.policy 'delete'",
        )
    largest = settings.get("max.message.bytes")
    if largest is not None and int(largest) < limit_bytes:
        raise KafkaRefused(
            bootstrap_servers=bootstrap_servers,
            doing=f"take messages of up to {limit_bytes:,} bytes in topic {topic!r}",
            reason=f"its max.message.bytes is {int(largest):,}",
            fix=f"Raise it, or give the sink client={{'message.max.bytes': {largest}}}: a larger record is then rejected by the sink's on_error",
        )


def warn_of_durability(topic: Topic, settings: Mapping[str, str]) -> None:
    """Whether a topic keeps what brokers have acknowledged. It is the operator's to choose, so that the job goes on."""
    wanted = int(settings.get("min.insync.replicas", topic.replicas))
    if wanted == 1 and topic.replicas > 1:
        log.warning(
            "topic %r has %d replicas and min.insync.replicas 1: while the others lag, what one broker has acknowledged is lost with it, "
            "and with it the guarantee. Set min.insync.replicas to 2.",
            topic.name,
            topic.replicas,
        )
    elif wanted > topic.replicas:
        log.warning(
            "topic %r has min.insync.replicas %d, and %d replicas only: some releases of Kafka then take no message at all, others count those "
            "that there are. Give it more replicas.",
            topic.name,
            wanted,
            topic.replicas,
        )


def make_marker_topic(client: Client, bootstrap_servers: str, topic: str) -> int:
    """The topic of markers, made if it is missing: how many partitions it has.

    Raises:
        KafkaRefused: it is there, and would lose markers or not take them; or the user may not make, read or write it.
    """
    admin = client.admin()
    found = described(client, admin, [topic])[topic]
    if found is None:
        doing = f"create the topic of markers {topic!r}"
        new = [NewTopic(topic, _MARKER_PARTITIONS, -1, config=_MARKER_CONFIG)]
        (error,) = answers(client, admin, doing, lambda timeout_s: admin.create_topics(new, request_timeout=timeout_s)).values()
        if error is not None and error.code() in RIGHTS:
            raise KafkaRefused(
                bootstrap_servers=bootstrap_servers,
                doing=doing,
                reason=error.str().rstrip("."),
                fix="Give its user the right to create it, or make it yourself with cleanup.policy=compact",
            )
        if error is not None:
            if error.code() != KafkaError.TOPIC_ALREADY_EXISTS:
                client.fail(doing, error)
            (found,) = required(client, admin, [topic], bootstrap_servers)
            return found.partitions
        return _MARKER_PARTITIONS
    require_rights(bootstrap_servers, found, ["READ", "WRITE"])
    settings = settings_of(client, admin, topic)
    warn_of_durability(found, settings)
    policy = settings.get("cleanup.policy", "compact")
    if policy != "compact":
        raise KafkaRefused(
            bootstrap_servers=bootstrap_servers,
            doing=f"keep markers in topic {topic!r}",
            reason=f"its cleanup.policy is {policy!r}, which deletes them",
            fix="Set it to 'compact', or name another topic with marker_topic=...",
        )
    return found.partitions
