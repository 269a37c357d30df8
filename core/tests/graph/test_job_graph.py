"""From the program to what is deployed: chains, edges, and what is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from millstream import DiscardingSink, OutputTag, StreamExecutionEnvironment
from millstream.contracts.key_groups import default_max_parallelism
from millstream.errors import DuplicateUid, EmptyJob, InvalidParallelism, MissingUid, SettingsConflict
from millstream.graph.execution_graph import ExecutionGraph, ExecutionState, SubtaskId
from millstream.graph.job_graph import JobGraph, JobGraphBuilder


def identity(value: Any) -> Any:
    return value


def chains(env: StreamExecutionEnvironment) -> list[list[str]]:
    """Names of the operators of each vertex."""
    return [[operator.name for operator in vertex.chain] for vertex in env.job_graph("test").vertices]


def environment(parallelism: int = 1) -> StreamExecutionEnvironment:
    return StreamExecutionEnvironment().set_parallelism(parallelism)


def source(env: StreamExecutionEnvironment) -> Any:
    return env.generate(identity, count=3, name="source")


# --- chaining


def test_forward_edges_of_equal_parallelism_are_chained() -> None:
    env = environment(2)
    source(env).map(identity, name="a").filter(identity, name="b").flat_map(identity, name="c").sink_to(DiscardingSink(), name="out")
    assert chains(env) == [["source", "a", "b", "c", "out"]]


def test_another_parallelism_starts_a_new_task_behind_a_rebalance() -> None:
    env = environment(2)
    source(env).map(identity, name="a").set_parallelism(3).sink_to(DiscardingSink(), name="out").set_parallelism(3)
    assert chains(env) == [["source"], ["a", "out"]]
    (edge,) = env.job_graph("test").vertices[0].outputs
    assert edge.partitioning.kind == "rebalance"


@pytest.mark.parametrize(("parallelism", "wanted"), [(1, [["source", "sum", "out"]]), (2, [["source"], ["sum", "out"]])])
def test_a_keyed_operator_is_chained_only_where_there_is_one_subtask(parallelism: int, wanted: list[list[str]]) -> None:
    env = environment(parallelism)
    source(env).key_by(identity).sum(name="sum").sink_to(DiscardingSink(), name="out")
    assert chains(env) == wanted


@pytest.mark.parametrize("how", ["rebalance", "rescale", "broadcast", "global_", "shuffle"])
def test_an_edge_that_deals_out_is_never_chained(how: str) -> None:
    env = environment(1)
    getattr(source(env), how)().map(identity, name="a").print()
    assert chains(env) == [["source"], ["a", "print"]]


def test_an_operator_with_several_inputs_starts_a_new_task() -> None:
    env = environment(1)
    source(env).union(env.generate(identity, count=1, name="other")).map(identity, name="a").print()
    assert chains(env) == [["source"], ["other"], ["union", "a", "print"]]


def test_disable_chaining_holds_on_both_sides() -> None:
    env = environment(1)
    source(env).map(identity, name="a").map(identity, name="alone").disable_chaining().map(identity, name="b").print()
    assert chains(env) == [["source", "a"], ["alone"], ["b", "print"]]


def test_start_new_chain_holds_in_front_only() -> None:
    env = environment(1)
    source(env).map(identity, name="a").map(identity, name="head").start_new_chain().map(identity, name="b").print()
    assert chains(env) == [["source", "a"], ["head", "b", "print"]]


def test_a_sink_may_have_a_task_of_its_own() -> None:
    env = environment(1)
    source(env).sink_to(DiscardingSink(), name="out").disable_chaining()
    assert chains(env) == [["source"], ["out"]]


def test_branches_of_one_stream_are_all_chained() -> None:
    env = environment(1)
    stream = source(env).map(identity, name="a")
    stream.map(identity, name="left").print()
    stream.map(identity, name="right").print()
    stream.get_side_output(OutputTag("side")).map(identity, name="side").print()
    assert chains(env) == [["source", "a", "left", "print", "right", "print", "side", "print"]]
    (vertex,) = env.job_graph("test").vertices
    assert [(target.tag, target.position) for target in vertex.chain[1].targets] == [(None, 2), (None, 4), ("side", 6)]


def test_without_chaining_every_operator_is_a_task() -> None:
    env = environment(1)
    source(env).map(identity, name="a").print()
    graph = JobGraphBuilder(env.graph, 1, None, chaining=False).build("test")
    assert [[operator.name for operator in vertex.chain] for vertex in graph.vertices] == [["source"], ["a"], ["print"]]


def test_the_name_of_a_task_is_that_of_its_operators() -> None:
    env = environment(1)
    source(env).map(identity, name="a").print()
    assert env.job_graph("test").vertices[0].name == "source -> a -> print"


def test_functions_give_their_names_to_operators() -> None:
    env = environment(1)
    env.from_collection([1]).map(identity).map(lambda n: n).key_by(identity).reduce(max).print()
    assert chains(env) == [["collection", "map(identity)", "map", "reduce(max)", "print"]]


# --- parallelism and key groups


def test_an_operator_takes_its_own_parallelism_before_the_jobs() -> None:
    env = environment(3)
    env.from_collection([1]).map(identity).set_parallelism(2).key_by(identity).sum().print()
    assert [vertex.parallelism for vertex in env.job_graph("test").vertices] == [1, 2, 3]


def test_key_groups_follow_the_operator_the_job_or_the_default() -> None:
    env = environment(2)
    keyed = source(env).key_by(identity)
    keyed.sum(name="own").set_max_parallelism(16).print()
    keyed.sum(name="jobs").print()
    groups = {operator.name: operator.max_parallelism for _, operator in env.job_graph("test").operators()}
    assert (groups["own"], groups["jobs"]) == (16, default_max_parallelism(2))
    env.set_max_parallelism(64)
    groups = {operator.name: operator.max_parallelism for _, operator in env.job_graph("test").operators()}
    assert (groups["own"], groups["jobs"]) == (16, 64)


def test_a_hash_edge_knows_the_key_groups_of_its_target() -> None:
    env = environment(2)
    source(env).key_by(identity).sum().set_max_parallelism(16).print()
    (edge,) = env.job_graph("test").vertices[0].outputs
    assert (edge.partitioning.kind, edge.target_max_parallelism) == ("hash", 16)


def test_more_subtasks_than_key_groups_are_refused() -> None:
    env = environment(4)
    source(env).key_by(identity).sum(name="sum").set_max_parallelism(3).print()
    with pytest.raises(InvalidParallelism, match="'sum' has parallelism 4, but only 3 key groups. Lower its parallelism to 3"):
        env.job_graph("test")


def test_the_jobs_parallelism_and_key_groups_must_fit() -> None:
    with pytest.raises(SettingsConflict, match=r"Lower job\.parallelism to 2"):
        StreamExecutionEnvironment().set_max_parallelism(2).set_parallelism(4).settings()


def test_forward_between_different_parallelisms_is_refused() -> None:
    env = environment(2)
    source(env).forward().map(identity, name="a").set_parallelism(3).print()
    with pytest.raises(InvalidParallelism, match=r"'a' has parallelism 3, but its forward input 'source' has 2\. Put rebalance"):
        env.job_graph("test")


# --- validation


def checkpointed() -> StreamExecutionEnvironment:
    return StreamExecutionEnvironment().enable_checkpointing(timedelta(seconds=1))


def test_an_empty_job_is_refused() -> None:
    with pytest.raises(EmptyJob, match=r"nothing to execute\. Add a source"):
        StreamExecutionEnvironment().job_graph("test")


def test_a_source_that_nobody_reads_is_no_job() -> None:
    env = StreamExecutionEnvironment()
    env.from_collection([1])
    with pytest.raises(EmptyJob):
        env.execute()


@pytest.mark.parametrize(
    ("build", "operator"),
    [
        (lambda env: env.from_collection([1], name="in").print(), "in"),
        (lambda env: env.from_collection([1], uid="in").key_by(identity).sum(name="sum").print(), "sum"),
        (lambda env: env.from_collection([1], uid="in").sink_to(DiscardingSink(), name="out"), "out"),
    ],
)
def test_with_checkpoints_everything_that_is_kept_in_them_needs_a_uid(build: Any, operator: str) -> None:
    env = checkpointed()
    build(env)
    with pytest.raises(MissingUid, match=rf"Operator '{operator}' keeps something in checkpoints and has no uid.*uid='...'") as raised:
        env.job_graph("test")
    assert raised.value.operator == operator


def test_what_keeps_nothing_needs_no_uid_and_without_checkpoints_nothing_does() -> None:
    env = checkpointed()
    env.from_collection([1], uid="in").map(identity).rebalance().filter(identity).print()
    assert env.job_graph("test")
    env = StreamExecutionEnvironment()
    env.from_collection([1]).key_by(identity).sum().sink_to(DiscardingSink())
    assert env.job_graph("test")


def test_a_uid_may_be_given_afterwards() -> None:
    env = checkpointed()
    env.from_collection([1]).uid("in").key_by(identity).sum().uid("sum").sink_to(DiscardingSink()).uid("out")
    assert [operator.uid for _, operator in env.job_graph("test").operators()] == ["in", "sum", "out"]


def test_two_operators_with_one_uid_are_refused() -> None:
    env = StreamExecutionEnvironment()
    env.from_collection([1], uid="same", name="first").map(identity, uid="same", name="second").print()
    with pytest.raises(DuplicateUid, match=r"Operators 'first' and 'second' both have uid 'same'\. Give each its own"):
        env.job_graph("test")


# --- execution graph


def graph() -> JobGraph:
    env = environment(2)
    source(env).key_by(identity).sum().print()
    return env.job_graph("test")


def test_each_subtask_is_one_execution_with_its_attempt_in_its_address() -> None:
    first, second = ExecutionGraph(graph(), 0), ExecutionGraph(graph(), 1)
    assert len(first) == 4
    assert len({execution.address for execution in [*first, *second]}) == 8
    assert [execution.subtask for execution in first.sources()] == [SubtaskId(0, 0), SubtaskId(0, 1)]


def test_a_message_of_an_older_attempt_finds_nobody() -> None:
    executions = ExecutionGraph(graph(), 3)
    assert executions.find(SubtaskId(1, 0), 3) is not None
    assert executions.find(SubtaskId(1, 0), 2) is None
    assert executions.find(SubtaskId(1, 7), 3) is None


def test_all_in_looks_at_every_execution() -> None:
    executions = ExecutionGraph(graph(), 0)
    assert executions.all_in(ExecutionState.CREATED)
    next(iter(executions)).state = ExecutionState.RUNNING
    assert not executions.all_in(ExecutionState.CREATED)
    assert executions.all_in(ExecutionState.CREATED, ExecutionState.RUNNING)
