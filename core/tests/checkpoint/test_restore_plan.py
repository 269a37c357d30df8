"""Which piece of a checkpoint goes to which subtask, at the same and at another parallelism."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream import StreamExecutionEnvironment
from millstream.checkpoint.manifest import (
    BlobRef,
    ChunkRef,
    FileRef,
    Manifest,
    OperatorInfo,
    OperatorListRef,
    OperatorState,
    TaskState,
    decode_manifest,
    encode_manifest,
)
from millstream.checkpoint.restore import RestorePlan
from millstream.contracts.key_groups import key_group_range
from millstream.graph.job_graph import ChainedOperator, JobGraph

GROUPS = 16


def job(parallelism: int, groups: int = GROUPS, name: str = "job", uid: str = "sum") -> JobGraph:
    env = StreamExecutionEnvironment().set_max_parallelism(groups)
    env.from_collection([1], uid="in").key_by(lambda n: n).sum(uid=uid).set_parallelism(parallelism).print()
    return env.job_graph(name)


def keyed_operator(graph: JobGraph) -> ChainedOperator:
    (found,) = [operator for _, operator in graph.operators() if operator.uid == "sum"]
    return found


def state(subtask: int, parallelism: int, watermark: int | None, items: int) -> TaskState:
    """One chunk for each key group of the subtask (its offset is the group), list items and one lane item."""
    chunks = [ChunkRef("t", group, 1, BlobRef(group, 1)) for group in key_group_range(subtask, parallelism, GROUPS)]
    lists = {
        "l": OperatorListRef("split", [BlobRef(1000 * subtask + number, 1) for number in range(items)]),
        "lanes": OperatorListRef("lane", [BlobRef(subtask, 1)], [subtask]),
    }
    operator = OperatorState("sum", watermark, {}, chunks, lists)
    return TaskState(1, subtask, [operator], FileRef(f"task-1-{subtask}", 10_000, "0" * 64))


def manifest(parallelism: int, watermarks: list[int | None], items: list[int]) -> Manifest:
    return Manifest(
        job_name="job", run_id="r", checkpoint_id=7, kind="checkpoint", triggered_ms=0, completed_ms=0, attempt=0, millstream="0", python="3",
        operators=[OperatorInfo("sum", "sum", parallelism, GROUPS, True)],
        tasks=[state(subtask, parallelism, watermarks[subtask], items[subtask]) for subtask in range(parallelism)],
    )  # fmt: skip


@st.composite
def saved(draw: st.DrawFn) -> tuple[int, list[int | None], list[int], int]:
    before, after = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    watermarks = draw(st.lists(st.one_of(st.none(), st.integers(-100, 100)), min_size=before, max_size=before))
    items = draw(st.lists(st.integers(0, 5), min_size=before, max_size=before))
    return before, watermarks, items, after


@settings(max_examples=100, deadline=None)
@given(saved())
def test_every_piece_goes_to_one_subtask_and_to_the_right_one(drawn: Any) -> None:
    before, watermarks, items, after = drawn
    stored = manifest(before, watermarks, items)
    plan = RestorePlan(decode_manifest(encode_manifest(stored), "here"), "here")
    operator = keyed_operator(job(after))
    parts = [plan.for_operator(operator, subtask, after) for subtask in range(after)]
    for subtask, part in enumerate(parts):
        groups = [chunk.chunk.key_group for keyed in part.keyed for chunk in keyed.chunks]
        assert sorted(groups) == list(key_group_range(subtask, after, GROUPS))
        for keyed in part.keyed:
            for chunk in keyed.chunks:
                former = int(chunk.file.name.removeprefix("task-1-"))
                assert chunk.chunk.key_group in key_group_range(former, before, GROUPS)
        assert [entry.lane for entry in part.lanes.get("lanes", [])] == [lane for lane in range(before) if lane % after == subtask]
    dealt = [item.blob.offset for part in parts for item in part.lists["l"]]
    assert dealt == [1000 * subtask + number for subtask in range(before) for number in range(items[subtask])]
    lengths = [len(part.lists["l"]) for part in parts]
    if before == after:
        assert lengths == items
    else:
        assert max(lengths) - min(lengths) <= 1


@settings(max_examples=100, deadline=None)
@given(saved())
def test_event_time_restarts_at_the_minimum_over_the_ranges_taken_over(drawn: Any) -> None:
    before, watermarks, items, after = drawn
    plan = RestorePlan(manifest(before, watermarks, items), "here")
    operator = keyed_operator(job(after))
    for subtask in range(after):
        mine = set(key_group_range(subtask, after, GROUPS))
        former = [watermarks[old] for old in range(before) if mine & set(key_group_range(old, before, GROUPS))]
        wanted = None if None in former else min(w for w in former if w is not None)
        assert plan.for_operator(operator, subtask, after).watermark == wanted


def test_longer_runs_of_several_lists_go_to_different_subtasks() -> None:
    """The start rotates between states, from where the last longer run of the state before ended."""
    lists = {name: OperatorListRef("split", [BlobRef(number, 1) for number in range(4)]) for name in ("a", "b", "c")}
    task = TaskState(1, 0, [OperatorState("sum", 5, {}, [], lists)], FileRef("task-1-0", 10, "0" * 64))
    plan = RestorePlan(msgspec.structs.replace(manifest(1, [5], [0]), tasks=[task]), "here")
    dealt = [plan.for_operator(keyed_operator(job(3)), subtask, 3).lists for subtask in range(3)]
    assert [[[item.blob.offset for item in part[name]] for part in dealt] for name in ("a", "b", "c")] == [
        [[0, 1], [2], [3]],
        [[3], [0, 1], [2]],
        [[2], [3], [0, 1]],
    ]


def test_an_operator_that_is_new_starts_with_nothing() -> None:
    plan = RestorePlan(manifest(1, [5], [1]), "here")
    (source, *_) = [operator for _, operator in job(1).operators()]
    restore = plan.for_operator(source, 0, 1)
    assert (restore.watermark, restore.keyed, restore.lists, restore.lanes, restore.lane_count) == (None, [], {}, {}, 0)


def test_where_there_are_no_keys_event_time_restarts_at_the_minimum_over_all_subtasks() -> None:
    """Splits and records go to subtasks in another way than key groups do: a source that took the minimum over its range could hold a split
    back that was behind it, because only watermarks above its start are sent on."""
    operators = [OperatorState("sum", watermark) for watermark in (100, 1_000)]
    tasks = [TaskState(1, subtask, [operator], FileRef(f"task-1-{subtask}", 10, "0" * 64)) for subtask, operator in enumerate(operators)]
    plan = RestorePlan(msgspec.structs.replace(manifest(2, [5, 5], [0, 0]), tasks=tasks), "here")
    operator = keyed_operator(job(4))
    assert [plan.for_operator(operator, subtask, 4).watermark for subtask in range(4)] == [100] * 4
    assert [plan.for_operator(operator, subtask, 2).watermark for subtask in range(2)] == [100, 1_000]
