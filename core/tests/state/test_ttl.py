"""State with a time to live: each rule by itself, and all of it against plain dicts from which everything that has expired is removed first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream import (
    AggregateFunction,
    AggregatingStateDescriptor,
    KeyedProcessFunction,
    ListStateDescriptor,
    MapStateDescriptor,
    ReducingStateDescriptor,
    RuntimeContext,
    StateTtlConfig,
    ValueStateDescriptor,
)
from millstream.contracts.state_backend import StateChunk
from millstream.errors import InvalidArgument, NotKeyed
from millstream.ports import ManualClock
from millstream.testing import OperatorHarness

TTL_MS = 10


def ttl(update_type: Any = "on_create_and_write", ttl_ms: int = TTL_MS, **options: Any) -> StateTtlConfig:
    return StateTtlConfig(timedelta(milliseconds=ttl_ms), update_type, **options)


EXPIRED_ONCE: dict[str, Any] = {"state_visibility": "return_expired_if_not_cleaned_up", "cleanup_incrementally": 0}


class Collect(AggregateFunction[int, list[int], tuple[int, ...]]):
    def create_accumulator(self) -> list[int]:
        return []

    def add(self, value: int, accumulator: list[int]) -> list[int]:
        accumulator.append(value)
        return accumulator

    def get_result(self, accumulator: list[int]) -> tuple[int, ...]:
        return tuple(accumulator)


COLLECT = Collect()


def add(a: int, b: int) -> int:
    return a + b


class EveryKind(KeyedProcessFunction[str, Any, Any]):
    """Has a state of each kind, and does with them what its input says: (key, kind, method, arguments)."""

    def __init__(self, config: StateTtlConfig | None, typed: bool = True) -> None:
        self.config = config
        self.typed = typed

    def open(self, context: RuntimeContext) -> None:
        number: Any = int if self.typed else None
        many: Any = list[int] if self.typed else None
        config = self.config
        self.states: dict[str, Any] = {
            "value": context.get_state(ValueStateDescriptor("value", number, -1, ttl=config)),
            "list": context.get_list_state(ListStateDescriptor("list", number, ttl=config)),
            "map": context.get_map_state(MapStateDescriptor("map", number, number, ttl=config)),
            "reducing": context.get_reducing_state(ReducingStateDescriptor("reducing", add, number, ttl=config)),
            "aggregating": context.get_aggregating_state(AggregatingStateDescriptor("aggregating", COLLECT, many, ttl=config)),
        }

    def process_element(self, value: Any, ctx: Any, out: Any) -> None:
        _, kind, method, arguments = value
        result = getattr(self.states[kind], method)(*arguments)
        if kind in ("list", "map") and method in ("get", "items", "keys", "values") and not isinstance(result, int | None):
            result = sorted(result)
        out.collect(result)


class Running:
    """The function in an operator of its own, with a clock that goes when told."""

    def __init__(self, config: StateTtlConfig | None, typed: bool = True, restore: bytes | None = None, clock: ManualClock | None = None) -> None:
        self.clock = clock or ManualClock(1_000_000)
        self.config = config
        self.harness = OperatorHarness(
            lambda stream: stream.key_by(lambda row: row[0], key_type=str).process(EveryKind(config, typed)),
            clock=self.clock,
            restore=() if restore is None else [restore],
        )

    def __call__(self, kind: str, method: str, *arguments: Any, key: str = "k") -> Any:
        self.harness.process((key, kind, method, arguments))
        return self.harness.take()[0]

    def pass_ms(self, milliseconds: int) -> None:
        self.harness.advance(milliseconds / 1000)

    def restarted(self, config: StateTtlConfig | None = None, down_ms: int = 0, typed: bool = True) -> Running:
        saved = self.harness.snapshot()
        self.harness.close()
        self.clock.advance(down_ms / 1000)
        return Running(config or self.config, typed, saved, self.clock)

    def without_ttl(self, down_ms: int = 0) -> Running:
        saved = self.harness.snapshot()
        self.clock.advance(down_ms / 1000)
        return Running(None, True, saved, self.clock)

    def stored(self, kind: str) -> int:
        """Keys in the table."""
        return len(self.harness.operator._tables.table(self.harness.operator.keyed._declared[kind].spec))  # type: ignore[attr-defined]


WRITES: dict[str, tuple[str, tuple[Any, ...]]] = {
    "value": ("update", (7,)),
    "list": ("add", (7,)),
    "map": ("put", (1, 7)),
    "reducing": ("add", (7,)),
    "aggregating": ("add", (7,)),
}
READS: dict[str, tuple[str, Any, Any]] = {
    "value": ("value", 7, -1),
    "list": ("get", [7], []),
    "map": ("items", [(1, 7)], []),
    "reducing": ("get", 7, None),
    "aggregating": ("get", (7,), None),
}
KINDS = list(WRITES)


@dataclass
class One:
    """One state of a kind with its usual write and read."""

    running: Running
    kind: str

    def write(self) -> None:
        method, arguments = WRITES[self.kind]
        self.running(self.kind, method, *arguments)

    def read(self) -> Any:
        return self.running(self.kind, READS[self.kind][0])

    @property
    def there(self) -> Any:
        return READS[self.kind][1]

    @property
    def gone(self) -> Any:
        return READS[self.kind][2]


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_expires_exactly_the_time_to_live_after_it_was_written(kind: str) -> None:
    one = One(Running(ttl()), kind)
    one.write()
    one.running.pass_ms(TTL_MS - 1)
    assert one.read() == one.there
    one.running.pass_ms(1)
    assert one.read() == one.gone


@pytest.mark.parametrize("kind", KINDS)
def test_a_read_never_resurrects_an_expired_value(kind: str) -> None:
    one = One(Running(ttl("on_read_and_write")), kind)
    one.write()
    one.running.pass_ms(TTL_MS)
    assert one.read() == one.gone
    assert one.read() == one.gone
    assert One(one.running.restarted(), kind).read() == one.gone


@pytest.mark.parametrize("kind", KINDS)
def test_reads_start_the_time_anew_only_when_told(kind: str) -> None:
    for update_type, still in (("on_create_and_write", False), ("on_read_and_write", True)):
        one = One(Running(ttl(update_type)), kind)
        one.write()
        one.running.pass_ms(TTL_MS - 1)
        one.read()
        one.running.pass_ms(TTL_MS - 1)
        assert one.read() == (one.there if still else one.gone)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_cleaned_up_is_returned_once_after_it_expired_where_that_is_wanted(kind: str) -> None:
    one = One(Running(ttl("on_read_and_write", **EXPIRED_ONCE)), kind)
    one.write()
    one.running.pass_ms(TTL_MS)
    assert one.read() == one.there
    assert one.read() == one.gone


@pytest.mark.parametrize("kind", KINDS)
def test_a_restore_does_not_start_the_time_anew(kind: str) -> None:
    one = One(Running(ttl()), kind)
    one.write()
    one.running.pass_ms(4)
    one = One(one.running.restarted(down_ms=5), kind)
    assert one.read() == one.there
    one.running.pass_ms(1)
    assert one.read() == one.gone


@pytest.mark.parametrize("options", [{}, EXPIRED_ONCE])
@pytest.mark.parametrize("kind", ["reducing", "aggregating"])
def test_an_add_to_an_expired_value_begins_afresh_whatever_may_be_read(kind: str, options: dict[str, Any]) -> None:
    one = One(Running(ttl(**options)), kind)
    one.write()
    one.running.pass_ms(TTL_MS)
    one.write()
    assert one.read() == one.there


def test_elements_of_a_list_expire_each_on_its_own() -> None:
    running = Running(ttl())
    running("list", "add_all", [1, 2])
    running.pass_ms(6)
    running("list", "add", 3)
    running.pass_ms(4)
    assert running("list", "get") == [3]
    running("list", "update", [4])
    running.pass_ms(9)
    assert running("list", "get") == [4]


def test_what_has_expired_of_a_list_or_map_does_not_come_back_with_the_rest_that_was_read() -> None:
    running = Running(ttl("on_read_and_write"))
    running("list", "add", 1)
    running("map", "put", 1, 10)
    running.pass_ms(5)
    running("list", "add", 2)
    running("map", "put", 2, 20)
    running.pass_ms(5)
    for _ in range(2):
        assert running("list", "get") == [2]
        assert running("map", "items") == [(2, 20)]


def test_entries_of_a_map_expire_each_on_its_own() -> None:
    running = Running(ttl("on_read_and_write"))
    running("map", "put_all", [(1, 10), (2, 20), (3, 30)])
    running.pass_ms(6)
    assert running("map", "get", 1) == 10
    assert running("map", "contains", 2) is True
    running.pass_ms(4)
    assert running("map", "contains", 3) is False
    assert running("map", "get", 3) is None
    assert running("map", "keys") == [1, 2]
    running.pass_ms(10)
    assert running("map", "is_empty") is True
    assert running("map", "values") == []


def test_whether_a_map_is_empty_is_no_read() -> None:
    running = Running(ttl("on_read_and_write"))
    running("map", "put", 1, 10)
    running.pass_ms(9)
    assert running("map", "is_empty") is False
    running.pass_ms(1)
    assert running("map", "is_empty") is True


@pytest.mark.parametrize("kind", KINDS)
def test_expired_entries_are_not_written_to_checkpoints(kind: str) -> None:
    one = One(Running(ttl(cleanup_incrementally=0)), kind)
    one.write()
    one.running.pass_ms(TTL_MS)
    assert one.running.stored(kind) == 1
    (chunks,) = [part.chunks() for part in [one.running.harness.operator.snapshot(1).tables] if part is not None and part.advance(float("inf"))]
    assert list(chunks) == list[StateChunk]()


@pytest.mark.parametrize("kind", KINDS)
def test_expired_entries_are_not_taken_over_from_checkpoints(kind: str) -> None:
    one = One(Running(ttl(**EXPIRED_ONCE)), kind)
    one.write()
    one = One(one.running.restarted(down_ms=TTL_MS), kind)
    assert one.running.stored(kind) == 0


@pytest.mark.parametrize("kind", KINDS)
def test_each_access_cleans_up_a_few_entries_that_nobody_touches(kind: str) -> None:
    running = Running(ttl(cleanup_incrementally=3))
    method, arguments = WRITES[kind]
    for number in range(30):
        running(kind, method, *arguments, key=f"old-{number}")
    running.pass_ms(TTL_MS)
    for _ in range(20):
        running(kind, method, *arguments, key="new")
    assert running.stored(kind) == 1
    assert Running(ttl(cleanup_incrementally=0))(kind, READS[kind][0]) == READS[kind][2]


@pytest.mark.parametrize("kind", KINDS)
def test_a_time_to_live_given_to_stored_state_begins_with_the_restore(kind: str) -> None:
    one = One(Running(None), kind)
    one.write()
    one.running.pass_ms(1000)
    one = One(one.running.restarted(ttl()), kind)
    one.running.pass_ms(TTL_MS - 1)
    assert one.read() == one.there
    one.running.pass_ms(1)
    assert one.read() == one.gone


@pytest.mark.parametrize("kind", KINDS)
def test_a_time_to_live_taken_away_keeps_what_had_not_expired_when_the_checkpoint_was_written(kind: str) -> None:
    one = One(Running(ttl()), kind)
    one.write()
    one.running.pass_ms(TTL_MS - 1)
    one = One(one.running.without_ttl(down_ms=1000), kind)
    assert one.read() == one.there
    one.running.pass_ms(1000)
    assert one.read() == one.there


@pytest.mark.parametrize("kind", KINDS)
def test_a_longer_time_to_live_brings_nothing_back(kind: str) -> None:
    one = One(Running(ttl(cleanup_incrementally=0)), kind)
    one.write()
    one.running.pass_ms(TTL_MS)
    assert One(one.running.restarted(ttl(ttl_ms=1000)), kind).read() == one.gone


@pytest.mark.parametrize("kind", KINDS)
def test_disabled_is_the_same_as_none(kind: str) -> None:
    one = One(Running(ttl("disabled")), kind)
    one.write()
    one.running.pass_ms(1000)
    assert one.read() == one.there
    plain, disabled = (Running(config).harness.operator.table_descriptions() for config in (None, ttl("disabled")))  # type: ignore[attr-defined]
    assert plain == disabled


def test_state_without_a_time_to_live_knows_nothing_of_it() -> None:
    operator = OperatorHarness(lambda stream: stream.key_by(lambda row: row[0]).process(EveryKind(None, True)), strict=False).operator
    for declared in operator.keyed._declared.values():  # type: ignore[attr-defined]
        assert declared.spec.transform is None
        assert declared.handle is None or type(declared.handle).__module__ == "millstream.state.heap_states"


def test_a_checkpoint_says_how_long_entries_live_and_when_it_was_written() -> None:
    running = Running(ttl())
    described = running.harness.operator.table_descriptions()["value"]  # type: ignore[attr-defined]
    assert (described.ttl.ttl_ms, described.ttl.written_ms) == (TTL_MS, 1_000_000)
    assert described.values.type_name == "tuple[int, int]"


@pytest.mark.parametrize("kind", KINDS)
def test_state_with_a_time_to_live_needs_a_key_whatever_is_done_with_it(kind: str) -> None:
    handle = Running(ttl()).harness.operator._function.states[kind]  # type: ignore[attr-defined]
    for method, arguments in (WRITES[kind], (READS[kind][0], ()), ("clear", ())):
        with pytest.raises(NotKeyed, match="belongs to no key"):
            getattr(handle, method)(*arguments)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StateTtlConfig(timedelta(0)), "the ttl of a state is 0:00:00"),
        (lambda: StateTtlConfig(10), "a timedelta of at least a millisecond"),  # type: ignore[arg-type]
        (lambda: ttl("on_read"), "update_type is 'on_read'.*'on_read_and_write'"),
        (lambda: ttl(state_visibility="always"), "state_visibility is 'always'"),
        (lambda: ttl(cleanup_incrementally=-1), "cleanup_incrementally is -1"),
        (lambda: ValueStateDescriptor("v", int, ttl=timedelta(hours=1)), r"Give StateTtlConfig\(timedelta\(\.\.\.\)\)"),  # type: ignore[call-overload]
    ],
)
def test_a_time_to_live_that_cannot_be_is_refused_with_what_can(make: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        make()


# --- everything at once


class Model:
    """Plain dicts of stamped entries. What has expired is removed before anything else happens; then they are dicts like any others."""

    def __init__(self) -> None:
        self.states: dict[str, dict[str, Any]] = {kind: {} for kind in KINDS}
        self.now = 1_000_000

    def purge(self, config: StateTtlConfig | None) -> None:
        if config is None:
            return

        def alive(cell: tuple[Any, int]) -> bool:
            return cell[1] + config.ttl_ms > self.now

        for kind, entries in self.states.items():
            for key, entry in list(entries.items()):
                if kind == "list":
                    entries[key] = [cell for cell in entry if alive(cell)]
                elif kind == "map":
                    entries[key] = {name: cell for name, cell in entry.items() if alive(cell)}
                elif not alive(entry):
                    del entries[key]

    def touch_all(self) -> None:
        """Everything was accessed just now."""
        for kind, entries in self.states.items():
            for key in list(entries):
                self.touch(kind, key)

    def touch(self, kind: str, key: str) -> None:
        entry = self.states[kind][key]
        if kind == "list":
            self.states[kind][key] = [(value, self.now) for value, _ in entry]
        elif kind == "map":
            self.states[kind][key] = {name: (value, self.now) for name, (value, _) in entry.items()}
        else:
            self.states[kind][key] = (entry[0], self.now)

    def run(self, config: StateTtlConfig | None, key: str, kind: str, method: str, arguments: tuple[Any, ...]) -> Any:
        self.purge(config)
        refresh = config is not None and config.update_type == "on_read_and_write"
        entries = self.states[kind]
        if method == "clear":
            entries.pop(key, None)
            return None
        return getattr(self, f"run_{kind}")(entries, key, method, arguments, refresh)

    def run_value(self, entries: Any, key: str, method: str, arguments: Any, refresh: bool) -> Any:
        if method == "update":
            entries[key] = (arguments[0], self.now)
            return None
        if refresh and key in entries:
            self.touch("value", key)
        return entries[key][0] if key in entries else -1

    def run_list(self, entries: Any, key: str, method: str, arguments: Any, refresh: bool) -> Any:
        cells = entries.setdefault(key, [])
        if method == "get":
            if refresh:
                self.touch("list", key)
            return sorted(value for value, _ in cells)
        added = [(value, self.now) for value in (arguments if method == "add" else arguments[0])]
        entries[key] = added if method == "update" else cells + added
        return None

    def run_map(self, entries: Any, key: str, method: str, arguments: Any, refresh: bool) -> Any:
        cells = entries.setdefault(key, {})
        if method in ("put", "put_all"):
            cells.update({name: (value, self.now) for name, value in ([arguments] if method == "put" else arguments[0])})
            return None
        if method == "remove":
            cells.pop(arguments[0], None)
            return None
        if method == "is_empty":
            return not cells
        if method in ("get", "contains"):
            cell = cells.get(arguments[0])
            if refresh and cell is not None:
                cells[arguments[0]] = (cell[0], self.now)
            return cell is not None if method == "contains" else None if cell is None else cell[0]
        if refresh:
            self.touch("map", key)
        plain = {name: value for name, (value, _) in cells.items()}
        return sorted(plain.items() if method == "items" else plain if method == "keys" else plain.values())

    def run_reducing(self, entries: Any, key: str, method: str, arguments: Any, refresh: bool) -> Any:
        if method == "add":
            entries[key] = (entries[key][0] + arguments[0] if key in entries else arguments[0], self.now)
            return None
        if refresh and key in entries:
            self.touch("reducing", key)
        return entries[key][0] if key in entries else None

    def run_aggregating(self, entries: Any, key: str, method: str, arguments: Any, refresh: bool) -> Any:
        if method == "add":
            entries[key] = ((*entries[key][0], *arguments) if key in entries else arguments, self.now)
            return None
        if refresh and key in entries:
            self.touch("aggregating", key)
        return entries[key][0] if key in entries else None


NUMBERS = st.integers(0, 3)
NONE = st.just(())
CALLS: dict[str, Any] = {
    kind: st.one_of(*(st.tuples(st.just(kind), st.just(method), arguments) for method, arguments in [*methods.items(), ("clear", NONE)]))
    for kind, methods in {
        "value": {"update": st.tuples(NUMBERS), "value": NONE},
        "list": {
            "add": st.tuples(NUMBERS),
            "add_all": st.tuples(st.lists(NUMBERS, max_size=2)),
            "update": st.tuples(st.lists(NUMBERS, max_size=2)),
            "get": NONE,
        },
        "map": {
            "put": st.tuples(NUMBERS, NUMBERS),
            "put_all": st.tuples(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=2)),
            "remove": st.tuples(NUMBERS),
            "get": st.tuples(NUMBERS),
            "contains": st.tuples(NUMBERS),
            "items": NONE,
            "keys": NONE,
            "values": NONE,
            "is_empty": NONE,
        },
        "reducing": {"add": st.tuples(NUMBERS), "get": NONE},
        "aggregating": {"add": st.tuples(NUMBERS), "get": NONE},
    }.items()
}
CONFIGS = st.one_of(
    st.none(),
    st.builds(
        ttl,
        st.sampled_from(["on_create_and_write", "on_read_and_write"]),
        st.sampled_from([TTL_MS, 2 * TTL_MS]),
        cleanup_incrementally=st.integers(0, 3),
    ),
)


def programs(kinds: list[str]) -> st.SearchStrategy[list[tuple[str, Any, Any]]]:
    """Calls, time that passes, and restarts, at which the time to live may come, go or change."""
    call = st.tuples(st.just("call"), st.sampled_from("ab"), st.one_of(*(CALLS[kind] for kind in kinds)))
    time = st.tuples(st.just("pass"), st.sampled_from([1, 5, TTL_MS]), st.none())
    restart = st.tuples(st.just("restart"), st.sampled_from([0, 5]), CONFIGS)
    return st.lists(st.one_of(call, call, call, time, restart), max_size=40)


@settings(max_examples=100, deadline=None)
@given(CONFIGS, st.booleans(), st.sampled_from([*([kind] for kind in KINDS), KINDS]).flatmap(programs))
def test_every_kind_of_state_is_as_in_plain_dicts_without_what_has_expired(
    config: StateTtlConfig | None, typed: bool, steps: list[tuple[str, Any, Any]]
) -> None:
    running, model = Running(config, typed), Model()
    for what, argument, detail in steps:
        if what == "pass":
            running.pass_ms(argument)
            model.now += argument
        elif what == "restart":
            running.config = detail
            running = running.restarted(detail, argument, typed)
            model.purge(config)
            model.now += argument
            if config is None and detail is not None:
                model.touch_all()
            config = detail
        else:
            kind, method, arguments = detail
            got = running(kind, method, *arguments, key=argument)
            assert got == model.run(config, argument, kind, method, arguments)
