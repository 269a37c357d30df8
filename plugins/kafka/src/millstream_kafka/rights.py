"""What the user may do with a topic, asked before data flows: a broker refuses a record when it is too late to do without it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millstream_kafka.answers import answers
from millstream_kafka.client import RIGHTS, Client, KafkaError, log
from millstream_kafka.errors import KafkaRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millstream_kafka.client import AdminClient
    from millstream_kafka.topics import Topic


def require_rights(bootstrap_servers: str, topic: Topic, operations: Sequence[str]) -> None:
    """Looks whether the user may do all of it.

    Args:
        operations: as Kafka calls them: `READ`, `WRITE`.

    Raises:
        KafkaRefused: one is missing. Not where brokers do not tell.
    """
    missing = [one for one in operations if topic.rights is not None and one not in topic.rights]
    if missing:
        asked = " ".join(f"--operation {one.capitalize()}" for one in missing)
        raise KafkaRefused(
            bootstrap_servers=bootstrap_servers,
            doing=f"{' and '.join(one.lower() for one in missing)} topic {topic.name!r}",
            reason=f"the user has no right to {' and '.join(missing)}, only to {', '.join(sorted(topic.rights or ())) or 'nothing'}",
            fix=f"Give it the right: kafka-acls.sh --bootstrap-server {bootstrap_servers.split(',')[0]} --add --allow-principal User:NAME "
            f"{asked} --topic {topic.name}",
        )


def require_group(client: Client, admin: AdminClient, group_id: str) -> None:
    """Looks whether the user may commit offsets to a group.

    Raises:
        KafkaRefused: it may not. Where brokers do not tell, the first commit shows it.
    """
    doing = f"commit offsets to group {group_id!r}"

    def ask(timeout_s: float) -> Any:
        return admin.describe_consumer_groups([group_id], include_authorized_operations=True, request_timeout=timeout_s)

    (found,) = answers(client, admin, doing, ask).values()
    if isinstance(found, KafkaError):
        if found.code() in RIGHTS:
            client.fail(doing, found)
        log.info("the rights to group %r are not known: %s", group_id, found.str())
        return
    if found.authorized_operations is not None and "READ" not in {right.name for right in found.authorized_operations}:
        client.fail(doing, KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED))
