"""What is demanded of two-phase commit, call by call."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from millstream_testkit.demands import declares, demand, kind
from millstream_testkit.oracle import compare
from millstream_testkit.suites.attempts import OTHER_RUN, rows
from millstream_testkit.suites.sink_contract import Note, SinkContractBase, assert_seen, error_of, too_modest

if TYPE_CHECKING:
    from millstream_testkit.suites.attempts import Attempts


class TwoPhaseCommitContract(SinkContractBase):
    """Two-phase commit only."""

    @demand("An epoch that was aborted cannot be committed any more: commit raises, it never says Committed.", when=kind("two_phase_commit"))
    def test_an_aborted_epoch_cannot_be_committed(self, attempts: Attempts) -> None:
        writer = attempts.open()
        writer.write(rows(0, 10))
        sealed = writer.seal(1)
        heir = attempts.open(1)
        heir.abort_lingering()
        error = error_of(lambda: heir.commit(sealed))
        assert error is not None, "the commit of an aborted epoch said Committed: its records are lost, and nobody is told. Raise LostEpoch."
        assert_seen(attempts, [], "after the epoch was aborted")

    @demand("abort_lingering removes what older attempts left, and keeps what it is told to keep.", when=kind("two_phase_commit"))
    def test_lingering_work_is_aborted(self, attempts: Attempts) -> None:
        writer = attempts.open()
        writer.write(rows(0, 10))
        kept = writer.seal(1)
        writer.write(rows(10, 10))
        lingering = writer.seal(2)
        writer.write(rows(20, 10))
        heir = attempts.open(1)
        assert kept is not None
        heir.abort_lingering([kept])
        heir.commit(kept)
        assert_seen(attempts, rows(0, 10), "after the epoch that was to be kept was committed")
        error = error_of(lambda: heir.commit(lingering))
        assert error is not None, "work that no checkpoint holds was not aborted: its handle can still commit it"
        error_of(writer.close)
        heir.close()
        left = list(attempts.harness.leftovers(attempts.target))
        assert not left, f"left behind after abort_lingering: {left}"

    @demand("Prepared work outlives the connection that prepared it.", when=kind("two_phase_commit"))
    def test_prepared_work_survives_a_disconnect(self, attempts: Attempts, note: Note) -> None:
        writer = attempts.open()
        writer.write(rows(0, 10))
        sealed = writer.seal(1)
        writer.close()
        error = error_of(lambda: attempts.open(1).commit(sealed))
        survived = error is None and attempts.seen() == rows(0, 10)
        if attempts.harness.declared().prepared_survives_disconnect:
            assert survived, f"the next attempt could not commit it: {error or compare(rows(0, 10), attempts.seen())}"
        elif survived:
            note(too_modest("prepared_survives_disconnect", "prepared work was committed by another attempt"))

    @demand("Prepared work outlives a crash of the target.", when=[kind("two_phase_commit"), declares("prepared_survives_server_kill")])
    def test_prepared_work_survives_a_crash_of_the_target(self, attempts: Attempts) -> None:
        writer = attempts.open()
        writer.write(rows(0, 10))
        sealed = writer.seal(1)
        error_of(writer.close)
        if not attempts.harness.restart_target(attempts.target):
            pytest.skip("not run: there is no server to kill (restart_target of the harness returned False)")
        attempts.open(1).commit(sealed)
        assert_seen(attempts, rows(0, 10), "after the target was killed and started again")

    @demand(
        "A sink that tells the newest committed checkpoint of a lane tells the right one, and none of other lanes.", when=kind("two_phase_commit")
    )
    def test_the_newest_committed_checkpoint_is_told(self, attempts: Attempts) -> None:
        writer = attempts.open(parallelism=2)
        assert writer.client.newest_committed(0) is None, "a lane of which nothing was committed has a newest committed checkpoint"
        for number in (3, 7):
            writer.write(rows(number, 3))
            writer.commit(writer.seal(number))
        writer.write(rows(20, 3))
        writer.seal(9)
        told = attempts.open(1, parallelism=2).client.newest_committed(0)
        if told is None:
            pytest.skip("not run: newest_committed tells nothing, so that a rewind is not noticed")
        assert told == 7, f"checkpoints 3 and 7 are committed and 9 is prepared, and newest_committed says {told}"
        assert attempts.open(0, lane=1, parallelism=2).client.newest_committed(1) is None, "another lane has the newest checkpoint of this one"
        assert attempts.open(0, run_id=OTHER_RUN).client.newest_committed(0) is None, "another run has the newest checkpoint of this one"
        assert attempts.open(0, sink_uid="other").client.newest_committed(0) is None, "another sink has the newest checkpoint of this one"

    @demand(
        "Crash loops leave nothing behind that grows: each recovery removes what the attempt before it had prepared.", when=kind("two_phase_commit")
    )
    def test_crash_loops_leave_nothing_that_grows(self, attempts: Attempts) -> None:
        left = []
        for number in range(6):
            heir = attempts.open(number)  # none is ever closed, as none was that is killed
            heir.abort_lingering()
            left.append(len(attempts.harness.leftovers(attempts.target)))
            heir.write(rows(number * 10, 10))
            heir.seal(number + 1)
            heir.write(rows(number * 10 + 100, 10))
        assert left[-1] <= left[1], f"what is left after each of {len(left)} recoveries grows: {left}"

    @demand("Bytes that are no committable are refused, never taken for an epoch that was committed before.", when=kind("two_phase_commit"))
    def test_a_damaged_committable_is_refused(self, attempts: Attempts) -> None:
        writer = attempts.open()
        writer.write(rows(0, 10))
        sealed = writer.seal(1)
        assert sealed is not None
        assert sealed.committable is not None
        heir = attempts.open(1)
        for damaged in (b"", b"\xff\xfe no committable", sealed.committable[: len(sealed.committable) // 2]):
            error = error_of(partial(heir.client.commit, 0, 1, damaged))
            assert error is not None, f"commit({damaged[:20]!r}) said Committed. Check the version and the form of what a checkpoint gives back."
        heir.commit(sealed)
        assert_seen(attempts, rows(0, 10), "after damaged committables were refused")

    @demand("A committable says which version of its layout it has, so that a later release can read it.", when=kind("two_phase_commit"))
    def test_committables_carry_a_version(self, attempts: Attempts) -> None:
        writer = attempts.open()
        writer.write(rows(0, 10))
        sealed = writer.seal(1)
        assert sealed is not None
        assert sealed.committable is not None
        version = attempts.harness.committable_version(sealed.committable)
        if version is None:
            pytest.skip("not run: committable_version of the harness says nothing")
        assert version >= 1
