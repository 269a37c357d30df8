"""Checkpoints in a folder: what exists after a crash, a full disk, or a second writer."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from millstream.contracts.checkpoint_storage import CheckpointStorageContext
from millstream.errors import InvalidArgument, InvalidName, PathUnusable
from millstream_filesystem import FilesystemCheckpointStorage
from millstream_filesystem.job_folder import folder_of_job, job_of_folder


def store_of(root: Path | str, job: str = "job", storage: Any = None, kit: Any = None) -> Any:
    storage = storage or kit.FaultyStorage()
    return FilesystemCheckpointStorage(root).open(CheckpointStorageContext(job, storage))


def checkpoint(store: Any, checkpoint_id: int) -> None:
    store.write_file(checkpoint_id, "state-0", [b"some", b"thing"])
    store.publish(checkpoint_id, b"manifest")


def names(root: Path) -> list[str]:
    """Everything below a folder."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_a_published_checkpoint_is_found_by_another_process(kit: Any, tmp_path: Path) -> None:
    root = tmp_path / "deep" / "root"
    store = store_of(root, storage=kit.LocalStorage())
    assert (list(store.published()), store.highest_id(), names(tmp_path)) == ([], 0, [])
    checkpoint(store, 2)
    checkpoint(store, 10)
    other = store_of(f"file://{root}", kit=kit)
    assert (list(other.published()), other.highest_id()) == ([2, 10], 10)
    assert (other.read_manifest(2), other.read_file(10, "state-0")) == (b"manifest", b"something")
    assert names(root / "job" / "chk-2") == ["_metadata", "state-0"]
    assert {"shared", "taskowned"} <= set(names(root / "job"))
    assert other.location(2) == f"{root}/job/chk-2"
    assert other.location() == f"{root}/job"


def test_a_checkpoint_exists_only_with_its_manifest(kit: Any, tmp_path: Path) -> None:
    store = store_of(tmp_path, kit=kit)
    store.write_file(5, "state-0", [b"x"])
    kit.crash_at("checkpoint.metadata.before_rename")
    with pytest.raises(kit.Crash):
        store.publish(5, b"manifest")
    kit.survive()
    again = store_of(tmp_path, kit=kit)
    assert (list(again.published()), again.highest_id()) == ([], 5)
    with pytest.raises(FileNotFoundError):
        again.read_manifest(5)
    again.publish(5, b"manifest")
    assert again.read_manifest(5) == b"manifest"


def test_after_the_rename_it_exists(kit: Any, tmp_path: Path) -> None:
    kit.crash_at("checkpoint.metadata.renamed")
    with pytest.raises(kit.Crash):
        store_of(tmp_path, kit=kit).publish(5, b"manifest")
    assert list(store_of(tmp_path, kit=kit).published()) == [5]


def test_publishing_twice_is_an_error_and_the_first_manifest_stays(kit: Any, tmp_path: Path) -> None:
    store = store_of(tmp_path, kit=kit)
    store.publish(1, b"first")
    with pytest.raises(FileExistsError):
        store_of(tmp_path, kit=kit).publish(1, b"second")
    assert store.read_manifest(1) == b"first"
    assert names(tmp_path / "job" / "chk-1") == ["_metadata"]


def test_a_file_of_a_checkpoint_is_written_once(kit: Any, tmp_path: Path) -> None:
    store = store_of(tmp_path, kit=kit)
    store.write_file(1, "a", [b"1"])
    with pytest.raises(FileExistsError):
        store.write_file(1, "a", [b"2"])
    assert store.read_file(1, "a") == b"1"


def test_everything_is_durable_before_the_next_step(kit: Any, tmp_path: Path) -> None:
    storage = kit.FaultyStorage()
    store = store_of(tmp_path / "root", storage=storage)
    store.write_file(1, "a", [b"1"])
    job, folder = f"{tmp_path}/root/job", f"{tmp_path}/root/job/chk-1"
    first = storage.syncs
    assert {f"{tmp_path}/root", job} <= set(first[: first.index(folder)])
    assert first[-2].startswith(f"{folder}/.a.")
    assert first[-1] == folder
    storage.syncs = []
    store.publish(1, b"m")
    assert storage.syncs[0].startswith(f"{folder}/._metadata.")
    assert storage.syncs[1:] == [folder, job]


@pytest.mark.parametrize("what", ["file", "manifest", "document"])
def test_a_full_disk_is_reported_and_leaves_no_part_of_a_file(kit: Any, tmp_path: Path, what: str) -> None:
    storage = kit.FaultyStorage()
    store = store_of(tmp_path, storage=storage)
    checkpoint(store, 1)
    store.write_document("run", b"old")
    store.write_file(2, "a", [b"1"])
    before = names(tmp_path)
    storage.full = True
    write = {
        "file": lambda: store.write_file(2, "b", [b"1"]),
        "manifest": lambda: store.publish(2, b"m"),
        "document": lambda: store.write_document("run", b"new"),
    }[what]
    folder = store.location() if what == "document" else store.location(2)
    with pytest.raises(OSError, match=re.escape(f"No space left on device: {folder!r}")):
        write()
    assert names(tmp_path) == before
    assert (list(store.published()), store.read_document("run")) == ([1], b"old")
    storage.full = False
    write()


def test_a_state_that_fails_while_it_is_written_leaves_no_part_of_a_file(kit: Any, tmp_path: Path) -> None:
    def parts() -> Any:
        yield b"half"
        msg = "cannot be encoded"
        raise TypeError(msg)

    store = store_of(tmp_path, kit=kit)
    with pytest.raises(TypeError):
        store.write_file(1, "a", parts())
    assert names(tmp_path / "job" / "chk-1") == []


def test_a_manifest_that_could_not_be_made_durable_is_taken_back(kit: Any, tmp_path: Path) -> None:
    class Failing(kit.FaultyStorage):  # type: ignore[misc]
        fails = False

        def sync_folder(self, path: str) -> None:
            if self.fails:
                raise OSError(5, "Input/output error", path)
            super().sync_folder(path)

    storage = Failing()
    store = store_of(tmp_path, storage=storage)
    store.write_file(1, "a", [b"1"])
    storage.fails = True
    with pytest.raises(OSError, match="Input/output error"):
        store.publish(1, b"m")
    assert list(store.published()) == []


def test_a_deleted_checkpoint_is_gone_at_once_and_its_id_is_not_used_again(kit: Any, tmp_path: Path) -> None:
    store = store_of(tmp_path, kit=kit)
    for checkpoint_id in (1, 2, 3):
        checkpoint(store, checkpoint_id)
    store.delete(1)
    assert list(store.published()) == [2, 3]
    kit.crash_at("checkpoint.subsume.deleting")
    with pytest.raises(kit.Crash):
        store.delete(3)
    kit.survive()
    assert list(store.published()) == [2]
    with pytest.raises(FileNotFoundError):
        store.read_manifest(3)
    for checkpoint_id in (3, 3, 2, 99):
        store.delete(checkpoint_id)
    again = store_of(tmp_path, kit=kit)
    assert (list(again.published()), again.highest_id()) == ([], 3)
    checkpoint(again, 4)
    again.delete(4)
    assert again.highest_id() == 4


def test_documents_are_replaced_whole_or_made_once(kit: Any, tmp_path: Path) -> None:
    store = store_of(tmp_path, kit=kit)
    assert store.read_document("run") is None
    store.write_document("run", b"1")
    store.write_document("run", b"2")
    assert store.create_document("leader-1", b"a")
    assert not store_of(tmp_path, kit=kit).create_document("leader-1", b"b")
    assert (store.read_document("run"), store.read_document("leader-1")) == (b"2", b"a")


def test_temporary_files_of_a_dead_process_are_in_nobodys_way(kit: Any, tmp_path: Path) -> None:
    class Dies(kit.FaultyStorage):  # type: ignore[misc]
        def sync_file(self, file: Any) -> None:
            raise kit.Crash("while writing")

    for _ in range(2):
        with pytest.raises(kit.Crash):
            store_of(tmp_path, storage=Dies()).write_file(1, "a", [b"torn"])
    store = store_of(tmp_path, kit=kit)
    with pytest.raises(FileNotFoundError):
        store.read_file(1, "a")
    store.write_file(1, "a", [b"whole"])
    assert store.read_file(1, "a") == b"whole"


def test_half_written_documents_of_a_dead_process_go_with_the_next_leader(kit: Any, tmp_path: Path) -> None:
    class Dies(kit.FaultyStorage):  # type: ignore[misc]
        def sync_file(self, file: Any) -> None:
            raise kit.Crash("while writing")

    for _ in range(2):
        with pytest.raises(kit.Crash):
            store_of(tmp_path, storage=Dies()).write_document("run", b"torn")
    store = store_of(tmp_path, kit=kit)
    store.write_document("run", b"whole")
    store.fence()
    assert names(tmp_path / "job") == ["run", "shared", "taskowned"]


@pytest.mark.parametrize("create", [False, True])
def test_a_document_that_a_new_leader_took_for_half_written_is_written_again(kit: Any, tmp_path: Path, create: bool) -> None:
    class Overtaken(kit.FaultyStorage):  # type: ignore[misc]
        def sync_file(self, file: Any) -> None:
            super().sync_file(file)
            if not leaders:
                leaders.append(store_of(tmp_path, kit=kit))
                leaders[0].fence()

    leaders: list[Any] = []
    store = store_of(tmp_path, storage=Overtaken())
    assert store.create_document("run", b"whole") if create else store.write_document("run", b"whole") is None
    assert store.read_document("run") == b"whole"
    assert names(tmp_path / "job") == ["run", "shared", "taskowned"]


def test_documents_are_listed_and_deleted(kit: Any, tmp_path: Path) -> None:
    store = store_of(tmp_path, kit=kit)
    assert store.documents() == []
    store.delete_document("run")
    for name in ("run", "leader-1"):
        store.write_document(name, b"")
    checkpoint(store, 1)
    assert store.documents() == ["leader-1", "run"]
    store.delete_document("run")
    store.delete_document("run")
    assert store.documents() == ["leader-1"]


# --- what is begun and never published


def test_a_process_that_ends_takes_what_it_began_with_it_and_the_id_stays_used(kit: Any, tmp_path: Path) -> None:
    store = store_of(tmp_path, kit=kit)
    checkpoint(store, 1)
    store.write_file(2, "a", [b"1"])
    store.close()
    assert names(tmp_path / "job") == [".highest-2", "chk-1", "chk-1/_metadata", "chk-1/state-0", "shared", "taskowned"]
    assert (list(store.published()), store.highest_id()) == ([1], 2)


@pytest.mark.parametrize("give_up", ["withdraw", "close"])
def test_who_was_replaced_takes_only_its_own_files_out_of_a_checkpoint_that_the_new_leader_writes(kit: Any, tmp_path: Path, give_up: str) -> None:
    """Both go on with the next number, and the old one may give up first."""
    old, new = store_of(tmp_path, kit=kit), store_of(tmp_path, kit=kit)
    checkpoint(old, 1)
    new.fence()
    new.write_file(2, "a", [b"new"])
    old.write_file(2, "b", [b"old"])
    with pytest.raises(FileExistsError):
        old.write_file(2, "a", [b"old"])
    old.withdraw(2) if give_up == "withdraw" else old.close()
    assert names(tmp_path / "job" / "chk-2") == ["a"]
    new.publish(2, b"m")
    assert (list(new.published()), new.read_file(2, "a")) == ([1, 2], b"new")
    old.close()
    assert new.read_file(2, "a") == b"new"


@pytest.mark.parametrize("give_up", ["withdraw", "close"])
def test_what_was_published_is_never_withdrawn(kit: Any, tmp_path: Path, give_up: str) -> None:
    store = store_of(tmp_path, kit=kit)
    checkpoint(store, 1)
    store.withdraw(1) if give_up == "withdraw" else store.close()
    store_of(tmp_path, kit=kit).withdraw(1)
    assert list(store.published()) == [1]


@pytest.mark.parametrize("name", ["", "..", ".x", "a/b", "_metadata", "A", "a b"])
def test_names_that_are_not_plain_are_refused(kit: Any, tmp_path: Path, name: str) -> None:
    store = store_of(tmp_path, kit=kit)
    for use in (lambda: store.write_file(1, name, []), lambda: store.read_file(1, name), lambda: store.write_document(name, b"")):
        with pytest.raises(ValueError, match="is no name of"):
            use()
    with pytest.raises(ValueError, match="checkpoints use it"):
        store.write_document("chk-1", b"")


def test_jobs_of_one_root_do_not_see_each_other(kit: Any, tmp_path: Path) -> None:
    jobs = ["a", "A", "a/b", "../a", ".", "..", "a b", "a%20b", "a~1", "ä", "x" * 500, "x" * 499, "x" * 200 + "..", "chk-1"]
    for number, job in enumerate(jobs, 1):
        checkpoint(store_of(tmp_path / "root", job, kit=kit), number)
    for number, job in enumerate(jobs, 1):
        assert list(store_of(tmp_path / "root", job, kit=kit).published()) == [number]
    assert names(tmp_path)[0] == "root"
    assert [path.name for path in tmp_path.iterdir()] == ["root"]


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=60), st.integers(1, 6))
@example("x" * 200 + "..", 1)
@example("x" * 200 + "./../..", 2)
def test_the_folder_of_a_job_stays_inside_and_tells_its_name(name: str, times: int) -> None:
    folder = folder_of_job(name * times)
    assert job_of_folder(folder) == name * times
    for part in folder.split("/"):
        assert part
        assert not part.startswith(".")
        assert len(part) < 250
        assert part.isascii()


@settings(deadline=None)
@given(st.sets(st.text("aA./%~+é", min_size=1, max_size=6), min_size=2, max_size=2))
def test_two_names_have_two_folders_even_where_case_does_not_count(pair: set[str]) -> None:
    one, other = (folder_of_job(name).lower() for name in pair)
    assert one != other


def test_names_that_cannot_be_used_are_refused(kit: Any, tmp_path: Path) -> None:
    with pytest.raises(InvalidName):
        store_of(tmp_path, "", kit=kit)
    for name in ("x" * 5000, "\ud800"):
        with pytest.raises(InvalidArgument):
            store_of(tmp_path, name, kit=kit)


def test_a_root_that_is_a_file_is_refused_before_the_job_runs(kit: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PathUnusable, match="it is a file"):
        store_of(tmp_path / "file", kit=kit)
    for root in ("", "s3://bucket/x"):
        with pytest.raises(InvalidArgument):
            FilesystemCheckpointStorage(root)


def test_a_storage_travels_to_workers(tmp_path: Path) -> None:
    storage = FilesystemCheckpointStorage(tmp_path)
    assert storage.durable
    assert pickle.loads(pickle.dumps(storage)) == storage


# --- shared files


def test_a_shared_file_outlives_the_checkpoint_that_it_was_written_for(kit: Any, tmp_path: Path) -> None:
    store = store_of(tmp_path, kit=kit)
    store.write_shared(1, "1-0-0-0-abc", [b"some", b"thing"])
    store.publish(1, b"manifest")
    store.delete(1)
    other = store_of(tmp_path, kit=kit)
    assert (other.shared(), other.read_shared("1-0-0-0-abc")) == (["1-0-0-0-abc"], b"something")
    other.delete_shared("1-0-0-0-abc")
    other.delete_shared("1-0-0-0-abc")
    assert store.shared() == []
    with pytest.raises(FileNotFoundError):
        store.read_shared("1-0-0-0-abc")


def test_a_shared_file_that_somebody_left_behind_is_written_again(kit: Any, tmp_path: Path) -> None:
    store = store_of(tmp_path, kit=kit)
    store.write_shared(1, "1-0-0-0-abc", [b"x"])
    store_of(tmp_path, kit=kit).write_shared(1, "1-0-0-0-abc", [b"x"])
    assert store.read_shared("1-0-0-0-abc") == b"x"


@pytest.mark.parametrize("give_up", ["withdraw", "close"])
def test_shared_files_of_a_checkpoint_that_is_given_up_go_with_it(kit: Any, tmp_path: Path, give_up: str) -> None:
    store = store_of(tmp_path, kit=kit)
    store.write_shared(1, "1-0-0-0-abc", [b"x"])
    store.publish(1, b"manifest")
    store.write_shared(2, "2-0-0-0-abc", [b"y"])
    store.write_file(2, "task-1-0", [b"z"])
    store.withdraw(2) if give_up == "withdraw" else store.close()
    assert (store.shared(), store.published()) == (["1-0-0-0-abc"], [1])
    assert not (tmp_path / "job" / "chk-2").exists()


def test_a_new_leader_removes_half_written_shared_files(kit: Any, tmp_path: Path) -> None:
    store = store_of(tmp_path, kit=kit)
    store.write_shared(1, "1-0-0-0-abc", [b"x"])
    (tmp_path / "job" / "shared" / ".2-0-0-0-abc.123-4.tmp").write_bytes(b"ha")
    assert store.shared() == ["1-0-0-0-abc"]
    store.fence()
    assert [path.name for path in (tmp_path / "job" / "shared").iterdir()] == ["1-0-0-0-abc"]


@pytest.mark.parametrize("renamed", [".highest-1", "chk-3"])
def test_a_new_leader_whose_predecessor_gives_its_checkpoint_up_meanwhile_starts_all_the_same(kit: Any, tmp_path: Path, renamed: str) -> None:
    """Found by a simulated takeover: `No such file or directory`, and the new leader did not start."""

    class Meanwhile(kit.FaultyStorage):
        """Lets the old leader act just before a name is changed."""

        def rename(self, source: str, target: str) -> None:
            if Path(source).name == renamed and not happened:
                happened.append(source)
                old.withdraw(3)
            super().rename(source, target)

    happened: list[str] = []
    old = store_of(tmp_path, storage=kit.FaultyStorage())
    checkpoint(old, 1)
    old.delete(1)
    old.write_file(3, "state-0", [b"some"])
    new = store_of(tmp_path, storage=Meanwhile())
    new.fence()
    assert happened
    assert (list(new.unpublished()), store_of(tmp_path, kit=kit).highest_id()) == ([], 3)
    checkpoint(new, 4)
    assert list(store_of(tmp_path, kit=kit).published()) == [4]


def test_the_highest_id_is_never_forgotten_for_a_lower_one_whoever_writes_meanwhile(kit: Any, tmp_path: Path) -> None:
    class Meanwhile(kit.FaultyStorage):
        """Lets the new leader use a higher id just before the old one notes its own."""

        def rename(self, source: str, target: str) -> None:
            if Path(target).name == ".highest-3" and not happened:
                happened.append(source)
                checkpoint(new, 7)
                new.delete(7)
            super().rename(source, target)

    happened: list[str] = []
    old, new = store_of(tmp_path, storage=Meanwhile()), store_of(tmp_path, kit=kit)
    checkpoint(old, 1)
    old.delete(1)
    checkpoint(old, 3)
    old.delete(3)
    assert happened
    assert store_of(tmp_path, kit=kit).highest_id() == 7
