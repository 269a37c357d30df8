"""Handles in strict mode: each is around a handle of the same kind, and tells the ledger what goes through it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from millstream.contracts.state_handles import AggregatingState, BroadcastState, ListState, ReducingState, State, ValueState
from millstream.state.key_context import KeyContext
from millstream.state.strict import Codec
from millstream.state.strict_loans import ListLoan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from millstream.contracts.serializer import Serializer
    from millstream.state.key_context import HasKey
    from millstream.state.strict import Ledger, StateWatch

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")
I = TypeVar("I")  # noqa: E741 - input
O = TypeVar("O")  # noqa: E741 - output

_DEFAULT: Final = object()
"""Stands for all keys that have no value."""

_FIXES: Final = {
    "value": "Call update() with what was changed",
    "list": "Call update() with what was changed",
    "map": "Call put() with what was changed",
    "reducing": "Change it through add() alone",
    "aggregating": "Change it through add() alone",
}


class OfSubtask(KeyContext):
    """The only key of operator state."""

    __slots__ = ()

    def __init__(self) -> None:
        self.key = None


def watched(watch: StateWatch, kind: str, name: str, handle: Any, context: HasKey, parts: Serializer[Any], default: object = None) -> Any:
    """A handle in strict mode.

    Args:
        watch: of the operator.
        kind: of the state, as checkpoints call it.
        name: of the state.
        handle: what to wrap.
        context: has the current key.
        parts: how what is handed out becomes bytes: a value, an element, the value of an entry, an accumulator.
        default: of value state.
    """

    def where(key: Any, inner: Any) -> str:
        at = "" if isinstance(context, OfSubtask) else f"key {key!r}"
        if key is _DEFAULT:
            return "in its default, which is the same object for all keys without a value"
        if kind == "map":
            return f"in entry {inner!r}{at and f' of {at}'}"
        return at and f"at {at}"

    ledger = watch.ledger(name, Codec(parts.encode, parts.decode), _FIXES[kind], where)
    if kind == "value":
        return StrictValueState(handle, context, ledger, default)
    wrapper: dict[str, type[StrictState]] = {
        "list": StrictListState,
        "map": StrictMapState,
        "reducing": StrictReducingState,
        "aggregating": StrictAggregatingState,
    }
    return wrapper[kind](handle, context, ledger)


class StrictState(State):
    """A handle, and the ledger of what goes through it."""

    __slots__ = ("_context", "_inner", "_ledger")

    def __init__(self, inner: Any, context: HasKey, ledger: Ledger) -> None:
        self._inner = inner
        self._context = context
        self._ledger = ledger

    def clear(self) -> None:
        self._inner.clear()
        self._ledger.forget_all(self._context.key)

    def _lend(self, value: Any) -> None:
        self._ledger.lend(value, self._context.key)
        self._ledger.touch(self._context.key)

    def _written(self, value: Any) -> None:
        self._ledger.write(value, self._context.key)
        self._ledger.touch(self._context.key)


class StrictValueState(StrictState, ValueState[T]):
    """One value a key."""

    __slots__ = ("_default",)

    def __init__(self, inner: Any, context: HasKey, ledger: Ledger, default: object) -> None:
        super().__init__(inner, context, ledger)
        self._default = default
        ledger.write(default, _DEFAULT)

    def value(self) -> T | None:
        value: T | None = self._inner.value()
        # The default object itself may have been written: then it is this key's value as well.
        key = _DEFAULT if value is self._default else self._context.key
        self._ledger.lend(value, key)
        self._ledger.touch(key)
        return value

    def update(self, value: T) -> None:
        self._inner.update(value)
        self._written(value)


class StrictListState(StrictState, ListState[T]):
    """A list a key, or the only one of a subtask."""

    __slots__ = ()

    def get(self) -> Iterable[T]:
        found = self._inner.get()
        key, ledger = self._context.key, self._ledger
        ledger.check(key)
        elements: list[T] | tuple[T, ...] = found if isinstance(found, (list, tuple)) else list(found)
        if isinstance(elements, list):
            loan = ListLoan()
            loan.lend(ledger, elements)
            ledger.keep(loan, key)
            ledger.touch(key)
        return elements

    def add(self, value: T) -> None:
        self._inner.add(value)
        self._added([value])

    def add_all(self, values: Iterable[T]) -> None:
        added = list(values)
        self._inner.add_all(added)
        self._added(added)

    def _added(self, values: list[T]) -> None:
        loan = self._ledger.find(self._context.key)
        if not isinstance(loan, ListLoan):
            loan = ListLoan()
            self._ledger.keep(loan, self._context.key)
        loan.add(self._ledger, values)
        self._ledger.touch(self._context.key)

    def update(self, values: Iterable[T]) -> None:
        replaced = list(values)
        self._inner.update(replaced)
        self._ledger.forget(self._context.key)
        self._added(replaced)


class StrictMapState(StrictState, BroadcastState[K, V]):
    """A dict a key, or the only one of a subtask: each entry is written on its own."""

    __slots__ = ()

    def get(self, key: K) -> V | None:
        value: V | None = self._inner.get(key)
        self._lend_entry(key, value)
        return value

    def _lend_entry(self, key: K, value: Any) -> None:
        self._ledger.lend(value, self._context.key, key)
        self._ledger.touch(self._context.key, key)

    def put(self, key: K, value: V) -> None:
        self._inner.put(key, value)
        self._put(key, value)

    def _put(self, key: K, value: V) -> None:
        self._ledger.write(value, self._context.key, key)
        self._ledger.touch(self._context.key, key)

    def put_all(self, entries: Iterable[tuple[K, V]]) -> None:
        added = dict(entries)
        self._inner.put_all(added.items())
        for key, value in added.items():
            self._put(key, value)

    def remove(self, key: K) -> None:
        self._inner.remove(key)
        self._ledger.forget(self._context.key, key)

    def contains(self, key: K) -> bool:
        found: bool = self._inner.contains(key)
        return found

    def items(self) -> Iterator[tuple[K, V]]:
        return self._lending(self._inner.items())

    def _lending(self, items: Iterator[tuple[K, V]]) -> Iterator[tuple[K, V]]:
        for key, value in items:
            self._lend_entry(key, value)
            yield key, value

    def keys(self) -> Iterator[K]:
        keys: Iterator[K] = self._inner.keys()
        return keys

    def values(self) -> Iterator[V]:
        return (value for _, value in self.items())

    def is_empty(self) -> bool:
        empty: bool = self._inner.is_empty()
        return empty


class StrictReducingState(StrictState, ReducingState[T]):
    """One value a key: what the reduce function returns is written, whatever it did to what it was given."""

    __slots__ = ("_value",)

    def __init__(self, inner: Any, context: HasKey, ledger: Ledger) -> None:
        super().__init__(inner, context, ledger)
        self._value: Any = None
        inner.wrap(self._around)

    def _around(self, _: str, reduce: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def watched_reduce(before: Any, value: Any) -> Any:
            self._lend(before)
            self._value = result = reduce(before, value)
            return result

        return watched_reduce

    def get(self) -> T | None:
        value: T | None = self._inner.get()
        self._lend(value)
        return value

    def add(self, value: T) -> None:
        self._value = value  # stays, where there was nothing to reduce it into
        self._inner.add(value)
        self._written(self._value)
        self._value = None


class StrictAggregatingState(StrictState, AggregatingState[I, O]):
    """An accumulator a key: what `add` of its function returns is written; `get_result` may change nothing."""

    __slots__ = ("_accumulator", "_created")

    def __init__(self, inner: Any, context: HasKey, ledger: Ledger) -> None:
        super().__init__(inner, context, ledger)
        self._accumulator: Any = None
        self._created: Any = None
        inner.wrap(self._around)

    def _around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def watched_create() -> Any:
            self._created = created = function()
            return created

        def watched_add(value: Any, accumulator: Any) -> Any:
            if accumulator is not self._created:
                self._lend(accumulator)
            self._accumulator = result = function(value, accumulator)
            return result

        def watched_get_result(accumulator: Any) -> Any:
            self._lend(accumulator)
            return function(accumulator)

        around: dict[str, Callable[..., Any]] = {"create_accumulator": watched_create, "add": watched_add, "get_result": watched_get_result}
        return around[name]

    def get(self) -> O | None:
        result: O | None = self._inner.get()
        self._ledger.check(self._context.key)
        return result

    def add(self, value: I) -> None:
        self._inner.add(value)
        self._written(self._accumulator)
        self._accumulator = self._created = None
