"""Jobs of several regions under every kind of fault: each record is visible once, whichever parts are restarted alone."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from millstream import MapFunction, RuntimeContext, StreamExecutionEnvironment
from millstream.testing import Faults, LedgerTarget, ScriptedSource, TransactionalTarget, Wait, simulate

SPLITS, RECORDS = 5, 40
SOURCE = ScriptedSource(*[[item for n in range(RECORDS) for item in (RECORDS * s + n, Wait(0.02))] for s in range(SPLITS)], fetch_records=3)
SETTINGS = {"checkpoint.interval": timedelta(milliseconds=60), "restart.initial": timedelta(milliseconds=30)}


def opening(opened: list[int]) -> MapFunction[int, int]:
    class Opening(MapFunction[int, int]):
        def open(self, context: RuntimeContext) -> None:
            opened.append(context.subtask)

        def map(self, value: int) -> int:
            return value

    return Opening()


@pytest.mark.parametrize("concurrent", [1, 2])
@pytest.mark.parametrize("target", [TransactionalTarget, LedgerTarget])
def test_each_record_is_visible_once_whichever_regions_fail(target: type[Any], concurrent: int) -> None:
    parts = 0
    for seed in range(25):
        opened: list[int] = []
        out = target(busy=0.1, seed=seed)

        def program(environment: StreamExecutionEnvironment, out: Any = out, opened: list[int] = opened) -> None:
            environment.set_parallelism(3)
            environment.from_source(SOURCE, uid="in").map(opening(opened), uid="open").sink_to(out.sink(), uid="out")

        faults = Faults.mixed(seed)
        settings = {**SETTINGS, "checkpoint.max_concurrent": concurrent}
        simulate(program, seed=seed, faults=faults, targets=[out], settings=settings)
        assert Counter(out.visible()) == Counter(range(SPLITS * RECORDS)), f"seed {seed}, {faults}"
        parts += len(opened) % 3 != 0
    assert parts > 5
