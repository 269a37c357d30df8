"""Checkpoints that refer to earlier ones for the chunks that have not changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.checkpoint.ephemeral import EphemeralStore
from millstream.checkpoint.manifest import (
    BlobRef,
    FileRef,
    Manifest,
    OperatorState,
    TaskState,
    blob,
    decode_manifest,
    encode_manifest,
    read_state_file,
)
from millstream.checkpoint.store import CompletedCheckpoints
from millstream.contracts.state_backend import StateChunk
from millstream.errors import DamagedCheckpoint
from millstream.graph.execution_graph import SubtaskId
from millstream.ports import arm, disarm
from millstream.runtime.state_to_store import OperatorToStore, StateToStore, Stored
from millstream.runtime.stored_chunks import StoredChunk, StoredChunks

Contents = Mapping[int, bytes]
"""What the chunk of each key group holds."""


def manifest(checkpoint_id: int, task: TaskState) -> Manifest:
    return Manifest(
        job_name="job", run_id="r", checkpoint_id=checkpoint_id, kind="checkpoint", triggered_ms=1, completed_ms=2, attempt=0, millstream="0",
        python="3", operators=[], tasks=[task],
    )  # fmt: skip


class Job:
    """One task with one table, and whoever keeps its checkpoints."""

    def __init__(self, retained: int = 1) -> None:
        self.store = EphemeralStore()
        self.completed = CompletedCheckpoints(self.store, "job", retained)
        self.completed.acquire_leadership()
        self.known = StoredChunks()
        self.checkpoint_id = 0
        self.attempt = 0

    def restart(self) -> None:
        self.known = StoredChunks()
        self.attempt += 1

    def snapshot(self, contents: Contents, *, whole: bool = False) -> tuple[int, TaskState]:
        """Stores the state and tells the task so, as it is before anybody knows whether the checkpoint will be completed."""
        checkpoint_id, stored = self.store_only(contents, whole=whole)
        self.known.stored(checkpoint_id, stored.chunks)
        return checkpoint_id, stored.state

    def store_only(self, contents: Contents, *, whole: bool = False) -> tuple[int, Stored]:
        """Stores the state; the task does not hear of it."""
        self.checkpoint_id += 1
        chunks = [StateChunk("count", group, 1, data) for group, data in contents.items()]
        operators = [OperatorToStore(OperatorState("op"), chunks, {}, {})]
        reusable: Mapping[Any, StoredChunk] | None = None if whole else self.known.reusable()
        self.known.begun(self.checkpoint_id)
        stored = StateToStore(self.checkpoint_id, SubtaskId(0, 0), self.attempt, operators, reusable).write(self.store)
        return self.checkpoint_id, stored

    def complete(self, checkpoint_id: int, state: TaskState, *, notify: bool = True) -> None:
        self.completed.publish(manifest(checkpoint_id, state))
        if notify:
            self.known.completed(checkpoint_id)
        self.completed.delete(self.completed.left_below(checkpoint_id))

    def checkpoint(self, contents: Contents) -> TaskState:
        number, state = self.snapshot(contents)
        self.complete(number, state)
        return state

    def contents(self, checkpoint_id: int) -> dict[int, bytes]:
        """What a checkpoint holds, all of it verified."""
        (task,) = self.completed.read(checkpoint_id).tasks
        files = {file.name: read_state_file(self.store, checkpoint_id, file) for file in task.files()}
        (operator,) = task.operators
        found = {}
        for chunk in operator.chunks:
            file = task.file_of(chunk)
            assert file is not None
            found[chunk.key_group] = blob(files[file.name], chunk.blob, "")
        return found


def stored_bytes(state: TaskState) -> int:
    return state.file.length if state.file else 0


def test_only_chunks_that_changed_are_stored_again() -> None:
    job = Job()
    first = job.checkpoint({0: b"aaaa", 1: b"bbbb", 2: b"cccc"})
    second = job.checkpoint({0: b"aaaa", 1: b"BBBB", 2: b"cccc"})
    assert (stored_bytes(first), stored_bytes(second)) == (12, 4)
    assert second.earlier == [first.file]
    assert job.contents(2) == {0: b"aaaa", 1: b"BBBB", 2: b"cccc"}


def test_a_snapshot_that_is_stored_after_a_later_one_is_not_what_the_next_one_refers_to() -> None:
    """The second one took so long that it was given up. What it refers to goes with the first one."""
    job = Job()
    job.checkpoint({0: b"aaaa", 1: b"bbbb"})
    slow_id, slow = job.store_only({0: b"aaaa", 1: b"BBBB"})
    third_id, third = job.snapshot({0: b"XXXX", 1: b"YYYY"})
    job.known.stored(slow_id, slow.chunks)
    job.complete(third_id, third)
    fourth = job.checkpoint({0: b"aaaa", 1: b"YYYY"})
    assert [file.name for file in fourth.earlier] == [third.file.name] if third.file else []
    assert job.contents(4) == {0: b"aaaa", 1: b"YYYY"}


def test_a_checkpoint_without_any_change_stores_nothing() -> None:
    job = Job()
    job.checkpoint({0: b"aaaa"})
    assert job.checkpoint({0: b"aaaa"}).file is None
    assert job.contents(2) == {0: b"aaaa"}


def test_a_checkpoint_can_be_read_when_the_one_that_it_refers_to_is_deleted() -> None:
    job = Job(retained=1)
    for last in (b"1", b"2", b"3"):
        job.checkpoint({0: b"a" * 10, 1: last})
    assert job.store.published() == [3]
    assert job.contents(3) == {0: b"a" * 10, 1: b"3"}


def test_a_shared_file_goes_with_the_last_checkpoint_that_refers_to_it() -> None:
    job = Job(retained=2)
    first = job.checkpoint({0: b"a" * 10}).file
    job.checkpoint({0: b"b" * 10})
    assert first is not None
    assert first.name in job.store.shared()
    job.checkpoint({0: b"c" * 10})
    assert first.name not in job.store.shared()
    assert len(job.store.shared()) == 2


def test_what_an_aborted_checkpoint_stored_is_not_used_again_and_goes() -> None:
    job = Job()
    job.checkpoint({0: b"a" * 10, 1: b"x"})
    _, aborted = job.snapshot({0: b"a" * 10, 1: b"y"})
    third = job.checkpoint({0: b"a" * 10, 1: b"y"})
    assert aborted.file is not None
    assert aborted.file not in third.files()
    assert stored_bytes(third) == 1
    assert aborted.file.name not in job.store.shared()
    assert job.contents(3) == {0: b"a" * 10, 1: b"y"}


def test_what_came_back_after_it_was_gone_is_stored_again() -> None:
    job = Job()
    job.checkpoint({0: b"a" * 10, 1: b"x"})
    job.checkpoint({0: b"a" * 10, 1: b"y"})
    third = job.checkpoint({0: b"a" * 10, 1: b"x"})
    assert stored_bytes(third) == 1
    assert job.contents(3) == {0: b"a" * 10, 1: b"x"}


def test_files_of_which_less_than_half_is_in_use_are_let_go() -> None:
    job = Job()
    job.checkpoint({0: b"aaaa", 1: b"bbbb", 2: b"cccc"})
    assert stored_bytes(job.checkpoint({0: b"aaaa", 1: b"bbbb", 2: b"CCCC"})) == 4
    assert stored_bytes(job.checkpoint({0: b"aaaa", 1: b"BBBB", 2: b"CCCC"})) == 8  # with the third of the first file that is left
    assert len(job.store.shared()) == 2


def test_the_first_checkpoint_of_an_attempt_is_a_full_one() -> None:
    job = Job()
    job.checkpoint({0: b"aaaa"})
    job.restart()
    again = job.checkpoint({0: b"aaaa"})
    assert again.earlier == []
    assert stored_bytes(again) == 4


def test_what_two_attempts_store_for_a_checkpoint_of_one_number_does_not_clash() -> None:
    """Who was replaced while it stood still may come to the number that its successor is at."""
    job = Job()
    _, old = job.snapshot({0: b"old!"}, whole=True)
    job.restart()
    job.checkpoint_id = 0
    number, new = job.snapshot({0: b"new!"}, whole=True)
    assert old.file is not None
    assert job.store.read_file(number, old.file.name) == b"old!"
    job.complete(number, new)
    assert job.contents(number) == {0: b"new!"}


def test_state_that_is_stored_whole_is_in_a_file_of_its_checkpoint() -> None:
    job = Job()
    number, state = job.snapshot({0: b"aaaa"}, whole=True)
    job.complete(number, state)
    assert state.file == FileRef("task-0-0-0", 4, state.file.sha256 if state.file else "")
    assert job.store.shared() == []
    assert stored_bytes(job.checkpoint({0: b"aaaa"})) == 4


def test_a_backend_that_makes_several_chunks_of_a_key_group_has_them_all_stored() -> None:
    job = Job()
    chunks = [StateChunk("count", 0, 1, data) for data in (b"a", b"b")]
    operators = [OperatorToStore(OperatorState("op"), chunks, {}, {})]
    stored = StateToStore(1, SubtaskId(0, 0), 0, operators, {}).write(job.store)
    assert [chunk.blob for chunk in stored.state.operators[0].chunks] == [BlobRef(0, 1), BlobRef(1, 1)]
    assert stored.chunks == {}


def test_nothing_shared_is_deleted_while_a_checkpoint_cannot_be_read() -> None:
    job = Job(retained=2)
    job.checkpoint({0: b"a" * 10})
    job.checkpoint({0: b"b" * 10})
    job.store._manifests[1] = b"damaged"
    fresh = CompletedCheckpoints(job.store, "job", 2)
    before = job.store.shared()
    fresh.delete(fresh.left_below(2))
    assert job.store.shared() == before


def test_shared_files_of_later_checkpoints_are_left_alone() -> None:
    job = Job()
    job.checkpoint({0: b"a"})
    _, under_way = job.snapshot({0: b"b"})
    job.completed.delete(job.completed.left_below(1))
    assert under_way.file is not None
    assert under_way.file.name in job.store.shared()


def test_a_run_that_has_ended_leaves_no_shared_file_behind_whoever_wrote_it() -> None:
    job = Job()
    job.checkpoint({0: b"a"})
    job.snapshot({0: b"b"})  # by somebody who died
    job.store.delete(1)  # by somebody who died in the midst of cleaning up
    job.completed.delete(job.completed.left_by_run(keep=False))
    assert job.store.shared() == []


def test_a_run_that_has_ended_keeps_what_the_checkpoints_that_stay_refer_to() -> None:
    job = Job()
    state = job.checkpoint({0: b"a"})
    job.snapshot({0: b"b"})
    job.completed.delete(job.completed.left_by_run(keep=True))
    assert state.file is not None
    assert job.store.shared() == [state.file.name]
    assert job.contents(1) == {0: b"a"}


def test_whoever_dies_while_it_deletes_shared_files_leaves_all_that_is_in_use() -> None:
    job = Job()
    job.checkpoint({0: b"a" * 10, 1: b"x"})
    job.checkpoint({0: b"a" * 10, 1: b"y"})
    number, state = job.snapshot({0: b"c" * 10, 1: b"y"})

    class Died(Exception):
        pass

    def die() -> None:
        raise Died

    arm("checkpoint.shared.deleting", die)
    try:
        with pytest.raises(Died):
            job.complete(number, state)
    finally:
        disarm("checkpoint.shared.deleting")
    assert job.contents(3) == {0: b"c" * 10, 1: b"y"}
    fresh = CompletedCheckpoints(job.store, "job", 1)
    fresh.delete(fresh.left_below(3))
    assert len(job.store.shared()) == len(state.files())
    assert job.contents(3) == {0: b"c" * 10, 1: b"y"}


def test_a_manifest_of_the_first_format_is_read() -> None:
    data = encode_manifest(manifest(1, TaskState(0, 0, [])))
    assert decode_manifest(data.replace(b"checkpoint 2 ", b"checkpoint 1 ", 1), "there") == manifest(1, TaskState(0, 0, []))


def test_a_missing_shared_file_is_damage() -> None:
    job = Job()
    state = job.checkpoint({0: b"a"})
    assert state.file is not None
    job.store.delete_shared(state.file.name)
    with pytest.raises(DamagedCheckpoint, match=f"file {state.file.name} is missing"):
        job.contents(1)


CONTENTS = st.dictionaries(st.integers(0, 4), st.sampled_from([b"a" * 9, b"b" * 9, b"c" * 3, b"d"]), max_size=5)
STEPS = st.lists(st.tuples(st.sampled_from(["complete", "complete", "complete", "not told", "abort", "restart"]), CONTENTS), max_size=12)


@given(STEPS, st.integers(1, 3))
def test_every_checkpoint_that_is_kept_holds_what_there_was(steps: list[tuple[str, Contents]], retained: int) -> None:
    job = Job(retained)
    expected: dict[int, Contents] = {}
    for what, contents in steps:
        if what == "restart":
            job.restart()
            continue
        number, state = job.snapshot(contents)
        if what != "abort":
            newest = job.completed.latest()
            # What the coordinator insists on: the newest completed checkpoint keeps all of it from being deleted.
            assert {file.name for file in state.earlier} <= (newest.shared_files() if newest else set())
            job.complete(number, state, notify=what == "complete")
            expected[number] = contents
        for kept in job.store.published():
            assert job.contents(kept) == expected[kept]
    in_use = {name for kept in job.store.published() for name in job.completed.read(kept).shared_files()}
    last = max(expected, default=0)
    assert {name for name in job.store.shared() if int(name.partition("-")[0]) <= last} == in_use


FEW = st.fixed_dictionaries({0: st.sampled_from([b"a" * 9, b"b" * 9]), 1: st.sampled_from([b"c" * 9, b"d" * 9])})
UNDER_WAY = st.lists(
    st.one_of(
        st.tuples(st.just("begin"), FEW),
        st.tuples(st.just("begin"), FEW),
        st.tuples(st.just("store"), st.integers(0, 2)),
        st.tuples(st.just("complete"), st.integers(0, 1), st.sampled_from(["told", "told", "not told"])),
        st.tuples(st.just("complete"), st.just(0), st.just("told")),
        st.tuples(st.just("abort"), st.integers(0, 2), st.sampled_from(["told", "not told"])),
        st.tuples(st.just("savepoint"), FEW),
    ),
    min_size=10,
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(UNDER_WAY, st.integers(1, 2))
def test_with_several_checkpoints_under_way_none_that_is_completed_refers_to_what_was_deleted(steps: list[Any], retained: int) -> None:
    """In whatever order they are stored, completed and given up, and whichever of that the task is told."""
    job = Job(retained)
    under_way: dict[int, tuple[StateToStore, Contents]] = {}
    stored: dict[int, TaskState] = {}
    expected: dict[int, Contents] = {}
    for what, *args in steps:
        if what in ("begin", "savepoint"):
            job.checkpoint_id += 1
            chunks = [StateChunk("count", group, 1, data) for group, data in args[0].items()]
            operators = [OperatorToStore(OperatorState("op"), chunks, {}, {})]
            if what == "savepoint":
                whole = StateToStore(job.checkpoint_id, SubtaskId(0, 0), 0, operators).write(EphemeralStore())
                assert [file for file in whole.state.files() if file.shared] == []
            elif len(under_way) < 3:
                under_way[job.checkpoint_id] = StateToStore(job.checkpoint_id, SubtaskId(0, 0), 0, operators, job.known.reusable()), args[0]
                job.known.begun(job.checkpoint_id)
            continue
        numbers = list(under_way)
        if not numbers:
            continue
        number = numbers[args[0] % len(numbers)]
        if what == "store" and number not in stored:
            result = under_way[number][0].write(job.store)
            job.known.stored(number, result.chunks)
            stored[number] = result.state
        elif what == "abort":
            del under_way[number]
            if args[1] == "told":
                job.known.given_up(number)
        elif what == "complete":
            if number not in stored:
                result = under_way[number][0].write(job.store)
                job.known.stored(number, result.chunks)
                stored[number] = result.state
            newest = job.completed.latest()
            state = stored[number]
            # What the coordinator insists on, and none of ours is to be refused.
            assert {file.name for file in state.earlier} <= (newest.shared_files() if newest else set())
            expected[number] = under_way[number][1]
            under_way = {other: made for other, made in under_way.items() if other > number}
            job.complete(number, state, notify=args[1] == "told")
        for kept in job.store.published():
            assert job.contents(kept) == expected[kept]


def test_a_snapshot_refers_to_earlier_files_also_while_another_is_stored_and_not_completed() -> None:
    job = Job()
    first = job.checkpoint({0: b"aaaa", 1: b"bbbb", 2: b"cccc"})
    _, second = job.snapshot({0: b"aaaa", 1: b"BBBB", 2: b"cccc"})
    third_id, third = job.snapshot({0: b"aaaa", 1: b"bbbb", 2: b"cccc"})
    assert second.earlier == third.earlier == [first.file]
    assert stored_bytes(third) == 4  # the second one does not refer to the first form of it any more
    job.complete(third_id, third)
    assert job.contents(3) == {0: b"aaaa", 1: b"bbbb", 2: b"cccc"}


def test_a_snapshot_refers_to_nothing_while_it_is_not_known_what_the_one_before_refers_to() -> None:
    job = Job()
    job.checkpoint({0: b"aaaa"})
    job.store_only({0: b"aaaa"})
    _, third = job.snapshot({0: b"aaaa"})
    assert third.earlier == []
