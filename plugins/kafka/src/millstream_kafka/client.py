"""The client library. No other module imports it, so that what does not talk to Kafka does not wait for it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, NoReturn

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_INVALID,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicCollection,
    TopicPartition,
    Uuid,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # they are documented to be there
    AdminClient,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from millstream_kafka.errors import KafkaFailed, KafkaRefused, KafkaUnreachable, SettingRefused
from millstream_kafka.repeats import NoRepeats
from millstream_kafka.versions import too_old

if TYPE_CHECKING:
    from collections.abc import Mapping

    from millstream.errors import MillstreamError
    from millstream_kafka.settings import Connection

__all__ = [
    "OFFSET_BEGINNING",
    "OFFSET_INVALID",
    "REQUEST_S",
    "RIGHTS",
    "AdminClient",
    "Client",
    "ConfigResource",
    "Consumer",
    "IsolationLevel",
    "KafkaError",
    "KafkaException",
    "Message",
    "NewTopic",
    "OffsetSpec",
    "Producer",
    "ResourceType",
    "TopicCollection",
    "TopicPartition",
    "Uuid",
]

log = logging.getLogger("millstream.kafka")
_library = logging.getLogger("millstream.kafka.librdkafka")
_library.addFilter(NoRepeats())

REQUEST_S: Final = 15.0
"""How long a question to the brokers may take before they count as unreachable."""

_AWAY: Final = frozenset(
    {
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._MSG_TIMED_OUT,
        KafkaError.REQUEST_TIMED_OUT,
    }
)
_LOGIN: Final = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED, KafkaError._SSL, KafkaError.UNSUPPORTED_SASL_MECHANISM})
RIGHTS: Final = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "Give its user the right to read, or to write and describe, the topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "Give its user the right to read the group, or leave group_id out",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "Give its user the right on the cluster that the message names",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: "Give its user the right to write and describe transactional ids with the sink's prefix",
}
"""What to do where a right is missing, by the brokers' code."""
_TOO_OLD: Final = frozenset({KafkaError._UNSUPPORTED_FEATURE, KafkaError.UNSUPPORTED_VERSION})
_WORSE: Final = frozenset({*_LOGIN, *RIGHTS})


class _Watch:
    """The worst that the library's objects have told. Knows none of them, so that each is released with its last user."""

    def __init__(self, servers: str) -> None:
        self._servers = servers
        self.last: KafkaError | None = None

    def note(self, error: KafkaError) -> None:
        # What a timeout hides: a refused login, say. An outage that follows it is its consequence.
        if self.last is None or error.code() in _WORSE or self.last.code() not in _WORSE:
            self.last = error
        log.debug("%s: %s", self._servers, error)


class Client:
    """Makes the library's objects for one connection, and explains their errors.

    Args:
        connection: where and how.
        what: whose options these are, for errors: `KafkaSource`.
    """

    def __init__(self, connection: Connection, what: str) -> None:
        self._connection = connection
        self._what = what
        self._watch = _Watch(connection.bootstrap_servers)
        self._admin: AdminClient | None = None

    def consumer(self, fixed: Mapping[str, Any]) -> Consumer:
        """A consumer with settings that are not the user's to choose."""
        made: Consumer = self._made(Consumer, fixed)
        return made

    def producer(self, fixed: Mapping[str, Any]) -> Producer:
        """A producer, likewise."""
        made: Producer = self._made(Producer, fixed)
        return made

    def admin(self) -> AdminClient:
        """Asks and tells the brokers things that are no records."""
        self._admin = self._made(AdminClient, {})
        return self._admin

    def _made(self, kind: Any, fixed: Mapping[str, Any]) -> Any:
        settings = self._connection.revealed(fixed)
        settings["error_cb"] = self._watch.note
        try:
            return kind(settings, logger=_library)
        except KafkaException as error:
            reason = error.args[0].str()
            name = next((name for name in self._connection.settings if f'"{name}"' in reason), "")
            raise SettingRefused(
                what=f"{self._what}(client=...)",
                name=name,
                reason=reason,
                fix="See librdkafka's CONFIGURATION.md for names and values",
            ) from None

    def close(self) -> None:
        """Releases what it keeps for itself. What it has made is its users' to release."""
        self._admin = None

    @property
    def servers(self) -> str:
        """Addresses of the brokers."""
        return self._connection.bootstrap_servers

    def fail(self, doing: str, error: KafkaException | KafkaError) -> NoReturn:
        """Raises what an error of the library means.

        Args:
            doing: what was to be done, after "to": `read topic 'a'`.
        """
        raise self.explained(doing, error)

    def explained(self, doing: str, error: KafkaException | KafkaError) -> MillstreamError:
        """The same, without raising it."""
        cause: KafkaError = error.args[0] if isinstance(error, KafkaException) else error
        servers = self._connection.bootstrap_servers
        if self._admin is not None:
            self._admin.poll(0)  # what it has to tell of connections
        last = self._watch.last
        if cause.code() in _AWAY and last is not None and last.code() in (*_WORSE, *_AWAY):
            cause = last
        reason = f"{cause.str().rstrip('.')} ({cause.name()})"
        if cause.code() in RIGHTS:
            return KafkaRefused(bootstrap_servers=servers, doing=doing, reason=reason, fix=RIGHTS[cause.code()])
        if cause.code() == KafkaError.INVALID_TRANSACTION_TIMEOUT:
            fix = "Give the sink a shorter transaction_timeout, or raise transaction.max.timeout.ms of the brokers"
            return KafkaRefused(bootstrap_servers=servers, doing=doing, reason=reason, fix=fix)
        if cause.code() in _LOGIN:
            fix = "Check security.protocol, the mechanism, the credentials and the certificate of the authority"
            return KafkaRefused(bootstrap_servers=servers, doing=doing, reason=reason, fix=fix)
        if cause.code() in _TOO_OLD:
            return too_old(servers, doing, reason)
        kind = KafkaUnreachable if cause.code() in _AWAY else KafkaFailed
        return kind(bootstrap_servers=servers, doing=doing, reason=reason)
