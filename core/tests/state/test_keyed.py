from __future__ import annotations

import pickle
from collections.abc import Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.contracts.state_backend import KeyedTables, StateChunk, TableSnapshot, TableSpec
from millstream.contracts.state_chunks import decode_chunk, encode_chunk
from millstream.contracts.state_descriptors import ListStateDescriptor, MapStateDescriptor, ValueStateDescriptor
from millstream.errors import InvalidArgument, NoCurrentKey, NotKeyed, StateDeclaredTwice, StateIncompatible
from millstream.ports import ManualClock
from millstream.state.key_context import NO_KEY, KeyContext
from millstream.state.keyed import KeyedStateStore, StateDescription
from millstream.state.serializers import serializer_for


class PlainTables(KeyedTables):
    """Bare dicts; `swap` puts new objects with the same entries in their places."""

    def __init__(self) -> None:
        self.live: dict[str, dict[Any, Any]] = {}
        self.specs: dict[str, TableSpec] = {}

    def table(self, spec: TableSpec) -> MutableMapping[Any, Any]:
        self.specs[spec.name] = spec
        return self.live.setdefault(spec.name, {})

    def swap(self) -> None:
        self.live = {name: dict(table) for name, table in self.live.items()}

    def begin_snapshot(self, checkpoint_id: int) -> TableSnapshot:
        raise NotImplementedError

    def restore(self, spec: TableSpec, chunks: Iterable[StateChunk]) -> None:
        for chunk in chunks:
            for keys, _, values in decode_chunk(spec, chunk):
                self.live[spec.name].update(zip(keys, values))

    def chunks(self) -> dict[str, list[StateChunk]]:
        return {name: [encode_chunk(self.specs[name], 0, list(table), list(table.values()))] if table else [] for name, table in self.live.items()}


class Operator:
    def __init__(self, key: Any = NO_KEY) -> None:
        self.tables = PlainTables()
        self.context = KeyContext()
        self.context.key = key
        self.store = KeyedStateStore(self.tables, self.context, "dedupe", serializer_for(), serializer_for, ManualClock())

    def restarted(self, key: Any = NO_KEY) -> Operator:
        new = Operator(key)
        chunks = self.tables.chunks()
        new.store.restore(chunks, self.store.descriptions())
        return new


COUNT = ValueStateDescriptor("count", int, 0)
SEEN = ListStateDescriptor("seen", str)
TOTALS = MapStateDescriptor("totals", str, int)


def test_a_value_belongs_to_its_key_and_falls_back_to_the_default():
    operator = Operator("a")
    count = operator.store.get_state(COUNT)
    assert count.value() == 0
    count.update(5)
    operator.context.key = "b"
    assert count.value() == 0
    count.update(7)
    operator.context.key = "a"
    assert count.value() == 5
    count.clear()
    assert count.value() == 0


def test_none_is_a_value_like_any_other():
    operator = Operator("a")
    state = operator.store.get_state(ValueStateDescriptor("last", default="nothing"))
    assert state.value() == "nothing"
    state.update(None)
    assert state.value() is None


def test_clearing_what_is_not_there_is_no_error():
    operator = Operator("a")
    for state in (operator.store.get_state(COUNT), operator.store.get_list_state(SEEN), operator.store.get_map_state(TOTALS)):
        state.clear()


OPERATIONS = st.lists(st.tuples(st.sampled_from(["add", "add_all", "update", "clear"]), st.sampled_from("ab"), st.lists(st.text(max_size=2))))


@given(OPERATIONS)
def test_a_list_state_behaves_like_a_list_a_key_and_keeps_no_empty_ones(operations: list[tuple[str, str, list[str]]]):
    operator, model = Operator(), {"a": list[str](), "b": list[str]()}
    seen = operator.store.get_list_state(SEEN)
    for what, key, values in operations:
        operator.context.key = key
        if what == "add":
            for value in values:
                seen.add(value)
            model[key] += values
        elif what == "add_all":
            seen.add_all(iter(values))
            model[key] += values
        elif what == "update":
            seen.update(iter(values))
            model[key] = list(values)
        else:
            seen.clear()
            model[key] = []
        assert list(seen.get()) == model[key]
    assert operator.tables.live["seen"] == {key: values for key, values in model.items() if values}


def test_a_list_can_be_updated_from_itself():
    seen = Operator("a").store.get_list_state(SEEN)
    seen.add_all(["x", "y", "z"])
    seen.update(value for value in seen.get() if value != "y")
    assert list(seen.get()) == ["x", "z"]
    seen.add_all(seen.get())
    assert list(seen.get()) == ["x", "z", "x", "z"]


MAP_OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["put", "put_all", "remove", "clear"]), st.sampled_from("ab"), st.sampled_from("xyz"), st.integers(0, 9))
)


@given(MAP_OPERATIONS)
def test_a_map_state_behaves_like_a_dict_a_key_and_keeps_no_empty_ones(operations: list[tuple[str, str, str, int]]):
    operator, model = Operator(), {"a": dict[str, int](), "b": dict[str, int]()}
    totals = operator.store.get_map_state(TOTALS)
    for what, key, entry, number in operations:
        operator.context.key = key
        expected = model[key]
        if what == "put":
            totals.put(entry, number)
            expected[entry] = number
        elif what == "put_all":
            added = [(name, number) for name in "xyz"[: number % 3]]
            totals.put_all(iter(added))
            expected.update(added)
        elif what == "remove":
            totals.remove(entry)
            expected.pop(entry, None)
        else:
            totals.clear()
            expected.clear()
        assert dict(totals.items()) == expected
        assert sorted(totals.keys()) == sorted(expected)
        assert sorted(totals.values()) == sorted(expected.values())
        assert totals.is_empty() is (not expected)
        assert totals.get(entry) == expected.get(entry)
        assert totals.contains(entry) is (entry in expected)
    assert operator.tables.live["totals"] == {key: entries for key, entries in model.items() if entries}


def test_state_outside_of_records_and_timers_is_refused_whatever_is_done_with_it():
    operator = Operator()
    count, seen, totals = operator.store.get_state(COUNT), operator.store.get_list_state(SEEN), operator.store.get_map_state(TOTALS)
    uses = [
        count.value,
        count.clear,
        lambda: count.update(1),
        seen.get,
        seen.clear,
        lambda: seen.add("x"),
        lambda: seen.add_all(["x"]),
        lambda: seen.update(["x"]),
        totals.items,
        totals.keys,
        totals.values,
        totals.is_empty,
        totals.clear,
        lambda: totals.get("x"),
        lambda: totals.put("x", 1),
        lambda: totals.put_all([("x", 1)]),
        lambda: totals.remove("x"),
        lambda: totals.contains("x"),
    ]
    for use in uses:
        with pytest.raises(NotKeyed, match=r"belongs to no key\. Use it while a record is processed"):
            use()
    assert operator.tables.live == {"count": {}, "seen": {}, "totals": {}}


def test_no_key_is_one_object_and_its_error_crosses_processes():
    assert pickle.loads(pickle.dumps(NO_KEY)) is NO_KEY
    with pytest.raises(NoCurrentKey) as refused:
        hash(NO_KEY)
    assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value)


def test_the_same_descriptor_gives_the_same_handle():
    store = Operator("a").store
    assert store.get_state(COUNT) is store.get_state(ValueStateDescriptor("count", int, 0))


@pytest.mark.parametrize(
    "declare",
    [
        lambda store: store.get_state(ValueStateDescriptor("count", str)),
        lambda store: store.get_state(ValueStateDescriptor("count", int, 1)),
        lambda store: store.get_list_state(ListStateDescriptor("count", int)),
        lambda store: store.get_map_state(MapStateDescriptor("count")),
    ],
)
def test_one_name_for_two_different_states_is_refused(declare: Any):
    store = Operator("a").store
    store.get_state(COUNT)
    with pytest.raises(StateDeclaredTwice, match=r"Operator 'dedupe' declares state 'count' as .* ValueStateDescriptor\(name='count'"):
        declare(store)


def test_names_of_the_engines_own_tables_cannot_be_taken():
    store = Operator("a").store
    with pytest.raises(InvalidArgument, match="'@timers'"):
        store.get_state(ValueStateDescriptor("@timers"))
    with pytest.raises(InvalidArgument, match="starts with '@'"):
        store.declare_table("timers", "timers", "flat", serializer_for(int), lambda table: None)


def test_handles_follow_when_tables_are_swapped():
    operator = Operator("a")
    count = operator.store.get_state(COUNT)
    bound: list[Any] = []
    operator.store.declare_table("@timers", "timers", "flat", serializer_for(int), bound.append)
    count.update(1)
    operator.tables.swap()
    operator.store.rebind()
    count.update(2)
    assert operator.tables.live["count"] == {"a": 2}
    assert len(bound) == 2
    assert bound[1] is operator.tables.live["@timers"]


def test_an_operators_own_table_is_declared_once():
    store = Operator().store
    store.declare_table("@timers", "timers", "flat", serializer_for(int), lambda table: None)
    with pytest.raises(StateDeclaredTwice):
        store.declare_table("@timers", "timers", "flat", serializer_for(int), lambda table: None)


@dataclass
class Visit:
    page: str
    n: int


def test_every_kind_of_state_is_there_again_after_a_restore():
    old = Operator("a")
    old.store.get_state(COUNT).update(3)
    old.store.get_list_state(SEEN).add_all(["x", "y"])
    old.store.get_map_state(TOTALS).put("x", 1)
    old.store.get_state(ValueStateDescriptor("visit")).update(Visit("home", 2))
    old.store.declare_table("@own", "own", "flat", serializer_for(int), lambda table: table.update({"k": 9}))
    new = old.restarted("a")
    assert sorted(new.store.undeclared()) == ["@own", "count", "seen", "totals", "visit"]
    assert new.store.get_state(COUNT).value() == 3
    assert list(new.store.get_list_state(SEEN).get()) == ["x", "y"]
    assert dict(new.store.get_map_state(TOTALS).items()) == {"x": 1}
    assert new.store.get_state(ValueStateDescriptor("visit", default=None)).value() == Visit("home", 2)
    own: list[Any] = []
    new.store.declare_table("@own", "own", "flat", serializer_for(int), own.append)
    assert own == [{"k": 9}]
    assert new.store.undeclared() == {}


def test_parts_of_several_old_subtasks_come_together():
    one, two = Operator("a"), Operator("b")
    one.store.get_state(COUNT).update(1)
    two.store.get_state(COUNT).update(2)
    new = Operator()
    for old in (one, two):
        new.store.restore(old.tables.chunks(), old.store.descriptions())
    new.store.get_state(COUNT)
    assert new.tables.live["count"] == {"a": 1, "b": 2}


def test_a_restored_state_that_nobody_declares_is_told_as_it_was_stored():
    old = Operator("a")
    old.store.get_state(COUNT).update(1)
    new = old.restarted()
    ((stored,),) = new.store.undeclared().values()
    assert stored.chunks == old.tables.chunks()["count"]
    assert stored.description == StateDescription("value", serializer_for().description(), serializer_for(int).description())


def test_a_declared_type_reads_what_the_data_codec_wrote():
    old = Operator("a")
    old.store.get_state(ValueStateDescriptor("visit")).update(Visit("home", 2))
    new = old.restarted("a")
    assert new.store.get_state(ValueStateDescriptor("visit", Visit)).value() == Visit("home", 2)
    assert new.store.descriptions()["visit"].values.kind == "typed"
    assert new.restarted("a").store.get_state(ValueStateDescriptor("visit", Visit)).value() == Visit("home", 2)


def test_an_incompatible_type_is_refused_at_the_declaration_naming_what_was_stored_and_what_is_wanted():
    old = Operator("a")
    old.store.get_state(COUNT).update(1)
    new = old.restarted("a")
    with pytest.raises(StateIncompatible) as refused:
        new.store.get_state(ValueStateDescriptor("count", str))
    assert (refused.value.operator, refused.value.state) == ("dedupe", "count")
    assert (refused.value.stored, refused.value.wanted) == ("values of type int (typed)", "values of type str (typed)")
    assert "No record has been processed" in str(refused.value)
    assert new.tables.live == {}


def test_another_kind_of_state_under_the_name_is_refused():
    old = Operator("a")
    old.store.get_state(COUNT).update(1)
    with pytest.raises(StateIncompatible, match=r"stored as value state and is declared as list state now"):
        old.restarted().store.get_list_state(ListStateDescriptor("count", int))


def test_keys_of_another_type_are_refused():
    old = Operator("a")
    old.store.get_state(COUNT).update(1)
    new = Operator()
    stored = old.store.descriptions()["count"]
    new.store.restore(old.tables.chunks(), {"count": StateDescription("value", serializer_for(str).description(), stored.values)})
    with pytest.raises(StateIncompatible, match=r"keys of type str \(typed\)"):
        new.store.get_state(COUNT)


def test_lists_and_maps_without_a_declared_type_go_through_the_data_codec():
    operator = Operator("a")
    operator.store.get_list_state(ListStateDescriptor("seen")).add(("x", {1, 2}))
    operator.store.get_map_state(MapStateDescriptor("totals", key_type=str)).put("x", {1})
    kinds = {name: description.values.kind for name, description in operator.store.descriptions().items()}
    assert kinds == {"seen": "data", "totals": "data"}
    assert list(operator.restarted("a").store.get_list_state(ListStateDescriptor("seen")).get()) == [("x", {1, 2})]
