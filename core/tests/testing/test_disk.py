"""What the simulated disk keeps and forgets, against what POSIX promises."""

from __future__ import annotations

import pytest

from millstream.ports import LocalStorage, ManualClock, SeededRandom, Storage
from millstream.testing import DiskStorage, SimulatedDisk


def make() -> tuple[SimulatedDisk, DiskStorage]:
    disk = SimulatedDisk(ManualClock())
    disk.write("/d/.keep", b"")
    return disk, DiskStorage(disk)


def write(storage: Storage, path: str, data: bytes, *, sync: bool = True) -> None:
    with storage.open_write(path) as file:
        file.write(data)
        if sync:
            storage.sync_file(file)


def after_loss_of_power(prepare: object, seeds: int = 60) -> set[bytes | None]:
    """What can be found at /d/f, over many seeds."""
    outcomes: set[bytes | None] = set()
    for seed in range(seeds):
        disk, storage = make()
        prepare(storage)  # type: ignore[operator]  # a function of the storage
        disk.lose_power(SeededRandom(seed))
        outcomes.add(disk.files().get("/d/f"))
    return outcomes


def test_a_synced_file_in_a_synced_folder_survives_whatever_happens() -> None:
    def prepare(storage: Storage) -> None:
        write(storage, "/d/f", b"data")
        storage.sync_folder("/d")

    assert after_loss_of_power(prepare) == {b"data"}


def test_a_synced_file_whose_name_was_not_synced_may_be_gone() -> None:
    assert after_loss_of_power(lambda storage: write(storage, "/d/f", b"data")) == {b"data", None}


def test_bytes_that_were_not_synced_may_be_there_cut_short_or_zeros() -> None:
    def prepare(storage: Storage) -> None:
        write(storage, "/d/f", b"data", sync=False)
        storage.sync_folder("/d")

    outcomes = after_loss_of_power(prepare, 300)
    assert {b"data", b"", b"da", b"\0\0\0\0"} <= outcomes
    assert all(outcome is not None and b"data".startswith(outcome.rstrip(b"\0")) for outcome in outcomes)


def test_a_rename_that_was_not_synced_leaves_the_old_file_or_the_new_one_and_nothing_in_between() -> None:
    def prepare(storage: Storage) -> None:
        write(storage, "/d/f", b"old")
        write(storage, "/d/new", b"new")
        storage.sync_folder("/d")
        storage.rename("/d/new", "/d/f")

    assert after_loss_of_power(prepare) == {b"old", b"new"}


def test_a_file_in_a_folder_whose_own_name_was_not_synced_may_be_gone() -> None:
    disk, storage = make()
    storage.make_folder("/d/inner")
    write(storage, "/d/inner/f", b"data")
    storage.sync_folder("/d/inner")
    assert disk.worst_case().files() == {"/d/.keep": b""}
    storage.sync_folder("/d")
    assert disk.worst_case().files() == {"/d/.keep": b"", "/d/inner/f": b"data"}


def test_a_deleted_file_may_come_back() -> None:
    def prepare(storage: Storage) -> None:
        write(storage, "/d/f", b"data")
        storage.sync_folder("/d")
        storage.delete("/d/f")

    assert after_loss_of_power(prepare) == {b"data", None}


def test_the_worst_case_leaves_the_disk_as_it_is() -> None:
    disk, storage = make()
    write(storage, "/d/f", b"data")
    assert "/d/f" not in disk.worst_case().files()
    assert disk.files()["/d/f"] == b"data"


def test_the_death_of_the_process_alone_keeps_names_and_flushed_bytes() -> None:
    kept = set()
    for seed in range(40):
        disk, storage = make()
        file = storage.open_write("/d/f")
        file.write(b"flushed")
        file.flush()
        file.write(b"-rest")
        disk.lose_buffers(SeededRandom(seed))
        kept.add(disk.files()["/d/f"])
    assert {b"flushed", b"flushed-rest"} <= kept
    assert all(data.startswith(b"flushed") for data in kept)


@pytest.fixture(params=["simulated", "local"])
def any_storage(request: pytest.FixtureRequest, tmp_path: object) -> tuple[Storage, str]:
    if request.param == "local":
        return LocalStorage(), str(tmp_path)
    return make()[1], "/d"


def test_calls_answer_as_those_of_the_real_file_system(any_storage: tuple[Storage, str]) -> None:
    storage, root = any_storage
    storage.make_folder(f"{root}/a/b")
    storage.make_folder(f"{root}/a/b")
    write(storage, f"{root}/a/f", b"one\ntwo\n")
    with pytest.raises(FileExistsError):
        storage.open_write(f"{root}/a/f")
    for call in (storage.open_read, storage.open_append, storage.delete, storage.list, storage.sync_folder):
        with pytest.raises(FileNotFoundError):
            call(f"{root}/missing")
    with pytest.raises(FileNotFoundError):
        storage.open_write(f"{root}/missing/f")
    with pytest.raises(NotADirectoryError):
        storage.list(f"{root}/a/f")
    with pytest.raises(IsADirectoryError):
        storage.open_read(f"{root}/a/b")
    with storage.open_append(f"{root}/a/f") as file:
        file.write(b"three\n")
    with storage.open_read(f"{root}/a/f") as file:
        assert file.readline() == b"one\n"
        assert file.seek(-6, 2) == 8
        assert file.read() == b"three\n"
    storage.rename(f"{root}/a/f", f"{root}/a/g")
    with pytest.raises(FileNotFoundError):
        storage.rename(f"{root}/a/f", f"{root}/a/h")
    write(storage, f"{root}/a/f", b"other")
    with pytest.raises(FileExistsError):
        storage.rename_new(f"{root}/a/f", f"{root}/a/g")
    storage.rename_new(f"{root}/a/f", f"{root}/a/b/f")
    assert storage.list(f"{root}/a") == ["b", "g"]
    assert (storage.is_folder(f"{root}/a/b"), storage.is_folder(f"{root}/a/g"), storage.info(f"{root}/a/f")) == (True, False, None)
    info = storage.info(f"{root}/a/g")
    assert info is not None
    assert info.size_bytes == 14
    storage.rename(f"{root}/a/b", f"{root}/moved")
    assert storage.list(f"{root}/moved") == ["f"]
    with pytest.raises(OSError, match="not empty"):
        storage.rename(f"{root}/a", f"{root}/moved")
    storage.delete_tree(f"{root}/a")
    storage.delete_tree(f"{root}/a")
    storage.delete(f"{root}/moved/f")
    assert storage.info(f"{root}/a") is None
    assert storage.list(f"{root}/moved") == []
