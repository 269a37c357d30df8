"""Slot sharing groups: who is in which, what is chained, and how many slots a job needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from millstream import StreamExecutionEnvironment
from millstream.contracts.cluster_backend import ClusterBackend, Slot
from millstream.errors import InvalidArgument
from millstream.graph.execution_graph import SubtaskId
from millstream.graph.job_graph import JobGraph
from millstream.runtime.resource_manager import ResourceManager


def job(build: Callable[[StreamExecutionEnvironment], Any], parallelism: int = 1) -> JobGraph:
    env = StreamExecutionEnvironment().set_parallelism(parallelism)
    build(env)
    graph = env.job_graph()
    env.graph.nodes.clear()
    return graph


def groups(graph: JobGraph) -> dict[str, str]:
    return {vertex.name: vertex.slot_sharing_group for vertex in graph.vertices}


def test_by_default_everything_is_in_one_group() -> None:
    graph = job(lambda env: env.from_collection([1]).map(abs).print())
    assert {vertex.slot_sharing_group for vertex in graph.vertices} == {"default"}


def test_an_operator_is_in_the_group_of_its_input() -> None:
    graph = job(
        lambda env: env.from_collection([1], name="in").map(abs, name="a").slot_sharing_group("own").disable_chaining().map(abs, name="b").print()
    )
    assert groups(graph) == {"in": "default", "a": "own", "b -> print": "own"}


def test_an_operator_with_inputs_of_several_groups_is_in_the_default_one() -> None:
    def build(env: StreamExecutionEnvironment) -> None:
        one, two = (env.from_collection([1], name=name).slot_sharing_group(name) for name in ("x", "y"))
        one.union(two).map(abs, name="both").print()
        same = env.from_collection([1], name="z").slot_sharing_group("x")
        one.union(same).map(abs, name="equal").print()

    assert groups(job(build)) == {"x": "x", "y": "y", "z": "x", "union -> both -> print": "default", "union -> equal -> print": "x"}


def test_operators_of_two_groups_are_not_chained() -> None:
    graph = job(lambda env: env.from_collection([1], name="in").map(abs, name="a").map(abs, name="b").slot_sharing_group("own").print())
    assert groups(graph) == {"in -> a": "default", "b -> print": "own"}


def test_a_sink_may_be_in_a_group_of_its_own() -> None:
    graph = job(lambda env: env.from_collection([1], name="in").print().slot_sharing_group("out"))
    assert groups(graph) == {"in": "default", "print": "out"}


@pytest.mark.parametrize("name", ["", None, 1])
def test_a_group_has_a_name(name: Any) -> None:
    with pytest.raises(InvalidArgument, match="slot_sharing_group"):
        job(lambda env: env.from_collection([1]).map(abs).slot_sharing_group(name))


class Numbered(ClusterBackend):
    """As many slots as asked for, with numbers, two in a process."""

    def __init__(self) -> None:
        self.given = 0
        self.returned: list[str] = []

    def acquire(self, count: int) -> Sequence[Slot]:
        numbers = range(self.given, self.given + count)
        self.given += count
        return [Slot(str(number), f"process {number // 2}", "") for number in numbers]

    def deploy(self, slot: Slot, deployment: Any) -> None:
        raise NotImplementedError

    def kill(self, slot: Slot, task_address: str) -> None:
        raise NotImplementedError

    def release(self, slots: Sequence[Slot]) -> None:
        self.returned += [slot.slot_id for slot in slots]

    def on_failure(self, listener: Callable[[str, str], None]) -> None:
        raise NotImplementedError


def test_a_job_needs_as_many_slots_as_the_widest_vertices_of_its_groups_together() -> None:
    def build(env: StreamExecutionEnvironment) -> None:
        wide = env.generate(abs, 1, name="in").map(abs, name="wide").set_parallelism(3).slot_sharing_group("own")
        wide.map(abs, name="narrow").set_parallelism(1).map(abs, name="back").set_parallelism(2).slot_sharing_group("default").print()

    graph, cluster = job(build, 2), Numbered()
    manager = ResourceManager(cluster)
    manager.allocate(graph)
    assert cluster.given == 5
    named = {vertex.name: vertex for vertex in graph.vertices}
    where = {name: [manager.slot_of(SubtaskId(v.vertex_id, i)).slot_id for i in range(v.parallelism)] for name, v in named.items()}
    assert where == {"in": ["0", "1"], "wide": ["2", "3", "4"], "narrow": ["2"], "back -> print": ["0", "1"]}
    lost = [SubtaskId(named["narrow"].vertex_id, 0), SubtaskId(named["wide"].vertex_id, 0), SubtaskId(named["wide"].vertex_id, 1)]
    manager.replace(lost)
    assert cluster.returned == ["2", "3"]
    assert [manager.slot_of(subtask).slot_id for subtask in lost] == ["5", "5", "6"]
    assert manager.slot_of(SubtaskId(named["in"].vertex_id, 1)).slot_id == "1"
