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


@settings(max_examples=200, deadline=None)
@given(events=EVENTS)
def test_at_most_one_checkpoint_is_pending_ids_rise_and_only_channels_of_the_pending_one_are_blocked(events: list[Any]) -> None:
    aligner = BarrierAligner(3)
    arrived: dict[int, set[int]] = {}
    done = 0
    for kind, *args in events:
        if kind == "abort":
            (checkpoint_id,) = args
            aligner.abort(checkpoint_id)
            done = max(done, checkpoint_id)
            arrived = {number: channels for number, channels in arrived.items() if number > checkpoint_id}
        else:
            channel, checkpoint_id = args
            if channel in aligner.blocked:
                continue  # a blocked channel is not read
            complete = aligner.arrived(channel, barrier(checkpoint_id))
            if checkpoint_id > done and checkpoint_id >= max(arrived, default=0):
                arrived = {checkpoint_id: arrived.get(checkpoint_id, set()) | {channel}}
                if len(arrived[checkpoint_id]) == 3:
                    assert complete == barrier(checkpoint_id)
                    done, arrived = checkpoint_id, {}
                    complete = None
            assert complete is None
        assert aligner.blocked == next(iter(arrived.values()), set())
        assert aligner.pending_id == next(iter(arrived), None)
