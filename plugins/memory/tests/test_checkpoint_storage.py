from __future__ import annotations

import pickle
from uuid import uuid4

import pytest

from millstream.contracts.checkpoint_storage import CheckpointStorageContext, CheckpointStore
from millstream.errors import CheckpointFileTooLarge, InvalidArgument
from millstream.ports import LocalStorage
from millstream_memory import MemoryCheckpointStorage


@pytest.fixture
def storage() -> MemoryCheckpointStorage:
    return MemoryCheckpointStorage(name=f"test-{uuid4()}", limit_bytes=100)


def opened(storage: MemoryCheckpointStorage, job: str = "orders") -> CheckpointStore:
    return storage.open(CheckpointStorageContext(job, LocalStorage()))


def test_a_restart_in_the_same_process_finds_its_checkpoints(storage):
    store = opened(storage)
    store.write_file(7, "task-0.state", [b"ab", b"", b"cd"])
    store.publish(7, b"manifest")
    again = opened(pickle.loads(pickle.dumps(storage)))
    assert list(again.published()) == [7]
    assert again.read_manifest(7) == b"manifest"
    assert again.read_file(7, "task-0.state") == b"abcd"


def test_jobs_and_names_are_apart(storage):
    opened(storage).publish(1, b"m")
    assert list(opened(storage, "payments").published()) == []
    assert list(opened(MemoryCheckpointStorage(name=f"other-{uuid4()}")).published()) == []


def test_it_does_not_claim_to_outlive_the_process():
    assert MemoryCheckpointStorage().durable is False


def test_an_unpublished_checkpoint_cannot_be_read_but_its_id_counts(storage):
    store = opened(storage)
    store.write_file(3, "a", [b"x"])
    assert list(store.published()) == []
    assert store.highest_id() == 3
    with pytest.raises(FileNotFoundError, match="no checkpoint memory://"):
        store.read_file(3, "a")
    with pytest.raises(FileNotFoundError):
        store.read_manifest(3)


def test_ids_of_deleted_checkpoints_still_count(storage):
    store = opened(storage)
    assert store.highest_id() == 0
    for checkpoint_id in (1, 5, 2):
        store.publish(checkpoint_id, b"m")
    assert list(store.published()) == [1, 2, 5]
    store.delete(5)
    store.delete(5)
    assert list(store.published()) == [1, 2]
    assert store.highest_id() == 5


def test_nothing_is_written_twice(storage):
    store = opened(storage)
    store.write_file(1, "a", [b"x"])
    with pytest.raises(FileExistsError):
        store.write_file(1, "a", [b"y"])
    store.publish(1, b"m")
    with pytest.raises(FileExistsError):
        store.publish(1, b"n")
    with pytest.raises(FileExistsError, match="published already"):
        store.write_file(1, "b", [b"y"])
    assert (store.read_manifest(1), store.read_file(1, "a")) == (b"m", b"x")


def test_a_missing_file_is_named(storage):
    store = opened(storage)
    store.publish(1, b"m")
    with pytest.raises(FileNotFoundError, match=r"orders/chk-1 has no file 'a'"):
        store.read_file(1, "a")


def test_a_file_beyond_the_limit_is_refused_naming_the_storage_to_use_and_leaves_nothing(storage):
    store = opened(storage)
    store.write_file(1, "just-fits", [b"x" * 60, b"x" * 40])
    with pytest.raises(CheckpointFileTooLarge, match=r"larger than 100 bytes.*set_checkpoint_storage\('/path/to/folder'\)") as refused:
        store.write_file(1, "too-large", [b"x" * 60, b"x" * 41])
    assert isinstance(refused.value, OSError)
    assert str(pickle.loads(pickle.dumps(refused.value))) == str(refused.value)
    store.publish(1, b"m")
    with pytest.raises(FileNotFoundError):
        store.read_file(1, "too-large")


def test_the_limit_is_5_mb_unless_said_otherwise():
    store = opened(MemoryCheckpointStorage(name=f"test-{uuid4()}"))
    store.write_file(1, "a", [bytes(5 * 1024 * 1024)])
    with pytest.raises(CheckpointFileTooLarge):
        store.write_file(1, "b", [bytes(5 * 1024 * 1024), b"x"])


def test_what_makes_no_sense_is_refused(storage):
    with pytest.raises(InvalidArgument, match="limit_bytes"):
        MemoryCheckpointStorage(limit_bytes=0)
    with pytest.raises(InvalidArgument, match=r"'\.\./a'"):
        opened(storage).write_file(1, "../a", [b"x"])


def test_documents_are_replaced_or_created_once(storage):
    store = opened(storage)
    assert store.read_document("leader") is None
    assert store.create_document("leader", b"1")
    assert not store.create_document("leader", b"2")
    assert store.read_document("leader") == b"1"
    store.write_document("leader", b"3")
    assert opened(storage).read_document("leader") == b"3"


def test_locations_are_for_people(storage):
    store = opened(storage)
    assert store.location() == f"memory://{storage.name}/orders"
    assert store.location(4) == f"memory://{storage.name}/orders/chk-4"


def test_shared_files_outlive_the_checkpoint_that_they_were_written_for(storage):
    store = opened(storage)
    store.write_shared(1, "1-a", [b"ab", b"c"])
    store.publish(1, b"m")
    store.delete(1)
    assert (list(opened(storage).shared()), opened(storage).read_shared("1-a")) == (["1-a"], b"abc")
    store.delete_shared("1-a")
    store.delete_shared("1-a")
    assert list(store.shared()) == []
    with pytest.raises(FileNotFoundError, match="no shared file '1-a'"):
        store.read_shared("1-a")


def test_shared_files_of_a_withdrawn_checkpoint_go_with_it(storage):
    store = opened(storage)
    store.write_shared(1, "1-a", [b"a"])
    store.publish(1, b"m")
    store.write_shared(2, "2-a", [b"b"])
    store.withdraw(1)
    store.withdraw(2)
    assert list(store.shared()) == ["1-a"]
    assert list(store.published()) == [1]


def test_a_shared_file_has_the_limit_of_any_other(storage):
    with pytest.raises(CheckpointFileTooLarge, match="shared/1-a"):
        opened(storage).write_shared(1, "1-a", [b"x" * 101])
