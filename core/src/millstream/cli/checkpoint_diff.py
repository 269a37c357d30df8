"""What changed from one checkpoint to another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from millstream.cli.checkpoint_facts import operators_in, pending_in, positions_in, states_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from millstream.checkpoint.manifest import Manifest
    from millstream.cli.checkpoint_facts import OperatorFacts, PendingFacts, StateFacts
    from millstream.cli.checkpoint_paths import StoredCheckpoint

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True)
class Difference(Generic[K, V]):
    """Something that is not the same in both.

    Attributes:
        key: uid, or uid and name.
        change: `added`, `removed` or `changed`; of a state `retyped` where its kind or the form of its keys or values is another.
        before: in the first checkpoint, None where it is not there.
        after: in the second checkpoint, None where it is not there.
    """

    key: K
    change: str
    before: V | None
    after: V | None


@dataclass(frozen=True)
class Compared:
    """One of the two checkpoints."""

    path: str
    job: str
    run_id: str
    checkpoint_id: int
    kind: str
    completed_ms: int
    state_bytes: int


@dataclass(frozen=True)
class CheckpointDiff:
    """All that is not the same.

    Attributes:
        operators: by uid; watermarks are among their facts.
        states: by uid and name.
        positions: of source splits, by uid and id of the split.
        enumerators: size of the state of split enumerators in bytes, by uid.
        pending: what sinks have yet to commit, by uid.
    """

    before: Compared
    after: Compared
    operators: list[Difference[str, OperatorFacts]]
    states: list[Difference[tuple[str, str], StateFacts]]
    positions: list[Difference[tuple[str, str], dict[str, Any]]]
    enumerators: list[Difference[str, int]]
    pending: list[Difference[str, PendingFacts]]


def compare(first: StoredCheckpoint, second: StoredCheckpoint) -> CheckpointDiff:
    """The differences.

    Raises:
        DamagedCheckpoint, UnknownCheckpointFormat: one of them cannot be read.
    """
    old, new = first.manifest(), second.manifest()
    enumerators = [{uid: data for uid, data in one.enumerators.items() if data} for one in (old, new)]
    return CheckpointDiff(
        before=_compared(first, old),
        after=_compared(second, new),
        operators=_differences(operators_in(old), operators_in(new)),
        states=[_with_types(one) for one in _differences(states_in(old), states_in(new))],
        positions=_differences(positions_in(first, old), positions_in(second, new)),
        enumerators=[
            Difference(one.key, one.change, *(None if data is None else len(data) for data in (one.before, one.after)))
            for one in _differences(*enumerators)
        ],
        pending=_differences(pending_in(first, old), pending_in(second, new)),
    )


def _compared(at: StoredCheckpoint, one: Manifest) -> Compared:
    return Compared(at.location, one.job_name, one.run_id, one.checkpoint_id, one.kind, one.completed_ms, one.state_bytes)


def _differences(before: Mapping[K, V], after: Mapping[K, V]) -> list[Difference[K, V]]:
    """In the order of the second; what it does not have any more comes last."""
    found = []
    for key in [*after, *(key for key in before if key not in after)]:
        old, new = before.get(key), after.get(key)
        if old != new:
            found.append(Difference(key, "added" if old is None else "removed" if new is None else "changed", old, new))
    return found


def _with_types(one: Difference[K, StateFacts]) -> Difference[K, StateFacts]:
    old, new = one.before, one.after
    if old is None or new is None or (old.kind, old.keys, old.values) == (new.kind, new.keys, new.values):
        return one
    return Difference(one.key, "retyped", old, new)
