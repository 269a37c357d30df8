"""Barriers of several channels: when the checkpoint is taken, and what is blocked meanwhile."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.checkpoint.alignment import BarrierAligner
from millstream.records import Barrier


def barrier(checkpoint_id: int, aligned: bool = True) -> Barrier:
    return Barrier(checkpoint_id, 0, aligned)


def test_with_one_channel_every_barrier_is_complete_at_once() -> None:
    aligner = BarrierAligner(1)
    assert aligner.arrived(0, barrier(1)) == barrier(1)
    assert aligner.blocked == set()
    assert aligner.arrived(0, barrier(2)) == barrier(2)


def test_a_channel_is_blocked_from_its_barrier_until_the_last_one() -> None:
    aligner = BarrierAligner(3)
    assert aligner.arrived(1, barrier(1)) is None
    assert aligner.blocked == {1}
    assert aligner.arrived(0, barrier(1)) is None
    assert aligner.blocked == {0, 1}
    assert aligner.arrived(2, barrier(1)) == barrier(1)
    assert aligner.blocked == set()
    assert aligner.pending_id is None


def test_in_at_least_once_mode_nothing_is_ever_blocked() -> None:
    aligner = BarrierAligner(2)
    assert aligner.arrived(0, barrier(1, aligned=False)) is None
    assert aligner.blocked == set()
    assert aligner.arrived(1, barrier(1, aligned=False)) == barrier(1, aligned=False)


def test_a_newer_barrier_ends_the_older_alignment() -> None:
    aligner = BarrierAligner(2)
    aligner.arrived(0, barrier(1))
    assert aligner.arrived(1, barrier(2)) is None
    assert aligner.blocked == {1}
    assert aligner.arrived(0, barrier(1)) is None
    assert aligner.arrived(0, barrier(2)) == barrier(2)


def test_an_abort_releases_what_waits_and_late_barriers_are_ignored() -> None:
    aligner = BarrierAligner(2)
    aligner.arrived(0, barrier(1))
    aligner.abort(1)
    assert aligner.blocked == set()
    assert aligner.arrived(1, barrier(1)) is None
    assert aligner.blocked == set()
    aligner.arrived(0, barrier(2))
    assert aligner.arrived(1, barrier(2)) == barrier(2)


def test_an_abort_of_an_older_checkpoint_does_not_touch_the_pending_one() -> None:
    aligner = BarrierAligner(2)
    aligner.arrived(0, barrier(3))
    aligner.abort(2)
    assert aligner.blocked == {0}
    assert aligner.arrived(1, barrier(3)) == barrier(3)


def test_a_finished_checkpoint_is_not_taken_again() -> None:
    aligner = BarrierAligner(1)
    aligner.arrived(0, barrier(5))
    assert aligner.arrived(0, barrier(5)) is None
    assert aligner.arrived(0, barrier(4)) is None


EVENTS = st.lists(
    st.one_of(st.tuples(st.just("barrier"), st.integers(0, 2), st.integers(1, 5)), st.tuples(st.just("abort"), st.integers(1, 5))), max_size=40
)


def test_an_abort_of_a_newer_checkpoint_does_not_touch_the_pending_one() -> None:
    """Several may be under way: a savepoint that runs out of time says nothing of the checkpoint before it."""
    aligner = BarrierAligner(2)
    aligner.arrived(0, barrier(3))
    aligner.abort(4)
    assert aligner.blocked == {0}
    assert aligner.arrived(1, barrier(3)) == barrier(3)
    assert aligner.arrived(0, barrier(4)) is None
    assert aligner.blocked == set()


def test_alignments_of_several_checkpoints_follow_each_other() -> None:
    aligner = BarrierAligner(2)
    for number in (1, 2):
        assert aligner.arrived(0, barrier(number)) is None
        assert aligner.blocked == {0}  # which is why it cannot deliver the next one yet
        assert aligner.arrived(1, barrier(number)) == barrier(number)


def test_barriers_that_are_not_aligned_are_awaited_for_several_checkpoints_at_a_time() -> None:
    aligner = BarrierAligner(2)
    assert aligner.arrived(0, barrier(1, aligned=False)) is None
    assert aligner.arrived(0, barrier(2, aligned=False)) is None
    assert aligner.arrived(1, barrier(1, aligned=False)) == barrier(1, aligned=False)
    assert aligner.arrived(1, barrier(2, aligned=False)) == barrier(2, aligned=False)


@settings(max_examples=300, deadline=None)
@given(events=EVENTS, aligned=st.booleans())
def test_each_checkpoint_is_taken_once_with_its_last_barrier_and_only_channels_of_the_pending_one_are_blocked(
    events: list[Any], aligned: bool
) -> None:
    aligner = BarrierAligner(3)
    arrived: dict[int, set[int]] = {}
    aborted: set[int] = set()
    done = 0
    for kind, *args in events:
        if kind == "abort":
            (checkpoint_id,) = args
            aligner.abort(checkpoint_id)
            aborted.add(checkpoint_id)
            arrived.pop(checkpoint_id, None)
        else:
            channel, checkpoint_id = args
            if channel in aligner.blocked:
                continue  # a blocked channel is not read
            complete = aligner.arrived(channel, barrier(checkpoint_id, aligned))
            if checkpoint_id > done and checkpoint_id not in aborted and not (aligned and checkpoint_id < max(arrived, default=0)):
                if aligned:  # a newer one ends the older one
                    arrived = {number: channels for number, channels in arrived.items() if number == checkpoint_id}
                arrived.setdefault(checkpoint_id, set()).add(channel)
                if len(arrived[checkpoint_id]) == 3:
                    assert complete == barrier(checkpoint_id, aligned)
                    done = checkpoint_id
                    arrived = {number: channels for number, channels in arrived.items() if number > done}
                    complete = None
            assert complete is None
        assert aligner.blocked == (next(iter(arrived.values()), set()) if aligned else set())
        assert aligner.pending_id == max(arrived, default=None)
