"""Operator state: lists that belong to a subtask rather than to a key, and how they are dealt out when the parallelism changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from millstream.contracts.state_descriptors import ListState
from millstream.errors import InvalidArgument, StateDeclaredTwice, StateNotEncodable
from millstream.state.restoring import naming, reader_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from millstream.contracts.serializer import Serializer, SerializerDescription
    from millstream.contracts.state_descriptors import ListStateDescriptor

T = TypeVar("T")


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


class StoredItems(NamedTuple):
    """A list state of the checkpoint, or one old subtask's part of it.

    Attributes:
        description: how the items were written.
        items: the elements, each encoded on its own, so that any subtask can take any of them.
    """

    description: SerializerDescription
    items: Sequence[bytes]


class _Declared(NamedTuple):
    descriptor: ListStateDescriptor[Any]
    serializer: Serializer[Any]
    handle: SubtaskListState[Any]


class OperatorStateStore:
    """The operator states of one subtask, by name.

    Args:
        operator_name: named in errors.
        serializer_for: the serializer of a declared type; of None, the data codec.
    """

    def __init__(self, operator_name: str, serializer_for: Callable[[Any], Serializer[Any]]) -> None:
        self._operator_name = operator_name
        self._serializer_for = serializer_for
        self._declared: dict[str, _Declared] = {}
        self._stored: dict[str, list[StoredItems]] = {}

    def get_list_state(self, descriptor: ListStateDescriptor[T]) -> SubtaskListState[T]:
        """The list of that name.

        Raises:
            StateDeclaredTwice: the name stands for a different state already.
            StateIncompatible: the checkpoint holds a state of that name that cannot be read so.
            TypeNotCarried: as for the serializer of the declared type.
        """
        earlier = self._declared.get(descriptor.name)
        if earlier is not None:
            if earlier.descriptor != descriptor:
                raise StateDeclaredTwice(operator=self._operator_name, state=descriptor.name, first=repr(earlier.descriptor), second=repr(descriptor))
            return earlier.handle
        serializer = self._serializer_for(descriptor.type)
        parts = self._stored.get(descriptor.name, [])
        readers = [reader_of(self._operator_name, descriptor.name, "items", part.description, serializer) for part in parts]
        handle: SubtaskListState[T] = SubtaskListState()
        with naming(self._operator_name, descriptor.name):
            for reader, part in zip(readers, parts):
                handle.add_all(map(reader.decode, part.items))
        self._stored.pop(descriptor.name, None)
        self._declared[descriptor.name] = _Declared(descriptor, serializer, handle)
        return handle

    def snapshot(self) -> dict[str, list[bytes]]:
        """The elements of every declared state, each encoded on its own. States without elements are there, too.

        Raises:
            StateNotEncodable: an element cannot be encoded.
        """
        return {name: [self._encode(name, declared.serializer, item) for item in declared.handle.get()] for name, declared in self._declared.items()}

    def _encode(self, name: str, serializer: Serializer[Any], item: Any) -> bytes:
        try:
            return serializer.encode(item)
        except Exception as error:  # encoding may call the methods of a user's type, which raise anything
            raise StateNotEncodable(operator=self._operator_name, state=name, entry="", reason=str(error)) from error

    def descriptions(self) -> dict[str, SerializerDescription]:
        """What to store beside a snapshot: ask after it was taken."""
        return {name: declared.serializer.description() for name, declared in self._declared.items()}

    def restore(self, stored: Mapping[str, StoredItems]) -> None:
        """Takes over items of a checkpoint. Call it before the states are declared, as often as there are parts."""
        for name, part in stored.items():
            self._stored.setdefault(name, []).append(part)

    def undeclared(self) -> dict[str, list[StoredItems]]:
        """States of the checkpoint that nobody has declared, as they were stored: to be refused, or carried into the next checkpoint."""
        return {name: list(parts) for name, parts in self._stored.items()}


def _check(new_parallelism: int) -> None:
    if new_parallelism < 1:
        raise InvalidArgument(what="the parallelism to deal state out to", value=str(new_parallelism), allowed="1 or more")


def split_list_state(per_subtask_items: Sequence[Sequence[T]], new_parallelism: int, rotate_start: int) -> list[list[T]]:
    """Deals a list state out to subtasks.

    With the parallelism it was written with, each subtask gets its own back. Otherwise all items, in the order of the old subtasks,
    are cut into contiguous runs of total // n, one longer for the first total % n of them; run i goes to subtask (rotate_start + i) % n.

    Args:
        per_subtask_items: the items of each old subtask.
        new_parallelism: n, >= 1.
        rotate_start: the subtask that gets the first run, so that the longer ones of several states do not pile up; see `next_start`.

    Source: Flink's RoundRobinOperatorStateRepartitioner.

    >>> split_list_state([["a", "b"], ["c", "d", "e"]], 3, 1)
    [['e'], ['a', 'b'], ['c', 'd']]
    """
    _check(new_parallelism)
    if len(per_subtask_items) == new_parallelism:
        return [list(items) for items in per_subtask_items]
    together = [item for items in per_subtask_items for item in items]
    run, longer = divmod(len(together), new_parallelism)
    dealt: list[list[T]] = [[] for _ in range(new_parallelism)]
    at = 0
    for i in range(new_parallelism):
        size = run + (i < longer)
        dealt[(rotate_start + i) % new_parallelism] = together[at : at + size]
        at += size
    return dealt


def next_start(total_items: int, new_parallelism: int, rotate_start: int) -> int:
    """Where the first run of the next state goes: behind the last longer run of this one."""
    _check(new_parallelism)
    return (rotate_start + total_items % new_parallelism) % new_parallelism


def split_list_states(per_subtask: Sequence[Mapping[str, Sequence[T]]], new_parallelism: int) -> list[dict[str, list[T]]]:
    """Deals all list states of an operator out, in the order of their names, each starting where the one before ended.

    Args:
        per_subtask: the items of each old subtask, by state.
        new_parallelism: >= 1.
    """
    _check(new_parallelism)
    dealt: list[dict[str, list[T]]] = [{} for _ in range(new_parallelism)]
    start = 0
    for name in sorted({name for states in per_subtask for name in states}):
        parts = [states.get(name, ()) for states in per_subtask]
        for states, items in zip(dealt, split_list_state(parts, new_parallelism, start)):
            states[name] = items
        start = next_start(sum(map(len, parts)), new_parallelism, start)
    return dealt


def union_list_state(per_subtask_items: Sequence[Sequence[T]], new_parallelism: int) -> list[list[T]]:
    """Gives every subtask all items, in the order of the old subtasks."""
    _check(new_parallelism)
    together = [item for items in per_subtask_items for item in items]
    return [list(together) for _ in range(new_parallelism)]


def broadcast_state(copies: Sequence[T], new_parallelism: int) -> list[T]:
    """Gives subtask i the copy that old subtask i % len(copies) stored; all copies are equal."""
    _check(new_parallelism)
    if not copies:
        raise InvalidArgument(what="the number of stored copies of a broadcast state", value="0", allowed="one for each old subtask")
    return [copies[i % len(copies)] for i in range(new_parallelism)]


def by_lane(entries: Mapping[int, T], parallelism: int) -> list[dict[int, T]]:
    """Gives lane l and what belongs to it to subtask l % parallelism: no lane is lost when the parallelism sinks.

    >>> by_lane({0: "a", 1: "b", 2: "c"}, 2)
    [{0: 'a', 2: 'c'}, {1: 'b'}]
    """
    _check(parallelism)
    owned: list[dict[int, T]] = [{} for _ in range(parallelism)]
    for lane, entry in sorted(entries.items()):
        owned[lane % parallelism][lane] = entry
    return owned
