"""Dealing a batch out: what is said of a function that fails in the middle of it."""

from __future__ import annotations

from typing import Any

import pytest

from millstream.errors import InvalidArgument, KeySelectorFailed
from millstream.graph.job_graph import JobEdge
from millstream.graph.stream_graph import Partitioning
from millstream.ports import SeededRandom
from millstream.records import RecordBatch
from millstream.runtime.partition import Partitioner, make_partitioner


def failure(function: object, error: BaseException, value: object) -> KeySelectorFailed:
    return KeySelectorFailed.of(error, function=function, job="j", operator="o", uid="o", subtask=0, value=value)


def partitioner(partitioning: Partitioning) -> Partitioner:
    return make_partitioner(JobEdge(0, 0, 1, partitioning, 128), 2, SeededRandom(1), failure)


def raising(error: type[Exception]) -> Any:
    called: list[int] = []

    def select(value: int, subtasks: int = 0) -> int:
        assert value not in called, "no function is called twice for a record"
        called.append(value)
        if value == 3:
            raise error
        return 0

    return select


@pytest.mark.parametrize("error", [ValueError, StopIteration])
@pytest.mark.parametrize("kind", ["hash", "custom", "custom key"])
def test_the_record_is_named_on_which_a_selector_fails(kind: str, error: type[Exception]) -> None:
    select = raising(error)
    partitioning = {
        "hash": Partitioning("hash", select),
        "custom": Partitioning("custom", select, lambda value: value),
        "custom key": Partitioning("custom", lambda key, subtasks: 0, select),
    }[kind]
    with pytest.raises(KeySelectorFailed, match="3") as raised:
        list(partitioner(partitioning).split(RecordBatch([1, 2, 3, 4])))
    assert type(raised.value.__cause__) is error


@pytest.mark.parametrize("number", [2, -1, 1.0, "0", None])
def test_a_custom_partitioner_that_names_no_subtask_is_refused(number: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"range\(2\)"):
        list(partitioner(Partitioning("custom", lambda key, subtasks: number if key == 2 else 0, lambda value: value)).split(RecordBatch([1, 2])))


def test_timestamps_go_with_their_records() -> None:
    parts = dict(partitioner(Partitioning("custom", lambda key, subtasks: key % 2, lambda value: value)).split(RecordBatch([1, 2, 3], [10, 20, 30])))
    assert parts == {0: RecordBatch([2], [20]), 1: RecordBatch([1, 3], [10, 30])}
