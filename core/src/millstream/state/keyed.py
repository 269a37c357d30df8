"""Keyed state: the handles that show functions what belongs to the current key, and the states of one operator by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, NoReturn, Protocol, TypeVar, cast

import msgspec

from millstream.contracts.serializer import SerializerDescription
from millstream.contracts.state_backend import StateChunk, TableSpec
from millstream.contracts.state_descriptors import (
    ListState,
    ListStateDescriptor,
    MapState,
    MapStateDescriptor,
    ValueState,
    ValueStateDescriptor,
)
from millstream.errors import InvalidArgument, NoCurrentKey, StateDeclaredTwice, StateIncompatible
from millstream.state.restoring import KeysOfGroup, key_reader_of, naming, reader_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence

    from millstream.contracts.serializer import Serializer
    from millstream.contracts.state_backend import KeyedTables

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")
H = TypeVar("H", bound="HeapValueState[Any] | HeapListState[Any] | HeapMapState[Any, Any]")

ENGINE_PREFIX: Final = "@"
"""Starts the names of tables that belong to operators themselves; states of functions cannot have such a name."""


class _NoKey:
    """Stands where a key should be. It cannot be hashed, so every table refuses it, at no cost to those who have a key."""

    __slots__ = ()

    def __hash__(self) -> NoReturn:
        raise NoCurrentKey

    def __repr__(self) -> str:
        return "NO_KEY"

    def __reduce__(self) -> str:
        return "NO_KEY"


NO_KEY: Final = _NoKey()


class HasKey(Protocol):
    """Anything that knows the current key, NO_KEY outside of records and timers."""

    key: Any


class KeyContext:
    """Holds the current key of an operator, NO_KEY outside of records and timers."""

    __slots__ = ("key",)

    def __init__(self) -> None:
        self.key: Any = NO_KEY


class _HeapState:
    """A flat table, looked at through the current key."""

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


class HeapValueState(_HeapState, ValueState[T]):
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


class HeapListState(_HeapState, ListState[T]):
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


class HeapMapState(_HeapState, MapState[K, V]):
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


def _is_declared(declared: Any) -> bool:
    return declared is not None and declared is not Any and declared is not object


class StateDescription(msgspec.Struct, frozen=True):
    """What a checkpoint says of a keyed state, beside its chunks.

    Attributes:
        kind: `value`, `list`, `map`, or a kind of an operator's own.
        keys: how the keys were written.
        values: how the values were written.
    """

    kind: str
    keys: SerializerDescription
    values: SerializerDescription


class StoredState(NamedTuple):
    """One subtask's part of a restored state."""

    description: StateDescription
    chunks: Sequence[StateChunk]


class _Declared(NamedTuple):
    kind: str
    descriptor: Any
    spec: TableSpec
    bind: Callable[[Any], None]
    handle: Any


class KeyedStateStore:
    """The keyed states of one operator subtask, by name.

    Args:
        tables: where they live.
        context: holds the current key.
        operator_name: named in errors.
        keys: the serializer of the operator's keys.
        serializer_for: the serializer of a declared type; of None, the data codec.
        key_group_of: the group of a key; restored keys that are in another one now are refused. None to take them as they are.
    """

    def __init__(
        self,
        tables: KeyedTables,
        context: HasKey,
        operator_name: str,
        keys: Serializer[Any],
        serializer_for: Callable[[Any], Serializer[Any]],
        key_group_of: Callable[[Any], int] | None = None,
    ) -> None:
        self._tables = tables
        self._context = context
        self._operator_name = operator_name
        self._keys = keys
        self._serializer_for = serializer_for
        self._key_group_of = key_group_of
        self._declared: dict[str, _Declared] = {}
        self._stored: dict[str, list[StoredState]] = {}

    def get_state(self, descriptor: ValueStateDescriptor[T]) -> HeapValueState[T]:
        """The value state of that name.

        Raises:
            StateDeclaredTwice: the name stands for a different state already.
            StateIncompatible: the checkpoint holds a state of that name that cannot be read so.
            TypeNotCarried: as for the serializer of the declared type.
        """
        return self._state("value", descriptor, descriptor.type, lambda: HeapValueState(self._context, descriptor.default))

    def get_list_state(self, descriptor: ListStateDescriptor[T]) -> HeapListState[T]:
        """The list state of that name; otherwise as `get_state`."""
        element: Any = descriptor.type
        declared = list[element] if _is_declared(element) else None
        return self._state("list", descriptor, declared, lambda: HeapListState(self._context))

    def get_map_state(self, descriptor: MapStateDescriptor[K, V]) -> HeapMapState[K, V]:
        """The map state of that name; otherwise as `get_state`. It is typed when both of its types are declared."""
        key: Any = descriptor.key_type
        value: Any = descriptor.value_type
        declared = dict[key, value] if _is_declared(key) and _is_declared(value) else None
        return self._state("map", descriptor, declared, lambda: HeapMapState(self._context))

    def _state(self, kind: str, descriptor: Any, declared_type: Any, make: Callable[[], H]) -> H:
        name = descriptor.name
        if name.startswith(ENGINE_PREFIX):
            allowed = f"a name that does not start with {ENGINE_PREFIX!r}, which marks Millstream's own"
            raise InvalidArgument(what="the name of a state", value=repr(name), allowed=allowed)
        earlier = self._declared.get(name)
        if earlier is not None:
            if earlier.descriptor != descriptor:
                raise self._declared_twice(name, repr(descriptor))
            return cast("H", earlier.handle)
        handle = make()
        self._declare(kind, descriptor, TableSpec(name, "flat", self._keys, self._serializer_for(declared_type)), handle.bind, handle)
        return handle

    def declare_table(
        self, name: str, kind: str, layout: Literal["flat", "namespaced"], values: Serializer[Any], bind: Callable[[Any], None]
    ) -> None:
        """Makes a table that an operator uses itself, kept and restored like a state.

        Args:
            name: starts with `@`.
            kind: compared at restore, for example `window`.
            layout: of the table.
            values: how its values become bytes.
            bind: takes the table, now and whenever it was swapped.

        Raises:
            StateDeclaredTwice, StateIncompatible: as for `get_state`.
        """
        if not name.startswith(ENGINE_PREFIX):
            raise InvalidArgument(what="the name of an operator's own table", value=repr(name), allowed=f"a name that starts with {ENGINE_PREFIX!r}")
        if name in self._declared:
            raise self._declared_twice(name, f"{kind} table")
        self._declare(kind, f"{kind} table", TableSpec(name, layout, self._keys, values), bind, None)

    def _declared_twice(self, name: str, second: str) -> StateDeclaredTwice:
        first = self._declared[name].descriptor
        return StateDeclaredTwice(operator=self._operator_name, state=name, first=first if isinstance(first, str) else repr(first), second=second)

    def _declare(self, kind: str, descriptor: Any, spec: TableSpec, bind: Callable[[Any], None], handle: Any) -> None:
        stored = self._stored.get(spec.name, [])
        readers = [self._reader(kind, spec, part.description) for part in stored]
        self._tables.table(spec)
        for reader, part in zip(readers, stored):
            self._restore(reader, part)
        self._stored.pop(spec.name, None)
        self._declared[spec.name] = _Declared(kind, descriptor, spec, bind, handle)
        bind(self._tables.table(spec))

    def _reader(self, kind: str, spec: TableSpec, stored: StateDescription) -> TableSpec:
        """The table with serializers that read what was stored."""
        if stored.kind != kind:
            reason = f"a {stored.kind} state is no {kind} state. Give the new state another name."
            raise StateIncompatible(
                operator=self._operator_name, state=spec.name, stored=f"{stored.kind} state", wanted=f"{kind} state", reason=reason
            )
        keys = key_reader_of(self._operator_name, spec.name, stored.keys, spec.keys)
        values = reader_of(self._operator_name, spec.name, "values", stored.values, spec.values)
        return TableSpec(spec.name, spec.layout, keys, values)

    def _restore(self, reader: TableSpec, part: StoredState) -> None:
        with naming(self._operator_name, reader.name):
            for chunk in part.chunks:
                keys = reader.keys if self._key_group_of is None else KeysOfGroup(reader.keys, chunk.key_group, self._key_group_of)
                self._tables.restore(TableSpec(reader.name, reader.layout, keys, reader.values), [chunk])

    def rebind(self) -> None:
        """Takes every table anew; the backend's `on_swap`."""
        for declared in self._declared.values():
            declared.bind(self._tables.table(declared.spec))

    def restore(self, chunks: Mapping[str, Sequence[StateChunk]], descriptions: Mapping[str, StateDescription]) -> None:
        """Takes over what one subtask stored. Call it once for each subtask that had some of this one's key groups, before the states
        are declared: each state is read when it is declared.

        Args:
            chunks: by state, of the key groups of this subtask only.
            descriptions: as they were stored beside these chunks.
        """
        for name, description in descriptions.items():
            self._stored.setdefault(name, []).append(StoredState(description, chunks.get(name, ())))

    def descriptions(self) -> dict[str, StateDescription]:
        """What to store beside the chunks of a snapshot: ask once its `advance` has returned True."""
        return {
            name: StateDescription(declared.kind, declared.spec.keys.description(), declared.spec.values.description())
            for name, declared in self._declared.items()
        }

    def undeclared(self) -> dict[str, list[StoredState]]:
        """States of the checkpoint that nobody has declared, as they were stored: to be refused, or carried into the next checkpoint."""
        return {name: list(parts) for name, parts in self._stored.items()}
