"""Operator state: lists and dicts that belong to a subtask rather than to a key.

Each has a mode that says how a checkpoint deals it out to the subtasks of the restored job: `split` (a list: contiguous runs, or their
own back at the same parallelism), `union` (a list: everybody gets the whole, always) or `broadcast` (a dict: everybody gets a copy).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from millstream.contracts.state_handles import BroadcastState, ListState
from millstream.errors import InvalidArgument, StateDeclaredTwice, StateIncompatible, StateNotEncodable
from millstream.state.keyed import is_declared
from millstream.state.restoring import naming, reader_of
from millstream.state.strict_states import OfSubtask, watched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from millstream.contracts.serializer import Serializer, SerializerDescription
    from millstream.contracts.state_descriptors import ListStateDescriptor, MapStateDescriptor
    from millstream.state.strict import StateWatch

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

ListMode = Literal["split", "union", "broadcast"]


class SubtaskListState(ListState[T]):
    """A list of this subtask."""

    __slots__ = ("_elements",)

    def __init__(self) -> None:
        self._elements: list[T] = []

    def get(self) -> Iterable[T]:
        return self._elements

    def add(self, value: T) -> None:
        self._elements.append(value)

    def add_all(self, values: Iterable[T]) -> None:
        self._elements.extend(values)

    def update(self, values: Iterable[T]) -> None:
        self._elements = list(values)

    def clear(self) -> None:
        self._elements = []

    def stored(self) -> Iterable[Any]:
        """What is encoded, item by item."""
        return self._elements

    def take(self, items: Iterable[Any]) -> None:
        """Adds items of a checkpoint."""
        self._elements.extend(items)


class SubtaskMapState(BroadcastState[K, V]):
    """A dict of this subtask."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        return self._entries.get(key)

    def put(self, key: K, value: V) -> None:
        self._entries[key] = value

    def put_all(self, entries: Iterable[tuple[K, V]]) -> None:
        self._entries.update(entries)

    def remove(self, key: K) -> None:
        self._entries.pop(key, None)

    def contains(self, key: K) -> bool:
        return key in self._entries

    def items(self) -> Iterator[tuple[K, V]]:
        return iter(self._entries.items())

    def keys(self) -> Iterator[K]:
        return iter(self._entries.keys())

    def values(self) -> Iterator[V]:
        return iter(self._entries.values())

    def is_empty(self) -> bool:
        return not self._entries

    def clear(self) -> None:
        self._entries = {}

    def stored(self) -> Iterable[Any]:
        """What is encoded, item by item: the whole dict in one, for it is never divided."""
        return (self._entries,)

    def take(self, items: Iterable[Any]) -> None:
        """Adds the dicts of a checkpoint."""
        for entries in items:
            self._entries.update(entries)


_KINDS: dict[ListMode, str] = {"split": "operator list state", "union": "union list state", "broadcast": "broadcast state"}


class StoredItems(NamedTuple):
    """A state of the checkpoint, or one old subtask's part of it.

    Attributes:
        description: how the items were written; None where that is the affair of an operator of the engine.
        items: the elements, each encoded on its own, so that any subtask can take any of them; of a dict the only one is the dict.
        mode: how they were dealt out.
    """

    description: SerializerDescription | None
    items: Sequence[bytes]
    mode: ListMode = "split"


class _Declared(NamedTuple):
    """`shown` is what the function has: the handle, or in strict mode what is around it."""

    descriptor: Any
    mode: ListMode
    serializer: Serializer[Any]
    handle: SubtaskListState[Any] | SubtaskMapState[Any, Any]
    shown: Any


class OperatorStateStore:
    """The operator states of one subtask, by name.

    Args:
        operator_name: named in errors.
        serializer_for: the serializer of a declared type; of None, the data codec.
        watch: finds changes that are not written back; None unless state is strict.
    """

    def __init__(self, operator_name: str, serializer_for: Callable[[Any], Serializer[Any]], watch: StateWatch | None = None) -> None:
        self._operator_name = operator_name
        self._watch = watch
        self._serializer_for = serializer_for
        self._declared: dict[str, _Declared] = {}
        self._stored: dict[str, list[StoredItems]] = {}

    def get_list_state(self, descriptor: ListStateDescriptor[T], mode: Literal["split", "union"] = "split") -> ListState[T]:
        """The list of that name.

        Raises:
            StateDeclaredTwice: the name stands for a different state already.
            StateIncompatible: the checkpoint holds a state of that name that cannot be read so, or was dealt out in another mode.
            TypeNotCarried: as for the serializer of the declared type.
            InvalidArgument: the descriptor has a ttl.
        """
        shown: ListState[T] = self._state(descriptor, mode, descriptor.type, descriptor.type, SubtaskListState)
        return shown

    def get_broadcast_state(self, descriptor: MapStateDescriptor[K, V]) -> BroadcastState[K, V]:
        """The dict of that name; otherwise as `get_list_state`. It is typed when both of its types are declared."""
        key: Any = descriptor.key_type
        value: Any = descriptor.value_type
        declared, handed_out = (dict[key, value], value) if is_declared(key) and is_declared(value) else (None, None)
        shown: BroadcastState[K, V] = self._state(descriptor, "broadcast", declared, handed_out, SubtaskMapState)
        return shown

    def _state(
        self,
        descriptor: Any,
        mode: ListMode,
        declared_type: Any,
        handed_out: Any,
        make: Callable[[], SubtaskListState[Any] | SubtaskMapState[Any, Any]],
    ) -> Any:
        name = descriptor.name
        if descriptor.ttl is not None:
            raise InvalidArgument(what=f"the ttl of operator state {name!r}", value=repr(descriptor.ttl), allowed="None: only keyed state expires")
        earlier = self._declared.get(name)
        if earlier is not None:
            if (earlier.descriptor, earlier.mode) != (descriptor, mode):
                first, second = f"{earlier.mode} {earlier.descriptor!r}", f"{mode} {descriptor!r}"
                raise StateDeclaredTwice(operator=self._operator_name, state=name, first=first, second=second)
            return earlier.shown
        serializer = self._serializer_for(declared_type)
        parts = self._stored.get(name, [])
        readers = [self._reader(name, mode, part, serializer) for part in parts]
        handle = make()
        with naming(self._operator_name, name):
            for reader, part in zip(readers, parts):
                handle.take(map(reader.decode, part.items))
        self._stored.pop(name, None)
        shown: Any = handle
        if self._watch is not None:
            kind = "map" if mode == "broadcast" else "list"
            shown = watched(self._watch, kind, name, handle, OfSubtask(), self._serializer_for(handed_out))
        self._declared[name] = _Declared(descriptor, mode, serializer, handle, shown)
        return shown

    def _reader(self, name: str, mode: ListMode, stored: StoredItems, serializer: Serializer[Any]) -> Serializer[Any]:
        if stored.mode != mode or stored.description is None:
            raise StateIncompatible(
                operator=self._operator_name,
                state=name,
                stored=_KINDS[stored.mode] if stored.description is not None else "a list of an operator of another kind",
                wanted=_KINDS[mode],
                reason="it was dealt out to the subtasks as what it was. Declare it as that.",
            )
        return reader_of(self._operator_name, name, "items", stored.description, serializer)

    def snapshot(self) -> dict[str, StoredItems]:
        """The elements of every declared state, each encoded on its own. States without elements are there, too.

        Raises:
            StateNotEncodable: an element cannot be encoded.
        """
        snapshot = {}
        for name, declared in self._declared.items():
            items = [self._encode(name, declared.serializer, item) for item in declared.handle.stored()]
            snapshot[name] = StoredItems(declared.serializer.description(), items, declared.mode)
        return snapshot

    def _encode(self, name: str, serializer: Serializer[Any], item: Any) -> bytes:
        try:
            return serializer.encode(item)
        except Exception as error:  # encoding may call the methods of a user's type, which raise anything
            raise StateNotEncodable(operator=self._operator_name, state=name, entry="", reason=str(error)) from error

    def restore(self, stored: Mapping[str, StoredItems]) -> None:
        """Takes over items of a checkpoint. Call it before the states are declared, as often as there are parts."""
        for name, part in stored.items():
            self._stored.setdefault(name, []).append(part)

    def undeclared(self) -> dict[str, list[StoredItems]]:
        """States of the checkpoint that nobody has declared, as they were stored: to be refused, or carried into the next checkpoint."""
        return {name: list(parts) for name, parts in self._stored.items()}
