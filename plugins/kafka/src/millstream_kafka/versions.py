"""What brokers must be able to do, and which release of Kafka can."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from millstream_kafka.errors import KafkaRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

OLDEST: Final = "2.8"
"""The first release that tells ids of topics: without them a topic that was made anew is taken for the one that was read."""

OLDEST_TWO_PHASE: Final = "3.0"

_REQUESTS: Final = {10: "FindCoordinator", 26: "EndTxn", 65: "DescribeTransactions", 66: "ListTransactions"}
"""What transactions are looked up and ended with."""

UPDATE: Final = f'Update the brokers: Kafka {OLDEST} or newer is needed, and {OLDEST_TWO_PHASE} or newer by delivery="exactly_once_2pc"'


def too_old(servers: str, doing: str, reason: str) -> KafkaRefused:
    """The error for brokers of a release that cannot do it.

    Args:
        doing: what, after "to".
        reason: how it shows.
    """
    return KafkaRefused(bootstrap_servers=servers, doing=doing, reason=reason, fix=UPDATE)


def check_transactions(servers: str, doing: str, told: Mapping[int, tuple[int, int]]) -> None:
    """Looks whether transactions of another process can be looked up and ended.

    Args:
        doing: what for, after "to".
        told: oldest and newest version of each request that a broker takes, by the request's number in Kafka's protocol.

    Raises:
        KafkaRefused: they cannot.
    """
    missing = [f"{name} (number {number})" for number, name in _REQUESTS.items() if number not in told]
    if missing:
        raise too_old(servers, doing, f"a broker does not know the requests {', '.join(missing)}, which came with Kafka {OLDEST_TWO_PHASE}")
