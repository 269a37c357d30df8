"""A process that was replaced while it stood still between fencing a sink and recovering it takes nothing from its successor."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from millstream import JobStatus, RestartStrategies, StreamExecutionEnvironment
from millstream.errors import JobFailedError, LeaderFenced, StopFailed
from millstream.ports import InlineExecutor, LocalStorage, LocalTransport, ManualClock, SeededRandom, arm, disarm
from millstream.runtime.deployment import Ports
from millstream.runtime.launch import LocalJob
from millstream.testing import LedgerTarget, TransactionalTarget
from millstream_filesystem.checkpoints import FilesystemCheckpointStore

COUNT = 100


class QuickStorage(LocalStorage):
    """Files that need not outlive the machine."""

    def sync_file(self, file: BinaryIO) -> None:
        file.flush()

    def sync_folder(self, path: str) -> None:
        pass


def program(folder: Path, target: Any) -> StreamExecutionEnvironment:
    """A record each ms and a checkpoint every 10 ms, in virtual time."""
    ports = Ports(ManualClock(1_000_000), SeededRandom(), LocalTransport(), QuickStorage(), InlineExecutor())
    env = StreamExecutionEnvironment(ports=ports).configure("job.resume", "auto")
    env.enable_checkpointing(timedelta(milliseconds=10)).set_restart_strategy(RestartStrategies.fixed_delay(3, timedelta(0)))
    env.checkpoint_config.set_checkpoint_storage(folder)
    env.generate(lambda index: index, count=COUNT, rate_per_s=1000.0, uid="in").sink_to(target.sink(), uid="out")
    return env


@pytest.mark.parametrize("kind", [TransactionalTarget, LedgerTarget])
@pytest.mark.parametrize("records", [0, 35])
def test_who_was_replaced_before_it_recovers_its_sink_changes_nothing_there(tmp_path: Path, kind: type[Any], records: int) -> None:
    target = kind()
    successor = program(tmp_path, target)
    running: list[LocalJob] = []

    def replace() -> None:
        disarm("sink.open.after_fence")
        job = successor.launch("job")
        assert job.job_manager is not None
        running.append(job)
        job.start()
        job.run(lambda: len(target.visible()) >= records and job.job_manager.coordinator.in_progress > 0)

    arm("sink.open.after_fence", replace)
    try:
        with pytest.raises(JobFailedError, match="Leader 1 of job 'job' has been replaced by leader 2"):
            program(tmp_path, target).execute("job")
    finally:
        disarm("sink.open.after_fence")
    (job,) = running
    assert job.job_manager is not None
    job.run()
    assert job.job_manager.status is JobStatus.FINISHED
    assert Counter(target.visible()) == Counter(range(COUNT))
    assert target.leftovers() == []


@pytest.mark.parametrize("drain", [False, True])
def test_who_was_replaced_while_it_was_stopping_does_not_say_that_the_job_has_stopped(tmp_path: Path, drain: bool) -> None:
    target = LedgerTarget[int]()
    job = program(tmp_path, target).launch("job")
    manager = job.job_manager
    assert manager is not None
    job.start()
    job.run(lambda: len(target.visible()) >= 10)
    answers: list[tuple[str | None, Exception | None]] = []

    def replace() -> None:
        disarm("checkpoint.durable.before_notify")
        program(tmp_path, target).launch("job")

    arm("checkpoint.durable.before_notify", replace)
    try:
        manager.stop(drain=drain, done=lambda path, error: answers.append((path, error)))
        job.run()
    finally:
        disarm("checkpoint.durable.before_notify")
    assert (manager.status, type(manager.error)) == (JobStatus.FAILED, LeaderFenced)
    ((path, error),) = answers
    assert (path, type(error)) == (None, StopFailed)


def test_who_is_replaced_while_it_notes_that_the_run_has_ended_leaves_its_checkpoints_to_the_new_leader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by a simulated takeover: the new leader went on from a checkpoint while the old one deleted it, and failed."""
    target = LedgerTarget[int]()
    successors: list[LocalJob] = []
    write = FilesystemCheckpointStore.write_document

    def take_over_first(store: FilesystemCheckpointStore, name: str, data: bytes) -> None:
        if name == "run" and b'"ended"' in data and not successors:
            successors.append(program(tmp_path, target).launch("job"))
        write(store, name, data)

    monkeypatch.setattr(FilesystemCheckpointStore, "write_document", take_over_first)
    program(tmp_path, target).execute("job")
    (successor,) = successors
    assert successor.job_manager is not None
    successor.start()
    successor.run()
    assert (successor.job_manager.status, successor.job_manager.error) == (JobStatus.FINISHED, None)
    assert Counter(target.visible()) == Counter(range(COUNT))
    assert not list(tmp_path.glob("job/chk-*"))
