"""Keyed states of every kind, and a model of them in plain dicts, from which everything that has expired is removed before it is looked at."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from hypothesis import strategies as st

from millstream import (
    AggregateFunction,
    AggregatingStateDescriptor,
    ListStateDescriptor,
    MapStateDescriptor,
    ReducingStateDescriptor,
    StateTtlConfig,
    ValueStateDescriptor,
)
from millstream_testkit.suites.programs import weighted

if TYPE_CHECKING:
    from collections.abc import Callable

TTL_MS: Final = 10
KEYS: Final = [f"k{number}" for number in range(4)]
"""Few, so that programs come back to them."""
KINDS: Final = ("value", "list", "map", "reducing", "aggregating")

Use: TypeAlias = tuple[str, str, tuple[Any, ...]]
"""A kind of state, a method of its handle, and the arguments."""


class Collect(AggregateFunction[int, list[int], tuple[int, ...]]):
    """Keeps all values, in an accumulator that it changes in place."""

    def create_accumulator(self) -> list[int]:
        return []

    def add(self, value: int, accumulator: list[int]) -> list[int]:
        accumulator.append(value)
        return accumulator

    def get_result(self, accumulator: list[int]) -> tuple[int, ...]:
        return tuple(accumulator)


def add(one: int, other: int) -> int:
    """Of the reducing state."""
    return one + other


_COLLECT: Final = Collect()
NOTHING: Final = -1
"""The default of the value state."""


def handles_of(store: Any, *, typed: bool, ttl: bool) -> dict[str, Any]:
    """A handle of each kind.

    Args:
        store: has the `get_..._state` methods: a state store, or a function's context.
        typed: with declared types, or through the data codec.
        ttl: with a time to live of TTL_MS.
    """
    config = StateTtlConfig(timedelta(milliseconds=TTL_MS), cleanup_incrementally=2) if ttl else None
    number: Any = int if typed else None
    numbers: Any = list[int] if typed else None
    return {
        "value": store.get_state(ValueStateDescriptor("value", number, NOTHING, ttl=config)),
        "list": store.get_list_state(ListStateDescriptor("list", number, ttl=config)),
        "map": store.get_map_state(MapStateDescriptor("map", number, number, ttl=config)),
        "reducing": store.get_reducing_state(ReducingStateDescriptor("reducing", add, number, ttl=config)),
        "aggregating": store.get_aggregating_state(AggregatingStateDescriptor("aggregating", _COLLECT, numbers, ttl=config)),
    }


def ask(handles: dict[str, Any], use: Use) -> Any:
    """What a handle answers, in a form that can be compared and kept."""
    kind, method, arguments = use
    answer = getattr(handles[kind], method)(*arguments)
    if method in ("items", "keys", "values"):
        return sorted(answer)
    return list(answer) if (kind, method) == ("list", "get") else answer


READS: Final[dict[str, str]] = {"value": "value", "list": "get", "map": "items", "reducing": "get", "aggregating": "get"}

_numbers = st.integers(0, 99)
_few = st.integers(0, 2)
uses: Final[st.SearchStrategy[Use]] = weighted(
    (3, st.tuples(st.just("value"), st.just("update"), st.tuples(_numbers))),
    (4, st.tuples(st.sampled_from(["list", "reducing", "aggregating"]), st.just("add"), st.tuples(_numbers))),
    (2, st.tuples(st.just("list"), st.sampled_from(["add_all", "update"]), st.tuples(st.lists(_numbers, max_size=2).map(tuple)))),
    (3, st.tuples(st.just("map"), st.just("put"), st.tuples(_few, _numbers))),
    (2, st.tuples(st.just("map"), st.just("put_all"), st.tuples(st.lists(st.tuples(_few, _numbers), max_size=2).map(tuple)))),
    (2, st.tuples(st.just("map"), st.sampled_from(["remove", "contains", "get"]), st.tuples(_few))),
    (1, st.tuples(st.just("map"), st.sampled_from(["keys", "values", "is_empty"]), st.just(()))),
    (3, st.tuples(st.sampled_from(KINDS), st.just("clear"), st.just(()))),
    (3, st.sampled_from([(kind, method, ()) for kind, method in READS.items()])),
)
"""Every method of every handle."""


class StateModel:
    """What the handles should give. Times are those of the last write; an element of a list and an entry of a map have their own.

    Attributes:
        entries: by kind and key: a list of (key within the entry or None, value, time).
    """

    def __init__(self, *, ttl: bool) -> None:
        self.entries: dict[tuple[str, str], list[tuple[Any, Any, int]]] = {}
        self._ttl = ttl

    def living(self, kind: str, key: str, now_ms: int) -> list[tuple[Any, Any, int]]:
        """What there is, without what has expired."""
        found = self.entries.get((kind, key), [])
        return [entry for entry in found if entry[2] > now_ms - TTL_MS] if self._ttl else found

    def use(self, key: str, use: Use, now_ms: int) -> Any:
        """Does what the handle should do, and answers what it should answer."""
        kind, method, arguments = use
        there = self.living(kind, key, now_ms)
        answer: Any = None
        if method == "clear":
            there = []
        elif (kind, method) in _WRITES:
            there = _WRITES[kind, method](there, now_ms, *arguments)
        else:
            answer = _ANSWERS[kind, method](there, *arguments)
        self.entries[kind, key] = there
        return answer

    def everything(self, now_ms: int) -> dict[tuple[str, str], Any]:
        """The usual read of each state and key."""
        return {(kind, key): _ANSWERS[kind, READS[kind]](self.living(kind, key, now_ms)) for kind in KINDS for key in KEYS}


_Entries: TypeAlias = "list[tuple[Any, Any, int]]"


def _put_all(there: _Entries, now_ms: int, added: Any) -> _Entries:
    new = dict(added)
    return [entry for entry in there if entry[0] not in new] + [(key, value, now_ms) for key, value in new.items()]


_WRITES: Final[dict[tuple[str, str], Callable[..., _Entries]]] = {
    ("value", "update"): lambda there, now_ms, value: [(None, value, now_ms)],
    ("list", "add"): lambda there, now_ms, value: [*there, (None, value, now_ms)],
    ("list", "add_all"): lambda there, now_ms, values: [*there, *((None, value, now_ms) for value in values)],
    ("list", "update"): lambda there, now_ms, values: [(None, value, now_ms) for value in values],
    ("map", "put"): lambda there, now_ms, key, value: _put_all(there, now_ms, [(key, value)]),
    ("map", "put_all"): _put_all,
    ("map", "remove"): lambda there, now_ms, key: [entry for entry in there if entry[0] != key],
    ("reducing", "add"): lambda there, now_ms, value: [(None, value + (there[0][1] if there else 0), now_ms)],
    ("aggregating", "add"): lambda there, now_ms, value: [(None, (*(there[0][1] if there else ()), value), now_ms)],
}
_ANSWERS: Final[dict[tuple[str, str], Callable[..., Any]]] = {
    ("value", "value"): lambda there: there[0][1] if there else NOTHING,
    ("list", "get"): lambda there: [value for _, value, _ in there],
    ("map", "items"): lambda there: sorted((key, value) for key, value, _ in there),
    ("map", "keys"): lambda there: sorted(key for key, _, _ in there),
    ("map", "values"): lambda there: sorted(value for _, value, _ in there),
    ("map", "is_empty"): lambda there: not there,
    ("map", "contains"): lambda there, key: any(key == other for other, _, _ in there),
    ("map", "get"): lambda there, key: next((value for other, value, _ in there if other == key), None),
    ("reducing", "get"): lambda there: there[0][1] if there else None,
    ("aggregating", "get"): lambda there: there[0][1] if there else None,
}
