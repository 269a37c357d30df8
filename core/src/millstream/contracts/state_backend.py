"""Working state: where keyed state lives while the job runs, and how it leaves for a checkpoint in small slices.

A keyed table is a dict, or behaves like one (`[]`, `in`, `get`, `pop`, `del`, iteration). Operators run their loops on it directly.
A flat table maps key to value; a namespaced one maps an int namespace (window start, timer time) to a dict of key to value.

While a snapshot is pending a backend may put another object in a table's place (one that encodes an entry before it is touched).
Users therefore keep the table only until `on_swap` tells them to take it anew.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, MutableMapping, Sequence

    from millstream.contracts.serializer import Serializer
    from millstream.ports import Clock


DROPPED: Final = object()
"""What a table's `transform` gives for an entry that is to be left out."""


@dataclass(frozen=True)
class TableSpec:
    """A table to be made.

    Attributes:
        name: unique within the operator.
        layout: `flat` or `namespaced`.
        keys: how keys become bytes.
        values: how values become bytes.
        transform: what becomes of values on their way into chunks (of the spec that `table` was asked with) or out of them (of the one
            that `restore` was): DROPPED in the place of a value leaves its entry out. It changes no value in place. None leaves all as
            they are. `millstream.contracts.state_chunks` applies it; values that were encoded early go into chunks without it.
    """

    name: str
    layout: Literal["flat", "namespaced"]
    keys: Serializer[Any]
    values: Serializer[Any]
    transform: Callable[[Sequence[Any]], list[Any]] | None = None


class StateChunk(msgspec.Struct, frozen=True):
    """The entries of one table in one key group, encoded.

    Attributes:
        table: name of the table.
        key_group: 0-based index.
        entries: number of entries.
        data: the encoded entries; its format belongs to the core (`millstream.contracts.state_chunks`), so that any backend reads any other's.
    """

    table: str
    key_group: int
    entries: int
    data: bytes


class TableSnapshot(ABC):
    """The state as it was at the barrier, on its way to bytes."""

    @abstractmethod
    def advance(self, until_s: float) -> bool:
        """Works until the monotonic time `until_s`, or a little longer; True when all chunks are ready."""

    @abstractmethod
    def chunks(self) -> Iterable[StateChunk]:
        """All chunks, once `advance` has returned True."""

    @abstractmethod
    def abandon(self) -> None:
        """Ends the snapshot early or late; the tables are bare again. Idempotent."""


@dataclass(frozen=True)
class StateBackendContext:
    """For whom the tables are.

    Attributes:
        operator_uid: the operator.
        subtask: 0-based index.
        max_parallelism: number of key groups.
        key_group_of: the group of a key. Groups of busy keys may be remembered.
        on_swap: called after tables were replaced: at the start and the end of a snapshot, and in between where a backend wants to.
    """

    operator_uid: str
    subtask: int
    max_parallelism: int
    key_group_of: Callable[[Any], int]
    clock: Clock
    on_swap: Callable[[], None]

    def key_groups_of(self, keys: Sequence[Any]) -> Sequence[int]:
        """The groups of several keys, for passes over many keys."""
        many: Callable[[Sequence[Any]], Sequence[int]] | None = getattr(self.key_group_of, "of_many", None)
        return list(map(self.key_group_of, keys)) if many is None else many(keys)


class KeyedTables(ABC):
    """The tables of one operator subtask."""

    @abstractmethod
    def table(self, spec: TableSpec) -> MutableMapping[Any, Any]:
        """The table of that name as it is to be used now; made when it does not exist."""

    @abstractmethod
    def begin_snapshot(self, checkpoint_id: int) -> TableSnapshot:
        """The synchronous part. At most one snapshot is pending."""

    @abstractmethod
    def restore(self, spec: TableSpec, chunks: Iterable[StateChunk]) -> None:
        """Adds the entries of chunks to a table, before the first record."""

    def close(self) -> None:
        """Releases everything."""


class StateBackend(ABC):
    """A picklable description of where working state lives."""

    @abstractmethod
    def open(self, context: StateBackendContext) -> KeyedTables:
        """Empty tables for one operator subtask."""
