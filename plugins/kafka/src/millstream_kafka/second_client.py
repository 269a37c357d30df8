"""The second client library, which can finish a transaction that another process has prepared. No other module imports it.

It is asked through some of its private names, for which a test stands; the version is pinned by the extra `[2pc]`.
"""

from __future__ import annotations

import ssl
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from millstream_kafka.errors import KafkaFailed, KafkaUnreachable, SettingRefused

if TYPE_CHECKING:
    from millstream_kafka.settings import Connection

_NEWEST_END_TXN: Final = 4
"""Version 5 raises the epoch: what librdkafka has committed by version 1 would then look lost, and the other way round."""

RETRIED: Final = frozenset({14, 15, 16, 51})
"""The coordinator loads, is elsewhere or is still busy with the transaction."""

_MOVED: Final = frozenset({14, 15, 16})
_NOT_FOUND: Final = 105

_PLAIN: Final = {
    "security.protocol": "security_protocol",
    "sasl.mechanism": "sasl_mechanism",
    "sasl.mechanisms": "sasl_mechanism",
    "sasl.username": "sasl_plain_username",
    "sasl.password": "sasl_plain_password",
}
_UNTRANSLATED: Final = ("sasl.kerberos.", "sasl.oauthbearer.", "ssl.engine.", "ssl.keystore.", "ssl.providers")


class Handle(msgspec.Struct, frozen=True):
    """A transaction that any process can finish.

    Attributes:
        version: of this layout.
        transactional_id: its id.
        producer_id: that the coordinator gave.
        producer_epoch: likewise; another one by now means that somebody has begun the id anew.
    """

    version: int
    transactional_id: str
    producer_id: int
    producer_epoch: int


@dataclass(frozen=True)
class Listed:
    """A transactional id as its coordinator knows it.

    Attributes:
        transactional_id: its id.
        state: Ongoing, Empty, CompleteCommit and so on.
    """

    transactional_id: str
    state: str


class Transactions:
    """Asks and tells transaction coordinators.

    Args:
        connection: where the brokers are; its settings of security are translated.

    Raises:
        SettingRefused: the extra is missing, or a setting has no counterpart.
        KafkaUnreachable: no broker answers.
    """

    def __init__(self, connection: Connection) -> None:
        self._servers = connection.bootstrap_servers
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of the way in which it reads its own files
                from kafka import KafkaAdminClient
                from kafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, NodeNotReadyError, RequestTimedOutError
        except ImportError as error:
            raise SettingRefused(
                what='KafkaSink(delivery="exactly_once_2pc")',
                name="",
                reason="it needs a second client library, kafka-python, to finish transactions of a process that died",
                fix='Install millstream-kafka[2pc], or choose delivery="exactly_once"',
            ) from error
        self._error = KafkaError
        self._away = KafkaConnectionError, KafkaTimeoutError, NodeNotReadyError, RequestTimedOutError
        try:
            self._admin: Any = KafkaAdminClient(bootstrap_servers=self._servers.split(","), **translated(connection))
        except KafkaError as error:
            raise KafkaUnreachable(bootstrap_servers=self._servers, doing="look up transactions", reason=str(error)) from error

    def handle(self, transactional_id: str) -> Handle:
        """What is needed to finish the transaction of an id, once its producer is initialised."""
        found = self._asked("describe a transaction", self._admin.describe_transactions, [transactional_id])[transactional_id]
        return Handle(1, transactional_id, found.producer_id, found.producer_epoch)

    def listed(self, prefix: str) -> list[Listed]:
        """Ids that begin so, on all brokers."""
        found = self._asked("list transactions", self._admin.list_transactions)
        return [Listed(one.transactional_id, one.state.value) for all_ in found.values() for one in all_ if one.transactional_id.startswith(prefix)]

    def end(self, handle: Handle, *, commit: bool) -> int:
        """Commits or aborts. The coordinator's error code; 0 when it is decided so, also when it was before."""
        from kafka.protocol.metadata import CoordinatorType
        from kafka.protocol.producer.transaction import EndTxnRequest

        async def ask() -> int:
            ids = await self._admin._find_coordinator_ids([handle.transactional_id], key_type=CoordinatorType.TRANSACTION)
            request = EndTxnRequest(
                transactional_id=handle.transactional_id,
                producer_id=handle.producer_id,
                producer_epoch=handle.producer_epoch,
                committed=commit,
                max_version=_NEWEST_END_TXN,
            )
            answer = await self._admin._manager.send(request, node_id=ids[handle.transactional_id])
            return int(answer.error_code)

        code = int(self._asked("end a transaction", self._admin._manager.run, ask))
        if code in _MOVED:
            self._forget_coordinator(handle.transactional_id)
        return code

    def _forget_coordinator(self, transactional_id: str) -> None:
        for key in [key for key in self._admin._coordinator_cache if transactional_id in key]:
            self._admin._coordinator_cache.pop(key, None)

    def _asked(self, doing: str, ask: Any, *arguments: Any) -> Any:
        try:
            return ask(*arguments)
        except self._error as error:
            kind = KafkaUnreachable if isinstance(error, self._away) else KafkaFailed
            raise kind(bootstrap_servers=self._servers, doing=doing, reason=f"{type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Releases its connections."""
        self._admin.close()


def translated(connection: Connection) -> dict[str, Any]:
    """The settings of security as the second library calls them. Those of other things have no meaning for it.

    Raises:
        SettingRefused: one has no counterpart.
    """
    settings = connection.revealed({})
    for name in settings:
        if name.startswith(_UNTRANSLATED):
            raise SettingRefused(
                what="KafkaSink(client=...)",
                name=name,
                reason="the second client library of exactly_once_2pc has no such setting",
                fix='Choose delivery="exactly_once", or another way to log in',
            )
    found = {theirs: settings[ours] for ours, theirs in _PLAIN.items() if ours in settings}
    protocol = str(found.get("security_protocol", "PLAINTEXT")).upper()
    found["security_protocol"] = protocol
    if protocol.endswith("SSL"):
        found["ssl_context"] = _ssl_context(settings)
    return found


def _ssl_context(settings: dict[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.get("ssl.ca.location"), cadata=settings.get("ssl.ca.pem"))
    if str(settings.get("ssl.endpoint.identification.algorithm", "https")) == "none":
        context.check_hostname = False
    if str(settings.get("enable.ssl.certificate.verification", "true")).lower() == "false":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    certificate, key = settings.get("ssl.certificate.location"), settings.get("ssl.key.location")
    with tempfile.TemporaryDirectory() as folder:  # the standard library reads certificates from files only; the folder is the user's alone
        if "ssl.certificate.pem" in settings:
            certificate = Path(folder, "certificate.pem")
            certificate.write_text(settings["ssl.certificate.pem"])
        if "ssl.key.pem" in settings:
            key = Path(folder, "key.pem")
            key.touch(mode=0o600)
            key.write_text(settings["ssl.key.pem"])
        if certificate is not None:
            context.load_cert_chain(certificate, key, settings.get("ssl.key.password"))
    return context
