"""The second client library, which can look up transactions and finish one of another process. No other module imports it.

It is asked through some of its private names, for which a test stands; the version is pinned by the extra `[2pc]`.
"""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING, Any, Final

from millstream_kafka.asker import SINK, Asker
from millstream_kafka.errors import KafkaFailed, KafkaRefused, KafkaUnreachable, SettingRefused
from millstream_kafka.second_client_settings import translated
from millstream_kafka.transaction import Description, Handle, Listed, TopicPartition
from millstream_kafka.transaction_errors import CoordinatorBusy, TransactionUnknown
from millstream_kafka.versions import check_transactions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millstream.errors import MillstreamError
    from millstream_kafka.settings import Connection

log = logging.getLogger("millstream.kafka")
# Its messages would reach stderr where nobody has set up logging; what they say is in the errors that are raised.
logging.getLogger("kafka").addHandler(logging.NullHandler())

_NEWEST_END_TXN: Final = 4
"""Version 5 raises the epoch: what librdkafka has committed by version 1 would then look lost, and the other way round."""

_NEWEST_FETCH: Final = 11
"""The last version that names topics by name and no more."""

_AT_ONCE_BYTES: Final = 1024 * 1024

RETRIED: Final = frozenset({14, 15, 16, 51})
"""The coordinator loads, is elsewhere or is still busy with the transaction."""

_NOT_AVAILABLE: Final = 15
_MOVED: Final = frozenset({14, 15, 16})
_NOT_FOUND: Final = 105
_NO_RIGHTS: Final = {
    31: "Give its user the right on the cluster that the message names",
    53: "Give its user the rights to describe and, to end transactions, to write this transactional id",
}
_NO_LOGIN: Final = frozenset({33, 34, 58})
_AWAY: Final = frozenset({"KafkaConnectionError", "KafkaTimeoutError", "NodeNotReadyError", "RequestTimedOutError"})
_PATIENCE_S: Final = 30.0


class Transactions:
    """Asks and tells transaction coordinators.

    Args:
        connection: where the brokers are; its settings of security are translated.
        asker: for errors.
        timeout_s: how long to wait for the first broker, and for each answer.

    Raises:
        SettingRefused: the extra is missing, or a setting has no counterpart.
        KafkaUnreachable: no broker answers.
        KafkaRefused: the brokers refuse the login, or are too old.
    """

    def __init__(self, connection: Connection, asker: Asker = SINK, timeout_s: float = _PATIENCE_S) -> None:
        self._servers = connection.bootstrap_servers
        library, self._error = _imported(asker)
        timeout_ms = round(timeout_s * 1000)
        patience = {"bootstrap_timeout_ms": timeout_ms, "request_timeout_ms": timeout_ms}
        settings = translated(connection, asker)
        try:
            self._admin: Any = library(bootstrap_servers=self._servers.split(","), **patience, **settings)
        except self._error as error:
            explained = self._explained("look up transactions", error)
            if isinstance(explained, KafkaFailed):  # whatever it was, no broker has answered
                explained = KafkaUnreachable(bootstrap_servers=self._servers, doing="look up transactions", reason=str(error))
            raise explained from error
        try:
            check_transactions(self._servers, asker.purpose, self._admin.api_versions())
        except KafkaRefused:
            self._admin.close()
            raise

    def handle(self, transactional_id: str) -> Handle:
        """What is needed to finish the transaction of an id, once its producer is initialised."""
        found = self.describe(transactional_id)
        return Handle(1, transactional_id, found.producer_id, found.producer_epoch)

    def describe(self, transactional_id: str) -> Description:
        """What the coordinator of an id says of it.

        Raises:
            TransactionUnknown: it does not know the id.
            CoordinatorBusy: it loads, or is gone or elsewhere by now; ask again.
            KafkaUnreachable, KafkaRefused, KafkaFailed: there is no answer, of any broker.
        """
        try:
            found = self._asked(f"describe transaction {transactional_id!r}", self._admin.describe_transactions, [transactional_id])
        except CoordinatorBusy:
            self._forget_coordinator(transactional_id)
            raise
        except KafkaFailed as error:
            if getattr(error.__cause__, "errno", None) == _NOT_FOUND:
                raise TransactionUnknown(bootstrap_servers=self._servers, transactional_id=transactional_id) from error.__cause__
            raise
        return _described(transactional_id, found[transactional_id])

    def listed(self, prefix: str, states: Sequence[str] = ()) -> list[Listed]:
        """Ids that begin so, on all brokers, sorted; those that the user may describe.

        Those of a broker that died a moment ago are in the list as soon as others have taken them over, which no broker tells.

        Args:
            states: only those in one of them; empty for all.

        Raises:
            CoordinatorBusy: one loads, or does not answer while another does; ask again.
            KafkaUnreachable, KafkaRefused, KafkaFailed: no broker answers.
        """
        found = self._asked("list transactions", self._admin.list_transactions, None, None, list(states))
        all_ = [Listed(one.transactional_id, one.producer_id, one.state.value) for some in found.values() for one in some]
        return sorted((one for one in all_ if one.transactional_id.startswith(prefix)), key=lambda one: one.transactional_id)

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

        try:
            code = int(self._asked(f"end transaction {handle.transactional_id!r}", self._admin._manager.run, ask))
        except CoordinatorBusy as error:  # told by who was asked where the coordinator is
            code = error.error_code
        if code in _MOVED:
            self._forget_coordinator(handle.transactional_id)
        return code

    def committed(self, topic: str, partition: int, first: int, end: int) -> list[range]:
        """Offsets whose records are committed, also where an open transaction in front of them hides them from readers.

        Args:
            first: where to begin; every transaction that wrote behind it and is decided has its end behind it.
            end: where to stop, at most the offset behind the last record that is there.

        Raises:
            CoordinatorBusy: a broker does not answer while another does; ask again.
            KafkaUnreachable, KafkaRefused, KafkaFailed: the partition cannot be read.
        """
        batches: list[Any] = []

        async def read() -> None:
            begin = first
            while begin < end:
                found = await self._batches(topic, partition, begin)
                if not found:
                    msg = f"nothing is there from offset {begin} on, in front of {end}"
                    raise self._error(msg)
                batches.extend(found)
                begin = found[-1].next_offset

        self._asked(f"read partition {partition} of topic {topic!r}", self._admin._manager.run, read)
        return _committed(batches)

    async def _batches(self, topic: str, partition: int, begin: int) -> list[Any]:
        """Some batches from an offset on, as they are in the log."""
        from kafka.errors import for_code
        from kafka.protocol.consumer import FetchRequest
        from kafka.record import MemoryRecords
        from kafka.structs import TopicPartition as Place

        (leader,) = await self._admin._async_get_leader_for_partitions([Place(topic, partition)])
        place = FetchRequest.FetchTopic.FetchPartition(
            partition=partition,
            current_leader_epoch=-1,
            fetch_offset=begin,
            last_fetched_epoch=-1,
            log_start_offset=-1,
            partition_max_bytes=_AT_ONCE_BYTES,
        )
        request = FetchRequest(
            replica_id=-1,
            max_wait_ms=0,
            min_bytes=0,
            max_bytes=_AT_ONCE_BYTES,
            isolation_level=0,
            session_id=0,
            session_epoch=-1,
            topics=[FetchRequest.FetchTopic(topic=topic, partitions=[place])],
            forgotten_topics_data=[],
            rack_id="",
            max_version=_NEWEST_FETCH,
        )
        answer = (await self._admin._manager.send(request, node_id=leader)).responses[0].partitions[0]
        if answer.error_code:
            raise for_code(answer.error_code)
        return list(MemoryRecords(bytes(answer.records or b"")))

    def _forget_coordinator(self, transactional_id: str) -> None:
        coordinators = self._admin._manager.cluster._coordinators
        for key in [key for key in coordinators if transactional_id in key]:
            coordinators.pop(key, None)

    def _asked(self, doing: str, ask: Any, *arguments: Any) -> Any:
        try:
            return ask(*arguments)
        except self._error as error:
            explained = self._explained(doing, error)
            if isinstance(explained, KafkaUnreachable) and self._learn_who_is_there():
                explained = CoordinatorBusy(bootstrap_servers=self._servers, doing=doing, reason=explained.reason, error_code=_NOT_AVAILABLE)
            raise explained from error

    def _learn_who_is_there(self) -> bool:
        """Whether a broker answers, where one did not; what it says of the others is what the next question goes by.

        A broker that has died is among them until the others miss it, and what it coordinated is theirs from then on.
        """
        cluster = self._admin._manager.cluster
        cluster._coordinators.clear()
        for _ in range(max(2, len(cluster.brokers()))):
            try:
                self._admin._manager.run(cluster.refresh_metadata)
            except self._error as error:
                log.info("%s: %s", self._servers, error)
            else:
                return True
        return False

    def _explained(self, doing: str, error: Exception) -> MillstreamError:
        """What an error of the library means."""
        code = getattr(error, "errno", None)
        reason = _reason(error)
        if code in RETRIED:
            return CoordinatorBusy(bootstrap_servers=self._servers, doing=doing, reason=reason, error_code=int(code or 0))
        if code in _NO_RIGHTS:
            return KafkaRefused(bootstrap_servers=self._servers, doing=doing, reason=reason, fix=_NO_RIGHTS[code])
        if code in _NO_LOGIN:
            fix = "Check security.protocol, the mechanism and the credentials"
            return KafkaRefused(bootstrap_servers=self._servers, doing=doing, reason=reason, fix=fix)
        away = any(base.__name__ in _AWAY for base in type(error).__mro__)
        kind = KafkaUnreachable if away else KafkaFailed
        return kind(bootstrap_servers=self._servers, doing=doing, reason=reason)

    def close(self) -> None:
        """Releases its connections."""
        self._admin.close()


def _imported(asker: Asker) -> tuple[Any, type[Exception]]:
    """The library's client and what it raises."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of the way in which it reads its own files
            from kafka import KafkaAdminClient, __version__
            from kafka.errors import KafkaError
    except ImportError as error:
        raise _missing(asker, f"it needs a second client library, kafka-python, to {asker.purpose}") from error
    if not hasattr(KafkaAdminClient, "describe_transactions"):
        raise _missing(asker, f"kafka-python {__version__} is too old to {asker.purpose}")
    return KafkaAdminClient, KafkaError


def _missing(asker: Asker, reason: str) -> SettingRefused:
    fix = f"Install it: pip install 'millstream-kafka[2pc]'{asker.otherwise}"
    return SettingRefused(what=asker.what, name="", reason=reason, fix=fix)


def _committed(batches: Sequence[Any]) -> list[range]:
    """Offsets of batches whose transactions have a commit behind them, and of those that are in none. No batch is unpacked: only ends of
    transactions are, which are never compressed."""
    found: list[range] = []
    undecided: dict[int, list[range]] = {}
    for batch in batches:
        if batch.is_control_batch:
            decided = undecided.pop(batch.producer_id, [])
            found += decided if next(iter(batch)).commit else []
        elif batch.is_transactional:
            undecided.setdefault(batch.producer_id, []).append(range(batch.base_offset, batch.next_offset))
        else:
            found.append(range(batch.base_offset, batch.next_offset))
    return found


def _described(transactional_id: str, found: Any) -> Description:
    started_ms = int(found.transaction_start_time_ms)
    return Description(
        transactional_id=transactional_id,
        state=found.state.value,
        producer_id=found.producer_id,
        producer_epoch=found.producer_epoch,
        timeout_ms=found.transaction_timeout_ms,
        started_ms=started_ms if started_ms >= 0 else None,
        coordinator_id=found.coordinator_id,
        partitions=tuple(sorted(TopicPartition(one.topic, one.partition) for one in found.topic_partitions)),
    )


def _reason(error: Exception) -> str:
    """What the library says, without the brackets and repetitions of its own."""
    said = str(error.args[0]).rstrip(".: ") if error.args else ""
    return f"{said} ({type(error).__name__})" if said else type(error).__name__
