"""Tables of operators in strict mode: between an operator of the engine and the table that its loop runs on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from typing import TYPE_CHECKING, Any, Final, Literal

from millstream.state.strict import Codec
from millstream.state.strict_loans import ListLoan

if TYPE_CHECKING:
    from millstream.contracts.serializer import Serializer
    from millstream.state.strict import Ledger, StateWatch

Contents = Literal["own", "written", "appended"]
"""What an operator's table holds: what no function sees; values of functions, each written back whenever it was read; or lists of such
values, which the operator only appends to."""

_FIX: Final = {
    "written": "Return what was changed from the function that got it",
    "appended": "Leave what a window holds as it is",
}


def watched_bind(
    watch: StateWatch, name: str, layout: Literal["flat", "namespaced"], values: Serializer[Any], contents: Contents, bind: Callable[[Any], None]
) -> Callable[[Any], None]:
    """What takes a table and gives it to `bind` in strict mode."""

    def where(outer: Any, inner: Any) -> str:
        return f"at key {outer!r}" if layout == "flat" else f"at key {inner!r} of the window that starts at {outer}"

    if contents == "own":
        return bind
    inner: type[WatchedMapping] = WatchedEntries
    codec = Codec(values.encode, values.decode)
    if contents == "appended":
        inner, codec = WatchedLists, Codec(lambda element: values.encode([element]), lambda data: values.decode(data)[0])
    ledger = watch.ledger(name, codec, _FIX[contents], where)
    if layout == "flat":
        return lambda table: bind(inner(table, ledger, None))
    return lambda table: bind(WatchedNamespaces(table, ledger, inner))


class WatchedMapping(MutableMapping[Any, Any]):
    """A table, or the inside of one namespace.

    Args:
        table: what it stands for.
        ledger: remembers the values.
        namespace: the namespace; None for a flat table.
    """

    __slots__ = ("_ledger", "_namespace", "_table")

    def __init__(self, table: MutableMapping[Any, Any], ledger: Ledger, namespace: int | None) -> None:
        self._table = table
        self._ledger = ledger
        self._namespace = namespace

    def _place(self, key: Any) -> tuple[Any, Any]:
        return (key, None) if self._namespace is None else (self._namespace, key)

    def __delitem__(self, key: Any) -> None:
        del self._table[key]
        self._ledger.forget(*self._place(key))

    def __contains__(self, key: object) -> bool:
        return key in self._table

    def __iter__(self) -> Iterator[Any]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)


class WatchedEntries(WatchedMapping):
    """Values that the operator writes back whenever it has read one."""

    __slots__ = ()

    def __getitem__(self, key: Any) -> Any:
        self._ledger.last = None
        value = self._table[key]
        self._ledger.lend(value, *self._place(key))
        return value

    def __setitem__(self, key: Any, value: Any) -> None:
        self._table[key] = value
        self._ledger.write(value, *self._place(key))


class WatchedLists(WatchedMapping):
    """Lists that the operator appends to."""

    __slots__ = ()

    def __getitem__(self, key: Any) -> WatchedList:
        return WatchedList(self._table[key], self._ledger, *self._place(key))

    def __setitem__(self, key: Any, value: list[Any]) -> None:
        self._table[key] = value
        loan = ListLoan()
        loan.add(self._ledger, value)
        self._ledger.keep(loan, *self._place(key))


class WatchedList:
    """One of these lists, as the operator sees it."""

    __slots__ = ("_elements", "_ledger", "_place")

    def __init__(self, elements: list[Any], ledger: Ledger, outer: Any, inner: Any) -> None:
        self._elements = elements
        self._ledger = ledger
        self._place = (outer, inner)

    def append(self, value: Any) -> None:
        self._elements.append(value)
        loan = self._ledger.find(*self._place)
        if not isinstance(loan, ListLoan):
            loan = ListLoan()
            self._ledger.keep(loan, *self._place)
        loan.add(self._ledger, [value])

    def __len__(self) -> int:
        return len(self._elements)

    def __iter__(self) -> Iterator[Any]:
        """The elements go to a function."""
        self._ledger.check(*self._place)
        loan = ListLoan()
        loan.add(self._ledger, self._elements)
        self._ledger.keep(loan, *self._place)
        return iter(self._elements)


class WatchedNamespaces(MutableMapping[int, Any]):
    """A namespaced table: its inner tables are watched.

    Args:
        table: what it stands for.
        ledger: remembers the values.
        inner: what stands for an inner table.
    """

    __slots__ = ("_inner", "_ledger", "_table")

    def __init__(self, table: MutableMapping[int, Any], ledger: Ledger, inner: Callable[[Any, Ledger, int], WatchedMapping]) -> None:
        self._table = table
        self._ledger = ledger
        self._inner = inner

    def __getitem__(self, namespace: int) -> WatchedMapping:
        return self._inner(self._table[namespace], self._ledger, namespace)

    def __setitem__(self, namespace: int, contents: Any) -> None:
        self._table[namespace] = contents

    def __delitem__(self, namespace: int) -> None:
        del self._table[namespace]
        self._ledger.forget_all(namespace)

    def __contains__(self, namespace: object) -> bool:
        return namespace in self._table

    def __iter__(self) -> Iterator[int]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)

    def pop(self, namespace: int, *default: Any) -> Any:
        """Nobody sees what was in it any more, but for its keys."""
        self._ledger.forget_all(namespace)
        return self._table.pop(namespace, *default)
