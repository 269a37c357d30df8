"""Which tasks are restarted together: those that channels connect, and those that would end with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from millstream import StreamExecutionEnvironment
from millstream.graph.execution_graph import SubtaskId
from millstream.runtime.regions import PipelinedRegions

Build = Callable[[Any], Any]


def regions(build: Build, parallelism: int = 4) -> PipelinedRegions:
    env = StreamExecutionEnvironment().set_parallelism(parallelism)
    build(env.generate(lambda n: n, 10, uid="in")).print()
    made = PipelinedRegions(env.job_graph())
    env.graph.nodes.clear()
    return made


@pytest.mark.parametrize(
    ("build", "count"),
    [
        (lambda stream: stream.map(abs), 4),
        (lambda stream: stream.map(abs).disable_chaining(), 4),
        (lambda stream: stream.rescale().map(abs).set_parallelism(2).rescale(), 2),
        (lambda stream: stream.rebalance().map(abs), 1),
        (lambda stream: stream.key_by(abs).map(abs), 1),
        (lambda stream: stream.broadcast().map(abs), 1),
        (lambda stream: stream.global_().map(abs), 1),
    ],
    ids=["chained", "forward", "rescale", "rebalance", "keyed", "broadcast", "global"],
)
def test_every_kind_of_exchange_makes_what_it_connects_one_region(build: Build, count: int) -> None:
    assert len(regions(build)) == count


def test_a_region_goes_through_all_vertices() -> None:
    found = regions(lambda stream: stream.map(abs).disable_chaining()).around([SubtaskId(1, 2)])
    assert {subtask.subtask for subtask in found} == {2}
    assert len(found) == 3


def test_with_a_task_goes_all_that_ends_with_its_process_and_what_that_is_connected_with() -> None:
    apart = regions(lambda stream: stream.map(abs))
    assert apart.around([SubtaskId(0, 0)], lambda subtask: subtask.subtask // 2) == {SubtaskId(0, 0), SubtaskId(0, 1)}
    pairs = regions(lambda stream: stream.rescale().map(abs).set_parallelism(2).rescale())
    everything = pairs.around([SubtaskId(0, 0)], lambda subtask: subtask.subtask % 2)
    assert len(everything) == 4 + 2 + 4


def test_several_failed_tasks_make_one_part_of_all_their_regions() -> None:
    assert regions(lambda stream: stream.map(abs)).around([SubtaskId(0, 0), SubtaskId(0, 3)]) == {SubtaskId(0, 0), SubtaskId(0, 3)}
