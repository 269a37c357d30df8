"""Names and types of state.

A declared type makes the state typed: versioned, evolvable, readable by other tools (`design`: typed serializer). Without one it
goes through the data codec. `ttl` lets keyed state expire; operator state does not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from millstream.contracts.functions import AggregateFunction, ReduceFunction, RichFunction
from millstream.contracts.state_ttl import StateTtlConfig, check_ttl
from millstream.errors import InvalidArgument, InvalidName

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")
I = TypeVar("I")  # noqa: E741 - input
A = TypeVar("A")
O = TypeVar("O")  # noqa: E741 - output


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
        ttl: time to live; None for ever.
    """

    name: str
    type: builtins.type[T] | Any = None
    default: T | None = None
    ttl: StateTtlConfig | None = field(default=None, kw_only=True)

    if TYPE_CHECKING:  # the dataclass makes the real one; these say what T is

        @overload
        def __init__(self, name: str, type: builtins.type[T], default: T | None = None, *, ttl: StateTtlConfig | None = None) -> None: ...

        @overload
        def __init__(self, name: str, type: None = None, *, default: T, ttl: StateTtlConfig | None = None) -> None: ...

        @overload
        def __init__(
            self: ValueStateDescriptor[Any], name: str, type: Any = None, default: Any = None, *, ttl: StateTtlConfig | None = None
        ) -> None: ...

        def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __post_init__(self) -> None:
        check_name("state", self.name)
        check_ttl(self.ttl)


@dataclass(frozen=True)
class ListStateDescriptor(Generic[T]):
    """A list per key, or, as operator state, a list per subtask that is dealt out anew when the parallelism changes.

    Args:
        name: unique within the operator.
        type: declared type of an element, or None for the data codec.
        ttl: time to live of each element of keyed state; None for ever.
    """

    name: str
    type: builtins.type[T] | Any = None
    ttl: StateTtlConfig | None = field(default=None, kw_only=True)

    if TYPE_CHECKING:  # the dataclass makes the real one; these say what T is

        @overload
        def __init__(self, name: str, type: builtins.type[T], *, ttl: StateTtlConfig | None = None) -> None: ...

        @overload
        def __init__(self: ListStateDescriptor[Any], name: str, type: Any = None, *, ttl: StateTtlConfig | None = None) -> None: ...

        def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __post_init__(self) -> None:
        check_name("state", self.name)
        check_ttl(self.ttl)


@dataclass(frozen=True)
class MapStateDescriptor(Generic[K, V]):
    """A dict per key, or, as operator state, a dict of which every subtask has a copy. The order of iteration is not part of the contract.

    Args:
        name: unique within the operator.
        key_type: declared type of the map's keys, or None for the data codec.
        value_type: declared type of the map's values, or None for the data codec.
        ttl: time to live of each entry of keyed state; None for ever.
    """

    name: str
    key_type: type[K] | Any = None
    value_type: type[V] | Any = None
    ttl: StateTtlConfig | None = field(default=None, kw_only=True)

    if TYPE_CHECKING:  # the dataclass makes the real one; these say what T is

        @overload
        def __init__(self, name: str, key_type: type[K], value_type: type[V], *, ttl: StateTtlConfig | None = None) -> None: ...

        @overload
        def __init__(
            self: MapStateDescriptor[Any, Any], name: str, key_type: Any = None, value_type: Any = None, *, ttl: StateTtlConfig | None = None
        ) -> None: ...

        def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __post_init__(self) -> None:
        check_name("state", self.name)
        check_ttl(self.ttl)


@dataclass(frozen=True)
class ReducingStateDescriptor(Generic[T]):
    """One value per key, into which each added value is reduced at once.

    Args:
        name: unique within the operator.
        reduce_function: combines the value so far with an added one. Subtasks may share it and it is not opened: keep nothing in it.
        type: declared type of the values, or None for the data codec.
        ttl: time to live; None for ever.

    Raises:
        InvalidArgument: the function is none, or needs `open` or `close`.
    """

    name: str
    reduce_function: Callable[[T, T], T] | ReduceFunction[T]
    type: builtins.type[T] | Any = None
    ttl: StateTtlConfig | None = field(default=None, kw_only=True)

    if TYPE_CHECKING:  # the dataclass makes the real one; these say what T is

        @overload
        def __init__(
            self, name: str, reduce_function: Callable[[T, T], T], type: builtins.type[T] | None = None, *, ttl: StateTtlConfig | None = None
        ) -> None: ...

        @overload
        def __init__(
            self, name: str, reduce_function: ReduceFunction[T], type: builtins.type[T] | None = None, *, ttl: StateTtlConfig | None = None
        ) -> None: ...

        @overload
        def __init__(
            self: ReducingStateDescriptor[Any], name: str, reduce_function: Any, type: Any = None, *, ttl: StateTtlConfig | None = None
        ) -> None: ...

        def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __post_init__(self) -> None:
        check_name("state", self.name)
        check_ttl(self.ttl)
        what, function = f"the function of reducing state {self.name!r}", self.reduce_function
        if not isinstance(function, ReduceFunction) and (isinstance(function, type) or not callable(function)):
            raise InvalidArgument(what=what, value=repr(function), allowed="a function of two values, or a ReduceFunction object")
        _check_life(what, function)


@dataclass(frozen=True)
class AggregatingStateDescriptor(Generic[I, A, O]):
    """One accumulator per key, to which each added value is added at once.

    Args:
        name: unique within the operator.
        aggregate_function: makes accumulators, adds to them, gives results. Subtasks may share it and it is not opened: keep nothing in it.
        accumulator_type: declared type of the accumulators, or None for the data codec.
        ttl: time to live; None for ever.

    Raises:
        InvalidArgument: the function is no AggregateFunction, or needs `open` or `close`.
    """

    name: str
    aggregate_function: AggregateFunction[I, A, O]
    accumulator_type: type[A] | Any = None
    ttl: StateTtlConfig | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        check_name("state", self.name)
        check_ttl(self.ttl)
        what, function = f"the function of aggregating state {self.name!r}", self.aggregate_function
        if not isinstance(function, AggregateFunction):
            raise InvalidArgument(what=what, value=repr(function), allowed="an AggregateFunction object")
        _check_life(what, function)


def _check_life(what: str, function: object) -> None:
    """A function of a state has no context of its own: nobody would call its `open`."""
    for method in ("open", "close"):
        if isinstance(function, RichFunction) and getattr(type(function), method) is not getattr(RichFunction, method):
            raise InvalidArgument(
                what=what,
                value=f"{type(function).__qualname__} with {method}()",
                allowed=f"one without {method}(): the function of a state is neither opened nor closed",
                hint=" Do in the operator's own function what has to be done there.",
            )
