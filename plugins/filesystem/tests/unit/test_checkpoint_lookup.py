"""Checkpoints found by where they are, and jobs found in a folder: what `--resume PATH` and tools need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from millstream.contracts.checkpoint_storage import CheckpointStorageContext
from millstream.errors import InvalidArgument, NoCheckpointToResume
from millstream_filesystem import FilesystemCheckpointStorage


def with_checkpoints(kit: Any, root: Path, job: str, *ids: int) -> Any:
    store = FilesystemCheckpointStorage(root).open(CheckpointStorageContext(job, kit.FaultyStorage()))
    for checkpoint_id in ids:
        store.write_file(checkpoint_id, "state-0", [b"state"])
        store.publish(checkpoint_id, b"manifest of %d" % checkpoint_id)
    return store


def find(kit: Any, root: Path, location: object) -> Any:
    return FilesystemCheckpointStorage(root).find(str(location), kit.FaultyStorage())


@pytest.mark.parametrize("job", ["orders", "Word Count", "../odd", "x" * 450])
def test_a_checkpoint_is_found_by_the_location_that_its_store_tells(kit: Any, tmp_path: Path, job: str) -> None:
    location = with_checkpoints(kit, tmp_path, job, 3, 12).location(12)
    # Found from another root too: a checkpoint may have been moved, or belong to another job.
    for root in (tmp_path, tmp_path / "elsewhere"):
        store, checkpoint_id = find(kit, root, location)
        assert (checkpoint_id, store.read_manifest(12), store.read_file(12, "state-0")) == (12, b"manifest of 12", b"state")
        assert store.location(12) == location


@pytest.mark.parametrize("form", ["{}/", "file://{}", "{}/_metadata", "{}/../chk-3"])
def test_a_checkpoint_is_found_however_its_path_is_written(kit: Any, tmp_path: Path, form: str) -> None:
    location = with_checkpoints(kit, tmp_path, "orders", 3).location(3)
    store, checkpoint_id = find(kit, tmp_path, form.format(location))
    assert (store.location(checkpoint_id), checkpoint_id) == (location, 3)


def test_a_found_store_can_be_written_to(kit: Any, tmp_path: Path) -> None:
    store, _ = find(kit, tmp_path, with_checkpoints(kit, tmp_path, "orders", 3).location(3))
    store.publish(4, b"next")
    assert list(with_checkpoints(kit, tmp_path, "orders").published()) == [3, 4]


def test_the_folder_of_a_job_names_its_newest_checkpoint(kit: Any, tmp_path: Path) -> None:
    location = with_checkpoints(kit, tmp_path, "orders", 3, 12).location()
    with pytest.raises(NoCheckpointToResume, match=r"folder of a job, whose newest checkpoint is .*/orders/chk-12"):
        find(kit, tmp_path, location)


def test_a_checkpoint_that_was_never_completed_is_not_found(kit: Any, tmp_path: Path) -> None:
    store = with_checkpoints(kit, tmp_path, "orders")
    store.write_file(7, "state-0", [b"state"])
    with pytest.raises(NoCheckpointToResume, match="no manifest"):
        find(kit, tmp_path, store.location(7))


def test_a_path_that_leads_nowhere_says_so(kit: Any, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(NoCheckpointToResume, match="no such folder"):
        find(kit, tmp_path, tmp_path / "orders" / "chk-3")
    for path in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(NoCheckpointToResume, match="not the folder of a checkpoint"):
            find(kit, tmp_path, path)
    with pytest.raises(InvalidArgument):
        find(kit, tmp_path, "s3://bucket/chk-3")


def test_jobs_with_checkpoints_are_listed_by_their_names(kit: Any, tmp_path: Path) -> None:
    names = ["orders", "Orders", "word count", "../odd", "ünï", "a+b+", "long " * 100]
    for name in names:
        with_checkpoints(kit, tmp_path, name, 1)
    with_checkpoints(kit, tmp_path, "without").write_document("run", b"{}")
    (tmp_path / "Photos").mkdir()
    (tmp_path / "%ff").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "file").write_text("")
    assert list(FilesystemCheckpointStorage(tmp_path).jobs(kit.FaultyStorage())) == sorted(names)


def test_a_root_that_does_not_exist_has_no_jobs(kit: Any, tmp_path: Path) -> None:
    assert list(FilesystemCheckpointStorage(tmp_path / "none").jobs(kit.FaultyStorage())) == []
