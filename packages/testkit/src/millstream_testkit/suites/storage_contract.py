"""What is demanded of a checkpoint storage's contract, call by call."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ClassVar, Final

import pytest

from millstream.contracts.checkpoint_storage import CheckpointStorageContext
from millstream.errors import NoCheckpointToResume, SavepointsUnsupported
from millstream.ports import LocalStorage
from millstream_testkit.demands import Sampling, declares, demand
from millstream_testkit.storage_checkpoints import FILES, JOB, look, manifest_of, parts_of, problem_of, store_checkpoint
from millstream_testkit.suites.base import ConformanceSuite
from millstream_testkit.suites.opened_storage import Location, located
from millstream_testkit.suites.resources import assert_nothing_grows
from millstream_testkit.suites.sink_contract import Note, error_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from millstream_testkit.storage_harness import CheckpointStorageHarness

DURABLE: Final = declares("durable")
_JOBS: Final = ["orders", "Orders", "a/b", "../a", "..", ".", " ", "ä", "a%2Fb", "x" * 300, "chk-1"]


def damage_cases(harness: CheckpointStorageHarness, sampling: Sampling) -> list[str]:
    """What is damaged, and how."""
    return [f"{name} {change}" for name in (FILES[1], "manifest") for change in ("cut", "flip", "lose")]


class StorageContractBase(ConformanceSuite):
    """A location of its own for each test."""

    subject: ClassVar[str] = "checkpoint storage"

    @pytest.fixture
    def location(self, tmp_path: Path) -> Iterator[Location]:
        """A new location."""
        with located(self.made_harness(), tmp_path) as location:
            yield location


class StorageContract(StorageContractBase):
    """All storages."""

    @demand("A checkpoint storage is a description that can be sent to a worker, which finds the same checkpoints.")
    def test_description_travels(self, location: Location) -> None:
        storage = location.storage()
        store_checkpoint(location.open(), 1)
        sent = pickle.loads(pickle.dumps(storage))  # noqa: S301 - made here
        assert sent.durable == storage.durable
        assert list(sent.open(CheckpointStorageContext(JOB, LocalStorage())).published()) == [1]

    @demand("Opening creates nothing: there is no checkpoint, no document, and no id that was used.")
    def test_opening_creates_nothing(self, location: Location) -> None:
        for _ in range(2):
            store = location.open()
            found = look(store)
            assert (found.published, found.unpublished, found.highest, found.documents) == ({}, [], 0, {}), f"a new storage has {found}"
            assert store.read_document("run") is None
            assert isinstance(error_of(lambda store=store: store.read_manifest(1)), FileNotFoundError)  # type: ignore[misc]

    @demand("A checkpoint exists from its publishing on, with every byte that was written, for every store that is open.")
    def test_a_checkpoint_exists_when_it_is_published(self, location: Location) -> None:
        store, other = location.open(), location.open()
        large = [bytes([number % 251]) * 1_000 for number in range(1_000)]
        for checkpoint_id in (2, 10):
            for name, parts in ((FILES[0], large), ("empty", []), ("a.b-c.0", [b"", b"x", b""])):
                store.write_file(checkpoint_id, name, iter(parts))
            assert checkpoint_id not in other.published(), "a checkpoint exists before it is published"
            error = error_of(lambda number=checkpoint_id: other.read_manifest(number))  # type: ignore[misc]
            assert isinstance(error, FileNotFoundError), f"reading the manifest of an unpublished checkpoint ended with {error!r}"
            store.publish(checkpoint_id, b"manifest of %d" % checkpoint_id)
        for each in (store, other, location.open()):
            assert list(each.published()) == [2, 10]
            assert (each.read_manifest(2), each.read_manifest(10)) == (b"manifest of 2", b"manifest of 10")
            assert each.read_file(10, FILES[0]) == b"".join(large)
            assert (each.read_file(2, "empty"), each.read_file(2, "a.b-c.0")) == (b"", b"x")
            error = error_of(lambda each=each: each.read_file(2, "other"))  # type: ignore[misc]
            assert isinstance(error, FileNotFoundError), f"reading a file that is missing ended with {error!r}"

    @demand("A checkpoint is published once: the second time is FileExistsError, whoever tries, and the manifest stays.")
    def test_a_checkpoint_is_published_once(self, location: Location) -> None:
        store = location.open()
        store_checkpoint(store, 1)
        for each in (store, location.open()):
            error = error_of(lambda each=each: each.publish(1, b"another"))  # type: ignore[misc]
            assert isinstance(error, FileExistsError), f"publishing a second time ended with {error!r}"
        location.assert_whole("after it was published a second time", 1)

    @demand("publish() calls check when nothing but the last step is missing; what it raises prevents that step.")
    def test_check_comes_before_the_last_step(self, location: Location) -> None:
        store = location.open()
        seen: list[list[int]] = []

        def refuse() -> None:
            seen.append(list(location.open().published()))
            raise InterruptedError("check")

        store_checkpoint(store, 1)
        store.write_file(2, FILES[0], [b"x"])
        error = error_of(lambda: store.publish(2, manifest_of(2, 0), refuse))
        assert isinstance(error, InterruptedError), f"check raised InterruptedError, and publish() ended with {error!r}"
        assert seen == [[1]], "check was called when the checkpoint was published already" if seen else "check was not called"
        location.assert_whole("after check had refused checkpoint 2", 1)
        store.withdraw(2)
        location.assert_whole("after checkpoint 2 was withdrawn", 1)

    @demand("Files of one checkpoint may be written by many threads at a time.")
    def test_files_are_written_by_threads(self, location: Location) -> None:
        store, names = location.open(), [f"task-0-{number}" for number in range(12)]
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(lambda name: store.write_file(1, name, parts_of(1, 0, name)), names))
        store.publish(1, manifest_of(1, 0, names))
        location.assert_whole("after six threads had written it", 1)

    @demand("A file whose writing fails does not exist, and nothing else is harmed.")
    def test_a_write_that_fails_leaves_nothing(self, location: Location) -> None:
        def parts() -> Iterable[bytes]:
            yield b"half"
            raise BlockingIOError("the state cannot be encoded")

        store = location.open()
        store.write_file(1, FILES[0], parts_of(1, 0, FILES[0]))
        error = error_of(lambda: store.write_file(1, FILES[1], parts()))
        assert isinstance(error, BlockingIOError), f"the parts raised BlockingIOError, and write_file() ended with {error!r}"
        store.write_file(1, FILES[1], parts_of(1, 0, FILES[1]))
        store.publish(1, manifest_of(1, 0))
        location.assert_whole("after a file was written a second time", 1)

    @demand("A deleted checkpoint is gone, published or not; what is absent is no error; the others stay.")
    def test_deleted_is_gone(self, location: Location) -> None:
        store = location.open()
        for checkpoint_id in (1, 2, 3):
            store_checkpoint(store, checkpoint_id)
        store.write_file(4, FILES[0], [b"x"])
        for checkpoint_id in (1, 1, 4, 9):
            location.open().delete(checkpoint_id)
        location.assert_whole("after checkpoints 1 and 4 were deleted", 2, 3)
        errors = error_of(lambda: store.read_manifest(1)), error_of(lambda: store.read_file(1, FILES[0]))
        assert all(isinstance(error, FileNotFoundError) for error in errors), f"reading a deleted checkpoint ended with {errors}"

    @demand("highest_id() remembers every id that was used: begun, published, deleted, or given up.")
    def test_ids_are_never_used_again(self, location: Location) -> None:
        store = location.open()
        for checkpoint_id, give_up in enumerate((store.delete, store.withdraw), start=1):
            store.write_file(checkpoint_id, FILES[0], [b"x"])
            found = location.open().highest_id()
            assert found == checkpoint_id, f"after a file of checkpoint {checkpoint_id}, highest_id() is {found}"
            give_up(checkpoint_id)
            found = location.open().highest_id()
            assert found == checkpoint_id, f"after {give_up.__name__}({checkpoint_id}), highest_id() is {found}: the id would be used again"
        store_checkpoint(store, 7)
        store.delete(7)
        store.delete(1)
        found = location.open().highest_id()
        assert found == 7, f"after all checkpoints were deleted, highest_id() is {found}, not 7: the id would be used again"

    @demand("withdraw() and close() give up what this process has begun, and never what is published.")
    def test_what_is_published_is_never_withdrawn(self, location: Location) -> None:
        store = location.open()
        store_checkpoint(store, 1)
        store.write_file(2, FILES[0], [b"x"])
        for each in (store, location.open()):
            each.withdraw(1)
            each.withdraw(5)
        store.withdraw(2)
        store.write_file(3, FILES[0], [b"x"])
        store.close()
        location.assert_whole("after everything that was begun had been given up", 1)
        assert location.open().highest_id() == 3

    # --- shared files

    @demand("A shared file is there, with every byte, until it is deleted, whichever checkpoints come and go.")
    def test_shared_files_outlive_checkpoints(self, location: Location) -> None:
        store, large = location.open(), [bytes([number % 251]) * 1_000 for number in range(1_000)]
        for checkpoint_id in (1, 2):
            store.write_shared(checkpoint_id, f"{checkpoint_id}-0-0-0-abc", iter(large))
            store_checkpoint(store, checkpoint_id)
        store.delete(1)
        for each in (store, location.open()):
            each.withdraw(1)
            each.close()
            assert sorted(each.shared()) == ["1-0-0-0-abc", "2-0-0-0-abc"], "a shared file went with the checkpoint that it was written for"
        assert location.open().read_shared("1-0-0-0-abc") == b"".join(large)
        for _ in range(2):
            location.open().delete_shared("1-0-0-0-abc")
        assert list(store.shared()) == ["2-0-0-0-abc"]
        error = error_of(lambda: store.read_shared("1-0-0-0-abc"))
        assert isinstance(error, FileNotFoundError), f"reading a shared file that is deleted ended with {error!r}"
        location.assert_whole("after shared files had come and gone", 2)

    @demand("A shared file is written again in the place of one of the same name; one whose writing fails does not exist.")
    def test_shared_files_are_written_again(self, location: Location) -> None:
        def parts() -> Iterable[bytes]:
            yield b"half"
            raise BlockingIOError("the state cannot be encoded")

        store = location.open()
        error = error_of(lambda: store.write_shared(1, "1-0-0-0-abc", parts()))
        assert isinstance(error, BlockingIOError), f"the parts raised BlockingIOError, and write_shared() ended with {error!r}"
        assert list(location.open().shared()) == [], "a shared file that could not be written exists"
        for each in (store, location.open()):
            each.write_shared(1, "1-0-0-0-abc", [b"who", b"le"])
        assert location.open().read_shared("1-0-0-0-abc") == b"whole"

    @demand("withdraw() and close() take the shared files of what this process has begun, and no others.")
    def test_shared_files_of_what_is_given_up_go(self, location: Location) -> None:
        store, other = location.open(), location.open()
        store.write_shared(1, "1-0-0-0-abc", [b"x"])
        store_checkpoint(store, 1)
        other.write_shared(2, "2-0-0-1-abc", [b"y"])
        store.write_shared(2, "2-0-0-0-abc", [b"x"])
        store.withdraw(2)
        store.write_shared(3, "3-0-0-0-abc", [b"x"])
        store.write_file(3, FILES[0], [b"x"])
        store.close()
        found = sorted(location.open().shared())
        assert found == ["1-0-0-0-abc", "2-0-0-1-abc"], f"after what one of two processes had begun was given up, there are {found}"

    # --- documents

    @demand("Documents are replaced, created once, listed and deleted; every store that is open sees them.")
    def test_documents_are_kept(self, location: Location) -> None:
        store, other = location.open(), location.open()
        store.write_document("run", b"1")
        store.write_document("run", b"22")
        store.write_document("empty", b"")
        assert other.create_document("leader-1", b"mine") is True
        assert store.create_document("leader-1", b"yours") is False
        store_checkpoint(store, 1)
        assert location.documents() == {"run": "22", "empty": "", "leader-1": "mine"}
        other.delete_document("run")
        other.delete_document("run")
        assert store.read_document("run") is None
        assert store.create_document("run", b"3") is True
        assert sorted(location.open().documents()) == ["empty", "leader-1", "run"]
        location.assert_whole("among documents", 1)

    @demand("Of several that create a document at the same time, one is told that it did.")
    def test_a_document_is_created_once(self, location: Location) -> None:
        with ThreadPoolExecutor(8) as pool:
            for number in range(20):
                stores = [location.open() for _ in range(8)]
                made = list(pool.map(lambda pair: pair[1].create_document(f"leader-{number}", b"%d" % pair[0]), enumerate(stores)))  # noqa: B023
                assert made.count(True) == 1, f"{made.count(True)} of 8 threads were told that they had created the document"
                kept = location.open().read_document(f"leader-{number}")
                assert kept == b"%d" % made.index(True), "the document is not that of the one that was told"

    @demand("Jobs that share a storage see nothing of each other, whatever their names are.")
    def test_jobs_are_kept_apart(self, location: Location) -> None:
        for number, job in enumerate(_JOBS, start=1):
            store = location.open(job)
            store_checkpoint(store, number)
            store.write_document("run", b"%d" % number)
        for number, job in enumerate(_JOBS, start=1):
            found = look(location.open(job))
            assert (list(found.published), found.documents, found.highest) == ([number], {"run": str(number)}, number), f"job {job!r} finds {found}"

    @demand("Opening and closing again and again leaves no thread and no open file behind.")
    def test_close_releases_everything(self, location: Location) -> None:
        def once(number: int) -> None:
            store = location.open()
            store_checkpoint(store, number + 1)
            store.write_document("run", b"x")
            look(store)
            store.close()

        assert_nothing_grows(once)

    # --- for tools and people

    @demand("A checkpoint is found by where location() says it is; one that does not exist is NoCheckpointToResume.", when=DURABLE)
    def test_a_checkpoint_is_found_by_its_location(self, location: Location, note: Note) -> None:
        store = location.open()
        store_checkpoint(store, 3)
        store.write_file(4, FILES[0], [b"x"])
        found, checkpoint_id = location.storage().find(store.location(3), LocalStorage())
        assert (checkpoint_id, problem_of(found, 3)) == (3, "")
        for missing in (4, 9):
            error = error_of(lambda missing=missing: location.storage().find(store.location(missing), LocalStorage()))  # type: ignore[misc]
            assert isinstance(error, NoCheckpointToResume), f"find() of checkpoint {missing}, which does not exist, ended with {error!r}"
        assert store.location() != store.location(3)
        if list(location.storage().jobs(LocalStorage())) != [JOB]:
            note("jobs() does not list the job: tools cannot find its checkpoints without its name")

    @demand("A savepoint has a place of its own, which every process opens by its location, until it is deleted.", when=DURABLE)
    def test_a_savepoint_has_a_place_of_its_own(self, location: Location, note: Note) -> None:
        files = LocalStorage()
        where = f"{location.open().location()}-savepoints/savepoint-1"
        try:
            store = location.storage().open_savepoint(where, files)
        except SavepointsUnsupported:
            note("open_savepoint() is not there: jobs cannot have savepoints in this storage")
            return
        assert list(store.published()) == []
        where = store.location()
        error = error_of(lambda: location.storage().find(where, files))
        assert isinstance(error, NoCheckpointToResume), f"find() of a savepoint that nobody has written ended with {error!r}"
        for name in FILES:  # each by another process
            location.storage().open_savepoint(where, files).write_file(7, name, parts_of(7, 0, name))
        store.publish(7, manifest_of(7, 0))
        found, number = location.storage().find(where, files)
        assert (number, problem_of(found, 7), found.location(7)) == (7, "", where)
        assert look(location.open()).published == {}, "it is among the checkpoints of a job"
        given_up = location.storage().open_savepoint(f"{where}0", files)
        given_up.write_file(8, FILES[0], [b"x"])
        given_up.withdraw(8)
        for _ in range(2):
            location.storage().delete_savepoint(where, files)
        for gone in (where, f"{where}0"):
            error = error_of(lambda gone=gone: location.storage().find(gone, files))  # type: ignore[misc]
            assert isinstance(error, NoCheckpointToResume), f"find() of a savepoint that is gone ended with {error!r}"

    @demand("A file or manifest that is damaged is noticed, never restored as something else.", when=DURABLE, cases=damage_cases)
    def test_damage_is_noticed(self, location: Location, case: str) -> None:
        name, change = case.split()
        store_checkpoint(location.open(), 1)
        store_checkpoint(location.open(), 2)
        if not location.harness.damage(location.name, JOB, 2, None if name == "manifest" else name, change):
            pytest.skip("not run: nobody can damage what is stored (damage of the harness returned False)")
        seen = look(location.open())
        assert seen.published.get(1) == "", f"the other checkpoint was harmed: {seen.published}"
        # A checkpoint without a manifest does not exist; every other damage must be seen.
        assert seen.published.get(2, "absent" if case == "manifest lose" else "") != "", (
            f"{case}: the checkpoint is restored as if nothing had happened"
        )
