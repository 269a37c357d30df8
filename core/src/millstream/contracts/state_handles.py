"""The handles through which functions use their state."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")
I = TypeVar("I")  # noqa: E741 - input
O = TypeVar("O")  # noqa: E741 - output


class State(ABC):
    """Belongs to the current key."""

    @abstractmethod
    def clear(self) -> None:
        """Forgets what the current key has."""


class ValueState(State, Generic[T]):
    """One value of the current key."""

    @abstractmethod
    def value(self) -> T | None:
        """The value, or the descriptor's default."""

    @abstractmethod
    def update(self, value: T) -> None:
        """Sets it. None is a value like any other."""


class ListState(State, Generic[T]):
    """A list of the current key (or, as operator state, of the subtask)."""

    @abstractmethod
    def get(self) -> Iterable[T]:
        """The elements in order. Change them through `update` only."""

    @abstractmethod
    def add(self, value: T) -> None:
        """Appends one element."""

    @abstractmethod
    def add_all(self, values: Iterable[T]) -> None:
        """Appends several."""

    @abstractmethod
    def update(self, values: Iterable[T]) -> None:
        """Replaces the whole list."""


class MapState(State, Generic[K, V]):
    """A dict of the current key."""

    @abstractmethod
    def get(self, key: K) -> V | None:
        """The entry, or None."""

    @abstractmethod
    def put(self, key: K, value: V) -> None:
        """Sets one entry."""

    @abstractmethod
    def put_all(self, entries: Iterable[tuple[K, V]]) -> None:
        """Sets several."""

    @abstractmethod
    def remove(self, key: K) -> None:
        """Drops one entry; an absent one is no error."""

    @abstractmethod
    def contains(self, key: K) -> bool:
        """Whether there is such an entry."""

    @abstractmethod
    def items(self) -> Iterator[tuple[K, V]]:
        """The entries, in no promised order."""

    @abstractmethod
    def keys(self) -> Iterator[K]:
        """The keys, in no promised order."""

    @abstractmethod
    def values(self) -> Iterator[V]:
        """The values, in no promised order."""

    @abstractmethod
    def is_empty(self) -> bool:
        """Whether there is no entry."""


class BroadcastState(MapState[K, V]):
    """A dict of which every subtask of the operator has a copy of its own.

    The copies have to be equal: change it only as something says that every subtask gets, and in a way that does not depend on the
    order in which it comes. Of several copies a restore takes any one.
    """


class ReducingState(State, Generic[T]):
    """One value of the current key, into which values are reduced."""

    @abstractmethod
    def get(self) -> T | None:
        """What the added values were reduced to; None when there are none."""

    @abstractmethod
    def add(self, value: T) -> None:
        """Reduces `value` into it at once. When the reduce function raises, the state is as it was."""


class AggregatingState(State, Generic[I, O]):
    """An accumulator of the current key."""

    @abstractmethod
    def get(self) -> O | None:
        """The result of what was added; None when nothing was."""

    @abstractmethod
    def add(self, value: I) -> None:
        """Adds `value` to the accumulator at once."""
