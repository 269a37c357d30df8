"""The coordinator's side of a source: what a reader says reaches the enumerator once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millstream.contracts.guarantee import SourceCapabilities
from millstream.contracts.source import EnumeratorContext, ReaderContext, Source, SourceReader, Split, SplitEnumerator
from millstream.graph.execution_graph import SubtaskId
from millstream.ports import InlineExecutor, LocalStorage, LocalTransport, ManualClock, SeededRandom
from millstream.runtime.deployment import Ports
from millstream.runtime.messages import FromReader, NoMoreSplits, SplitsAssigned
from millstream.runtime.source_coordinator import SourceCoordinator


class OneSplitPerRequest(Source[int]):
    """Notes what its enumerator is told."""

    bounded = True
    capabilities = SourceCapabilities(replayable=True)

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def create_enumerator(self, context: EnumeratorContext, state: bytes | None) -> SplitEnumerator:
        heard = self.heard

        class Enumerator(SplitEnumerator):
            def handle_split_request(self, subtask: int) -> None:
                heard.append(subtask)
                context.assign(subtask, [Split(str(len(heard)), {})])
                context.no_more_splits(subtask)

            def add_splits_back(self, splits: Sequence[Split], subtask: int) -> None:
                raise NotImplementedError

            def snapshot(self, checkpoint_id: int) -> bytes:
                return b""

            def receive(self, subtask: int, message: bytes) -> None:
                heard.append((subtask, message))

        return Enumerator()

    def create_reader(self, context: ReaderContext) -> SourceReader[int]:
        raise NotImplementedError


def said(subtask: int, number: int, message: bytes | None = None) -> FromReader:
    return FromReader("in", SubtaskId(0, subtask), 0, message, number)


def coordinator(source: OneSplitPerRequest, sent: list[Any]) -> SourceCoordinator:
    ports = Ports(ManualClock(), SeededRandom(1), LocalTransport(), LocalStorage(), InlineExecutor())
    return SourceCoordinator("in", source, 0, 2, None, ports, lambda subtask, message: sent.append((subtask.subtask, message)), lambda _, __: None)


def test_what_a_reader_says_counts_once_however_late_it_comes_again() -> None:
    source = OneSplitPerRequest()
    coordinated = coordinator(source, [])
    coordinated.receive(said(0, 1))  # kept, as not all readers run
    coordinated.receive(said(0, 1))
    coordinated.start()
    for message in (said(1, 1), said(0, 2, b"done"), said(0, 1), said(0, 2, b"done"), said(1, 1)):
        coordinated.receive(message)
    assert source.heard == [0, 1, (0, b"done")]


def test_what_is_said_to_each_reader_is_numbered_from_one() -> None:
    source, sent = OneSplitPerRequest(), list[Any]()
    coordinated = coordinator(source, sent)
    coordinated.start()
    coordinated.receive(said(0, 1))
    coordinated.receive(said(1, 1))
    expected = [(subtask, message) for subtask in (0, 1) for message in (SplitsAssigned([Split(str(subtask + 1), {})], 1), NoMoreSplits(2))]
    assert sent == expected
