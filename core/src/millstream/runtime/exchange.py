"""Channels of one attempt of a job, made where they are first asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from millstream.runtime.channel import ChannelReader, ChannelWriter, LocalChannel

if TYPE_CHECKING:
    from millstream.graph.job_graph import JobEdge


class Exchange(Protocol):
    """Connects subtasks. A channel is named by edge, sending and receiving subtask.

    Both ends are asked for before their task reports that it runs, and no task sends anything before all of them run: whatever arrives
    finds its reader there.
    """

    def writer(self, edge: JobEdge, sender: int, receiver: int) -> ChannelWriter:
        """The sending end."""

    def reader(self, edge: JobEdge, sender: int, receiver: int) -> ChannelReader:
        """The receiving end."""


class LocalExchange:
    """Channels within one process."""

    def __init__(self) -> None:
        self._channels: dict[tuple[int, int, int], LocalChannel] = {}

    def writer(self, edge: JobEdge, sender: int, receiver: int) -> ChannelWriter:
        return self._channel(edge, sender, receiver)

    def reader(self, edge: JobEdge, sender: int, receiver: int) -> ChannelReader:
        return self._channel(edge, sender, receiver)

    def _channel(self, edge: JobEdge, sender: int, receiver: int) -> LocalChannel:
        return self._channels.setdefault((edge.edge_id, sender, receiver), LocalChannel())
