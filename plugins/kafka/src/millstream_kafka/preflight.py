"""Looks at settings of brokers and topics before data flows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from millstream_kafka.client import REQUEST_S, Client, ConfigResource, KafkaError, KafkaException, NewTopic, ResourceType, log
from millstream_kafka.errors import KafkaRefused
from millstream_kafka.topics import described, required

if TYPE_CHECKING:
    from millstream_kafka.client import AdminClient

_MARKER_PARTITIONS: Final = 32
_MARKER_CONFIG: Final = {
    "cleanup.policy": "compact",
    # Markers are small and many: old ones go soon, so that the rest is read fast.
    "min.cleanable.dirty.ratio": "0.1",
    "segment.bytes": str(16 * 1024 * 1024),
    "segment.ms": str(60 * 60 * 1000),
}


def settings_of(client: Client, admin: AdminClient, kind: str, name: str) -> dict[str, str]:
    """Settings of a topic or of a broker; empty where the user may not see them."""
    resource = ConfigResource(ResourceType[kind.upper()], name)
    (future,) = admin.describe_configs([resource], request_timeout=REQUEST_S).values()
    try:
        found: Any = future.result()
    except KafkaException as error:
        if error.args[0].code() in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED):
            log.info("the settings of %s %r cannot be seen: %s", kind, name, error.args[0].str())
            return {}
        client.fail(f"read the settings of {kind} {name!r}", error)
    return {entry.name: entry.value for entry in found.values()}


def check_topic(client: Client, bootstrap_servers: str, topic: str, limit_bytes: int) -> None:
    """A topic that is written to.

    Raises:
        TopicUnknown: it is not there.
        KafkaRefused: it takes smaller messages than the sink lets pass.
    """
    admin = client.admin()
    required(client, admin, [topic], bootstrap_servers)
    largest = settings_of(client, admin, "topic", topic).get("max.message.bytes")
    if largest is not None and int(largest) < limit_bytes:
        raise KafkaRefused(
            bootstrap_servers=bootstrap_servers,
            doing=f"take messages of up to {limit_bytes:,} bytes in topic {topic!r}",
            reason=f"its max.message.bytes is {int(largest):,}",
            fix=f"Raise it, or give the sink client={{'message.max.bytes': {largest}}}: a larger record is then rejected by the sink's on_error",
        )


def make_marker_topic(client: Client, bootstrap_servers: str, topic: str) -> int:
    """The topic of markers, made if it is missing: how many partitions it has.

    Raises:
        KafkaRefused: it is there, and would lose markers.
    """
    admin = client.admin()
    found = described(client, admin, [topic])[topic]
    if found is None:
        (future,) = admin.create_topics([NewTopic(topic, _MARKER_PARTITIONS, -1, config=_MARKER_CONFIG)], request_timeout=REQUEST_S).values()
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                client.fail(f"create the topic of markers {topic!r}", error)
            (found,) = required(client, admin, [topic], bootstrap_servers)
            return found.partitions
        return _MARKER_PARTITIONS
    policy = settings_of(client, admin, "topic", topic).get("cleanup.policy", "compact")
    if policy != "compact":
        raise KafkaRefused(
            bootstrap_servers=bootstrap_servers,
            doing=f"keep markers in topic {topic!r}",
            reason=f"its cleanup.policy is {policy!r}, which deletes them",
            fix="Set it to 'compact', or name another topic with marker_topic=...",
        )
    return found.partitions
