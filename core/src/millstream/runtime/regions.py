"""What is restarted together: tasks that a channel connects, and those that would end with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.graph.execution_graph import SubtaskId
from millstream.runtime.partition import receivers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from millstream.graph.job_graph import JobGraph


class PipelinedRegions:
    """The tasks of a job in parts between which there is no channel.

    A task that is restarted forgets what it has sent and wants again what it was sent, so all that it is connected with goes back to the
    same checkpoint. Any keyed exchange makes what it connects one region.

    Args:
        job: what is run.
    """

    def __init__(self, job: JobGraph) -> None:
        self._region: dict[SubtaskId, set[SubtaskId]] = {
            subtask: {subtask} for vertex in job.vertices for subtask in _subtasks(vertex.vertex_id, vertex.parallelism)
        }
        for vertex in job.vertices:
            for edge in vertex.outputs:
                target = job.vertex(edge.target)
                for sender in range(vertex.parallelism):
                    for receiver in receivers_of(edge, sender, vertex.parallelism, target.parallelism):
                        self._join(SubtaskId(edge.source, sender), SubtaskId(edge.target, receiver))

    def _join(self, one: SubtaskId, other: SubtaskId) -> None:
        small, large = sorted((self._region[one], self._region[other]), key=len)
        if small is not large:
            large |= small
            for subtask in small:
                self._region[subtask] = large

    def __len__(self) -> int:
        return len({id(region) for region in self._region.values()})

    def around(self, failed: Iterable[SubtaskId], ends_with: Callable[[SubtaskId], object] | None = None) -> frozenset[SubtaskId]:
        """All that is to be restarted when these tasks have failed.

        Args:
            ends_with: tasks with equal results cannot be ended apart from each other; None when each can be ended alone.
        """
        found: set[SubtaskId] = set()
        new = set(failed)
        while new:
            found |= new
            reached = set().union(*(self._region[subtask] for subtask in new))
            if ends_with is not None:
                ended = {ends_with(subtask) for subtask in reached}
                reached |= {subtask for subtask in self._region if ends_with(subtask) in ended}
            new = reached - found
        return frozenset(found)


def _subtasks(vertex: int, parallelism: int) -> Sequence[SubtaskId]:
    return [SubtaskId(vertex, index) for index in range(parallelism)]
