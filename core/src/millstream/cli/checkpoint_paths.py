"""Checkpoints by the path that somebody gives: a checkpoint root, the folder of a job, or that of one checkpoint."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from millstream.checkpoint.store import CompletedCheckpoints
from millstream.contracts.checkpoint_storage import CheckpointStorageContext
from millstream.errors import NoCheckpoints, NoCheckpointToResume, PathUnusable
from millstream.plugins import default_manager
from millstream.ports import LocalStorage
from millstream.runtime.storages import find_checkpoint_storage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millstream.checkpoint.manifest import Manifest
    from millstream.contracts.checkpoint_storage import CheckpointStorage, CheckpointStore


@dataclass(frozen=True)
class StoredCheckpoint:
    """One checkpoint that was found."""

    store: CheckpointStore
    checkpoint_id: int

    @property
    def location(self) -> str:
        """Where it is, for people and for `--resume`."""
        return self.store.location(self.checkpoint_id)

    def manifest(self) -> Manifest:
        """What it says of itself.

        Raises:
            DamagedCheckpoint, UnknownCheckpointFormat: it cannot be read.
        """
        return CompletedCheckpoints(self.store, "", 1).read(self.checkpoint_id)


def find_checkpoints(path: str) -> list[list[StoredCheckpoint]]:
    """The checkpoints at a path: a list for each job, oldest checkpoint first; no list is empty.

    Raises:
        NoCheckpoints: there are none.
        PathUnusable: it cannot be read.
        UnknownPlugin: no plugin reads such a path.
    """
    try:
        return _found_at(path)
    except OSError as error:
        reason = f"{error.strerror} ({error.filename})" if error.filename else str(error)
        raise PathUnusable(what="The checkpoint folder", path=path, reason=reason, fix="Make it readable to the user that asks") from error


def _found_at(path: str) -> list[list[StoredCheckpoint]]:
    files = LocalStorage()
    storage = find_checkpoint_storage(default_manager(), path)
    try:
        store, checkpoint_id = storage.find(path, files)
    except NoCheckpointToResume as error:
        found = _jobs_in(storage, storage.jobs(files), files) or _job_at(path, files)
        if not found:
            why = "no checkpoint in it was completed" if os.path.isdir(path) else error.why
            raise NoCheckpoints(path=path, why=why) from None
        return found
    return [[StoredCheckpoint(store, checkpoint_id)]]


def _jobs_in(storage: CheckpointStorage, names: Sequence[str], files: LocalStorage) -> list[list[StoredCheckpoint]]:
    stores = [storage.open(CheckpointStorageContext(name, files)) for name in names]
    return [checkpoints for store in stores if (checkpoints := [StoredCheckpoint(store, number) for number in store.published()])]


def _job_at(path: str, files: LocalStorage) -> list[list[StoredCheckpoint]]:
    """The checkpoints of the job whose folder this is: one of the jobs that the folder above has."""
    folder = os.path.abspath(os.path.expanduser(path.removeprefix("file://")))
    above = find_checkpoint_storage(default_manager(), os.path.dirname(folder))
    return [found for found in _jobs_in(above, above.jobs(files), files) if found[0].store.location() == folder]
