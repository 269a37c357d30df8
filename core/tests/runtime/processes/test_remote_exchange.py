"""Channels of several tasks over one connection between two processes."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from millstream.errors import RecordNotSendable
from millstream.graph.execution_graph import SubtaskId
from millstream.graph.job_graph import JobEdge, JobVertex
from millstream.graph.stream_graph import REBALANCE
from millstream.records import MIN_TIMESTAMP, Barrier, Element, EndOfInput, RecordBatch
from millstream.runtime.channel import CREDITS
from millstream.runtime.gate import InputGate
from millstream.runtime.processes.connection import Connection
from millstream.runtime.processes.frames import ForeignFrames, Kind
from millstream.runtime.processes.remote_channel import RemoteWriter
from millstream.runtime.processes.remote_exchange import RemoteExchange, channel_id, channel_of

EDGE = JobEdge(0, 0, 1, REBALANCE, 128)


class Deployed:
    """As much of a deployment as an exchange looks at: two senders in process `a`, one receiver in `b`."""

    job_name, subtask = "orders", 0
    vertex = JobVertex(0, "in", 2, (), (), (EDGE,))

    def __init__(self) -> None:
        self.task_managers = {SubtaskId(0, 0): "a", SubtaskId(0, 1): "a", SubtaskId(1, 0): "b"}


class Pair:
    """Two processes' exchanges and the connection between them."""

    def __init__(self, kind: Callable[..., RemoteExchange] = RemoteExchange) -> None:
        one, other = socket.socketpair()
        self.connections = Connection(one), Connection(other)
        self.a, self.b = kind("a", {"b": self.connections[0]}), kind("b", {"a": self.connections[1]})
        deployed: Any = Deployed()
        self.writers: list[Any] = [self.a.of(deployed).writer(EDGE, sender, 0) for sender in (0, 1)]
        self.readers: list[Any] = [self.b.of(deployed).reader(EDGE, sender, 0) for sender in (0, 1)]

    def close(self) -> None:
        for connection in self.connections:
            connection.close()


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    yield made
    made.close()


def test_elements_of_a_channel_come_in_order_and_events_stay_between_their_records(pair: Pair) -> None:
    sent: list[list[Element]] = [
        [RecordBatch([1]), Barrier(1, 5), RecordBatch(["a", None], [1, 2])],
        [Barrier(1, 5), RecordBatch([2]), EndOfInput()],
    ]
    for one, two in zip(*sent, strict=True):
        pair.writers[0].put(one)
        pair.writers[1].put(two)
    pair.b.pump()
    assert [[reader.poll() for _ in range(4)] for reader in pair.readers] == [[*elements, None] for elements in sent]


def test_a_writer_without_credit_has_no_room_until_its_reader_has_taken_something(pair: Pair) -> None:
    writer, reader = pair.writers[0], pair.readers[0]
    count = 0
    while writer.has_room():
        writer.put(RecordBatch([count]))
        count += 1
    assert count == CREDITS
    assert pair.writers[1].has_room()
    pair.b.pump()
    assert len(reader) == CREDITS
    for _ in range(CREDITS // 2):
        assert not writer.has_room()
        assert reader.poll() is not None
    pair.b.pump()
    pair.a.pump()
    assert writer.has_room()


def test_a_record_that_cannot_travel_names_the_task_that_emitted_it(pair: Pair) -> None:
    with pytest.raises(RecordNotSendable, match="<object object") as raised:
        pair.writers[0].put(RecordBatch([object()]))
    assert (raised.value.task, raised.value.subtask, raised.value.job) == ("in", 0, "orders")


def test_a_frame_for_a_channel_that_is_not_there_is_an_error_that_names_it(pair: Pair) -> None:
    pair.connections[0].queue(channel_id(7, 8, 9), Kind.END, b"")
    pair.a.pump()
    with pytest.raises(ForeignFrames, match="edge 7, from 8 to 9"):
        pair.b.pump()
    assert channel_of(channel_id(2**31, 2**15, 2**16 - 1)) == (2**31, 2**15, 2**16 - 1)


def test_a_process_that_dies_inside_of_a_frame_ends_its_channels_and_nothing_else(pair: Pair) -> None:
    pair.writers[0].put(RecordBatch([1]))
    pair.connections[0]._socket.send(b"\x00\x00")
    pair.connections[0].close()
    while not pair.connections[1].closed:
        pair.b.pump()
    assert pair.readers[0].poll() == RecordBatch([1])
    assert not pair.b.pump()


# --- why there are credits

BATCH = RecordBatch(["x" * 1_000] * 50)
BEFORE, BEHIND = 60, 200
"""Batches of the second channel in front of its barrier, and of the first channel behind its own."""


class Bounded(RemoteExchange):
    """The same with buffers that are bounded in another way: a connection is not read while something it leads to is full."""

    def pump(self) -> bool:
        if all(len(reader) < CREDITS for reader in self._readers.values()):
            return super().pump()
        return sum(connection.flush() for connection in self._connections.values()) > 0


class RoomOfConnection:
    """A writer that may write while its connection takes what is written."""

    def __init__(self, writer: RemoteWriter) -> None:
        self._writer = writer
        self.put = writer.put

    def has_room(self) -> bool:
        return not self._writer._connection.has_output


def aligned(pair: Pair, writers: list[Any]) -> bool:
    """Whether a task with both channels as inputs gets a barrier through: it comes early on the first, and late on the second."""
    gate = InputGate(pair.readers, MIN_TIMESTAMP)
    waiting: list[deque[Element]] = [
        deque([Barrier(1, 0), *[BATCH] * BEHIND]),
        deque([*[BATCH] * BEFORE, Barrier(1, 0)]),
    ]
    complete, idle = False, 0
    while any(waiting) or idle < 3:
        progressed = False
        for elements, writer in zip(waiting, writers, strict=True):
            if elements and writer.has_room():
                writer.put(elements.popleft())
                progressed = True
        progressed |= pair.a.pump()
        progressed |= pair.b.pump()
        entry = gate.poll()
        if entry is not None:
            progressed = True
            if isinstance(entry[1], Barrier):
                complete = gate.barrier(entry[0], entry[1]) is not None or complete
        idle = 0 if progressed else idle + 1
        if idle > 100:
            return False  # nobody can do anything any more
    return complete


def test_credits_keep_two_channels_of_one_connection_from_blocking_each_other(pair: Pair) -> None:
    assert aligned(pair, pair.writers)


def test_the_same_with_bounded_buffers_and_without_credits_stands_still() -> None:
    pair = Pair(Bounded)
    try:
        assert not aligned(pair, [RoomOfConnection(writer) for writer in pair.writers])
    finally:
        pair.close()
