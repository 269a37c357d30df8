"""Slots for a job: how many it needs, and which subtask runs in which."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.graph.execution_graph import SubtaskId

if TYPE_CHECKING:
    from collections.abc import Iterable

    from millstream.contracts.cluster_backend import ClusterBackend, Slot
    from millstream.graph.job_graph import JobGraph


class ResourceManager:
    """A slot runs subtask i of every vertex of one slot sharing group, so a group needs as many as its widest vertex has subtasks."""

    def __init__(self, backend: ClusterBackend) -> None:
        self._backend = backend
        self._slots: list[Slot] = []
        self._first: dict[int, int] = {}  # by vertex: place of the slot of its first subtask

    def allocate(self, job: JobGraph) -> None:
        """Takes the slots that the job needs, all or none."""
        self.release()
        widths: dict[str, int] = {}  # of groups, in the order in which the job has them
        for vertex in job.vertices:
            widths[vertex.slot_sharing_group] = max(vertex.parallelism, widths.get(vertex.slot_sharing_group, 0))
        places = list(widths)
        first = {group: sum(widths[before] for before in places[:number]) for number, group in enumerate(places)}
        self._first = {vertex.vertex_id: first[vertex.slot_sharing_group] for vertex in job.vertices}
        self._slots = list(self._backend.acquire(sum(widths.values())))

    def slot_of(self, subtask: SubtaskId) -> Slot:
        """Where a subtask runs."""
        return self._slots[self._place(subtask)]

    def _place(self, subtask: SubtaskId) -> int:
        return self._first[subtask.vertex] + subtask.subtask

    def task_managers(self, job: JobGraph) -> dict[SubtaskId, str]:
        """Where every subtask of the job runs; empty when the job has no slots."""
        if not self._slots:
            return {}
        everywhere = [SubtaskId(vertex.vertex_id, index) for vertex in job.vertices for index in range(vertex.parallelism)]
        return {subtask: self.slot_of(subtask).task_manager for subtask in everywhere}

    def replace(self, subtasks: Iterable[SubtaskId]) -> None:
        """Other slots for subtasks that were killed, all or none. Whoever shares a slot with one of them is among them."""
        places = sorted({self._place(subtask) for subtask in subtasks})
        self._backend.release([self._slots[place] for place in places])
        for place, slot in zip(places, self._backend.acquire(len(places)), strict=True):
            self._slots[place] = slot

    def release(self) -> None:
        """Gives all slots back."""
        if self._slots:
            self._backend.release(self._slots)
            self._slots = []
