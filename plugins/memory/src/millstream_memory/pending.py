"""What a snapshot holds of one table: first where it stands in listing the entries, then the entries by key group."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from millstream_memory.gathering import GatheringNamespaces, GatheringTable
from millstream_memory.group import Group
from millstream_memory.guarded import GuardedNamespaces, GuardedTable
from millstream_memory.touched import Touched

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, MutableMapping, Sequence

    from millstream.contracts.state_backend import TableSpec
    from millstream_memory.touched import Encode

STEP_ENTRIES: Final = 512
"""Entries listed, or at most encoded, between two looks at the clock."""


class PendingTable:
    """A table on its way into a snapshot.

    Args:
        spec: the table.
        live: its dict.
        encode: encodes a value ahead of its turn, given the table and the value's key first.

    Attributes:
        stand_in: what to use in the dict's place now.
        groups: entries by key group, as far as they are listed.
        done_below: key groups below this one have been encoded.
    """

    def __init__(self, spec: TableSpec, live: dict[Any, Any], encode: Callable[[PendingTable, Any, Any], bytes]) -> None:
        self.spec = spec
        self.groups: defaultdict[int, Group] = defaultdict(Group)
        self.done_below = 0

        def encode_early(key: Any, value: Any) -> bytes:
            return encode(self, key, value)

        self._form: _Flat | _Namespaced = (_Flat if spec.layout == "flat" else _Namespaced)(live, encode_early)
        self.stand_in: MutableMapping[Any, Any] = self._form.stand_in
        self._settled = False

    def gather(self, groups_of: Callable[[Sequence[Any]], Sequence[int]]) -> Generator[None, None, None]:
        """Lists all entries as they were at the barrier, a step at a time."""
        groups = self.groups
        for keys, values, namespaces in self._form.steps():
            numbers = groups_of(keys)
            for key, value, number in zip(keys, values, numbers):
                group = groups[number]
                group.keys.append(key)
                group.values.append(value)
            for namespace, number in zip(namespaces, numbers):
                groups[number].namespaces.append(namespace)
            yield

    def settle(self) -> None:
        """All entries are listed, or never will be: the dict is brought up to date."""
        if not self._settled:
            self._settled = True
            self.stand_in = self._form.settle()

    def early(self, group: Group) -> list[bytes | None]:
        """What was encoded early of the entries of a group, None for the others; empty when it is nothing."""
        return self._form.early(group)

    def end(self) -> None:
        """The dict is bare again."""
        self.settle()
        self._form.end()
        self.groups.clear()


_Step = tuple[list[Any], list[Any], list[int]]
"""Keys, their values, and their namespaces; those are empty in a flat table."""


class _Flat:
    def __init__(self, live: dict[Any, Any], encode: Encode) -> None:
        self._live = live
        self._touched = Touched(encode)
        self.stand_in = GatheringTable(live, self._touched)

    def steps(self) -> Iterator[_Step]:
        for keys, values in _listed(self._live, lambda: self._touched):
            yield keys, values, []

    def settle(self) -> GuardedTable:
        self.stand_in.settle()
        return GuardedTable(self._live, self._touched)

    def early(self, group: Group) -> list[bytes | None]:
        early = self._touched.early
        return list(map(early.get, group.keys)) if early else []

    def end(self) -> None:
        """A flat table holds no guards."""


class _Namespaced:
    def __init__(self, live: dict[int, Any], encode: Encode) -> None:
        self._live = live
        self._touched: dict[int, Touched] = {}
        self._written: dict[int, Any] = {}
        self.stand_in = GatheringNamespaces(live, self._touched, self._written, encode)
        self._guarded = GuardedNamespaces(live, self._touched, self._written, encode)

    def steps(self) -> Iterator[_Step]:
        keys: list[Any] = []
        values: list[Any] = []
        namespaces: list[int] = []
        for namespace, inner in self._live.items():
            at_barrier = self._written.get(namespace, inner)
            for some_keys, some_values in _listed(at_barrier, partial(self._touched.get, namespace)):
                keys += some_keys
                values += some_values
                namespaces += [namespace] * len(some_keys)
                if len(keys) >= STEP_ENTRIES:
                    yield keys, values, namespaces
                    keys, values, namespaces = [], [], []
        yield keys, values, namespaces

    def settle(self) -> GuardedNamespaces:
        self.stand_in.settle()
        return self._guarded

    def early(self, group: Group) -> list[bytes | None]:
        nothing: dict[Any, bytes] = {}
        early = {namespace: touched.early for namespace, touched in self._touched.items() if touched.early}
        return [early.get(namespace, nothing).get(key) for namespace, key in zip(group.namespaces, group.keys)] if early else []

    def end(self) -> None:
        self._guarded.settle()


def _listed(entries: dict[Any, Any], touched_now: Callable[[], Touched | None]) -> Iterator[tuple[list[Any], list[Any]]]:
    """Some keys at a time, with the values that they had at the barrier. The keys of the dict do not change meanwhile."""
    all_keys, all_values = iter(entries), iter(entries.values())
    while keys := list(islice(all_keys, STEP_ENTRIES)):
        values = list(islice(all_values, STEP_ENTRIES))
        touched = touched_now()
        if touched is not None and touched.written:
            values = list(map(touched.written.get, keys, values))
        yield keys, values
