"""What is in a checkpoint, as rows of tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millstream.checkpoint.manifest import blob
from millstream.cli.checkpoint_facts import blobs_of, operators_in, positions_in, states_in
from millstream.cli.checkpoint_files import read_state_file
from millstream.cli.texts import serializer_text, size_text, time_text
from millstream.errors import DamagedCheckpoint

if TYPE_CHECKING:
    from millstream.checkpoint.manifest import Manifest
    from millstream.cli.checkpoint_facts import StateFacts
    from millstream.cli.checkpoint_paths import StoredCheckpoint

OPERATOR_COLUMNS = ["uid", "operator", "subtasks", "key groups", "watermark", "entries", "size"]
STATE_COLUMNS = ["uid", "state", "kind", "keys", "values", "entries", "size"]
POSITION_COLUMNS = ["uid", "split", "position"]
NUMBERS = ["subtasks", "key groups", "entries", "size"]


def operator_rows(manifest: Manifest) -> list[list[str]]:
    """One row for each operator that has a place in the checkpoint."""
    states = states_in(manifest)
    rows = []
    for uid, facts in operators_in(manifest).items():
        own = [state for (owner, _), state in states.items() if owner == uid and state.entries]
        watermark = time_text(facts.watermark_ms) if facts.watermark_ms is not None else ""
        entries = f"{sum(state.entries for state in own):,}" if own else ""
        size = size_text(sum(state.size_bytes for state in own)) if own else ""
        rows.append([uid, facts.name, str(facts.parallelism), str(facts.max_parallelism), watermark, entries, size])
    return rows


def state_rows(manifest: Manifest) -> list[list[str]]:
    """One row for each state of each operator, over all subtasks."""
    rows = [[*key, *types_of(state), f"{state.entries:,}", size_text(state.size_bytes)] for key, state in states_in(manifest).items()]
    return rows + [[uid, "enumerator", "of the source", "", "", "", size_text(len(data))] for uid, data in manifest.enumerators.items() if data]


def position_rows(checkpoint: StoredCheckpoint, manifest: Manifest) -> list[list[str]]:
    """One row for each split that a source reader had.

    Raises:
        DamagedCheckpoint: a state file is missing or does not verify.
    """
    return [[*key, position_text(data)] for key, data in positions_in(checkpoint, manifest).items()]


def verify(checkpoint: StoredCheckpoint) -> Manifest:
    """Reads every file of a checkpoint and checks it against the manifest: checksum, length, and that every reference is inside.

    Raises:
        DamagedCheckpoint, UnknownCheckpointFormat: it does not verify.
    """
    manifest = checkpoint.manifest()
    for task in manifest.tasks:
        contents = {file.name: read_state_file(checkpoint, file) for file in task.earlier} | {"": read_state_file(checkpoint, task.file)}
        for state in task.operators:
            for name, ref in blobs_of(state):
                if name not in contents:
                    raise DamagedCheckpoint(where=checkpoint.location, what=f"it refers to file {name}, of which its manifest says nothing")
                blob(contents[name], ref, checkpoint.location)
    return manifest


def types_of(state: StateFacts) -> list[str]:
    """Kind of a state, and how its keys and values are written."""
    return [state.kind, *(serializer_text(description) if description is not None else "" for description in (state.keys, state.values))]


def position_text(data: dict[str, Any]) -> str:
    """A split's position as people read it."""
    return ", ".join(f"{name}={value!r}" for name, value in data.items())
