"""Splits that a reader was given since a checkpoint go back when it is restored from that alone."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from random import Random
from typing import Any

import pytest

from millstream.contracts.guarantee import SourceCapabilities
from millstream.contracts.source import EnumeratorContext, ReaderContext, Source, SourceReader, Split, SplitEnumerator
from millstream.graph.execution_graph import SubtaskId
from millstream.ports import InlineExecutor, LocalStorage, LocalTransport, ManualClock, SeededRandom
from millstream.runtime.assigned_splits import AssignedSplits
from millstream.runtime.deployment import Ports
from millstream.runtime.source_coordinator import SourceCoordinator


@pytest.mark.parametrize("seed", range(200))
def test_what_goes_back_and_what_the_checkpoint_holds_is_what_was_given(seed: int) -> None:
    random, assigned = Random(seed), AssignedSplits()
    given: dict[int, list[str]] = {0: [], 1: []}
    held: dict[int, dict[int, list[str]]] = {}  # by checkpoint, by reader
    newest, numbers = 0, itertools.count(1)
    for number in range(random.randrange(30)):
        what = random.randrange(4)
        if what < 2:
            subtask = random.randrange(2)
            assigned.add(subtask, [Split(str(number), {})])
            given[subtask].append(str(number))
        elif what == 2:
            checkpoint = next(numbers)
            assigned.checkpoint(checkpoint)
            held[checkpoint] = {subtask: list(splits) for subtask, splits in given.items()}
        elif held:
            newest = max(newest, random.choice(sorted(held)))
            assigned.completed(newest)
    for subtask in (1, 0):
        back = [split.split_id for split in assigned.take_back(subtask, newest or None)]
        assert held.get(newest, {}).get(subtask, []) + back == given[subtask]
        assert assigned.take_back(subtask, newest or None) == []


class Pushing(Source[int]):
    """Its enumerator gives what comes back to the same reader at once."""

    bounded = True
    capabilities = SourceCapabilities(replayable=True)

    def create_enumerator(self, context: EnumeratorContext, state: bytes | None) -> SplitEnumerator:
        class Enumerator(SplitEnumerator):
            def handle_split_request(self, subtask: int) -> None:
                context.assign(subtask, [Split("a", {})])

            def add_splits_back(self, splits: Sequence[Split], subtask: int) -> None:
                context.assign(subtask, splits)

            def snapshot(self, checkpoint_id: int) -> bytes:
                return b""

        return Enumerator()

    def create_reader(self, context: ReaderContext) -> SourceReader[int]:
        raise NotImplementedError


def test_what_is_given_to_a_reader_that_is_being_restarted_reaches_it_once_it_runs() -> None:
    sent: list[tuple[SubtaskId, Any]] = []
    ports = Ports(ManualClock(), SeededRandom(1), LocalTransport(), LocalStorage(), InlineExecutor())
    source = SourceCoordinator("in", Pushing(), 0, 2, None, ports, lambda subtask, message: sent.append((subtask, message)), lambda _, __: None)
    source.start()
    source._enumerator.handle_split_request(1)
    source.restart_reader(1, None)
    source.restart_reader(1, None)  # it failed once more before it ran
    assert len(sent) == 1
    source.reader_runs(1)
    assert [(subtask, message.splits) for subtask, message in sent] == [(SubtaskId(0, 1), [Split("a", {})])] * 2
    assert sent[0][1].number < sent[1][1].number
