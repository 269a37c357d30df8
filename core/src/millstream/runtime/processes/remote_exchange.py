"""The channels of one attempt in one process: within the process by hand, to the others over one connection each."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from millstream.graph.execution_graph import SubtaskId
from millstream.runtime.exchange import LocalExchange
from millstream.runtime.processes.elements import ElementCodec
from millstream.runtime.processes.frames import BrokenOff, ForeignFrames, Kind
from millstream.runtime.processes.remote_channel import RemoteReader, RemoteWriter, Sender, credits_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from millstream.graph.job_graph import JobEdge
    from millstream.runtime.channel import ChannelReader, ChannelWriter
    from millstream.runtime.deployment import TaskDeployment
    from millstream.runtime.processes.connection import Connection
    from millstream.runtime.processes.frames import Frame


class RemoteExchange:
    """All channels that begin or end in this process.

    Args:
        here: name of this TaskManager.
        connections: to each of the others, by name.
    """

    def __init__(self, here: str, connections: Mapping[str, Connection]) -> None:
        self._here = here
        self._connections = dict(connections)
        self._codec = ElementCodec()
        self._local = LocalExchange()
        self._readers: dict[int, RemoteReader] = {}
        self._writers: dict[int, RemoteWriter] = {}

    def of(self, deployment: TaskDeployment) -> TaskExchange:
        """The channels of one task."""
        return TaskExchange(self, deployment)

    def writer(self, edge: JobEdge, sender: int, receiver: int, deployment: TaskDeployment) -> ChannelWriter:
        """See `Exchange`."""
        there = deployment.task_managers[SubtaskId(edge.target, receiver)]
        if there == self._here:
            return self._local.writer(edge, sender, receiver)
        channel = channel_id(edge.edge_id, sender, receiver)
        who = Sender(deployment.job_name, deployment.vertex.name, deployment.subtask)
        writer = self._writers[channel] = RemoteWriter(channel, self._connections[there], self._codec, who)
        return writer

    def reader(self, edge: JobEdge, sender: int, receiver: int, deployment: TaskDeployment) -> ChannelReader:
        """See `Exchange`."""
        there = deployment.task_managers[SubtaskId(edge.source, sender)]
        if there == self._here:
            return self._local.reader(edge, sender, receiver)
        channel = channel_id(edge.edge_id, sender, receiver)
        reader = self._readers[channel] = RemoteReader(channel, self._connections[there], self._codec)
        return reader

    def pump(self) -> bool:
        """Takes in what has come and sends what can go. True when that was something."""
        progressed = False
        for connection in self._connections.values():
            # Who is at the other end may die inside of a frame. The JobManager looks after it, and ends this attempt.
            with suppress(BrokenOff):
                for frame in connection.receive():
                    progressed = True
                    self._dispatch(frame)
            if connection.has_output and connection.flush():
                progressed = True
        return progressed

    def _dispatch(self, frame: Frame) -> None:
        if frame.kind is Kind.CREDIT:
            writer = self._writers.get(frame.channel)
            if writer is not None:
                writer.give(credits_of(frame.payload))
                return
        elif frame.kind <= Kind.END:
            reader = self._readers.get(frame.channel)
            if reader is not None:
                reader.receive(frame.kind, frame.payload)
                return
        edge, sender, receiver = channel_of(frame.channel)
        raise ForeignFrames(f"a frame of kind {frame.kind.name} came for a channel that is not there: edge {edge}, from {sender} to {receiver}")


class TaskExchange:
    """The Exchange that one task is given."""

    def __init__(self, exchange: RemoteExchange, deployment: TaskDeployment) -> None:
        self._exchange = exchange
        self._deployment = deployment

    def writer(self, edge: JobEdge, sender: int, receiver: int) -> ChannelWriter:
        return self._exchange.writer(edge, sender, receiver, self._deployment)

    def reader(self, edge: JobEdge, sender: int, receiver: int) -> ChannelReader:
        return self._exchange.reader(edge, sender, receiver, self._deployment)


def channel_id(edge: int, sender: int, receiver: int) -> int:
    """What both ends call a channel, without having talked about it. Subtasks are fewer than 2**16."""
    return edge << 32 | sender << 16 | receiver


def channel_of(number: int) -> tuple[int, int, int]:
    """Edge, sender and receiver of a channel."""
    return number >> 32, number >> 16 & 0xFFFF, number & 0xFFFF
