"""A look at a job, as whoever watches it receives it."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

import msgspec

from millstream import DiscardingSink, RestartStrategies, StreamExecutionEnvironment, WatermarkStrategy
from millstream.runtime.job_report import JobReport
from millstream.runtime.look import look_at


def build(parallelism: int = 2) -> StreamExecutionEnvironment:
    env = StreamExecutionEnvironment.get_execution_environment().enable_checkpointing(timedelta(milliseconds=20)).set_parallelism(parallelism)
    env.checkpoint_config.set_checkpoint_storage("memory")
    env.configure("checkpoint.keep_on_finish", True)
    return env


def numbers(env: StreamExecutionEnvironment, **more: Any) -> Any:
    in_order = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(lambda n: 60_000 + n)
    return env.generate(lambda n: n, watermark_strategy=in_order, uid="in", **more)


def test_a_report_of_a_running_job_says_where_each_subtask_is_and_comes_back_from_json_equal() -> None:
    env = build()
    numbers(env, count=100_000, rate_per_s=20_000).key_by(lambda n: n % 7).reduce(max, uid="highest").sink_to(DiscardingSink(), uid="out")
    job = env.launch("counted")
    try:
        job.start()
        job.run(lambda: look_at(job).checkpoints.completed > 0 and look_at(job).watermark is not None)
        job.run(lambda: look_at(job).checkpoints.in_progress == 1)
        job.run(lambda: look_at(job).checkpoints.in_progress == 0)
        report = look_at(job)
        brief = look_at(job, subtasks=False)
    finally:
        job.close()
    assert (report.job_name, report.status, report.pid) == ("counted", "running", os.getpid())
    assert report.run_id
    assert 0 < report.records_out <= report.records_in < 100_000
    assert report.elapsed_s > 0
    assert abs(report.now_ms - report.started_ms - report.elapsed_s * 1_000) < 1_000
    assert report.checkpoints.last_id == report.checkpoints.completed
    assert report.checkpoints.last_path is not None
    assert report.checkpoints.last_path.endswith(f"chk-{report.checkpoints.last_id}")
    assert [(one.uid, one.subtask, one.parallelism) for one in report.subtasks] == [(uid, n, 2) for uid in ("in", "highest", "out") for n in (0, 1)]
    for one in report.subtasks:
        assert (one.state, one.attempt) == ("running", 0)
        assert one.where
    assert sum(one.records_out for one in report.subtasks if one.uid == "in") == report.records_in
    assert min(one.watermark for one in report.subtasks if one.uid == "out" and one.watermark is not None) == report.watermark
    assert msgspec.json.decode(msgspec.json.encode(report), type=JobReport) == report
    assert (brief.subtasks, brief.operators, brief.tasks) == ((), 3, 4)


def test_times_of_a_task_are_those_of_all_its_operators() -> None:
    env = build(1)
    numbers(env, count=10).map(lambda n: n, uid="same").sink_to(DiscardingSink(), uid="out")
    job = env.launch("timed")
    try:
        job.start()
        times = [(one.busy_ms_per_s, one.idle_ms_per_s, one.backpressured_ms_per_s) for one in look_at(job).subtasks]
    finally:
        job.close()
    assert len(times) == 3
    assert len(set(times)) == 1
    assert sum(each or 0 for each in times[0]) == 1_000


def test_a_report_of_a_job_that_is_over_says_how_it_ended_and_what_is_kept() -> None:
    env = build(1)
    numbers(env, count=10).sink_to(DiscardingSink(), uid="out")
    job = env.launch("ended")
    job.start()
    job.run()
    job.close()
    report = look_at(job)
    assert (report.status, report.records_in, report.records_out) == ("finished", 10, 10)
    assert report.checkpoints.last_path == job.result().last_checkpoint is not None
    assert {(one.state, one.where, one.attempt) for one in report.subtasks} == {("", "", None)}


def test_a_restart_is_reported_with_the_first_line_of_its_reason_shortened() -> None:
    def fail(n: int) -> int:
        raise ConnectionError("the lookup service is gone" + " and gone" * 100 + "\nsecond line")

    env = build(1).set_restart_strategy(RestartStrategies.fixed_delay(1, timedelta(hours=1)))
    numbers(env, count=10).map(fail, uid="lookup").sink_to(DiscardingSink(), uid="out")
    job = env.launch("lookups")
    try:
        job.start()
        job.run(lambda: look_at(job).restarts > 0)
        report = look_at(job)
    finally:
        job.close()
    assert report.status == "restarting"
    assert report.problem.startswith("ConnectionError: the lookup service is gone and gone")
    assert len(report.problem) == 160
    assert report.problem.endswith("…")
