"""execute, execute_async and execute_and_collect: results, stopping, cancelling, and what is left behind."""

from __future__ import annotations

import asyncio
import io
import logging
import threading
from collections import deque
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from millstream import DiscardingSink, JobStatus, MapFunction, RestartStrategies, RuntimeContext, StreamExecutionEnvironment
from millstream.api.sinks import CollectSink
from millstream.errors import EmptyJob, JobFailedError, JobStillRunning
from millstream.runtime.log import ScopeFilter


class Signal:
    """Set by a sink when it has seen enough records, and there is a checkpoint where one is wanted."""

    def __init__(self, count: int, folder: Path | None) -> None:
        self.left = count
        self.folder = folder
        self.reached = threading.Event()
        self.rows: deque[Any] = deque()

    def extend(self, values: Any) -> None:
        self.rows.extend(values)
        if len(self.rows) >= self.left and (self.folder is None or list(self.folder.rglob("_metadata"))):
            self.reached.set()


def endless(env: StreamExecutionEnvironment, count: int = 5, folder: Path | None = None) -> Signal:
    """A job without an end, and the signal that it has emitted some records."""
    signal = Signal(count, folder)
    counted = env.generate(lambda index: index, rate_per_s=2000.0, uid="numbers").key_by(lambda n: 0).fold(0, lambda a, n: a + 1, uid="count")
    counted.sink_to(CollectSink(signal), uid="out")
    return signal


def checkpointed(folder: Path, **settings: Any) -> StreamExecutionEnvironment:
    env = StreamExecutionEnvironment().enable_checkpointing(timedelta(milliseconds=5))
    env.checkpoint_config.set_checkpoint_storage(folder)
    for key, value in settings.items():
        env.configure(key.replace("__", "."), value)
    return env


def test_execute_blocks_and_returns_the_result() -> None:
    env = StreamExecutionEnvironment()
    env.from_collection(range(10)).sink_to(DiscardingSink(), name="out")
    result = env.execute("ten")
    assert (result.job_name, result.status, result.restarts, result.last_checkpoint) == ("ten", JobStatus.FINISHED, 0, None)
    assert result.counts["out.numRecordsIn"] == 10
    assert result.duration_s >= 0


def test_an_environment_is_empty_after_execute_and_may_be_used_again() -> None:
    env = StreamExecutionEnvironment()
    for number in range(2):
        assert list(env.from_collection([number]).execute_and_collect()) == [number]
    with pytest.raises(EmptyJob):
        env.execute()


def test_building_runs_nothing() -> None:
    called: list[int] = []
    StreamExecutionEnvironment().from_collection([1]).map(called.append).print()
    assert called == []


def test_execute_async_returns_at_once_and_gives_the_result_later() -> None:
    env = StreamExecutionEnvironment()
    env.from_collection(range(10)).sink_to(DiscardingSink())
    client = env.execute_async("ten")
    assert client.result(timeout_s=10).status is JobStatus.FINISHED
    assert client.status() is JobStatus.FINISHED


def test_the_failure_of_an_async_job_is_raised_by_result() -> None:
    env = StreamExecutionEnvironment()
    env.from_collection([1]).map(lambda n: 1 // 0).sink_to(DiscardingSink())
    client = env.execute_async("bad")
    with pytest.raises(JobFailedError, match=r"\AZeroDivisionError"):
        client.result(timeout_s=10)
    assert client.status() is JobStatus.FAILED


def test_waiting_for_a_result_has_a_limit() -> None:
    env = StreamExecutionEnvironment()
    signal = endless(env)
    client = env.execute_async("endless")
    assert signal.reached.wait(10)
    with pytest.raises(JobStillRunning, match=r"'endless' did not end within 0\.01 s"):
        client.result(timeout_s=0.01)
    client.cancel()
    assert client.result(timeout_s=10).status is JobStatus.CANCELED


@pytest.mark.parametrize("retention", ["retain_on_cancellation", "delete_on_cancellation"])
def test_cancel_ends_the_job_and_keeps_its_checkpoints_or_not(tmp_path: Path, retention: str) -> None:
    env = checkpointed(tmp_path, checkpoint__retention=retention)
    signal = endless(env, folder=tmp_path)
    client = env.execute_async("cancelled")
    assert signal.reached.wait(10)
    client.cancel()
    result = client.result(timeout_s=10)
    assert result.status is JobStatus.CANCELED
    kept = list(tmp_path.rglob("_metadata"))
    assert bool(kept) == (retention == "retain_on_cancellation")
    assert (result.last_checkpoint is None) == (not kept)


def test_stop_takes_one_more_checkpoint_and_nothing_is_counted_twice_after_resuming(tmp_path: Path) -> None:
    env = checkpointed(tmp_path)
    signal = endless(env, 50)
    client = env.execute_async("stopped")
    assert signal.reached.wait(10)
    client.stop()
    result = client.result(timeout_s=10)
    assert result.status is JobStatus.SUSPENDED
    assert result.last_checkpoint is not None
    last = signal.rows[-1]

    env = checkpointed(tmp_path, job__resume="auto")
    signal = endless(env, 5)
    client = env.execute_async("stopped")
    assert signal.reached.wait(10)
    client.cancel()
    client.result(timeout_s=10)
    assert list(signal.rows)[:5] == [last + 1, last + 2, last + 3, last + 4, last + 5]


def test_stop_without_checkpoints_just_ends_the_job() -> None:
    env = StreamExecutionEnvironment()
    signal = endless(env)
    client = env.execute_async("no checkpoints")
    assert signal.reached.wait(10)
    client.stop()
    assert client.result(timeout_s=10).status is JobStatus.SUSPENDED


def test_stop_and_cancel_after_the_end_are_no_errors() -> None:
    env = StreamExecutionEnvironment()
    env.from_collection([1]).sink_to(DiscardingSink())
    client = env.execute_async()
    assert client.result(timeout_s=10).status is JobStatus.FINISHED
    client.stop()
    client.cancel()
    assert client.status() is JobStatus.FINISHED


def test_jobs_run_inside_a_running_event_loop() -> None:
    async def main() -> list[int]:
        rows = list(StreamExecutionEnvironment().from_collection([1, 2]).execute_and_collect())
        env = StreamExecutionEnvironment()
        env.from_collection([3]).sink_to(CollectSink(rows))
        env.execute()
        env.from_collection([4]).sink_to(CollectSink(rows))
        await asyncio.to_thread(env.execute_async().result, 10)
        return rows

    assert asyncio.run(main()) == [1, 2, 3, 4]


def test_collecting_gives_rows_while_the_job_runs() -> None:
    with StreamExecutionEnvironment().generate(lambda index: index).execute_and_collect() as rows:
        assert [next(rows) for _ in range(3)] == [0, 1, 2]
    assert rows.result().status is JobStatus.CANCELED


def test_collecting_twice_or_after_the_end_gives_nothing_more() -> None:
    rows = StreamExecutionEnvironment().from_collection([1]).execute_and_collect()
    assert list(rows) == [1]
    assert list(rows) == []
    rows.close()


def test_rows_come_before_the_failure() -> None:
    env = StreamExecutionEnvironment().configure("execution.batch_size", 1)
    rows = env.from_collection([4, 2, 0, 1]).map(lambda n: 8 // n).execute_and_collect()
    assert [next(rows), next(rows)] == [2, 4]
    with pytest.raises(JobFailedError, match="ZeroDivisionError"):
        next(rows)


def test_log_lines_of_functions_name_job_operator_and_subtask() -> None:
    class Talks(MapFunction[int, int]):
        def open(self, context: RuntimeContext) -> None:
            logging.getLogger("user").warning("opening")

        def map(self, value: int) -> int:
            logging.getLogger("user").warning("value %d", value)
            return value

    seen: list[Any] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append((record.getMessage(), record.job, record.operator, record.subtask))  # type: ignore[attr-defined]

    handler = Handler()
    handler.addFilter(ScopeFilter())
    logger = logging.getLogger("user")
    logger.addHandler(handler)
    try:
        stream = StreamExecutionEnvironment().from_collection([7, 8]).rebalance().map(Talks(), name="talks").set_parallelism(2)
        list(stream.execute_and_collect("logged"))
        logger.warning("outside")
    finally:
        logger.removeHandler(handler)
    assert seen[-1] == ("outside", "-", "-", "-")
    assert ("value 7", "logged", "0") in [(message, job, subtask) for message, job, _, subtask in seen]
    assert ("value 8", "logged", "1") in [(message, job, subtask) for message, job, _, subtask in seen]
    assert all("talks" in operator for message, _, operator, _ in seen if message != "outside")


def test_log_lines_of_the_coordinator_name_the_job(tmp_path: Path) -> None:
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.addFilter(ScopeFilter())
    handler.setFormatter(logging.Formatter("[%(job)s | %(operator)s | %(subtask)s] %(message)s"))
    logger = logging.getLogger("millstream")
    logger.addHandler(handler)

    def fail_once(value: int, seen: list[int] = []) -> int:  # noqa: B006 - outlives the attempt
        if not seen:
            seen.append(value)
            raise ValueError("once")
        return value

    try:
        env = StreamExecutionEnvironment().set_restart_strategy(RestartStrategies.fixed_delay(1, timedelta(0)))
        env.from_collection([1]).map(fail_once).sink_to(DiscardingSink())
        env.execute("falls")
    finally:
        logger.removeHandler(handler)
    assert lines.getvalue().startswith("[falls | - | -] job falls failed and is restarted")
