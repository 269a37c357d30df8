"""Reading the files of a checkpoint, verified."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.checkpoint.manifest import verify_file
from millstream.errors import DamagedCheckpoint

if TYPE_CHECKING:
    from millstream.checkpoint.manifest import TaskState
    from millstream.cli.checkpoint_paths import StoredCheckpoint


def read_state_file(checkpoint: StoredCheckpoint, task: TaskState) -> bytes:
    """A task's state file, verified, empty when the task has none.

    Raises:
        DamagedCheckpoint: it is missing, cannot be read, or is not what the manifest promises.
    """
    if task.file is None:
        return b""
    try:
        data = checkpoint.store.read_file(checkpoint.checkpoint_id, task.file.name)
    except (OSError, ValueError) as error:  # ValueError: no name that a checkpoint's file can have
        raise DamagedCheckpoint(where=checkpoint.location, what=f"file {task.file.name} cannot be read ({error})") from error
    verify_file(task.file, data, checkpoint.location)
    return data
