"""Where savepoints go, how each process writes its part of one, and how one is deleted."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from millstream.checkpoint.savepoint import Done, SavepointPlace, SavepointRequest
from millstream.errors import NoSavepointTarget, SavepointsUnsupported
from millstream.runtime.storages import find_checkpoint_storage

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.contracts.checkpoint_storage import CheckpointStorage, CheckpointStore
    from millstream.plugins import PluginManager
    from millstream.ports import Clock, Storage


class Savepoints:
    """Finds places for the savepoints of a job.

    Args:
        default: the setting `checkpoint.savepoint_dir`.
    """

    def __init__(self, plugins: PluginManager, files: Storage, clock: Clock, default: str | None) -> None:
        self._plugins = plugins
        self._files = files
        self._clock = clock
        self._default = default

    def request(self, target: str | None, job_name: str, run_id: str, done: Done) -> SavepointRequest:
        """A wish for a savepoint below a folder or URL; None for the default.

        Raises:
            NoSavepointTarget: there is no default.
            SavepointsUnsupported: the storage of that target keeps no savepoints.
            UnknownPlugin: nothing installed knows such a target.
        """
        below = target or self._default
        if below is None:
            raise NoSavepointTarget(job_name=job_name)
        if not find_checkpoint_storage(self._plugins, below).durable:
            raise SavepointsUnsupported(target=below, storage=f"the storage {below!r}")
        request = SavepointRequest(lambda number: self._place(f"{below.rstrip('/')}/{self._name(job_name, run_id, number)}"), done)
        self._place(f"{below.rstrip('/')}/savepoint")  # creates nothing; a storage without savepoints says so here
        return request

    def _name(self, job_name: str, run_id: str, number: int) -> str:
        """Nobody else's: two runs of a job, or two jobs, may have savepoints of one number in one folder."""
        mark = hashlib.sha256(f"{job_name}/{run_id}/{number}/{self._clock.now_ms()}".encode()).hexdigest()[:8]
        return f"savepoint-{re.sub(r'[^A-Za-z0-9_.-]+', '_', job_name)[:80].lower()}-{number}-{mark}"

    def _place(self, location: str) -> SavepointPlace:
        storage = find_checkpoint_storage(self._plugins, location)
        store = storage.open_savepoint(location, self._files)
        location = store.location()
        return SavepointPlace(location, store, lambda: storage.delete_savepoint(location, self._files))


class SavepointStores:
    """The stores of the savepoints that the tasks of one process write to.

    Args:
        find_storage: by the location of a savepoint.
    """

    def __init__(self, find_storage: Callable[[str], CheckpointStorage], files: Storage) -> None:
        self._find_storage = find_storage
        self._files = files
        self._open: dict[int, CheckpointStore] = {}
        self._given_up: dict[int, CheckpointStore] = {}

    def of(self, checkpoint_id: int, location: str) -> CheckpointStore:
        """The store of a savepoint under way."""
        store = self._open.get(checkpoint_id) or self._given_up.get(checkpoint_id)
        if store is None:
            store = self._open[checkpoint_id] = self._find_storage(location).open_savepoint(location, self._files)
        return store

    def completed(self, checkpoint_id: int) -> None:
        """It is published: the JobManager alone has to do with it from now on."""
        self._open.pop(checkpoint_id, None)

    def given_up(self, checkpoint_id: int) -> Callable[[], None] | None:
        """It is no savepoint. What removes, and may block, what this process wrote of it; None when that is nothing."""
        store = self._open.pop(checkpoint_id, None) or self._given_up.get(checkpoint_id)
        if store is None:
            return None
        self._given_up[checkpoint_id] = store
        return lambda: store.withdraw(checkpoint_id)

    def too_late(self, checkpoint_id: int) -> Callable[[], None] | None:
        """A part of it has been written. What removes it again if the savepoint was given up before."""
        return self.given_up(checkpoint_id) if checkpoint_id in self._given_up else None

    def close(self) -> None:
        """Removes what this process wrote of savepoints that are not published. Nobody in it writes any more."""
        while self._open:
            self._open.popitem()[1].close()


def dispose_savepoint(path: str, plugins: PluginManager, files: Storage) -> None:
    """Deletes a savepoint, which nothing else does.

    Args:
        path: as `JobClient.savepoint` returned it, or as it was moved to.

    Raises:
        NoCheckpointToResume: there is none at that path.
        SavepointsUnsupported: the storage of that path keeps none.
        OSError: it cannot be deleted.
    """
    storage = find_checkpoint_storage(plugins, path)
    store, _ = storage.find(path, files)
    storage.delete_savepoint(store.location(), files)
