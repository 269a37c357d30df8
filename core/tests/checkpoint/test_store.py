"""The completed checkpoints of a job: leadership, retention and what is read back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.checkpoint.ephemeral import EphemeralStore
from millstream.checkpoint.manifest import Manifest
from millstream.checkpoint.store import CompletedCheckpoints, RunRecord
from millstream.errors import DamagedCheckpoint, LeaderFenced


def manifest(checkpoint_id: int, job: str = "job") -> Manifest:
    return Manifest(
        job_name=job, run_id="r", checkpoint_id=checkpoint_id, kind="checkpoint", triggered_ms=1, completed_ms=2, attempt=0, millstream="0",
        python="3", operators=[], tasks=[],
    )  # fmt: skip


def leader(store: Any, retained: int = 1, token: str = "") -> CompletedCheckpoints:
    completed = CompletedCheckpoints(store, "job", retained, token)
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
    store.create_document("leader-4", b"")  # somebody who died before it did anything else
    assert CompletedCheckpoints(store, "job", 1).acquire_leadership() == 5


class Interrupted(EphemeralStore):
    """Other processes get their turns in front of any call that leadership rests on."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], None] = lambda: None

    def create_document(self, name: str, data: bytes) -> bool:
        self.meanwhile()
        return super().create_document(name, data)

    def read_document(self, name: str) -> bytes | None:
        self.meanwhile()
        return super().read_document(name)

    def delete_document(self, name: str) -> None:
        self.meanwhile()
        super().delete_document(name)

    def documents(self) -> Any:
        """As of a folder: what comes and goes while it is read may be in it or not."""
        before = super().documents()
        self.meanwhile()
        return [name for name in super().documents() if name in before]


class Died(Exception):
    """The end of a process."""


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_of_all_processes_that_took_the_lead_at_most_the_last_leads_wherever_they_stand_still(data: st.DataObject) -> None:
    """Each may die or be stopped in front of any of its steps, while others start, look, go on, or are stopped in their turn."""
    store, leaders, begun = Interrupted(), list[CompletedCheckpoints](), [0]
    most = data.draw(st.integers(3, 8))

    def leading() -> list[CompletedCheckpoints]:
        held, store.meanwhile = store.meanwhile, lambda: None
        found = [one for one in leaders if leads(one)]
        store.meanwhile = held
        assert len(found) <= 1
        return found

    def meanwhile() -> None:
        action = data.draw(st.sampled_from(["go on", "go on", "start", "start", "look", "die"]))
        if action == "start" and begun[0] < most:
            start()
            meanwhile()
        elif action == "look":
            leading()
        elif action == "die":
            raise Died

    def start() -> None:
        begun[0] += 1
        number = begun[0]
        completed = CompletedCheckpoints(store, "job", 1, token=str(number))
        try:
            completed.acquire_leadership()
        except Died:
            return
        leaders.append(completed)
        assert leading() == [completed] or begun[0] > number

    store.meanwhile = meanwhile
    start()
    store.meanwhile = lambda: None
    start()
    assert len({one.leadership.epoch for one in leaders}) == len(leaders)
    assert [name for name in store.documents() if name != "run"] == [f"leader-{leaders[-1].leadership.epoch}"]


def leads(completed: CompletedCheckpoints) -> bool:
    try:
        completed.record_run(RunRecord("r", "running", 0))
    except LeaderFenced:
        return False
    return True


def test_a_number_that_is_given_out_again_makes_nobody_leader_who_was_replaced() -> None:
    """One that stood still between looking and taking takes the number of a leader that is long gone, and dies before it sees that."""
    store, replaced = Interrupted(), list[CompletedCheckpoints]()
    leader(store)
    late = CompletedCheckpoints(store, "job", 1, "late")

    def others() -> None:
        store.meanwhile = lambda: None
        replaced.extend(leader(store, token=token) for token in ("second", "third", "fourth"))
        store.meanwhile = die

    def die() -> None:
        raise Died

    def looked() -> None:
        store.meanwhile = others

    store.meanwhile = looked
    with pytest.raises(Died):
        late.acquire_leadership()
    store.meanwhile = lambda: None
    assert [leads(one) for one in replaced] == [False, False, True]
    assert sorted(store.documents()) == ["leader-2", "leader-4", "run"]


def test_who_is_replaced_loses_its_own_document_before_that_of_its_successor() -> None:
    """Two documents are left to delete by one that died before it deleted any."""
    store = Interrupted()
    first = leader(store)
    store.create_document("leader-2", b"died")
    looks: list[bool] = []
    third = CompletedCheckpoints(store, "job", 1, "third")

    def look() -> None:
        store.meanwhile = lambda: None
        looks.append(leads(first))
        store.meanwhile = look

    store.meanwhile = look
    third.acquire_leadership()
    assert len(looks) >= 4
    assert not any(looks)


def test_the_documents_of_leaders_do_not_add_up() -> None:
    store = EphemeralStore()
    for _ in range(20):
        leader(store)
    assert store.documents() == ["leader-20"]


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
