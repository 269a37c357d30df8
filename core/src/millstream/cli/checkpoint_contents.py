"""What is in a checkpoint, as rows of tables."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import msgspec

from millstream.checkpoint.manifest import blob, verify_file
from millstream.cli.texts import serializer_text, size_text, time_text
from millstream.contracts.source import Split
from millstream.errors import DamagedCheckpoint
from millstream.records import MIN_TIMESTAMP
from millstream.runtime.operators.source import SPLITS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millstream.checkpoint.manifest import BlobRef, Manifest, OperatorState, TaskState
    from millstream.cli.checkpoint_paths import StoredCheckpoint

OPERATOR_COLUMNS = ["uid", "operator", "subtasks", "key groups", "watermark", "entries", "size"]
STATE_COLUMNS = ["uid", "state", "kind", "keys", "values", "entries", "size"]
POSITION_COLUMNS = ["uid", "split", "position"]
NUMBERS = ["subtasks", "key groups", "entries", "size"]


def operator_rows(manifest: Manifest) -> list[list[str]]:
    """One row for each operator that has a place in the checkpoint."""
    states: dict[str, list[OperatorState]] = defaultdict(list)
    for state in _states(manifest):
        states[state.uid].append(state)
    rows = []
    for info in manifest.operators:
        parts = states[info.uid]
        blobs = [ref for part in parts for ref in _blobs(part)]
        entries = sum(chunk.entries for part in parts for chunk in part.chunks) + sum(
            len(items.items) for part in parts for items in part.lists.values()
        )
        watermarks = [part.watermark for part in parts if part.watermark is not None and part.watermark > MIN_TIMESTAMP]
        watermark = time_text(min(watermarks)) if watermarks and len(watermarks) == len(parts) else ""
        size = size_text(sum(ref.length for ref in blobs)) if blobs else ""
        rows.append([info.uid, info.name, str(info.parallelism), str(info.max_parallelism), watermark, f"{entries:,}" if blobs else "", size])
    return rows


def state_rows(manifest: Manifest) -> list[list[str]]:
    """One row for each state of each operator, over all subtasks."""
    entries: dict[tuple[str, str], int] = defaultdict(int)
    sizes: dict[tuple[str, str], int] = defaultdict(int)
    facts: dict[tuple[str, str], list[str]] = {}
    for state in _states(manifest):
        for name, description in state.tables.items():
            facts[state.uid, name] = [description.kind, serializer_text(description.keys), serializer_text(description.values)]
        for chunk in state.chunks:
            entries[state.uid, chunk.table] += chunk.entries
            sizes[state.uid, chunk.table] += chunk.blob.length
        for name, items in state.lists.items():
            facts.setdefault((state.uid, name), [f"list by {items.mode}", "", ""])
            entries[state.uid, name] += len(items.items)
            sizes[state.uid, name] += sum(ref.length for ref in items.items)
    order = {info.uid: number for number, info in enumerate(manifest.operators)}
    rows = [[*key, *known, f"{entries[key]:,}", size_text(sizes[key])] for key, known in facts.items()]
    rows.sort(key=lambda row: (order.get(row[0], len(order)), row[1]))
    rows += [[uid, "enumerator", "of the source", "", "", "", size_text(len(data))] for uid, data in manifest.enumerators.items() if data]
    return rows


def position_rows(checkpoint: StoredCheckpoint, manifest: Manifest) -> list[list[str]]:
    """One row for each split that a source reader had.

    Raises:
        DamagedCheckpoint: a state file is missing or does not verify.
    """
    rows = []
    for task in manifest.tasks:
        readers = [state for state in task.operators if SPLITS in state.lists]
        if task.file is None or not readers:
            continue
        data = read_state_file(checkpoint, task)
        for state in readers:
            for ref in state.lists[SPLITS].items:
                split = _split(blob(data, ref, checkpoint.location))
                if split is not None:
                    rows.append([state.uid, split.split_id, _position(split.data)])
    return rows


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


def verify(checkpoint: StoredCheckpoint) -> Manifest:
    """Reads every file of a checkpoint and checks it against the manifest: checksum, length, and that every reference is inside.

    Raises:
        DamagedCheckpoint, UnknownCheckpointFormat: it does not verify.
    """
    manifest = checkpoint.manifest()
    for task in manifest.tasks:
        data = read_state_file(checkpoint, task)
        for state in task.operators:
            for ref in _blobs(state):
                blob(data, ref, checkpoint.location)
    return manifest


def _states(manifest: Manifest) -> Iterator[OperatorState]:
    for task in manifest.tasks:
        yield from task.operators


def _blobs(state: OperatorState) -> Iterator[BlobRef]:
    for chunk in state.chunks:
        yield chunk.blob
    for items in state.lists.values():
        yield from items.items


def _split(data: bytes) -> Split | None:
    try:
        return msgspec.msgpack.decode(data, type=Split)
    except msgspec.MsgspecError:
        return None  # a user's operator may have a list of that name


def _position(data: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in data.items())
