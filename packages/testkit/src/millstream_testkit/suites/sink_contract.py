"""What is demanded of a sink's contract, call by call: no process is killed, so it takes milliseconds and names the fault exactly."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, ClassVar

import pytest

from millstream.errors import Fenced
from millstream_testkit.demands import declares, demand, kind
from millstream_testkit.oracle import Row, compare
from millstream_testkit.suites.attempts import OTHER_RUN, RUN, Attempt, Attempts, opening, rows
from millstream_testkit.suites.base import ConformanceSuite
from millstream_testkit.suites.overtaken import overtaken_commit
from millstream_testkit.suites.resources import assert_nothing_grows

if TYPE_CHECKING:
    from pathlib import Path

    from millstream_testkit.harness import SinkHarness

COMMITS = kind("write_ahead", "two_phase_commit")
Note = Callable[[str], None]


def assert_seen(attempts: Attempts, expected: list[Row], when: str) -> None:
    """Compares what a reader sees with what it should see."""
    verdict = compare(expected, attempts.harness.seen(attempts.target))
    assert verdict.exact, f"{when}, a reader finds {verdict}"


def too_modest(capability: str, seen: str) -> str:
    """The note for a declaration that promises less than was seen."""
    return f"{capability} is declared closed, yet {seen}: the declaration may be too modest"


class SinkContractBase(ConformanceSuite):
    """A target of its own for each test."""

    subject: ClassVar[str] = "sink"

    @pytest.fixture
    def attempts(self, tmp_path: Path) -> Iterator[Attempts]:
        """The sink and a new target, opened as often as the test likes."""
        harness: SinkHarness = self.made_harness()
        target = harness.create_target(tmp_path)
        try:
            with opening(harness, target) as attempts:
                yield attempts
        finally:
            harness.drop_target(target)


class SinkContract(SinkContractBase):
    """All kinds of sinks."""

    @demand("A sink is a description that can be sent to a worker, with the capabilities it had.")
    def test_description_travels(self, attempts: Attempts) -> None:
        sink = attempts.harness.sink(attempts.target)
        copy = pickle.loads(pickle.dumps(sink))  # noqa: S301 - made here
        assert copy.resolve().capabilities == sink.resolve().capabilities

    @demand("What was written, sealed and committed is there, each record once.")
    def test_committed_records_are_visible(self, attempts: Attempts) -> None:
        writer = attempts.open()
        for number in range(3):
            writer.write(rows(number * 10, 10))
            writer.commit(writer.seal(number + 1))
        writer.close()
        assert_seen(attempts, rows(0, 30), "after three epochs")

    @demand("No reader sees a record before its commit: neither when it is written nor when its epoch is sealed at the barrier.")
    def test_nothing_is_visible_before_its_commit(self, attempts: Attempts, note: Note) -> None:
        writer, early = attempts.open(), []
        writer.write(rows(0, 10))
        early += [f"{len(attempts.seen())} records are visible after write()"] if attempts.seen() else []
        sealed = writer.seal(1)
        early += [f"{len(attempts.seen())} records are visible at the barrier, before the checkpoint is complete"] if attempts.seen() else []
        if attempts.harness.declared().visible_only_committed:
            assert not early, f"{'; '.join(early)}. Write where no reader looks, and publish in the commit."
        elif not early:
            note(too_modest("visible_only_committed", "no reader saw a record before its commit"))
        writer.commit(sealed)
        assert_seen(attempts, rows(0, 10), "after the commit")

    @demand("close() gives up the open epoch: after a failure its records come again.", when=[COMMITS, declares("visible_only_committed")])
    def test_close_gives_up_the_open_epoch(self, attempts: Attempts) -> None:
        writer = attempts.open()
        writer.write(rows(0, 10))
        sealed = writer.seal(1)
        writer.commit(sealed)
        writer.write(rows(10, 10))
        attempts.release(writer)
        assert_seen(attempts, rows(0, 10), "after close() with an open epoch of ten records, which no checkpoint covers")
        heir = attempts.open(1)
        heir.abort_lingering()
        heir.write(rows(10, 10))
        heir.commit(heir.seal(3))
        assert_seen(attempts, rows(0, 20), "after the next attempt wrote them again")

    @demand("Records that are equal are all there: none is taken for one that was written before.", when=COMMITS)
    def test_equal_records_are_all_there(self, attempts: Attempts) -> None:
        if attempts.harness.keyed:
            pytest.skip("not run: the target keeps one of several records that are equal (keyed of the harness is True)")
        again = rows(0, 3)
        first, second = attempts.open(parallelism=2), attempts.open(lane=1, parallelism=2)
        first.write([*again, *again])
        first.commit(first.seal(1))
        first.write(again)
        first.commit(first.seal(2))
        second.write(again)
        second.commit(second.seal(2))
        assert_seen(attempts, sorted(again * 4), "after the same three records were written twice in one epoch, in a second one, and in another lane")

    @demand("The records of a lane keep their order, within an epoch and from one to the next.", when=COMMITS)
    def test_records_keep_their_order(self, attempts: Attempts) -> None:
        if not attempts.harness.ordered:
            pytest.skip("not run: whoever reads the target finds no order (ordered of the harness is False)")
        writer, wanted, waiting = attempts.open(), rows(0, 60), []
        for number in range(3):
            writer.write(wanted[number * 20 : number * 20 + 10])
            writer.write(wanted[number * 20 + 10 : number * 20 + 20])
            waiting.append(writer.seal(number + 1))
        writer.commit(waiting[0])
        heir = attempts.open(1)
        for sealed in waiting:
            heir.commit(sealed)
        found = attempts.harness.seen(attempts.target)
        assert found == wanted, f"a reader finds the records in another order than they were written in: {[row[0] for row in found]}"

    @demand("An epoch without records is sealed and committed without effect, and the next one is not harmed.")
    def test_empty_epochs_have_no_effect(self, attempts: Attempts) -> None:
        writer = attempts.open()
        writer.commit(writer.seal(1))
        writer.write([])
        writer.commit(writer.seal(2))
        assert_seen(attempts, [], "after two epochs without records")
        writer.write(rows(0, 3))
        writer.commit(writer.seal(3))
        writer.commit(writer.seal(4))
        writer.close()
        assert_seen(attempts, rows(0, 3), "after an epoch with records between empty ones")
        left = list(attempts.harness.leftovers(attempts.target))
        assert not left, f"empty epochs left behind: {left}"

    @demand("An epoch larger than the target takes in one go is committed whole.")
    def test_an_oversized_epoch_is_committed_whole(self, attempts: Attempts) -> None:
        writer, count = attempts.open(), attempts.harness.oversized_records
        for first in range(0, count, 1_000):
            writer.write(rows(first, min(1_000, count - first)))
        writer.commit(writer.seal(1))
        writer.close()
        assert_seen(attempts, rows(0, count), f"after an epoch of {count:,} records")

    @demand("An older attempt that goes on after its successor opened raises Fenced and changes nothing.")
    def test_an_older_attempt_is_fenced(self, attempts: Attempts, note: Note) -> None:
        old = attempts.open(0)
        old.write(rows(0, 5))
        new = attempts.open(1)
        new.abort_lingering()
        error = _goes_on(old)
        harmed = bool(attempts.seen())
        if attempts.harness.declared().fencing:
            assert not harmed, f"the old attempt made {len(attempts.seen())} records visible after a newer one had opened: it must raise Fenced first"
            assert isinstance(error, Fenced), f"the old attempt ended with {error!r}; raise Fenced, so that its job stops and says why"
            new.write(rows(0, 5))
            new.commit(new.seal(2))
            assert_seen(attempts, rows(0, 5), "after the new attempt wrote the same records")
        elif error is not None and not harmed:
            note(too_modest("fencing", f"an older attempt was stopped by {type(error).__name__}"))

    @demand("Opening and closing again and again leaves no thread and no open file behind.")
    def test_close_releases_everything(self, attempts: Attempts) -> None:
        def once(number: int) -> None:
            writer = attempts.open(number)
            writer.write(rows(0, 2))
            writer.close()

        assert_nothing_grows(once)

    @demand("A record written again leaves the same state as written once.", when=kind("idempotent", "plain"))
    def test_writing_again_leaves_the_same_state(self, attempts: Attempts, note: Note) -> None:
        for number in range(2):
            writer = attempts.open(number)
            writer.write(rows(0, 10))
            writer.seal(number + 1)
            writer.close()
        verdict = compare(rows(0, 10), attempts.harness.seen(attempts.target))
        if attempts.harness.declared().kind == "idempotent":
            assert verdict.exact, f"the same records written by a second attempt: {verdict}. Derive the id of what is written from the record alone."
        elif verdict.exact:
            note(too_modest("kind='idempotent'", "records written again left the same state"))
        else:
            assert verdict.missing == verdict.wrong == [], f"after writing again, a reader finds {verdict}"


class CommittingSinkContract(SinkContractBase):
    """Write-ahead and two-phase commit."""

    @demand("A commit repeated, by the same attempt and by later ones, changes nothing.", when=COMMITS)
    def test_a_repeated_commit_changes_nothing(self, attempts: Attempts) -> None:
        first = attempts.open(0)
        first.write(rows(0, 10))
        sealed = first.seal(1)
        for _ in range(3):
            first.commit(sealed)
        for number in (1, 2):
            later = attempts.open(number)
            later.commit(sealed)
            later.abort_lingering()
        assert_seen(attempts, rows(0, 10), "after the same epoch was committed five times by three attempts")

    @demand("The barrier of a later epoch commits nothing: only a complete checkpoint does.", when=[COMMITS, declares("visible_only_committed")])
    def test_a_later_barrier_commits_nothing(self, attempts: Attempts) -> None:
        writer = attempts.open()
        writer.write(rows(0, 10))
        first = writer.seal(1)
        writer.write(rows(10, 10))
        writer.seal(2)
        assert_seen(attempts, [], "after the barriers of two checkpoints, of which none is complete")
        writer.commit(first)
        assert_seen(attempts, rows(0, 10), "when the first of the two is complete")

    @demand("Epochs whose notifications were lost are all committed with the next one, oldest first.", when=COMMITS)
    def test_epochs_that_wait_together_are_all_committed(self, attempts: Attempts) -> None:
        writer, waiting = attempts.open(), []
        for number in range(3):
            writer.write(rows(number * 10, 10))
            waiting.append(writer.seal(number + 1))
        for number, sealed in enumerate(waiting):
            writer.commit(sealed)
            assert_seen(attempts, rows(0, 10 * number + 10), f"after the late commit of epoch {number + 1} of three that waited together")

    @demand("Epochs that wait together are all committed by the attempt that recovers.", when=COMMITS)
    def test_a_recovery_commits_every_waiting_epoch(self, attempts: Attempts) -> None:
        writer, waiting = attempts.open(), []
        for number in range(3):
            writer.write(rows(number * 10, 10))
            waiting.append(writer.seal(number + 1))
        heir = attempts.open(1)
        for sealed in waiting:
            heir.commit(sealed)
        heir.abort_lingering()
        assert_seen(attempts, rows(0, 30), "after the recovery of three epochs")

    @demand("What an epoch's handle commits is that epoch, and nothing that was written later.", when=COMMITS)
    def test_a_handle_never_commits_a_later_epoch(self, attempts: Attempts) -> None:
        writer = attempts.open()
        writer.write(rows(0, 10))
        first = writer.seal(1)
        writer.write(rows(10, 10))
        writer.seal(2)
        writer.write(rows(20, 10))
        # The process is gone here: nothing of it is closed, and only the first epoch's checkpoint was complete.
        heir = attempts.open(1)
        heir.commit(first)
        heir.abort_lingering()
        assert_seen(attempts, rows(0, 10), "after the handle of the first of three epochs was committed by a new attempt")
        for _ in range(2):
            heir.commit(first)
        assert_seen(attempts, rows(0, 10), "after that handle was committed again")
        heir.write(rows(30, 10))
        second = heir.seal(4)
        heir.commit(second)
        heir.write(rows(40, 10))
        heir.seal(5)
        # Gone again. That the second epoch is committed stands in no checkpoint, so the next attempt commits it once more.
        last = attempts.open(2)
        last.commit(second)
        last.abort_lingering()
        assert_seen(attempts, rows(0, 10) + rows(30, 10), "after a committed epoch was committed again, with a later one half done")

    @demand("A new attempt with fewer subtasks commits what every lane it inherits has prepared.", when=COMMITS)
    def test_lanes_are_taken_over_by_fewer_subtasks(self, attempts: Attempts) -> None:
        writers = [attempts.open(0, lane=lane, parallelism=3) for lane in range(3)]
        waiting = []
        for lane, writer in enumerate(writers):
            writer.write(rows(lane * 10, 10))
            waiting.append(writer.seal(1))
            writer.write(rows(lane * 10 + 100, 10))
            writer.seal(2)
        heir = attempts.open(1, lane=0, parallelism=1, owned=(0, 1, 2))
        for sealed in waiting:
            heir.commit(sealed)
        heir.abort_lingering()
        assert_seen(attempts, rows(0, 30), "after one subtask took over three lanes")
        left = list(attempts.harness.leftovers(attempts.target))
        assert not left, f"one subtask took over three lanes, and what they had prepared for no complete checkpoint was not aborted: {left}"
        heir.write(rows(30, 5))
        heir.commit(heir.seal(3))
        assert_seen(attempts, rows(0, 35), "after it went on in its own lane")

    @demand("Runs, sinks and lanes that share a target neither see nor harm each other's work.", when=COMMITS)
    def test_runs_sinks_and_lanes_are_kept_apart(self, attempts: Attempts) -> None:
        mine = attempts.open(0, parallelism=2)
        mine.write(rows(0, 10))
        sealed = mine.seal(1)
        others = [
            attempts.open(0, lane=1, parallelism=2),
            attempts.open(0, sink_uid="other"),
            attempts.open(0, run_id=OTHER_RUN),
        ]
        for number, other in enumerate(others, start=1):
            other.abort_lingering()
            other.write(rows(number * 10, 10))
            other.commit(other.seal(1))
        mine.commit(sealed)
        assert_seen(attempts, rows(0, 40), "after four lanes of different runs and sinks committed their checkpoint 1")

    @demand("Sinks and lanes are kept apart whose names begin alike, or differ in case, or have signs that patterns are made of.", when=COMMITS)
    def test_names_that_are_alike_are_kept_apart(self, attempts: Attempts) -> None:
        mine = attempts.open(0, lane=10, parallelism=12)
        mine.write(rows(0, 10))
        sealed = mine.seal(1)
        for number, (sink_uid, lane) in enumerate([("out", 1), ("ou", 10), ("OUT", 10), ("o_t", 10), ("o%", 10), ("o*", 10), ("o?t", 10)], start=1):
            other = attempts.open(0, sink_uid=sink_uid, lane=lane, parallelism=12)
            other.abort_lingering()
            other.write(rows(number * 10, 10))
            other.commit(other.seal(1))
        mine.commit(sealed)
        # Not looked at before: where readers wait for what is open in front, as in a log, they see nothing of the others yet.
        assert_seen(attempts, rows(0, 80), "after lane 10 of sink 'out' committed, behind seven lanes whose names are like its own")

    @demand("What is removed with a run that is over is its own: other runs and sinks go on as if nothing had happened.", when=COMMITS)
    def test_a_run_that_is_over_takes_only_its_own(self, attempts: Attempts) -> None:
        mine = attempts.open()
        mine.write(rows(0, 10))
        committed = mine.seal(1)
        mine.commit(committed)
        mine.write(rows(10, 10))
        prepared = mine.seal(2)
        for number, (run_id, sink_uid) in enumerate([(OTHER_RUN, "out"), (RUN, "other")], start=2):
            over = attempts.open(run_id=run_id, sink_uid=sink_uid)
            over.write(rows(number * 10, 10))
            over.commit(over.seal(1))
            attempts.release(over)
            attempts.forget_run(run_id, sink_uid)
            attempts.forget_run(run_id, sink_uid)  # the process that did it died before that was noted
        heir = attempts.open(1)
        heir.commit(committed)
        heir.commit(prepared)
        heir.abort_lingering()
        assert_seen(attempts, rows(0, 40), "after another run and another sink were over, and this one committed both of its epochs")

    @demand(
        "An older attempt that stands still between two calls of its commit, while its successor commits, changes nothing when it goes on.",
        when=[COMMITS, declares("fencing")],
    )
    def test_a_commit_that_is_overtaken_changes_nothing(self, attempts: Attempts) -> None:
        count = overtaken_commit(attempts, "0" * 32, None)
        for step in sorted({1 + count * part // 6 for part in range(6)}):
            run_id = f"{step:032}"
            overtaken_commit(attempts, run_id, step)
            found = sum(row in set(rows(step * 10, 10)) for row in attempts.seen())
            assert found == 10, (
                f"an older attempt stood still behind call {step} of {count} of its commit, a newer one opened and committed the same epoch of "
                f"10 records, then the older one went on: a reader finds {found}. Check the fence, and write, in one atomic step."
            )


def _goes_on(old: Attempt) -> Exception | None:
    """Lets an attempt that was replaced write, seal and commit."""

    def go_on() -> None:
        old.write(rows(100, 5))
        old.commit(old.seal(1))

    return error_of(go_on)


def error_of(call: Callable[[], object]) -> Exception | None:
    """What a call raises."""
    try:
        call()
    except AssertionError:
        raise
    except Exception as error:  # noqa: BLE001 - which one is for the caller to judge
        return error
    return None
