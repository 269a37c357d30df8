"""Operator state of the three modes, in operators that are restored again and again at other parallelisms, against plain lists and dicts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream import ListStateDescriptor, MapFunction, MapStateDescriptor, RuntimeContext, StateTtlConfig
from millstream.config.durations import parse_duration
from millstream.errors import InvalidArgument, StateDeclaredTwice, StateIncompatible, UndeclaredState
from millstream.testing import OperatorHarness


class Modes(MapFunction[Any, Any]):
    """Has a state of each mode in `names`. A record is (mode, method, arguments)."""

    def __init__(self, names: dict[str, str], typed: bool = True) -> None:
        self.names = names
        self.typed = typed

    def open(self, context: RuntimeContext) -> None:
        number: Any = int if self.typed else None
        self.states: dict[str, Any] = {}
        for mode, name in self.names.items():
            if mode == "broadcast":
                self.states[mode] = context.get_broadcast_state(MapStateDescriptor(name, number, number))
            else:
                get = context.get_operator_list_state if mode == "split" else context.get_union_list_state
                self.states[mode] = get(ListStateDescriptor(name, number))

    def map(self, value: Any) -> Any:
        mode, method, *arguments = value
        return getattr(self.states[mode], method)(*arguments)

    def contents(self) -> dict[str, Any]:
        return {mode: dict(state.items()) if mode == "broadcast" else list(state.get()) for mode, state in self.states.items()}


ALL = {"split": "split", "union": "union", "broadcast": "broadcast"}


def start(parallelism: int, saved: list[bytes] | None = None, typed: bool = True, names: dict[str, str] = ALL) -> list[OperatorHarness]:
    return [
        OperatorHarness(lambda stream: stream.map(Modes(names, typed)), subtask=subtask, parallelism=parallelism, restore=saved or ())
        for subtask in range(parallelism)
    ]


def contents(running: list[OperatorHarness]) -> list[dict[str, Any]]:
    return [harness.operator._functions[0].contents() for harness in running]  # type: ignore[attr-defined]


def dealt(lists: list[list[int]], parallelism: int) -> list[list[int]]:
    """Item by item: everything in a row, the first `rest` subtasks take one more than the others."""
    if len(lists) == parallelism:
        return lists
    row = [item for items in lists for item in items]
    share, rest = divmod(len(row), parallelism)
    return [[row.pop(0) for _ in range(share + (subtask < rest))] for subtask in range(parallelism)]


STEPS = st.one_of(
    st.tuples(st.sampled_from(["split", "union"]), st.integers(0, 3), st.sampled_from(["add", "add_all", "update", "clear"]), st.integers(0, 9)),
    st.tuples(st.just("broadcast"), st.just(0), st.sampled_from(["put", "put_all", "remove", "clear"]), st.integers(0, 3)),
)
LIVES = st.lists(st.tuples(st.integers(1, 4), st.booleans(), st.lists(STEPS, max_size=8)), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(LIVES)
def test_each_mode_deals_out_by_its_rule_over_any_number_of_restores(lives: list[tuple[int, bool, list[Any]]]) -> None:
    """Lives of a job, each with its parallelism, whether types are declared from then on, and what is done."""
    saved: list[bytes] | None = None
    split: list[list[int]] = [[]]
    union: list[list[int]] = [[]]
    broadcast: dict[int, int] = {}
    typed = False
    for parallelism, declared, steps in lives:
        typed = typed or declared
        running = start(parallelism, saved, typed)
        split = [list(items) for items in dealt(split, parallelism)]
        whole = [item for items in union for item in items]
        union = [list(whole) for _ in range(parallelism)]
        wanted = [{"split": split[subtask], "union": union[subtask], "broadcast": broadcast} for subtask in range(parallelism)]
        assert contents(running) == wanted
        for subtask, harness in enumerate(running):  # each keeps its own part, as the documentation of union state asks for
            union[subtask] = whole[subtask::parallelism]
            harness.process(("union", "update", union[subtask]))
        for mode, number, method, argument in steps:
            if mode == "broadcast":
                arguments = {"put": [argument, number], "put_all": [[(argument, 1), (5, 5)]], "remove": [argument], "clear": []}[method]
                for harness in running:
                    harness.process(("broadcast", method, *arguments))
                if method in ("put", "put_all"):
                    broadcast.update([tuple(arguments)] if method == "put" else arguments[0])  # type: ignore[arg-type]
                else:
                    broadcast = {} if method == "clear" else {key: value for key, value in broadcast.items() if key != argument}
                continue
            subtask = number % parallelism
            arguments = {"add": [argument], "add_all": [[argument, argument + 1]], "update": [[argument]], "clear": []}[method]
            running[subtask].process((mode, method, *arguments))
            items = (split if mode == "split" else union)[subtask]
            added = {"add": arguments, "clear": []}.get(method, arguments[0] if arguments else [])
            items[:] = [*(items if method.startswith("add") else []), *added]
        wanted = [{"split": split[subtask], "union": union[subtask], "broadcast": broadcast} for subtask in range(parallelism)]
        assert contents(running) == wanted
        saved = [harness.snapshot() for harness in running]
        for harness in running:
            harness.close()


def saved_by(parallelism: int, names: dict[str, str]) -> list[bytes]:
    running = start(parallelism, names=names)
    for subtask, harness in enumerate(running):
        for mode in names:
            harness.process((mode, "put", 1, subtask) if mode == "broadcast" else (mode, "add", subtask))
    return [harness.snapshot() for harness in running]


@pytest.mark.parametrize(("before", "after"), [(b, a) for b in ALL for a in ALL if a != b])
def test_a_mode_that_changed_is_refused_at_the_restore_with_both_named(before: str, after: str) -> None:
    kinds = {"split": "operator list state", "union": "union list state", "broadcast": "broadcast state"}
    message = f"State 's' of operator .* was stored as {kinds[before]} and is declared as {kinds[after]} now.*Declare it as that"
    with pytest.raises(StateIncompatible, match=message):
        start(2, saved_by(2, {before: "s"}), names={after: "s"})


@pytest.mark.parametrize("mode", ALL)
def test_operator_state_that_nobody_declares_any_more_is_refused_rather_than_lost(mode: str) -> None:
    with pytest.raises(UndeclaredState, match="holds state 'old'"):
        start(1, saved_by(1, {mode: "old"}), names={"split": "new"})


def test_one_name_is_one_state_of_one_mode() -> None:
    with pytest.raises(StateDeclaredTwice, match=r"declares state 's' as union ListStateDescriptor.*declared it as split ListStateDescriptor"):
        start(1, names={"split": "s", "union": "s"})


def test_a_broadcast_of_another_type_is_refused_at_the_restore() -> None:
    class Texts(MapFunction[Any, Any]):
        def open(self, context: RuntimeContext) -> None:
            context.get_broadcast_state(MapStateDescriptor("broadcast", str, str))

        def map(self, value: Any) -> Any:
            return value

    with pytest.raises(StateIncompatible, match=r"items of type dict\[int, int\] \(typed\)"):
        OperatorHarness(lambda stream: stream.map(Texts()), restore=saved_by(1, {"broadcast": "broadcast"}))


@pytest.mark.parametrize("get", ["get_operator_list_state", "get_union_list_state", "get_broadcast_state"])
def test_operator_state_has_no_time_to_live(get: str) -> None:
    class Expiring(MapFunction[Any, Any]):
        def open(self, context: RuntimeContext) -> None:
            make: Any = MapStateDescriptor if get == "get_broadcast_state" else ListStateDescriptor
            getattr(context, get)(make("s", ttl=StateTtlConfig(parse_duration("1h"))))

        def map(self, value: Any) -> Any:
            return value

    with pytest.raises(InvalidArgument, match="only keyed state expires"):
        OperatorHarness(lambda stream: stream.map(Expiring()))


@pytest.mark.parametrize("method", ["keys", "values"])
def test_a_broadcast_state_is_a_map(method: str) -> None:
    (harness,) = start(1)
    harness.process_all(
        [("broadcast", "is_empty"), ("broadcast", "put_all", [(1, 2), (3, 4)]), ("broadcast", "get", 3), ("broadcast", "contains", 5)]
    )
    harness.process(("broadcast", method))
    assert harness.values[:4] == [True, None, 4, False]
    assert sorted(harness.values[4]) == ([1, 3] if method == "keys" else [2, 4])
