"""Slots for a job: how many it needs, and which subtask runs in which."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millstream.contracts.cluster_backend import ClusterBackend, Slot
    from millstream.graph.execution_graph import SubtaskId
    from millstream.graph.job_graph import JobGraph


class ResourceManager:
    """All operators share one slot sharing group: a slot runs subtask i of every vertex, so the job needs as many as its widest vertex."""

    def __init__(self, backend: ClusterBackend) -> None:
        self._backend = backend
        self._slots: Sequence[Slot] = ()

    def allocate(self, job: JobGraph) -> None:
        """Takes the slots that the job needs, all or none."""
        self.release()
        self._slots = self._backend.acquire(max(vertex.parallelism for vertex in job.vertices))

    def slot_of(self, subtask: SubtaskId) -> Slot:
        """Where a subtask runs."""
        return self._slots[subtask.subtask]

    def uses(self, task_manager: str) -> bool:
        """Whether one of the job's slots is there."""
        return any(slot.task_manager == task_manager for slot in self._slots)

    def release(self) -> None:
        """Gives all slots back."""
        if self._slots:
            self._backend.release(self._slots)
            self._slots = ()
