"""A reader that has no split, and may get one later, does not stop event time (FLINK-24347)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from millstream import StreamExecutionEnvironment, TumblingEventTimeWindows, WatermarkStrategy
from millstream.contracts.source import EnumeratorContext, Split, SplitEnumerator
from millstream.ports import InlineExecutor, LocalStorage, LocalTransport, ManualClock, SeededRandom
from millstream.runtime.deployment import Ports
from millstream.testing import At, ScriptedSource, Wait


class Discovering(SplitEnumerator):
    """Gives its only split to subtask 0, and for long does not know whether there will be another."""

    def __init__(self, context: EnumeratorContext, says_so: bool, second_after_s: float | None) -> None:
        self._context = context
        self._says_so = says_so
        self._second_after_s = second_after_s

    def start(self) -> None:
        self._context.call_later(30.0, lambda: [self._context.no_more_splits(subtask) for subtask in (0, 1)])
        if self._second_after_s is not None:
            self._context.call_later(self._second_after_s, lambda: self._context.assign(1, [Split("1", {"next": 0})]))

    def handle_split_request(self, subtask: int) -> None:
        if subtask == 0:
            self._context.assign(0, [Split("0", {"next": 0})])
        elif self._says_so:
            self._context.no_splits_yet(subtask)

    def add_splits_back(self, splits: Sequence[Split], subtask: int) -> None:
        raise AssertionError("nothing fails here")

    def snapshot(self, checkpoint_id: int) -> bytes:
        return b""


class DiscoveredSource(ScriptedSource):
    def __init__(self, *scripts: Any, says_so: bool = True, second_after_s: float | None = None) -> None:
        super().__init__(*scripts)
        self._says_so, self._second_after_s = says_so, second_after_s

    def create_enumerator(self, context: EnumeratorContext, state: bytes | None) -> Any:
        return Discovering(context, self._says_so, self._second_after_s)


def run(source: DiscoveredSource) -> list[str]:
    """What happens, in order: records, and counts of windows of a second."""
    seen: list[str] = []
    ports = Ports(ManualClock(1_000_000), SeededRandom(), LocalTransport(), LocalStorage(), InlineExecutor())
    env = StreamExecutionEnvironment(ports=ports).set_parallelism(2)
    strategy = WatermarkStrategy.for_monotonous_timestamps()
    records = env.from_source(source, strategy, name="records").map(lambda value: seen.append(value) or (value[0], 1))  # type: ignore[func-returns-value]  # append gives None, so that `or` gives the rest
    windows = records.key_by(lambda pair: pair[0]).window(TumblingEventTimeWindows.of(timedelta(seconds=1))).sum(1)
    windows.map(lambda pair: seen.append(f"window of {pair[0]}: {pair[1]}")).print()  # type: ignore[func-returns-value]  # append gives None, so that `or` gives the rest
    env.execute()
    return seen


SCRIPT = [At(100, "a1"), At(200, "a2"), At(1_500, "a3"), Wait(5.0), At(1_600, "a4")]


@pytest.mark.parametrize("says_so", [True, False])
def test_windows_fire_although_one_reader_has_nothing_to_read(says_so: bool) -> None:
    seen = run(DiscoveredSource(SCRIPT, says_so=says_so))
    assert (seen.index("window of a: 2") < seen.index("a4")) is says_so


def test_the_reader_counts_again_when_it_gets_a_split() -> None:
    late = [At(1_700, "b1"), Wait(5.0), At(2_500, "b2")]
    script = [*SCRIPT, At(2_600, "a5"), Wait(2.0), At(3_600, "a6")]
    seen = run(DiscoveredSource(script, late, second_after_s=3.0))
    assert seen.index("window of a: 2") < seen.index("b1") < seen.index("b2") < seen.index("window of b: 1")
    assert seen.index("b2") < seen.index("window of a: 2", seen.index("a6"))
