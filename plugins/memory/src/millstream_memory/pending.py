"""What a snapshot holds of one table until all its entries are encoded."""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from millstream_memory.gathering import GatheringNamespaces, GatheringTable
from millstream_memory.touched import Touched

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, MutableMapping, Sequence

    from millstream.contracts.state_backend import TableSpec
    from millstream_memory.group import Entries
    from millstream_memory.touched import Encode

STEP_ENTRIES: Final = 512
"""Entries listed between two looks at the clock."""

Step: TypeAlias = tuple[list[Any], list[Any], list[int]]
"""Keys, the values that they had at the barrier, and their namespaces; those are empty in a flat table."""


class PendingTable:
    """A table on its way into a snapshot.

    Args:
        spec: the table.
        live: its dict.
        encode: encodes a value ahead of its turn, given the table and the value's key first.

    Attributes:
        stand_in: what to use in the dict's place.
    """

    def __init__(self, spec: TableSpec, live: dict[Any, Any], encode: Callable[[TableSpec, Any, Any], bytes]) -> None:
        self.spec = spec
        form = _Flat if spec.layout == "flat" else _Namespaced
        self._form: _Flat | _Namespaced = form(live, partial(encode, spec))
        self._is_settled = False

    @property
    def stand_in(self) -> MutableMapping[Any, Any]:
        """What to use in the dict's place."""
        return self._form.stand_in

    def steps(self) -> Iterator[Step]:
        """All entries, a step at a time."""
        return self._form.steps()

    def early(self, entries: Entries) -> Sequence[bytes | None]:
        """What was encoded early of some entries, None for the others; empty when it is nothing."""
        return self._form.early(entries)

    def settle(self) -> None:
        """All entries are encoded, or never will be: the dict is brought up to date, and used directly from now on."""
        if not self._is_settled:
            self._is_settled = True
            self._form.stand_in.settle()


class _Flat:
    def __init__(self, live: dict[Any, Any], encode: Encode) -> None:
        self._live = live
        self._touched = Touched(encode)
        self.stand_in = GatheringTable(live, self._touched)

    def steps(self) -> Iterator[Step]:
        for keys, values in _listed(self._live, lambda: self._touched):
            yield keys, values, []

    def early(self, entries: Entries) -> Sequence[bytes | None]:
        early = self._touched.early
        return list(map(early.get, entries.keys)) if early else ()


class _Namespaced:
    def __init__(self, live: dict[int, Any], encode: Encode) -> None:
        self._live = live
        self._touched: dict[int, Touched] = {}
        self._written: dict[int, Any] = {}
        self.stand_in = GatheringNamespaces(live, self._touched, self._written, encode)

    def steps(self) -> Iterator[Step]:
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

    def early(self, entries: Entries) -> Sequence[bytes | None]:
        nothing: dict[Any, bytes] = {}
        early = {namespace: touched.early for namespace, touched in self._touched.items() if touched.early}
        return [early.get(namespace, nothing).get(key) for namespace, key in zip(entries.namespaces, entries.keys)] if early else ()


def _listed(entries: dict[Any, Any], touched_now: Callable[[], Touched | None]) -> Iterator[tuple[list[Any], list[Any]]]:
    """Some keys at a time, with the values that they had at the barrier. The keys of the dict do not change meanwhile."""
    all_keys, all_values = iter(entries), iter(entries.values())
    while keys := list(islice(all_keys, STEP_ENTRIES)):
        values = list(islice(all_values, STEP_ENTRIES))
        touched = touched_now()
        if touched is not None and touched.written:
            values = list(map(touched.written.get, keys, values))
        yield keys, values
