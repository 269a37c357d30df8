"""The keyed states of one operator by name: declared by functions, read from checkpoints, described for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeVar, cast

import msgspec

from millstream.contracts.functions import ReduceFunction
from millstream.contracts.serializer import SerializerDescription
from millstream.contracts.state_backend import StateChunk, TableSpec
from millstream.errors import InvalidArgument, StateDeclaredTwice, StateIncompatible
from millstream.state.heap_states import HeapAggregatingState, HeapListState, HeapMapState, HeapReducingState, HeapState, HeapValueState
from millstream.state.restoring import KeysOfGroup, key_reader_of, naming, reader_of
from millstream.state.strict_states import watched
from millstream.state.strict_tables import watched_bind
from millstream.state.ttl import LIST, MAP, PAIR, Stamping, StoredTtl, on_read, on_write
from millstream.state.ttl_states import TtlAggregatingState, TtlListState, TtlMapState, TtlReducingState, TtlValueState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from millstream.contracts.serializer import Serializer
    from millstream.contracts.state_backend import KeyedTables
    from millstream.contracts.state_descriptors import (
        AggregatingStateDescriptor,
        ListStateDescriptor,
        MapStateDescriptor,
        ReducingStateDescriptor,
        ValueStateDescriptor,
    )
    from millstream.contracts.state_handles import AggregatingState, ListState, MapState, ReducingState, ValueState
    from millstream.contracts.state_ttl import StateTtlConfig
    from millstream.ports import Clock
    from millstream.state.key_context import HasKey
    from millstream.state.strict import StateWatch
    from millstream.state.strict_tables import Contents

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")
I = TypeVar("I")  # noqa: E741 - input
O = TypeVar("O")  # noqa: E741 - output
H = TypeVar("H")

ENGINE_PREFIX: Final = "@"
"""Starts the names of tables that belong to operators themselves; states of functions cannot have such a name."""


def is_declared(declared: Any) -> bool:
    """Whether it stands for a type of its own rather than for the data codec."""
    return declared is not None and declared is not Any and declared is not object


class StateDescription(msgspec.Struct, frozen=True):
    """What a checkpoint says of a keyed state, beside its chunks.

    Attributes:
        kind: `value`, `list`, `map`, `reducing`, `aggregating`, or a kind of an operator's own.
        keys: how the keys were written.
        values: how the values were written.
        ttl: set when the values have time stamps, which `values` then describes with them.
    """

    kind: str
    keys: SerializerDescription
    values: SerializerDescription
    ttl: StoredTtl | None = None


class StoredState(NamedTuple):
    """One subtask's part of a restored state."""

    description: StateDescription
    chunks: Sequence[StateChunk]


class _Form(NamedTuple):
    """How the entries of a state look: their declared types without time stamps and with them; None for the data codec.

    `part` is the declared type of what handles give to functions: a value, an element, the value of an entry.
    """

    stamping: Stamping
    plain: Any
    stamped: Any
    part: Any


def _form_of_value(declared: Any) -> _Form:
    return _Form(PAIR, declared, tuple[declared, int], declared) if is_declared(declared) else _Form(PAIR, None, None, None)


class _Declared(NamedTuple):
    kind: str
    descriptor: Any
    spec: TableSpec
    bind: Callable[[Any], None]
    handle: Any
    ttl: StateTtlConfig | None


class KeyedStateStore:
    """The keyed states of one operator subtask, by name.

    Args:
        tables: where they live.
        context: holds the current key.
        operator_name: named in errors.
        keys: the serializer of the operator's keys.
        serializer_for: the serializer of a declared type; of None, the data codec.
        clock: tells what has expired.
        key_group_of: the group of a key; restored keys that are in another one now are refused. None to take them as they are.
        watch: finds changes that are not written back; None unless state is strict.
    """

    def __init__(
        self,
        tables: KeyedTables,
        context: HasKey,
        operator_name: str,
        keys: Serializer[Any],
        serializer_for: Callable[[Any], Serializer[Any]],
        clock: Clock,
        key_group_of: Callable[[Any], int] | None = None,
        watch: StateWatch | None = None,
    ) -> None:
        self._tables = tables
        self._context = context
        self._operator_name = operator_name
        self._keys = keys
        self._serializer_for = serializer_for
        self._now_ms = clock.now_ms
        self._key_group_of = key_group_of
        self._watch = watch
        self._declared: dict[str, _Declared] = {}
        self._stored: dict[str, list[StoredState]] = {}

    def get_state(self, descriptor: ValueStateDescriptor[T]) -> ValueState[T]:
        """The value state of that name.

        Raises:
            StateDeclaredTwice: the name stands for a different state already.
            StateIncompatible: the checkpoint holds a state of that name that cannot be read so.
            TypeNotCarried: as for the serializer of the declared type.
        """
        context, default, now_ms = self._context, descriptor.default, self._now_ms
        return self._state(
            "value",
            descriptor,
            _form_of_value(descriptor.type),
            lambda: HeapValueState(context, default),
            lambda ttl: TtlValueState(context, default, ttl, now_ms),
        )

    def get_list_state(self, descriptor: ListStateDescriptor[T]) -> ListState[T]:
        """The list state of that name; otherwise as `get_state`."""
        context, now_ms = self._context, self._now_ms
        element: Any = descriptor.type
        form = _Form(LIST, list[element], list[tuple[element, int]], element) if is_declared(element) else _Form(LIST, None, None, None)
        return self._state("list", descriptor, form, lambda: HeapListState(context), lambda ttl: TtlListState(context, ttl, now_ms))

    def get_map_state(self, descriptor: MapStateDescriptor[K, V]) -> MapState[K, V]:
        """The map state of that name; otherwise as `get_state`. It is typed when both of its types are declared."""
        context, now_ms = self._context, self._now_ms
        key: Any = descriptor.key_type
        value: Any = descriptor.value_type
        typed = is_declared(key) and is_declared(value)
        form = _Form(MAP, dict[key, value], dict[key, tuple[value, int]], value) if typed else _Form(MAP, None, None, None)
        return self._state("map", descriptor, form, lambda: HeapMapState(context), lambda ttl: TtlMapState(context, ttl, now_ms))

    def get_reducing_state(self, descriptor: ReducingStateDescriptor[T]) -> ReducingState[T]:
        """The reducing state of that name; otherwise as `get_state`."""
        context, function, now_ms = self._context, descriptor.reduce_function, self._now_ms
        reduce = function.reduce if isinstance(function, ReduceFunction) else function
        return self._state(
            "reducing",
            descriptor,
            _form_of_value(descriptor.type),
            lambda: HeapReducingState(context, reduce),
            lambda ttl: TtlReducingState(context, reduce, ttl, now_ms),
        )

    def get_aggregating_state(self, descriptor: AggregatingStateDescriptor[I, Any, O]) -> AggregatingState[I, O]:
        """The aggregating state of that name; otherwise as `get_state`."""
        context, function, now_ms = self._context, descriptor.aggregate_function, self._now_ms
        return self._state(
            "aggregating",
            descriptor,
            _form_of_value(descriptor.accumulator_type),
            lambda: HeapAggregatingState(context, function),
            lambda ttl: TtlAggregatingState(context, function, ttl, now_ms),
        )

    def _state(self, kind: str, descriptor: Any, form: _Form, plain: Callable[[], H], expiring: Callable[[StateTtlConfig], H]) -> H:
        name = descriptor.name
        if name.startswith(ENGINE_PREFIX):
            allowed = f"a name that does not start with {ENGINE_PREFIX!r}, which marks Millstream's own"
            raise InvalidArgument(what="the name of a state", value=repr(name), allowed=allowed)
        earlier = self._declared.get(name)
        if earlier is not None:
            if earlier.descriptor != descriptor:
                raise self._declared_twice(name, repr(descriptor))
            return cast("H", earlier.handle)
        ttl: StateTtlConfig | None = descriptor.ttl
        if ttl is None or ttl.update_type == "disabled":
            ttl, handle = None, plain()
            spec = TableSpec(name, "flat", self._keys, self._serializer_for(form.plain))
        else:
            handle = expiring(ttl)
            transform = on_write(form.stamping, ttl.ttl_ms, self._now_ms)
            spec = TableSpec(name, "flat", self._keys, self._serializer_for(form.stamped), transform)
        bind = cast("HeapState", handle).bind
        if self._watch is not None:
            parts, default = self._serializer_for(form.part), getattr(descriptor, "default", None)
            handle = watched(self._watch, kind, name, handle, self._context, parts, default)
        self._declare(_Declared(kind, descriptor, spec, bind, handle, ttl), form)
        return handle

    def declare_table(
        self,
        name: str,
        kind: str,
        layout: Literal["flat", "namespaced"],
        values: Serializer[Any],
        bind: Callable[[Any], None],
        contents: Contents = "own",
        declared: Any = None,
    ) -> None:
        """Makes a table that an operator uses itself, kept and restored like a state.

        Args:
            name: starts with `@`.
            kind: compared at restore, for example `window`.
            layout: of the table.
            values: how its values become bytes.
            bind: takes the table, now and whenever it was swapped.
            contents: for strict state, what the operator does with its values.
            declared: for strict state, their declared type.

        Raises:
            StateDeclaredTwice, StateIncompatible: as for `get_state`.
        """
        if not name.startswith(ENGINE_PREFIX):
            raise InvalidArgument(what="the name of an operator's own table", value=repr(name), allowed=f"a name that starts with {ENGINE_PREFIX!r}")
        if name in self._declared:
            raise self._declared_twice(name, f"{kind} table")
        if self._watch is not None:
            bind = watched_bind(self._watch, name, layout, self._serializer_for(declared), contents, bind)
        self._declare(_Declared(kind, f"{kind} table", TableSpec(name, layout, self._keys, values), bind, None, None), None)

    def _declared_twice(self, name: str, second: str) -> StateDeclaredTwice:
        first = self._declared[name].descriptor
        return StateDeclaredTwice(operator=self._operator_name, state=name, first=first if isinstance(first, str) else repr(first), second=second)

    def _declare(self, declared: _Declared, form: _Form | None) -> None:
        spec = declared.spec
        stored = self._stored.get(spec.name, [])
        readers = [self._reader(declared, form, part.description) for part in stored]
        self._tables.table(spec)
        for reader, part in zip(readers, stored):
            self._restore(reader, part)
        self._stored.pop(spec.name, None)
        self._declared[spec.name] = declared
        declared.bind(self._tables.table(spec))

    def _reader(self, declared: _Declared, form: _Form | None, stored: StateDescription) -> TableSpec:
        """The table with serializers that read what was stored."""
        kind, spec, ttl = declared.kind, declared.spec, declared.ttl
        if stored.kind != kind:
            reason = f"a {stored.kind} state is no {kind} state. Give the new state another name."
            raise StateIncompatible(
                operator=self._operator_name, state=spec.name, stored=f"{stored.kind} state", wanted=f"{kind} state", reason=reason
            )
        keys = key_reader_of(self._operator_name, spec.name, stored.keys, spec.keys)
        if form is None:
            return TableSpec(spec.name, spec.layout, keys, reader_of(self._operator_name, spec.name, "values", stored.values, spec.values))
        # A time to live that came or went since: what was stored has the other form.
        same = (stored.ttl is None) == (ttl is None)
        values = spec.values if same else self._serializer_for(form.plain if stored.ttl is None else form.stamped)
        reader = reader_of(self._operator_name, spec.name, "values", stored.values, values)
        transform = on_read(form.stamping, stored.ttl, None if ttl is None else ttl.ttl_ms, self._now_ms())
        return TableSpec(spec.name, spec.layout, keys, reader, transform)

    def _restore(self, reader: TableSpec, part: StoredState) -> None:
        with naming(self._operator_name, reader.name):
            for chunk in part.chunks:
                keys = reader.keys if self._key_group_of is None else KeysOfGroup(reader.keys, chunk.key_group, self._key_group_of)
                self._tables.restore(TableSpec(reader.name, reader.layout, keys, reader.values, reader.transform), [chunk])

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
            name: StateDescription(
                declared.kind,
                declared.spec.keys.description(),
                declared.spec.values.description(),
                None if declared.ttl is None else StoredTtl(declared.ttl.ttl_ms, self._now_ms()),
            )
            for name, declared in self._declared.items()
        }

    def undeclared(self) -> dict[str, list[StoredState]]:
        """States of the checkpoint that nobody has declared, as they were stored: to be refused, or carried into the next checkpoint."""
        return {name: list(parts) for name, parts in self._stored.items()}
