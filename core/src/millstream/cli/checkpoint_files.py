"""Reading the files of a checkpoint, verified."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.checkpoint import manifest as stored
from millstream.errors import DamagedCheckpoint

if TYPE_CHECKING:
    from millstream.checkpoint.manifest import FileRef
    from millstream.cli.checkpoint_paths import StoredCheckpoint


def read_state_file(checkpoint: StoredCheckpoint, file: FileRef | None) -> bytes:
    """A state file, verified; empty for none.

    Raises:
        DamagedCheckpoint: it is missing, cannot be read, or is not what the manifest promises.
    """
    if file is None:
        return b""
    try:
        return stored.read_state_file(checkpoint.store, checkpoint.checkpoint_id, file)
    except (OSError, ValueError) as error:  # ValueError: no name that a checkpoint's file can have
        raise DamagedCheckpoint(where=checkpoint.location, what=f"file {file.name} cannot be read ({error})") from error
