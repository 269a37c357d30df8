"""The invariant of every exactly-once sink: nothing is visible that no durable checkpoint covers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.checkpoint.manifest import read_state_file
from millstream.checkpoint.store import CompletedCheckpoints
from millstream.contracts.checkpoint_storage import CheckpointStorageContext
from millstream.runtime.storages import find_checkpoint_storage
from millstream.testing.storage import DiskStorage

if TYPE_CHECKING:
    from millstream.config import CheckpointConfig
    from millstream.plugins import PluginManager
    from millstream.testing.world import World


class TooEarly(AssertionError):
    """Records are visible whose checkpoint could still be lost."""


class NothingVisibleTooEarly:
    """Looks whenever a target shows something new.

    Without durable checkpoints there is nothing to compare with, and nothing is checked.
    """

    def __init__(self, world: World, plugins: PluginManager, job_name: str, config: CheckpointConfig) -> None:
        self._world = world
        self._plugins = plugins
        self._job_name = job_name
        self._location = None if config.storage == "memory" else config.storage

    def check(self) -> None:
        """Looks at what has become visible since the last look.

        Raises:
            TooEarly: if the power went now, it would have to be written again.
            AssertionError: a target was used against its contract.
        """
        for target in self._world.targets:
            new = target.take_new()
            if new and self._location is not None:
                durable = self._newest_durable()
                for epoch in new:
                    if epoch.checkpoint_id > durable:
                        raise TooEarly(f"{epoch} is visible, but the newest durable checkpoint is {durable}")

    def finished_run(self) -> str | None:
        """The run that has come to its end, as the job's folder says; None while there is none."""
        if self._location is None:
            return None
        storage = find_checkpoint_storage(self._plugins, self._location)
        store = storage.open(CheckpointStorageContext(self._job_name, DiskStorage(self._world.disk)))
        run = CompletedCheckpoints(store, self._job_name, 1).run()
        return run.run_id if run is not None and run.status == "finished" else None

    def _newest_durable(self) -> int:
        """Id of the newest checkpoint that is whole on the disk whatever happens; 0 for none."""
        assert self._location is not None  # noqa: S101 - the caller looked
        storage = find_checkpoint_storage(self._plugins, self._location)
        store = storage.open(CheckpointStorageContext(self._job_name, DiskStorage(self._world.disk.worst_case())))
        manifest = CompletedCheckpoints(store, self._job_name, 1).latest()
        if manifest is None:
            return 0
        for task in manifest.tasks:
            for file in task.files():
                read_state_file(store, manifest.checkpoint_id, file)
        return manifest.checkpoint_id
