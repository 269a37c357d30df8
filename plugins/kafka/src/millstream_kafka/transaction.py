"""Transactions, as their coordinators know them."""

from __future__ import annotations

import msgspec


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


class Listed(msgspec.Struct, frozen=True):
    """A transactional id as its coordinator knows it.

    Attributes:
        transactional_id: its id.
        producer_id: that the coordinator gave.
        state: Ongoing, Empty, CompleteCommit and so on.
    """

    transactional_id: str
    producer_id: int
    state: str


class TopicPartition(msgspec.Struct, frozen=True, order=True):
    """Where a transaction writes."""

    topic: str
    partition: int


class Description(msgspec.Struct, frozen=True):
    """All that a coordinator tells of a transactional id.

    Attributes:
        transactional_id: its id.
        state: Ongoing, Empty, CompleteCommit and so on.
        producer_id: that the coordinator gave.
        producer_epoch: goes up each time the id is begun anew.
        timeout_ms: after which an open transaction is aborted.
        started_ms: when the newest transaction began, by the broker's clock; None when none was since the id was begun.
        coordinator_id: the broker that knows it.
        partitions: what the open transaction writes to, sorted; those of topics that the user may describe.
    """

    transactional_id: str
    state: str
    producer_id: int
    producer_epoch: int
    timeout_ms: int
    started_ms: int | None
    coordinator_id: int
    partitions: tuple[TopicPartition, ...]

    @property
    def is_open(self) -> bool:
        """Whether records may still be added, and nothing is decided."""
        return self.state == "Ongoing"

    @property
    def is_under_way(self) -> bool:
        """Whether it is decided, and the brokers have yet to carry it out."""
        return self.state.startswith("Prepare")
