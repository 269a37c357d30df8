"""The simulation is worth something only if it sees what is wrong: each test breaks one promise and must be told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from millstream import JobStatus, RestartStrategies, StreamExecutionEnvironment
from millstream.checkpoint.commit import TwoPhaseCommitter
from millstream.checkpoint.store import CompletedCheckpoints
from millstream.checkpoint.write_ahead import WriteAheadLog
from millstream.contracts.source import Split
from millstream.contracts.write_ahead import Marker
from millstream.graph.execution_graph import ExecutionGraph
from millstream.runtime.job_manager import JobManager
from millstream.runtime.operators.source import SourceOperator
from millstream.runtime.processes.frames import Kind
from millstream.runtime.processes.remote_channel import RemoteReader, RemoteWriter
from millstream.testing import ContractBroken, Faults, LedgerTarget, ScriptedSource, Target, TooEarly, TransactionalTarget, Wait, simulate
from millstream.testing.disk import File, SimulatedDisk
from millstream.testing.ledger import LedgerLanes
from millstream.testing.sources import ScriptedReader
from millstream.testing.transactional import TransactionalSink, TransactionalWriter

NUMBERS = list(range(60))
CONTEXT: Any = SimpleNamespace(sink_uid="out", attempt=0)
SOURCE = ScriptedSource([item for number in NUMBERS for item in (number, Wait(0.01))], fetch_records=2)


def shows_a_wrong_outcome(target: Target[Any], sink: Any, seeds: int = 12, **faults: Any) -> bool:
    """Whether one of the first few seeds leaves something else than every number once."""

    def program(environment: StreamExecutionEnvironment) -> None:
        environment.from_source(SOURCE, uid="in").map(lambda number: number).sink_to(sink, uid="out")

    for seed in range(seeds):
        target.__init__()  # type: ignore[misc]  # a fresh one for each seed
        simulate(program, seed=seed, faults=Faults(**faults), targets=[target], settings={"checkpoint.interval": timedelta(milliseconds=50)})
        if sorted(target.visible()) != NUMBERS:
            return True
    return False


def test_what_is_right_shows_nothing_wrong() -> None:
    target = TransactionalTarget[int]()
    assert not shows_a_wrong_outcome(target, target.sink(), crashes=3, lost=0.3)


def test_a_sink_that_commits_when_it_should_prepare_is_seen_before_any_crash() -> None:
    class CommitsAtPrepare(TransactionalWriter[int]):
        def prepare(self, checkpoint_id: int) -> bytes | None:
            committable = super().prepare(checkpoint_id)
            if committable is not None:
                self.commit(self._context.lane, checkpoint_id, committable)
            return committable

    class Sink(TransactionalSink[int]):
        def open(self, context: Any) -> TransactionalWriter[int]:
            return CommitsAtPrepare(self.target, context)

    target = TransactionalTarget[int]()
    with pytest.raises(TooEarly):
        shows_a_wrong_outcome(target, Sink(target))


def test_a_sink_that_forgets_its_epoch_instead_of_committing_it_on_recovery_loses_records(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(self: TwoPhaseCommitter, items: Sequence[Any], restored_id: int | None, *, rewound: bool) -> None:
        self._writer.abort_lingering([])

    monkeypatch.setattr(TwoPhaseCommitter, "recover", forgetful)
    target = TransactionalTarget[int]()
    assert shows_a_wrong_outcome(target, target.sink(), crash_at=("checkpoint.durable.before_notify#2",))


def test_an_engine_that_does_not_look_at_the_marker_is_refused_by_the_target(monkeypatch: pytest.MonkeyPatch) -> None:
    commit = WriteAheadLog._commit_first
    monkeypatch.setattr(WriteAheadLog, "_commit_first", lambda self, lane, log, marker, reader: commit(self, lane, log, None, reader))
    target = LedgerTarget[int]()
    with pytest.raises(AssertionError, match="was committed again"):
        raise_the_cause(target, crash_at=("sink.commit.applied_no_ack",))


def raise_the_cause(target: Target[Any], **faults: Any) -> None:
    def program(environment: StreamExecutionEnvironment) -> None:
        environment.set_restart_strategy(RestartStrategies.no_restart())
        environment.from_source(SOURCE, uid="in").sink_to(target.sink(), uid="out")  # type: ignore[attr-defined]  # both kinds have it

    result = simulate(program, seed=1, faults=Faults(**faults), targets=[target], settings={"checkpoint.interval": timedelta(milliseconds=50)})
    assert result.error is None, repr(result.error.__cause__ or result.error)


def test_an_engine_that_commits_before_the_manifest_is_synced_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimulatedDisk, "sync_folder", lambda self, folder: None)
    target = TransactionalTarget[int]()
    with pytest.raises(TooEarly):
        shows_a_wrong_outcome(target, target.sink())


def test_state_files_that_are_not_synced_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(File, "sync", lambda self: None)
    target = TransactionalTarget[int]()
    with pytest.raises(Exception, match=r"durable|bytes instead of|begin as one"):
        shows_a_wrong_outcome(target, target.sink())


def test_a_source_that_does_not_keep_its_position_repeats_records(monkeypatch: pytest.MonkeyPatch) -> None:
    def from_the_start(self: ScriptedReader, checkpoint_id: int) -> Sequence[Split]:
        return [Split(reading.split_id, {"next": 0}) for reading in self._open]

    monkeypatch.setattr(ScriptedReader, "snapshot", from_the_start)
    target = TransactionalTarget[int]()
    assert shows_a_wrong_outcome(target, target.sink(), crash_at=("sink.commit.after",))


# --- mistakes that show between processes


def is_told_by_processes(seeds: int, faults: Faults, kind: type[Target[Any]] = TransactionalTarget) -> bool:
    """Whether one of the first few seeds of a job over three processes ends otherwise than exactly."""
    words = [f"word-{number % 7}" for number in range(90)]
    scripts = [[item for word in words[part::3] for item in (word, Wait(0.01))] for part in range(3)]
    counts = sorted((word, number + 1) for word, total in Counter(words).items() for number in range(total))

    for seed in range(seeds):
        target = kind()

        def program(environment: StreamExecutionEnvironment, target: Any = target) -> None:
            environment.set_parallelism(3)
            pairs = environment.from_source(ScriptedSource(*scripts, fetch_records=2), uid="in").map(lambda word: (word, 1))
            pairs.key_by(lambda pair: pair[0]).reduce(lambda a, b: (a[0], a[1] + b[1]), uid="count").sink_to(target.sink(), uid="out")

        settings = {"checkpoint.interval": timedelta(milliseconds=20), "restart.strategy": "exponential_delay"}
        try:
            result = simulate(program, seed=seed, faults=faults, processes=3, targets=[target], settings=settings, max_steps=40_000)
        except AssertionError:
            return True
        if result.status is not JobStatus.FINISHED or sorted(target.visible()) != counts:
            return True
    return False


MESSAGES = Faults(task_manager_crashes=3, lost=0.3, doubled=0.5, doubled_messages=0.5, late_messages=0.2)


@pytest.mark.parametrize("faults", [MESSAGES, Faults(takeovers=1, lost=0.3), Faults(crashes=2, stops=2)])
def test_what_is_right_shows_nothing_wrong_over_processes(faults: Faults) -> None:
    assert not is_told_by_processes(10, faults)
    assert not is_told_by_processes(10, faults, LedgerTarget)


def test_messages_of_an_old_attempt_that_are_believed_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ExecutionGraph, "find", lambda self, subtask, attempt: self._executions.get(subtask))
    assert is_told_by_processes(40, MESSAGES)


def test_a_barrier_that_overtakes_records_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    poll = RemoteReader.poll

    def hasty(self: RemoteReader) -> Any:
        waiting = self._waiting
        if len(waiting) > 1 and waiting[1][0] is Kind.BARRIER:
            waiting[0], waiting[1] = waiting[1], waiting[0]
        return poll(self)

    monkeypatch.setattr(RemoteReader, "poll", hasty)
    assert is_told_by_processes(10, Faults(task_manager_crashes=4, crashes=2))


def test_a_notification_that_must_not_be_lost_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    complete = TwoPhaseCommitter.complete

    def only_the_next(self: TwoPhaseCommitter, checkpoint_id: int) -> Any:
        first = self._pending[0][1].checkpoint_id if self._pending else checkpoint_id
        return complete(self, checkpoint_id) if first == checkpoint_id else True

    monkeypatch.setattr(TwoPhaseCommitter, "complete", only_the_next)
    assert is_told_by_processes(10, Faults(lost=0.3))


def test_a_leader_that_is_not_fenced_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CompletedCheckpoints, "_check_leadership", lambda self: None)
    assert is_told_by_processes(30, Faults(takeovers=1, crashes=1))


def test_a_target_that_does_not_fence_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def commit(self: LedgerLanes[Any], lane: int, checkpoint_id: int, chunk: int, records: Sequence[Any]) -> None:
        self._target.show(self._context, self._context.run_id, lane, checkpoint_id, records)
        self._target.markers[self._key(lane)] = Marker(checkpoint_id, chunk)

    monkeypatch.setattr(LedgerLanes, "commit_batch", commit)
    assert is_told_by_processes(30, Faults(takeovers=1, late=0.5), LedgerTarget)


def test_splits_that_are_assigned_twice_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    receive = SourceOperator.receive

    def forgetful(self: SourceOperator, message: object) -> None:
        self._heard = 0
        receive(self, message)

    monkeypatch.setattr(SourceOperator, "receive", forgetful)
    assert is_told_by_processes(10, MESSAGES)


def test_credits_that_are_not_given_back_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RemoteWriter, "give", lambda self, count: None)
    assert is_told_by_processes(5, Faults())


def test_a_lost_task_manager_of_which_nobody_is_told_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(JobManager, "_task_manager_lost", lambda self, task_manager, reason: None)
    assert is_told_by_processes(10, Faults(task_manager_crashes=2))


def test_a_target_refuses_what_the_contract_rules_out() -> None:
    with pytest.raises(ContractBroken, match="never fenced"):
        LedgerTarget[int]().check_fence(CONTEXT, 0, None)
