"""A checkpoint storage at a location of its own, opened as often as a test likes: each time as if by another process."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from millstream.contracts.checkpoint_storage import CheckpointStorageContext
from millstream.ports import LocalStorage
from millstream_testkit.storage_checkpoints import JOB, look, problem_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from millstream.contracts.checkpoint_storage import CheckpointStorage, CheckpointStore
    from millstream_testkit.storage_harness import CheckpointStorageHarness


class Location:
    """One place for checkpoints.

    Attributes:
        harness: the author's.
        name: as the harness gave it.
    """

    def __init__(self, harness: CheckpointStorageHarness, folder: Path) -> None:
        self.harness = harness
        self.name = harness.create_location(folder)

    def storage(self) -> CheckpointStorage:
        """A new description."""
        return self.harness.storage(self.name)

    def open(self, job_name: str = JOB) -> CheckpointStore:
        """The checkpoints of a job, as a process finds them that starts now."""
        return self.storage().open(CheckpointStorageContext(job_name, LocalStorage()))

    def assert_whole(self, when: str, *ids: int) -> None:
        """Exactly these checkpoints are found, and each can be restored."""
        store = self.open()
        found = list(store.published())
        assert found == sorted(ids), f"{when}, published() is {found}, not {sorted(ids)}"
        damaged = {number: problem for number in ids if (problem := problem_of(store, number))}
        assert not damaged, f"{when}, checkpoints cannot be restored: {damaged}"

    def documents(self) -> dict[str, str]:
        """All documents, as a process finds them that starts now."""
        return look(self.open()).documents


@contextmanager
def located(harness: CheckpointStorageHarness, folder: Path) -> Iterator[Location]:
    """A location that is dropped at the end."""
    location = Location(harness, folder)
    try:
        yield location
    finally:
        harness.drop_location(location.name)
