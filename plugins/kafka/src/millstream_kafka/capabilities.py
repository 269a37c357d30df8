"""What the kinds of the Kafka sink can do, told without the client library."""

from __future__ import annotations

from typing import Final

from millstream.contracts.guarantee import SinkCapabilities

PLAIN: Final = SinkCapabilities(kind="plain")

WRITE_AHEAD: Final = SinkCapabilities(
    kind="write_ahead",
    atomic_marker=True,
    fencing=True,
    visible_only_committed=True,
    max_commit_records=100_000,  # a transaction has to be written within its timeout
)


def two_phase(timeout_s: float) -> SinkCapabilities:
    """Of the sink that prepares transactions.

    Args:
        timeout_s: after which the brokers abort them.
    """
    return SinkCapabilities(
        kind="two_phase_commit",
        fencing=True,
        visible_only_committed=True,
        prepared_survives_disconnect=True,
        prepared_survives_server_kill=True,
        max_prepared_age_s=timeout_s,
    )
