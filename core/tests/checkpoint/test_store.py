"""The completed checkpoints of a job: leadership, retention and what is read back."""

from __future__ import annotations

from typing import Any

import pytest

from millstream.checkpoint.ephemeral import EphemeralStore
from millstream.checkpoint.manifest import Manifest
from millstream.checkpoint.store import CompletedCheckpoints, RunRecord
from millstream.errors import DamagedCheckpoint, LeaderFenced


def manifest(checkpoint_id: int, job: str = "job") -> Manifest:
    return Manifest(
        job_name=job, run_id="r", checkpoint_id=checkpoint_id, kind="checkpoint", triggered_ms=1, completed_ms=2, attempt=0, millstream="0",
        python="3", operators=[], tasks=[],
    )  # fmt: skip


def leader(store: Any, retained: int = 1) -> CompletedCheckpoints:
    completed = CompletedCheckpoints(store, "job", retained)
    completed.acquire_leadership()
    return completed


def test_what_was_published_is_read_back() -> None:
    completed = leader(EphemeralStore())
    assert completed.latest() is None
    completed.publish(manifest(3))
    completed.publish(manifest(5))
    assert completed.latest() == manifest(5)
    assert completed.read(3) == manifest(3)


def test_checkpoints_of_an_older_run_are_not_the_latest_of_this_one() -> None:
    completed = leader(EphemeralStore())
    completed.publish(manifest(3))
    assert completed.latest(after=3) is None
    completed.publish(manifest(4))
    assert completed.latest(after=3) == manifest(4)


def test_a_checkpoint_that_is_not_there_is_damaged_not_empty() -> None:
    with pytest.raises(DamagedCheckpoint, match="its manifest is missing"):
        leader(EphemeralStore()).read(9)


def test_a_new_leader_fences_the_old_one() -> None:
    store = EphemeralStore()
    old = leader(store)
    old.publish(manifest(1))
    new = leader(store)
    with pytest.raises(LeaderFenced, match="Leader 1 of job 'job' has been replaced by leader 2"):
        old.publish(manifest(2))
    new.publish(manifest(2))
    assert store.published() == [1, 2]


def test_epochs_rise_over_many_leaders_and_gaps_are_closed() -> None:
    store = EphemeralStore()
    assert [CompletedCheckpoints(store, "job", 1).acquire_leadership() for _ in range(3)] == [1, 2, 3]
    store.create_document("leader-4", b"")  # somebody who died before it wrote its number down
    assert CompletedCheckpoints(store, "job", 1).acquire_leadership() == 5


@pytest.mark.parametrize(("retained", "subsumed"), [(1, [1, 2, 3]), (2, [1, 2]), (4, []), (9, [])])
def test_only_the_newest_are_kept(retained: int, subsumed: list[int]) -> None:
    completed = leader(EphemeralStore(), retained)
    for checkpoint_id in range(1, 5):
        completed.publish(manifest(checkpoint_id))
    assert completed.subsumed() == subsumed
    assert completed.subsumed(pinned=1) == [number for number in subsumed if number != 1]


def test_the_note_of_the_run_is_replaced() -> None:
    completed = leader(EphemeralStore())
    assert completed.run() is None
    completed.record_run(RunRecord("a", "running", 0))
    completed.record_run(RunRecord("a", "finished", 4))
    assert completed.run() == RunRecord("a", "finished", 4)
