"""The simulation is worth something only if it sees what is wrong: each test breaks one promise and must be told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from millstream import RestartStrategies, StreamExecutionEnvironment
from millstream.checkpoint.commit import TwoPhaseCommitter
from millstream.checkpoint.write_ahead import WriteAheadLog
from millstream.contracts.source import Split
from millstream.testing import ContractBroken, Faults, LedgerTarget, ScriptedSource, Target, TooEarly, TransactionalTarget, Wait, simulate
from millstream.testing.disk import File, SimulatedDisk
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


def test_a_target_refuses_what_the_contract_rules_out() -> None:
    with pytest.raises(ContractBroken, match="never fenced"):
        LedgerTarget[int]().check_fence(CONTEXT, 0, None)
