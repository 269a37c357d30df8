"""One look at a job as plain data: what goes to whoever watches it, in this process or another."""

from __future__ import annotations

from typing import Final

import msgspec

MOST_OF_A_PROBLEM: Final = 160
"""Characters of a failure that a report carries; the log has all of it."""


class SubtaskReport(msgspec.Struct, frozen=True, kw_only=True):
    """One operator of one subtask. Operators of a chain share a task, and with it state, place and times.

    Attributes:
        operator: its name. Metrics are kept by it: operators of one name show the same counts.
        uid: its uid.
        vertex: number of the chain it belongs to.
        subtask: 0-based index.
        parallelism: how many subtasks there are.
        attempt: number of the attempt, counted from 0; None while none is deployed.
        state: of the attempt; empty while none is deployed.
        where: TaskManager that runs it; empty while none does.
        records_in: in all attempts.
        records_out: likewise.
        watermark: event time it has come to, ms; None before the first watermark.
        busy_ms_per_s: share of the last seconds in which the task worked, in ms per second, 0 to 1,000; None where it is not measured.
        idle_ms_per_s: in which it had nothing to do, likewise.
        backpressured_ms_per_s: in which it waited for its consumers, likewise.
    """

    operator: str
    uid: str
    vertex: int
    subtask: int
    parallelism: int
    attempt: int | None = None
    state: str = ""
    where: str = ""
    records_in: int = 0
    records_out: int = 0
    watermark: int | None = None
    busy_ms_per_s: float | None = None
    idle_ms_per_s: float | None = None
    backpressured_ms_per_s: float | None = None


class CheckpointsReport(msgspec.Struct, frozen=True, kw_only=True):
    """The checkpoints of a job.

    Attributes:
        completed: since the job was started.
        failed: likewise.
        in_progress: how many are under way.
        last_id: the newest completed one, or the one the job was restored from; None without.
        last_duration_s: from its trigger until it was durable; 0.0 when none was completed.
        last_state_bytes: what it holds; 0 when none was completed.
        last_path: where the newest one is that is kept, for `--resume`; None when there is none.
        last_savepoint: where the last savepoint is that was taken since the job was started; None when none was.
    """

    completed: int = 0
    failed: int = 0
    in_progress: int = 0
    last_id: int | None = None
    last_duration_s: float = 0.0
    last_state_bytes: int = 0
    last_path: str | None = None
    last_savepoint: str | None = None


class JobReport(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a job.

    Attributes:
        job_name: its name.
        run_id: the run.
        status: value of a JobStatus.
        pid: the process that has the JobManager.
        started_ms: wall clock at the start of the job in this process.
        now_ms: wall clock at the look.
        elapsed_s: from the start to the look, or to the end of the job; by the monotonic clock.
        restarts: how often it was started again.
        problem: first line of the last failure, shortened; empty without.
        checkpoints: what is known of them.
        records_in: emitted by sources, in all attempts.
        records_out: given to sinks, likewise.
        watermark: lowest event time among the sinks that have one, ms; None when none has.
        operators: how many operators the job has.
        tasks: how many subtasks of chains.
        subtasks: each operator and subtask; empty in a look that leaves them out.
        accumulators: totals as text, by name; of tasks that have finished.
        resumable: whether the same command with `--resume auto` is worth trying after a failure; False where it would meet that failure
            again.
        ended_before: the run that was to be resumed had come to its end before; nothing was processed.
    """

    job_name: str
    run_id: str
    status: str
    pid: int
    started_ms: int
    now_ms: int
    elapsed_s: float
    restarts: int = 0
    problem: str = ""
    checkpoints: CheckpointsReport = CheckpointsReport()
    records_in: int = 0
    records_out: int = 0
    watermark: int | None = None
    operators: int = 0
    tasks: int = 0
    subtasks: tuple[SubtaskReport, ...] = ()
    accumulators: dict[str, str] = {}
    resumable: bool = True
    ended_before: bool = False


def in_short(error: BaseException) -> str:
    """The first line of what an error says, cut when it is long."""
    line = str(error).partition("\n")[0]
    return line if len(line) <= MOST_OF_A_PROBLEM else f"{line[: MOST_OF_A_PROBLEM - 1]}…"
