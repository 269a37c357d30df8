from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.contracts.state_descriptors import ListStateDescriptor
from millstream.errors import InvalidArgument, StateDeclaredTwice, StateIncompatible, StateNotEncodable
from millstream.state.operator import OperatorStateStore, StoredItems
from millstream.state.redistribution import broadcast_state, by_lane, next_start, split_list_state, split_list_states, union_list_state
from millstream.state.serializers import serializer_for


def store() -> OperatorStateStore:
    return OperatorStateStore("reader", serializer_for)


def restored(*snapshots: OperatorStateStore) -> OperatorStateStore:
    new = store()
    for old in snapshots:
        new.restore(old.snapshot())
    return new


def dealt_by_hand(items: list[str], parallelism: int, start: int) -> dict[int, list[str]]:
    """The rule of the documentation, item by item."""
    shares = {subtask: len(items) // parallelism for subtask in range(parallelism)}
    for extra in range(len(items) % parallelism):
        shares[(start + extra) % parallelism] += 1
    dealt: dict[int, list[str]] = {subtask: [] for subtask in range(parallelism)}
    for item in items:
        open_ones = [s % parallelism for s in range(start, start + parallelism) if len(dealt[s % parallelism]) < shares[s % parallelism]]
        dealt[open_ones[0]].append(item)
    return dealt


@pytest.mark.parametrize("old", [1, 2, 3, 4])
@pytest.mark.parametrize("new", [1, 2, 3, 4])
@given(sizes=st.lists(st.integers(0, 5), min_size=4, max_size=4), start=st.integers(0, 9))
def test_a_list_is_dealt_out_in_contiguous_runs_and_stays_put_without_rescaling(old: int, new: int, sizes: list[int], start: int):
    items = [[f"{subtask}.{i}" for i in range(sizes[subtask])] for subtask in range(old)]
    dealt = split_list_state(items, new, start)
    if old == new:
        assert dealt == items
    else:
        assert dict(enumerate(dealt)) == dealt_by_hand([item for part in items for item in part], new, start % new)


def test_longer_runs_of_several_states_do_not_pile_up_on_one_subtask():
    start, lengths = 0, [0, 0, 0]
    for _ in range(3):
        dealt = split_list_state([list("abcd")], 3, start)
        start = next_start(4, 3, start)
        lengths = [length + len(items) for length, items in zip(lengths, dealt)]
    assert lengths == [4, 4, 4]


def test_all_states_of_an_operator_are_dealt_out_together_in_the_order_of_their_names():
    old = [{"b": ["b1", "b2", "b3"], "a": ["a1"]}, {"a": ["a2", "a3"]}, {}]
    assert split_list_states(old, 2) == [{"a": ["a1", "a2"], "b": ["b3"]}, {"a": ["a3"], "b": ["b1", "b2"]}]
    assert split_list_states(old, 3) == [{"b": ["b1", "b2", "b3"], "a": ["a1"]}, {"a": ["a2", "a3"], "b": []}, {"a": [], "b": []}]


@given(st.integers(0, 20), st.integers(1, 5), st.integers(0, 4))
def test_the_next_state_starts_behind_the_last_longer_run(total: int, parallelism: int, start: int):
    dealt = split_list_state([[0] * total, *([] for _ in range(parallelism))], parallelism, start)
    longer = {subtask for subtask, items in enumerate(dealt) if len(items) > total // parallelism}
    following = next_start(total, parallelism, start)
    assert longer == {(start + i) % parallelism for i in range((following - start) % parallelism)}


def test_a_union_list_goes_to_every_subtask_whole_and_apart():
    dealt = union_list_state([["a"], [], ["b", "c"]], 2)
    assert dealt == [["a", "b", "c"], ["a", "b", "c"]]
    assert dealt[0] is not dealt[1]


def test_a_broadcast_state_is_taken_from_the_old_subtask_of_the_same_number_modulo_their_count():
    assert broadcast_state(["a", "b", "c"], 5) == ["a", "b", "c", "a", "b"]
    assert broadcast_state(["a", "b", "c"], 2) == ["a", "b"]


@pytest.mark.parametrize("parallelism", [1, 2, 3, 4])
def test_every_lane_is_owned_by_one_subtask_also_after_scaling_down(parallelism: int):
    owned = by_lane({lane: f"epochs of {lane}" for lane in (3, 0, 7, 2)}, parallelism)
    assert sorted(lane for part in owned for lane in part) == [0, 2, 3, 7]
    assert all(lane % parallelism == subtask for subtask, part in enumerate(owned) for lane in part)


def test_state_cannot_be_dealt_out_to_no_subtask():
    for deal in (lambda: split_list_state([[1]], 0, 0), lambda: union_list_state([[1]], 0), lambda: by_lane({}, 0)):
        with pytest.raises(InvalidArgument):
            deal()
    with pytest.raises(InvalidArgument, match="one for each old subtask"):
        broadcast_state([], 1)


def test_a_list_is_appended_to_replaced_and_cleared():
    offsets = store().get_list_state(ListStateDescriptor("offsets", int))
    assert list(offsets.get()) == []
    offsets.add(1)
    offsets.add_all([2, 3])
    assert list(offsets.get()) == [1, 2, 3]
    offsets.update(x + 1 for x in offsets.get())
    assert list(offsets.get()) == [2, 3, 4]
    offsets.clear()
    assert list(offsets.get()) == []


def test_each_element_is_written_on_its_own_and_read_back():
    old = store()
    old.get_list_state(ListStateDescriptor("offsets", int)).add_all([1, 300])
    old.get_list_state(ListStateDescriptor("empty"))
    assert {name: stored.items for name, stored in old.snapshot().items()} == {"offsets": [b"\x01", b"\xcd\x01\x2c"], "empty": []}
    assert list(restored(old).get_list_state(ListStateDescriptor("offsets", int)).get()) == [1, 300]


def test_parts_of_several_old_subtasks_come_together_in_order():
    first, second = store(), store()
    first.get_list_state(ListStateDescriptor("names")).add("a")
    second.get_list_state(ListStateDescriptor("names")).add_all([("b", 1), None])
    assert list(restored(first, second).get_list_state(ListStateDescriptor("names")).get()) == ["a", ("b", 1), None]


def test_a_declared_type_reads_what_the_data_codec_wrote():
    old = store()
    old.get_list_state(ListStateDescriptor("offsets")).add_all([1, 2])
    assert list(restored(old).get_list_state(ListStateDescriptor("offsets", int)).get()) == [1, 2]


def test_an_incompatible_type_is_refused_when_the_state_is_declared_and_nothing_is_lost():
    old = store()
    old.get_list_state(ListStateDescriptor("offsets", int)).add(1)
    new = restored(old)
    with pytest.raises(StateIncompatible, match=r"State 'offsets' of operator 'reader' was stored as items of type int") as refused:
        new.get_list_state(ListStateDescriptor("offsets", str))
    assert refused.value.wanted == "items of type str (typed)"
    assert list(new.get_list_state(ListStateDescriptor("offsets", int)).get()) == [1]


def test_one_name_gives_one_list_and_no_second_type():
    states = store()
    offsets = states.get_list_state(ListStateDescriptor("offsets", int))
    assert states.get_list_state(ListStateDescriptor("offsets", int)) is offsets
    with pytest.raises(StateDeclaredTwice, match="Give the two states different names"):
        states.get_list_state(ListStateDescriptor("offsets", str))


def test_a_restored_state_that_nobody_declares_is_told_as_it_was_stored():
    old = store()
    old.get_list_state(ListStateDescriptor("offsets", int)).add(1)
    new = restored(old)
    assert new.undeclared() == {"offsets": [StoredItems(serializer_for(int).description(), [b"\x01"], "split")]}
    new.get_list_state(ListStateDescriptor("offsets", int))
    assert new.undeclared() == {}


def test_an_element_without_an_encoded_form_names_operator_and_state():
    states = store()
    states.get_list_state(ListStateDescriptor("offsets", int)).add("not a number")  # type: ignore[arg-type]
    with pytest.raises(StateNotEncodable, match="State 'offsets' of operator 'reader'"):
        states.snapshot()
