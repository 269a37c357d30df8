"""Handles on flat tables of plain values: each shows a function what belongs to the current key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from millstream.contracts.state_handles import AggregatingState, ListState, MapState, ReducingState, ValueState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, MutableMapping

    from millstream.contracts.functions import AggregateFunction
    from millstream.state.key_context import HasKey

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")
I = TypeVar("I")  # noqa: E741 - input
O = TypeVar("O")  # noqa: E741 - output


class HeapState:
    """A flat table, looked at through the current key; for handles of one kind each."""

    __slots__ = ("_context", "_table")

    def __init__(self, context: HasKey) -> None:
        self._context = context
        self._table: MutableMapping[Any, Any] = {}

    def bind(self, table: MutableMapping[Any, Any]) -> None:
        """Takes the table as it is to be used from now on."""
        self._table = table

    def clear(self) -> None:
        key = self._context.key
        if key in self._table:  # unlike pop, which hashes no key when the dict is empty, this refuses NO_KEY always
            del self._table[key]


class HeapValueState(HeapState, ValueState[T]):
    """One value a key."""

    __slots__ = ("_default",)

    def __init__(self, context: HasKey, default: T | None) -> None:
        super().__init__(context)
        self._default = default

    def value(self) -> T | None:
        try:
            return self._table[self._context.key]  # type: ignore[no-any-return]  # a cast would cost as much as the look-up
        except KeyError:
            return self._default

    def update(self, value: T) -> None:
        self._table[self._context.key] = value


class HeapListState(HeapState, ListState[T]):
    """A list a key; a key without elements is not in it."""

    __slots__ = ()

    def get(self) -> Iterable[T]:
        elements: Iterable[T] = self._table.get(self._context.key, ())
        return elements

    def add(self, value: T) -> None:
        try:
            self._table[self._context.key].append(value)
        except KeyError:
            self._table[self._context.key] = [value]

    def add_all(self, values: Iterable[T]) -> None:
        added = list(values)
        if added:
            self._table.setdefault(self._context.key, []).extend(added)

    def update(self, values: Iterable[T]) -> None:
        replaced = list(values)
        if replaced:
            self._table[self._context.key] = replaced
        else:
            self.clear()


_NO_ENTRIES: Final[dict[Any, Any]] = {}


class HeapMapState(HeapState, MapState[K, V]):
    """A dict a key; a key without entries is not in it."""

    __slots__ = ()

    def _entries(self) -> dict[K, V]:
        entries: dict[K, V] = self._table.get(self._context.key, _NO_ENTRIES)
        return entries

    def get(self, key: K) -> V | None:
        return self._entries().get(key)

    def put(self, key: K, value: V) -> None:
        try:
            self._table[self._context.key][key] = value
        except KeyError:
            self._table[self._context.key] = {key: value}

    def put_all(self, entries: Iterable[tuple[K, V]]) -> None:
        added = dict(entries)
        if added:
            self._table.setdefault(self._context.key, {}).update(added)

    def remove(self, key: K) -> None:
        entries = self._entries()
        entries.pop(key, None)
        if not entries:
            self.clear()

    def contains(self, key: K) -> bool:
        return key in self._entries()

    def items(self) -> Iterator[tuple[K, V]]:
        return iter(self._entries().items())

    def keys(self) -> Iterator[K]:
        return iter(self._entries().keys())

    def values(self) -> Iterator[V]:
        return iter(self._entries().values())

    def is_empty(self) -> bool:
        return not self._entries()


class HeapReducingState(HeapState, ReducingState[T]):
    """One value a key, reduced as values are added."""

    __slots__ = ("_reduce",)

    def __init__(self, context: HasKey, reduce: Callable[[T, T], T]) -> None:
        super().__init__(context)
        self._reduce = reduce

    def wrap(self, wrapper: Callable[[str, Callable[..., Any]], Callable[..., Any]]) -> None:
        """Puts something around its function, given with its name."""
        self._reduce = wrapper("reduce", self._reduce)

    def get(self) -> T | None:
        return self._table.get(self._context.key)

    def add(self, value: T) -> None:
        table, key = self._table, self._context.key
        try:
            before = table[key]
        except KeyError:
            table[key] = value
        else:
            table[key] = self._reduce(before, value)


class HeapAggregatingState(HeapState, AggregatingState[I, O]):
    """One accumulator a key."""

    __slots__ = ("_add", "_create", "_result")

    def __init__(self, context: HasKey, function: AggregateFunction[I, Any, O]) -> None:
        super().__init__(context)
        self._create = function.create_accumulator
        self._add = function.add
        self._result = function.get_result

    def wrap(self, wrapper: Callable[[str, Callable[..., Any]], Callable[..., Any]]) -> None:
        """Puts something around each of its functions, given with their names."""
        self._create = wrapper("create_accumulator", self._create)
        self._add = wrapper("add", self._add)
        self._result = wrapper("get_result", self._result)

    def get(self) -> O | None:
        try:
            accumulator = self._table[self._context.key]
        except KeyError:
            return None
        return self._result(accumulator)

    def add(self, value: I) -> None:
        table, key = self._table, self._context.key
        try:
            before = table[key]
        except KeyError:
            before = self._create()
        table[key] = self._add(value, before)
