"""Slots for a job: how many it needs, and which subtask runs in which."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.graph.execution_graph import SubtaskId

if TYPE_CHECKING:
    from collections.abc import Iterable

    from millstream.contracts.cluster_backend import ClusterBackend, Slot
    from millstream.graph.job_graph import JobGraph


class ResourceManager:
    """All operators share one slot sharing group: a slot runs subtask i of every vertex, so the job needs as many as its widest vertex."""

    def __init__(self, backend: ClusterBackend) -> None:
        self._backend = backend
        self._slots: list[Slot] = []

    def allocate(self, job: JobGraph) -> None:
        """Takes the slots that the job needs, all or none."""
        self.release()
        self._slots = list(self._backend.acquire(max(vertex.parallelism for vertex in job.vertices)))

    def slot_of(self, subtask: SubtaskId) -> Slot:
        """Where a subtask runs."""
        return self._slots[subtask.subtask]

    def task_managers(self, job: JobGraph) -> dict[SubtaskId, str]:
        """Where every subtask of the job runs; empty when the job has no slots."""
        if not self._slots:
            return {}
        everywhere = [SubtaskId(vertex.vertex_id, index) for vertex in job.vertices for index in range(vertex.parallelism)]
        return {subtask: self.slot_of(subtask).task_manager for subtask in everywhere}

    def replace(self, subtasks: Iterable[SubtaskId]) -> None:
        """Other slots for subtasks that were killed, all or none. Whoever shares a slot with one of them is among them."""
        places = sorted({subtask.subtask for subtask in subtasks})
        self._backend.release([self._slots[place] for place in places])
        for place, slot in zip(places, self._backend.acquire(len(places)), strict=True):
            self._slots[place] = slot

    def release(self) -> None:
        """Gives all slots back."""
        if self._slots:
            self._backend.release(self._slots)
            self._slots = []
