"""Names and types of state, and the handles through which functions use it.

A declared type makes the state typed: versioned, evolvable, readable by other tools (`design`: typed serializer). Without one it
goes through the data codec.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from millstream.errors import InvalidName

if TYPE_CHECKING:
    import builtins
    from collections.abc import Iterable, Iterator

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")


def check_name(what: str, name: str) -> None:
    """Raises InvalidName unless `name` is a non-empty string of printable characters."""
    if not isinstance(name, str) or not name or not name.isprintable():
        raise InvalidName(what=what, name=repr(name))


@dataclass(frozen=True)
class ValueStateDescriptor(Generic[T]):
    """One value per key.

    Args:
        name: unique within the operator.
        type: declared type of the value, or None for the data codec.
        default: what `value()` gives for a key that has none. It is not copied: do not mutate it.
    """

    name: str
    type: builtins.type[T] | Any = None
    default: T | None = None

    if TYPE_CHECKING:  # the dataclass makes the real one; these say what T is

        @overload
        def __init__(self, name: str, type: builtins.type[T], default: T | None = None) -> None: ...

        @overload
        def __init__(self, name: str, type: None = None, *, default: T) -> None: ...

        @overload
        def __init__(self: ValueStateDescriptor[Any], name: str, type: Any = None, default: Any = None) -> None: ...

        def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __post_init__(self) -> None:
        check_name("state", self.name)


@dataclass(frozen=True)
class ListStateDescriptor(Generic[T]):
    """A list per key, or, as operator state, a list per subtask that is dealt out anew when the parallelism changes.

    Args:
        name: unique within the operator.
        type: declared type of an element, or None for the data codec.
    """

    name: str
    type: builtins.type[T] | Any = None

    if TYPE_CHECKING:  # the dataclass makes the real one; these say what T is

        @overload
        def __init__(self, name: str, type: builtins.type[T]) -> None: ...

        @overload
        def __init__(self: ListStateDescriptor[Any], name: str, type: Any = None) -> None: ...

        def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __post_init__(self) -> None:
        check_name("state", self.name)


@dataclass(frozen=True)
class MapStateDescriptor(Generic[K, V]):
    """A dict per key. The order of iteration is not part of the contract.

    Args:
        name: unique within the operator.
        key_type: declared type of the map's keys, or None for the data codec.
        value_type: declared type of the map's values, or None for the data codec.
    """

    name: str
    key_type: type[K] | Any = None
    value_type: type[V] | Any = None

    if TYPE_CHECKING:  # the dataclass makes the real one; these say what T is

        @overload
        def __init__(self, name: str, key_type: type[K], value_type: type[V]) -> None: ...

        @overload
        def __init__(self: MapStateDescriptor[Any, Any], name: str, key_type: Any = None, value_type: Any = None) -> None: ...

        def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __post_init__(self) -> None:
        check_name("state", self.name)


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
