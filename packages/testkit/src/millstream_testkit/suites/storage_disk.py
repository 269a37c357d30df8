"""What is demanded of a checkpoint storage that keeps files: it runs on a disk that forgets what was not synced, and fails at any call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from millstream.contracts.checkpoint_storage import CheckpointStorageContext
from millstream.ports.crash import CrashPointReached
from millstream.testing import DiskStorage
from millstream_testkit.demands import Sampling, declares, demand
from millstream_testkit.storage_checkpoints import JOB, look
from millstream_testkit.storage_life import Entry, Expected, Life
from millstream_testkit.suites.forgetful_disk import OneLife, new_disk, random_of
from millstream_testkit.suites.storage_contract import StorageContractBase

if TYPE_CHECKING:
    from millstream.ports import Storage
    from millstream.testing import SimulatedDisk
    from millstream_testkit.storage_harness import CheckpointStorageHarness

PORT: Final = [declares("durable"), declares("storage_port")]


def loss_cases(harness: CheckpointStorageHarness, sampling: Sampling) -> list[str]:
    """What is lost at a death, and the seed of how much of it."""
    return ["the process", *(f"power, seed {sampling.seed + number}" for number in range(40 if sampling.full else 3))]


class StorageOnADisk(StorageContractBase):
    """Storages that do everything through the `storage` of their context."""

    @demand(
        "Wherever the process or the machine dies, what a call reported as done is there, and all that exists is whole.", when=PORT, cases=loss_cases
    )
    def test_nothing_that_was_done_is_lost(self, case: str) -> None:
        count = len(self._undisturbed().calls)
        assert count, "the storage declares storage_port and writes nothing through it"
        for number in range(1, count + 1):
            disk, journal = new_disk(), list[Entry]()
            life = OneLife(disk, dies_at=number)
            self._live(life, 1, journal)
            self._lose(disk, case, number)
            # The successor dies as well, somewhere else each time.
            heir = OneLife(disk, dies_at=random_of("heir", number).below(40) + 1)
            self._live(heir, 2, journal)
            self._lose(disk, case, -number)
            when = f"{case} died at call {number} ({life.calls[-1]}) and, in the next attempt, " + (heir.calls[-1] if heir.dead else "not")
            self._assert_good(disk, journal, when)
            self._live(OneLife(disk), 3, journal)
            self._assert_good(disk, journal, f"{when}, and a whole attempt ran")

    @demand("A call of the disk that fails is reported, harms no other checkpoint, and the storage goes on.", when=PORT)
    def test_the_disk_may_fail_at_any_call(self) -> None:
        for number in range(1, len(self._undisturbed().calls) + 1):
            disk, journal = new_disk(), list[Entry]()
            life = OneLife(disk, fails_at=number)
            self._live(life, 1, journal)
            when = f"call {number} of the disk ({life.calls[number - 1]}) failed"
            self._assert_good(disk, journal, when)
            assert 5 in look(self._open(DiskStorage(disk))).published or _touches(journal, 5), f"{when}: the last checkpoint was not stored"
            self._live(OneLife(disk), 2, journal)
            self._assert_good(disk, journal, f"{when}, and a whole attempt ran")

    def _open(self, storage: Storage):  # type: ignore[no-untyped-def]
        harness: CheckpointStorageHarness = self.made_harness()
        return harness.storage(harness.example_location).open(CheckpointStorageContext(JOB, storage))

    def _live(self, storage: OneLife, attempt: int, journal: list[Entry]) -> None:
        life = Life(self._open(storage), attempt, journal.append)
        try:
            life.first() if attempt == 1 else life.later()
        except CrashPointReached:
            assert storage.dead

    def _undisturbed(self) -> OneLife:
        storage = OneLife(new_disk())
        self._live(storage, 1, [])
        return storage

    @staticmethod
    def _lose(disk: SimulatedDisk, case: str, number: int) -> None:
        random = random_of(case, number)
        disk.lose_buffers(random)
        if case != "the process":
            disk.lose_power(random)

    def _assert_good(self, disk: SimulatedDisk, journal: list[Entry], when: str) -> None:
        expected = Expected.by(journal)
        problems = [*expected.problems, *expected.compare(look(self._open(DiskStorage(disk))))]
        assert not problems, f"when {when}: {'; '.join(problems)}"


def _touches(journal: list[Entry], checkpoint_id: int) -> bool:
    """Whether something that failed was about a checkpoint, or about leading at all."""
    return any(entry.what == "failed" and (entry.about == checkpoint_id or entry.call == "create_document") for entry in journal)
