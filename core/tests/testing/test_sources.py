"""The scripted source: order, times, pauses and positions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from millstream import ProcessFunction, StreamExecutionEnvironment, WatermarkStrategy
from millstream.testing import At, Faults, ScriptedSource, TransactionalTarget, Wait, World, simulate


def run(source: ScriptedSource, *, parallelism: int = 1, seed: int = 1, faults: Faults | None = None) -> tuple[list[Any], Any]:
    target = TransactionalTarget[Any]()

    def program(environment: StreamExecutionEnvironment) -> None:
        environment.set_parallelism(parallelism)
        strategy: Any = WatermarkStrategy.no_watermarks()
        environment.from_source(source, strategy, uid="in").process(WithTimes()).sink_to(target.sink(), uid="out")

    result = simulate(program, seed=seed, faults=faults, targets=[target], settings={"checkpoint.interval": timedelta(milliseconds=50)})
    return target.visible(), result


class WithTimes(ProcessFunction[Any, Any]):
    def process_element(self, value: Any, ctx: Any, out: Any) -> None:
        out.collect((value, ctx.timestamp()))


def test_a_script_is_read_in_order_with_its_timestamps() -> None:
    rows, _ = run(ScriptedSource([1, 2, At(500, 3), At(400, 4), 5]))
    assert rows == [(1, None), (2, None), (3, 500), (4, 400), (5, None)]


def test_a_wait_takes_its_time_and_no_more() -> None:
    rows, result = run(ScriptedSource([1, Wait(12.0), 2, Wait(3.0)]))
    assert [value for value, _ in rows] == [1, 2]
    assert 15.0 < result.virtual_s < 16.5


def test_splits_are_read_side_by_side() -> None:
    _, result = run(ScriptedSource([1, Wait(10.0)], [2, Wait(10.0)], [3, Wait(10.0)]), parallelism=2)
    assert result.virtual_s < 11.5


def test_each_split_keeps_its_own_order_whatever_goes_wrong() -> None:
    scripts = [[item for number in range(part * 100, part * 100 + 30) for item in (number, Wait(0.01))] for part in range(3)]
    for seed in range(10):
        rows, result = run(ScriptedSource(*scripts, fetch_records=2), parallelism=1, seed=seed, faults=Faults(crashes=2, failures=1))
        for part in range(3):
            mine = [value for value, _ in rows if value // 100 == part]
            assert mine == list(range(part * 100, part * 100 + 30)), result.replay


def test_more_subtasks_than_splits_are_none_the_worse() -> None:
    rows, _ = run(ScriptedSource([1, 2]), parallelism=4)
    assert rows == [(1, None), (2, None)]


def test_an_empty_script_ends_at_once() -> None:
    rows, _ = run(ScriptedSource([], []))
    assert rows == []


def test_nothing_is_given_during_a_wait() -> None:
    target = TransactionalTarget[int]()
    shown: dict[int, float] = {}

    def program(environment: StreamExecutionEnvironment) -> None:
        environment.from_source(ScriptedSource([1, Wait(5.0), 2]), uid="in").sink_to(target.sink(), uid="out")

    def look(world: World) -> None:
        for value in target.visible():
            shown.setdefault(value, world.clock.now_s)

    simulate(program, seed=2, targets=[target], observe=look)
    assert shown[1] < 2.0
    assert 5.0 < shown[2] < 7.0
