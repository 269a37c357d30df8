"""Handles on state with a time to live: the same handles, over tables of stamped entries.

States without a time to live have handles and tables of their own (`heap_states`), which know nothing of this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from millstream.contracts.state_backend import DROPPED
from millstream.contracts.state_handles import AggregatingState, ListState, MapState, ReducingState, ValueState
from millstream.state.heap_states import HeapState
from millstream.state.ttl import LIST, MAP, PAIR, Stamping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, MutableMapping

    from millstream.contracts.functions import AggregateFunction
    from millstream.contracts.state_ttl import StateTtlConfig
    from millstream.state.key_context import HasKey

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")
I = TypeVar("I")  # noqa: E741 - input
O = TypeVar("O")  # noqa: E741 - output

PASSES: Final = 8
"""Passes over a table within its time to live, at most: what nobody touches stays for up to an eighth longer, and the time of a pass."""

_NEVER_MS: Final = 2**63
_NOTHING: Final[dict[Any, Any]] = {}


class TtlState(HeapState):
    """A flat table of stamped entries.

    Args:
        context: has the current key.
        stamping: of this kind of state.
        config: the time to live.
        now_ms: reads the wall clock.
    """

    __slots__ = (
        "_bare", "_due_ms", "_living", "_next_pass_ms", "_now_ms", "_refreshes", "_shows_expired", "_stamping", "_steps", "_to_visit", "_ttl_ms",
    )  # fmt: skip

    def __init__(self, context: HasKey, stamping: Stamping, config: StateTtlConfig, now_ms: Callable[[], int]) -> None:
        super().__init__(context)
        self._stamping = stamping
        self._living = stamping.living
        self._ttl_ms = config.ttl_ms
        self._refreshes = config.update_type == "on_read_and_write"
        self._shows_expired = config.state_visibility == "return_expired_if_not_cleaned_up"
        self._steps = config.cleanup_incrementally
        self._now_ms = now_ms
        self._to_visit: list[Any] = []
        self._bare = True
        # When `_clean_up` has something to do: always, while a pass over the table is under way.
        self._due_ms = self._next_pass_ms = now_ms() + self._pause_ms() if self._steps else _NEVER_MS

    def bind(self, table: MutableMapping[Any, Any]) -> None:
        super().bind(table)
        # While a snapshot is pending something guards the table, and to look at an entry would have it encoded out of its turn.
        self._bare = isinstance(table, dict)

    def _pause_ms(self) -> int:
        return max(1, self._ttl_ms // PASSES)

    def _clean_up(self, now_ms: int) -> None:
        """Removes what has expired in the next few entries of the table; for the end of each access once it is due."""
        if not self._bare:
            return
        table, to_visit, deadline_ms = self._table, self._to_visit, now_ms - self._ttl_ms
        if self._due_ms:
            self._due_ms = 0
            self._next_pass_ms = now_ms + self._pause_ms()
            to_visit.extend(table)
        for _ in range(min(self._steps, len(to_visit))):
            key = to_visit.pop()
            entry = table.get(key)
            if entry is not None:
                self._keep(key, entry, self._living(entry, deadline_ms))
        if not to_visit:
            self._due_ms = self._next_pass_ms

    def _keep(self, key: Any, entry: Any, left: Any) -> None:
        """Puts what is left of an entry in its place."""
        if left is DROPPED:
            del self._table[key]
        elif left is not entry:
            self._table[key] = left

    def _read_all(self) -> Any:
        """What may be seen of the current key's elements or entries, without time stamps; None for nothing."""
        key = self._context.key
        entry = self._table.get(key)
        now_ms = self._now_ms()
        visible: Any = DROPPED
        if entry is not None:
            stamp, _, strip = self._stamping
            left = self._living(entry, now_ms - self._ttl_ms)
            visible = entry if self._shows_expired else left
            if self._refreshes and left is not DROPPED:
                left = stamp(strip(left), now_ms)
            self._keep(key, entry, left)
        if now_ms >= self._due_ms:
            self._clean_up(now_ms)
        return None if visible is DROPPED else self._stamping.strip(visible)

    def _read_pair(self) -> tuple[Any, int] | None:
        """The current key's pair, as far as it may be seen."""
        key = self._context.key
        pair: tuple[Any, int] | None = self._table.get(key)
        now_ms = self._now_ms()
        if pair is not None:
            if pair[1] <= now_ms - self._ttl_ms:
                del self._table[key]
                pair = pair if self._shows_expired else None
            elif self._refreshes:
                self._table[key] = (pair[0], now_ms)
        if now_ms >= self._due_ms:
            self._clean_up(now_ms)
        return pair

    def _living_pair(self, now_ms: int) -> tuple[Any, int] | None:
        """The current key's pair unless it has expired, for a write to build on."""
        pair: tuple[Any, int] | None = self._table.get(self._context.key)
        return None if pair is None or pair[1] <= now_ms - self._ttl_ms else pair

    def _write_pair(self, value: Any, now_ms: int) -> None:
        self._table[self._context.key] = (value, now_ms)
        if now_ms >= self._due_ms:
            self._clean_up(now_ms)


class TtlValueState(TtlState, ValueState[T]):
    """One value a key."""

    __slots__ = ("_default",)

    def __init__(self, context: HasKey, default: T | None, config: StateTtlConfig, now_ms: Callable[[], int]) -> None:
        super().__init__(context, PAIR, config, now_ms)
        self._default = default

    def value(self) -> T | None:
        pair = self._read_pair()
        return self._default if pair is None else pair[0]

    def update(self, value: T) -> None:
        now_ms = self._now_ms()
        self._table[self._context.key] = (value, now_ms)
        if now_ms >= self._due_ms:
            self._clean_up(now_ms)


class TtlReducingState(TtlState, ReducingState[T]):
    """One value a key, reduced as values are added."""

    __slots__ = ("_reduce",)

    def __init__(self, context: HasKey, reduce: Callable[[T, T], T], config: StateTtlConfig, now_ms: Callable[[], int]) -> None:
        super().__init__(context, PAIR, config, now_ms)
        self._reduce = reduce

    def wrap(self, wrapper: Callable[[str, Callable[..., Any]], Callable[..., Any]]) -> None:
        """Puts something around its function, given with its name."""
        self._reduce = wrapper("reduce", self._reduce)

    def get(self) -> T | None:
        pair = self._read_pair()
        return None if pair is None else pair[0]

    def add(self, value: T) -> None:
        now_ms = self._now_ms()
        pair = self._living_pair(now_ms)
        self._write_pair(value if pair is None else self._reduce(pair[0], value), now_ms)


class TtlAggregatingState(TtlState, AggregatingState[I, O]):
    """One accumulator a key."""

    __slots__ = ("_add", "_create", "_result")

    def __init__(self, context: HasKey, function: AggregateFunction[I, Any, O], config: StateTtlConfig, now_ms: Callable[[], int]) -> None:
        super().__init__(context, PAIR, config, now_ms)
        self._create = function.create_accumulator
        self._add = function.add
        self._result = function.get_result

    def wrap(self, wrapper: Callable[[str, Callable[..., Any]], Callable[..., Any]]) -> None:
        """Puts something around each of its functions, given with their names."""
        self._create = wrapper("create_accumulator", self._create)
        self._add = wrapper("add", self._add)
        self._result = wrapper("get_result", self._result)

    def get(self) -> O | None:
        pair = self._read_pair()
        return None if pair is None else self._result(pair[0])

    def add(self, value: I) -> None:
        now_ms = self._now_ms()
        pair = self._living_pair(now_ms)
        self._write_pair(self._add(value, self._create() if pair is None else pair[0]), now_ms)


class TtlListState(TtlState, ListState[T]):
    """A list a key, each element with a time of its own."""

    __slots__ = ()

    def __init__(self, context: HasKey, config: StateTtlConfig, now_ms: Callable[[], int]) -> None:
        super().__init__(context, LIST, config, now_ms)

    def get(self) -> Iterable[T]:
        return self._read_all() or ()

    def add(self, value: T) -> None:
        now_ms = self._now_ms()
        try:
            self._table[self._context.key].append((value, now_ms))
        except KeyError:
            self._table[self._context.key] = [(value, now_ms)]
        if now_ms >= self._due_ms:
            self._clean_up(now_ms)

    def add_all(self, values: Iterable[T]) -> None:
        key, now_ms = self._context.key, self._now_ms()
        added: list[tuple[T, int]] = LIST.stamp(values, now_ms)
        if added:
            self._table.setdefault(key, []).extend(added)
        if now_ms >= self._due_ms:
            self._clean_up(now_ms)

    def update(self, values: Iterable[T]) -> None:
        now_ms = self._now_ms()
        replaced: list[tuple[T, int]] = LIST.stamp(values, now_ms)
        if replaced:
            self._table[self._context.key] = replaced
        else:
            self.clear()
        if now_ms >= self._due_ms:
            self._clean_up(now_ms)


class TtlMapState(TtlState, MapState[K, V]):
    """A dict a key, each of its entries with a time of its own."""

    __slots__ = ()

    def __init__(self, context: HasKey, config: StateTtlConfig, now_ms: Callable[[], int]) -> None:
        super().__init__(context, MAP, config, now_ms)

    def _read(self, key: K) -> tuple[V, int] | None:
        """The pair of one entry, as far as it may be seen."""
        entries: dict[K, tuple[V, int]] = self._table.get(self._context.key, _NOTHING)
        pair = entries.get(key)
        now_ms = self._now_ms()
        if pair is not None:
            if pair[1] <= now_ms - self._ttl_ms:
                self._remove(entries, key)
                pair = pair if self._shows_expired else None
            elif self._refreshes:
                entries[key] = (pair[0], now_ms)
        if now_ms >= self._due_ms:
            self._clean_up(now_ms)
        return pair

    def _remove(self, entries: dict[K, tuple[V, int]], key: K) -> None:
        entries.pop(key, None)
        if not entries:
            self.clear()

    def get(self, key: K) -> V | None:
        pair = self._read(key)
        return None if pair is None else pair[0]

    def contains(self, key: K) -> bool:
        return self._read(key) is not None

    def put(self, key: K, value: V) -> None:
        now_ms = self._now_ms()
        try:
            self._table[self._context.key][key] = (value, now_ms)
        except KeyError:
            self._table[self._context.key] = {key: (value, now_ms)}
        if now_ms >= self._due_ms:
            self._clean_up(now_ms)

    def put_all(self, entries: Iterable[tuple[K, V]]) -> None:
        current, now_ms = self._context.key, self._now_ms()
        added: dict[K, tuple[V, int]] = MAP.stamp(dict(entries), now_ms)
        if added:
            self._table.setdefault(current, {}).update(added)
        if now_ms >= self._due_ms:
            self._clean_up(now_ms)

    def remove(self, key: K) -> None:
        self._remove(self._table.get(self._context.key, _NOTHING), key)

    def items(self) -> Iterator[tuple[K, V]]:
        entries: dict[K, V] = self._read_all() or {}
        return iter(entries.items())

    def keys(self) -> Iterator[K]:
        return (key for key, _ in self.items())

    def values(self) -> Iterator[V]:
        return (value for _, value in self.items())

    def is_empty(self) -> bool:
        entry = self._table.get(self._context.key)
        if entry is None or self._shows_expired:
            return entry is None
        deadline_ms = self._now_ms() - self._ttl_ms
        return all(accessed_ms <= deadline_ms for _, accessed_ms in entry.values())
