"""The conformance suite of sources."""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import pytest

from millstream_testkit.case import Crash
from millstream_testkit.demands import Condition, Sampling, declares, demand
from millstream_testkit.exactly_once import exactly_once_test
from millstream_testkit.source_job import POINTS, build, records_in
from millstream_testkit.suites.base import ConformanceSuite
from millstream_testkit.suites.sink_contract import error_of
from millstream_testkit.suites.source_run import Brought, Positions, SourceRun, encoded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from millstream_testkit.source_harness import SourceHarness

FETCH_LIMIT_S: Final = 2.0
_LEAST_RECORDS: Final = 30

REPLAYABLE: Condition = declares("replayable")
BOUNDED: Condition = declares("bounded")
UNBOUNDED = Condition("unbounded sources", lambda declared: "for unbounded sources only" if declared.bounded else "")


@dataclass
class Origin:
    """A filled origin and its source."""

    harness: SourceHarness
    name: str
    expected: list[Any]

    @property
    def source(self) -> Any:
        """A new description of the source."""
        return self.harness.source(self.name)

    def start(self, parallelism: int = 1, positions: Positions | None = None) -> SourceRun:
        """A run that nobody closes."""
        return SourceRun(self.source, parallelism, positions, self.harness.quiet_limit_s)

    @contextmanager
    def running(self, parallelism: int = 1, positions: Positions | None = None) -> Iterator[SourceRun]:
        """A run that is closed at the end."""
        run = self.start(parallelism, positions)
        try:
            yield run
        finally:
            run.close()

    @property
    def until(self) -> int | None:
        """After how many records an unbounded source has brought everything."""
        return None if self.harness.declared().bounded else len(self.expected)


def assert_same(expected: Sequence[Any], found: Sequence[Any], when: str) -> None:
    """Both have the same records, each as often, in any order."""
    wanted, came = Counter(map(repr, expected)), Counter(map(repr, found))
    lost, doubled = list((wanted - came).elements()), list((came - wanted).elements())
    parts = [f"{len(records)} are {what}: {', '.join(records[:3])}" for what, records in (("lost", lost), ("doubled or wrong", doubled)) if records]
    assert not parts, f"{when}, of {len(expected)} records {'; '.join(parts)}"


def places(harness: SourceHarness, sampling: Sampling) -> list[str]:
    """Parts of the way through the input, in sixteenths."""
    return [f"{part}/16" for part in (range(17) if sampling.full else (0, 3, 8, 13, 16))]


def rescale_cases(harness: SourceHarness, sampling: Sampling) -> list[str]:
    """Numbers of readers before and after."""
    pairs = [(a, b) for a in range(1, 5) for b in range(1, 5) if a != b] if sampling.full else [(1, 3), (3, 1), (2, 4)]
    return [f"{a} to {b}" for a, b in pairs]


def crash_cases(harness: SourceHarness, sampling: Sampling) -> list[Crash]:
    """Where the process of a whole job is killed."""
    firsts = [Crash(point) for point in POINTS]
    return [*firsts, *(Crash(point, number) for point in POINTS for number in (2, 5))] if sampling.full else firsts


class SourceSuite(ConformanceSuite):
    """Everything that is demanded of a source.

    Example:
        class TestMySource(SourceSuite):
            harness = MySourceHarness
    """

    subject: ClassVar[str] = "source"
    complete = True

    @pytest.fixture
    def origin(self, tmp_path: Path) -> Iterator[Origin]:
        """A filled origin of its own for each test."""
        harness: SourceHarness = self.made_harness()
        name = harness.create_origin(tmp_path)
        try:
            expected = list(harness.expected(name))
            assert len(expected) >= _LEAST_RECORDS, f"create_origin made {len(expected)} records; make at least {_LEAST_RECORDS}, in two splits"
            assert len(set(map(repr, expected))) == len(expected), "create_origin made two equal records: one for the other would not be noticed"
            yield Origin(harness, name, expected)
        finally:
            harness.drop_origin(name)

    # --- reading

    @demand("Every record comes once, from a fresh start, however many readers there are, and the same again from another fresh start.")
    def test_everything_is_read_once(self, origin: Origin) -> None:
        for parallelism in (1, 1, 3):
            with origin.running(parallelism) as run:
                assert_same(origin.expected, run.read(origin.until), f"read from a fresh start by {parallelism} readers")

    @demand("More readers than splits: those without a split end, and nothing is read twice.", when=BOUNDED)
    def test_more_readers_than_splits(self, origin: Origin) -> None:
        with origin.running(12) as run:
            assert_same(origin.expected, run.read(), "read by 12 readers")
            assert run.finished()

    @demand("The end is reported once: each split ends once, the reader stays finished, also after a restore.", when=BOUNDED)
    def test_the_end_is_reported_once(self, origin: Origin) -> None:
        with origin.running(2) as run:
            run.read()
            ended = Counter(run.finished_splits)
            assert set(ended.values()) == {1}, f"splits that were reported as ended more than once: {ended}"
            assert all(run.readers[subtask].fetch(7) is None for subtask in (0, 1, 0, 1)), "records came after the end"
            assert run.finished(), "a reader that had finished is not finished any more"
            positions = run.positions()
        with origin.running(2, positions) as again:
            assert_same([], again.read(), "restored from a checkpoint taken at the end")
            assert again.finished()

    @demand("What is added to the origin while the source runs is found and read once, also when it goes on from a checkpoint.", when=UNBOUNDED)
    def test_what_is_added_later_is_found(self, origin: Origin) -> None:
        with origin.running(2) as run:
            before = run.read(len(origin.expected))
            added = list(origin.harness.add(origin.name))
            if not added:
                pytest.skip("not run: nothing can be added to the origin (add of the harness returned nothing)")
            assert_same([*origin.expected, *added], [*before, *run.read(len(added))], "after splits were added")
            positions = run.positions()
        later = list(origin.harness.add(origin.name))
        with origin.running(2, positions) as again:
            assert_same(later, again.read(len(later)), "restored when all was read, and more had been added")
            assert not any(again.step(subtask).split_id for subtask in (0, 1) * 5), "records came again that were read before the checkpoint"

    @demand("A call of fetch returns at once, with records or without: it runs on the thread that also handles barriers.")
    def test_fetch_does_not_block(self, origin: Origin) -> None:
        with origin.running() as run:
            longest, count = 0.0, 0
            while count < len(origin.expected) and not run.finished():
                begun = time.monotonic()
                count += len(run.step(0).values)
                longest = max(longest, time.monotonic() - begun)
                run.woken.wait(0.001)
        assert longest < FETCH_LIMIT_S, f"a call of fetch took {longest:.1f} s"

    @demand("close() returns within seconds, in the middle of reading, and when the origin hangs.")
    def test_close_returns_within_a_limit(self, origin: Origin, note: Callable[[str], None]) -> None:
        run = origin.start(2)
        next(run.steps(3))
        if not origin.harness.hang(origin.name):
            note("hang() of the harness makes nothing hang, so close() was tried in the middle of reading only")
        begun = time.monotonic()
        run.close()
        took_s = time.monotonic() - begun
        assert took_s < origin.harness.close_limit_s, f"close() took {took_s:.1f} s"

    @demand("Input that is no record is handed over with its position, its bytes and the reason, and costs no other record.")
    def test_input_that_is_no_record_is_rejected_with_its_position(self, origin: Origin) -> None:
        spoiled = origin.harness.spoil(origin.name)
        if not spoiled:
            pytest.skip("not run: every input is a record (spoil of the harness returned 0)")
        with origin.running() as run:
            brought = list(run.steps(until=origin.until))
        assert_same(origin.expected, [value for each in brought for value in each.values], f"with {spoiled} pieces of input that are no records")
        rejected = [each for step in brought for each in step.rejected]
        assert len(rejected) == spoiled, f"{spoiled} pieces of input are no records, and {len(rejected)} were rejected"
        for each in rejected:
            assert each.position, f"no position for {each.raw[:50]!r}: whoever repairs the input must find it"
            assert each.error, f"no reason for {each.position}"

    # --- positions

    @demand("From every position that a checkpoint holds, the same records come again, as often as it is restored.", when=REPLAYABLE, cases=places)
    def test_replay_gives_the_same_records(self, origin: Origin, case: str) -> None:
        before, positions = _read_part(origin, case, parallelism=1)
        rests = []
        for _ in range(2):
            with origin.running(1, positions) as run:
                rests.append(list(run.steps(until=_rest(origin, before))))
        assert_same(origin.expected, [*before, *(value for step in rests[0] for value in step.values)], f"restored after {len(before)} records")
        # Which split comes first may be another: a client reads several at a time.
        first, second = (repr(sorted(_by_split(rest).items(), key=lambda item: item[0])) for rest in rests)
        assert first == second, "two restores of the same checkpoint gave different records, or another order in a split"

    @demand("The records of a split come in the same order, wherever reading is interrupted and goes on.", when=REPLAYABLE)
    def test_a_split_keeps_its_order(self, origin: Origin) -> None:
        with origin.running() as run:
            wanted = _by_split(run.steps(until=origin.until))
        for part in ("3/16", "8/16"):
            with origin.running() as run:
                brought, positions = _steps_of_part(origin, part, run)
            read = [value for step in brought for value in step.values]
            with origin.running(1, positions) as run:
                brought += run.steps(until=_rest(origin, read))
            for split_id, values in _by_split(brought).items():
                assert list(map(repr, values)) == list(map(repr, wanted.get(split_id, []))), (
                    f"split {split_id!r} was read in another order when reading was interrupted after {len(read)} records"
                )

    @demand("What a source lets go of when a checkpoint is complete is covered by that checkpoint.", when=REPLAYABLE)
    def test_a_notification_releases_what_its_checkpoint_covers(self, origin: Origin) -> None:
        with origin.running() as run:
            steps = run.steps(3, origin.until)
            before = next(steps, Brought()).values
            positions = run.positions(1)
            for _ in range(3):  # read behind the barrier; the checkpoint becomes complete later
                next(steps, None)
            run.positions(2)
            run.readers[0].notify_checkpoint_complete(1)
        with origin.running(1, positions) as run:
            assert_same(
                origin.expected,
                [*before, *run.read(_rest(origin, before))],
                "restored from checkpoint 1, which was complete, after more was read and checkpoint 2 had begun",
            )

    @demand("A checkpoint does not change when reading goes on: it is a copy, not the reader's live state.", when=REPLAYABLE)
    def test_a_snapshot_is_not_affected_by_later_reads(self, origin: Origin) -> None:
        with origin.running(2) as run:
            steps = run.steps(5, origin.until)
            next(steps)
            positions, objects = run.snapshot(1)
            for _ in range(5):
                next(steps, None)
            later = tuple(encoded(reader) for reader in objects)
        assert later == positions.splits, "what snapshot() returned has changed since: it is the reader's live state. Return a copy."

    @demand("A checkpoint holds each split once: with the enumerator or with one reader. None is lost or read twice.", when=REPLAYABLE)
    def test_each_split_has_one_owner_in_every_checkpoint(self, origin: Origin) -> None:
        taken: list[tuple[list[Any], Positions]] = []
        with origin.running(3) as run:
            taken.append(([], run.positions(1)))
            before: list[Any] = []
            for number, brought in enumerate(run.steps(11, origin.until), start=2):
                before += brought.values
                # Half of the time while requests and assignments are still on their way.
                taken.append((list(before), run.positions(number)))
        for read, positions in taken[:: max(1, len(taken) // 8)]:
            ids = positions.split_ids()
            assert len(ids) == len(set(ids)), f"a split is with two readers in one checkpoint: {sorted(ids)}"
            with origin.running(3, positions) as again:
                assert_same(origin.expected, [*read, *again.read(_rest(origin, read))], f"restored from the checkpoint after {len(read)} records")

    @demand("A reader that dies loses none of its splits, whether they were assigned before or after the last checkpoint.", when=REPLAYABLE)
    def test_the_splits_of_a_reader_that_dies_come_back(self, origin: Origin) -> None:
        self._dies_when_all_is_handed_out(origin)
        for before_the_checkpoint in (True, False):
            with origin.running(2) as run:
                owned: tuple[bytes, ...] = ()
                kept: list[Any] = []
                if before_the_checkpoint:
                    run.deliver()
                    kept += run.step(0, 5).values
                    owned = run.positions(1).splits[0]
                else:
                    assigned: list[bytes] = []
                    add_splits = run.add_splits

                    def watch(subtask: int, splits: Any, add: Any = add_splits, seen: list[bytes] = assigned) -> None:
                        if subtask == 0:
                            seen += encoded(splits)
                        add(subtask, splits)

                    run.add_splits = watch  # type: ignore[method-assign]
                    run.positions(1)
                    run.deliver()
                    owned = tuple(assigned)
                run.step(0, 5)  # read by the reader that dies, and covered by no checkpoint
                run.kill_reader(0, owned)
                kept += run.read(None if origin.until is None else origin.until - len(kept))
                when = "before" if before_the_checkpoint else "after"
                assert_same(origin.expected, kept, f"a reader died whose splits were assigned {when} the last checkpoint, and its successor went on")

    def _dies_when_all_is_handed_out(self, origin: Origin) -> None:
        """The other reader has been told by then that there is no more."""
        with origin.running(12) as run:
            run.deliver()
            values = [value for subtask in range(12) for value in run.step(subtask, 1).values]
            owned = run.positions(1).splits
            subtask = next((number for number, splits in enumerate(owned) if splits), None)
            if subtask is None:
                return
            run.kill_reader(subtask, owned[subtask])
            values += run.read(None if origin.until is None else origin.until - len(values))
            assert_same(origin.expected, values, "a reader died when all splits were handed out, and its successor went on")

    @demand("A job that goes on with another number of readers reads the rest once.", when=REPLAYABLE, cases=rescale_cases)
    def test_rescale(self, origin: Origin, case: str) -> None:
        before, after = map(int, case.split(" to "))
        read, positions = _read_part(origin, "6/16", before)
        with origin.running(after, positions) as run:
            assert_same(origin.expected, [*read, *run.read(_rest(origin, read))], f"with {after} readers behind {before}")

    @demand("An enumerator that dies before, during or after its work goes on from its state.", when=REPLAYABLE)
    def test_the_enumerator_goes_on_from_its_state(self, origin: Origin) -> None:
        with origin.running(3) as run:
            read = any(reader.snapshot(1) for reader in run.readers)
            untouched = run.positions(1) if read else Positions(((),), run.enumerator.snapshot(1))
        restored = origin.start(2, untouched)
        # Dies once more before anybody has read anything.
        again = restored.positions(2)
        restored.close()
        with origin.running(1, again) as run:
            assert_same(origin.expected, run.read(origin.until), "after two deaths of the enumerator before the first record")

    @demand("Notifications of complete checkpoints may be lost, late, doubled, or for checkpoints the reader never saw.")
    def test_notifications_are_only_hints(self, origin: Origin) -> None:
        with origin.running() as run:
            values: list[Any] = []
            for number, brought in enumerate(run.steps(5, origin.until), start=1):
                values += brought.values
                run.positions(number)
                if number % 3 == 0:
                    for checkpoint in (number, number, number - 2, number + 90):
                        run.readers[0].notify_checkpoint_complete(checkpoint)
            assert_same(origin.expected, values, "with lost, late and doubled notifications")

    @demand("A position that the origin has lost is an error: never a quiet end, a quiet jump, or waiting for ever.", when=REPLAYABLE)
    def test_a_position_that_is_lost_at_the_origin_raises(self, origin: Origin) -> None:
        read, positions = _read_part(origin, "4/16", 1)
        if not origin.harness.lose(origin.name):
            pytest.skip("not run: nothing can be lost at the origin (lose of the harness returned False)")
        found: list[Any] = []
        error = error_of(lambda: found.extend(self._resumed(origin, positions, read)))
        assert error is not None, (
            f"what was still to be read is lost, and the source went on and brought {len(found)} of {len(origin.expected) - len(read)} records"
        )
        assert str(error), f"{type(error).__name__} says nothing"

    def _resumed(self, origin: Origin, positions: Positions, read: Sequence[Any]) -> list[Any]:
        with origin.running(1, positions) as run:
            return run.read(_rest(origin, read))

    # --- whole jobs

    @demand("Wherever the process of a whole job dies, each record is written once.", when=[REPLAYABLE, BOUNDED], cases=crash_cases, kills=True)
    def test_crash_at_every_point(self, origin: Origin, case: Crash, tmp_path: Path) -> None:
        named = json.dumps({"harness": self.harness.reference(), "origin": origin.name})
        rows = list(map(repr, origin.expected))
        with exactly_once_test(build, source=named, sink=records_in, expected=rows, folder=tmp_path / "jobs") as t:
            if case.point not in t.passes:
                pytest.skip(f"not run: the connector's code passes no crash point {case.point}")
            t.crash(case)


def _read_part(origin: Origin, part: str, parallelism: int) -> tuple[list[Any], Positions]:
    """So many sixteenths of the records, and the checkpoint behind them."""
    with origin.running(parallelism) as run:
        brought, positions = _steps_of_part(origin, part, run)
        return [value for step in brought for value in step.values], positions


def _steps_of_part(origin: Origin, part: str, run: SourceRun) -> tuple[list[Brought], Positions]:
    number, parts = map(int, part.split("/"))
    count = len(origin.expected) * number // parts
    # steps() stops by itself behind the step with which so many have come: the checkpoint covers that step, and no more.
    return list(run.steps(3, count)), run.positions(1)


def _by_split(brought: Iterable[Brought]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for step in brought:
        found.setdefault(step.split_id, []).extend(step.values)
    return {split_id: values for split_id, values in found.items() if values}


def _rest(origin: Origin, read: Sequence[Any]) -> int | None:
    return None if origin.until is None else origin.until - len(read)
