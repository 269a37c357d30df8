"""What each section of the settings accepts, made in code."""

from __future__ import annotations

import dataclasses
import pickle
from datetime import timedelta
from pathlib import Path

import pytest

from millstream.config import CheckpointConfig, ExecutionConfig, JobConfig, LoggingConfig, MetricsConfig, RestartConfig, Settings
from millstream.errors import SettingInvalid, SettingsConflict


def test_defaults_are_safe_and_documented():
    settings = Settings()
    assert settings.job.resume == "ask"
    assert settings.job.parallelism == 1
    assert settings.checkpoint.interval is None
    assert settings.checkpoint.retention == "delete_on_cancellation"
    assert settings.restart.strategy is None
    assert settings.execution.batch_size == 1_000
    for section in dataclasses.fields(settings):
        for spec in getattr(settings, section.name).specs().values():
            assert spec.about
            assert spec.read(spec.default, "default", in_code=True) == spec.default


def test_settings_are_frozen_and_travel_to_workers():
    settings = Settings(checkpoint=CheckpointConfig(interval=timedelta(seconds=10)))
    assert pickle.loads(pickle.dumps(settings)) == settings
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.checkpoint.interval = None  # type: ignore[misc]


def test_duration_in_code_is_a_timedelta_or_a_text_with_a_unit():
    assert CheckpointConfig(interval="10s").interval == timedelta(seconds=10)
    assert CheckpointConfig(interval=timedelta(milliseconds=1)).interval == timedelta(milliseconds=1)


@pytest.mark.parametrize("interval", [10, 10.0, "10", timedelta(0), timedelta(seconds=-1), timedelta(microseconds=1), timedelta.max, True, "off"])
def test_duration_in_code_that_could_be_misread_or_is_out_of_range_is_refused(interval):
    with pytest.raises(SettingInvalid, match="Allowed: a duration of at least 1ms") as caught:
        CheckpointConfig(interval=interval)
    assert caught.value.key == "checkpoint.interval"
    assert caught.value.origin == "code"


@pytest.mark.parametrize(
    ("make", "key"),
    [
        (lambda: CheckpointConfig(mode="exactly-once"), "checkpoint.mode"),
        (lambda: CheckpointConfig(timeout=timedelta(0)), "checkpoint.timeout"),
        (lambda: CheckpointConfig(max_concurrent=0), "checkpoint.max_concurrent"),
        (lambda: CheckpointConfig(tolerable_failures=-1), "checkpoint.tolerable_failures"),
        (lambda: CheckpointConfig(retained=0), "checkpoint.retained"),
        (lambda: CheckpointConfig(retention="retain"), "checkpoint.retention"),
        (lambda: CheckpointConfig(storage=""), "checkpoint.storage"),
        (lambda: CheckpointConfig(storage="memmory"), "checkpoint.storage"),
        (lambda: CheckpointConfig(keep_on_finish=1), "checkpoint.keep_on_finish"),
        (lambda: JobConfig(parallelism=0), "job.parallelism"),
        (lambda: JobConfig(parallelism="2"), "job.parallelism"),
        (lambda: JobConfig(parallelism=True), "job.parallelism"),
        (lambda: JobConfig(max_parallelism=32_769), "job.max_parallelism"),
        (lambda: JobConfig(guarantee="twice"), "job.guarantee"),
        (lambda: JobConfig(name="../other"), "job.name"),
        (lambda: JobConfig(name="a/b"), "job.name"),
        (lambda: JobConfig(name=""), "job.name"),
        (lambda: JobConfig(name="a\nb"), "job.name"),
        (lambda: JobConfig(name="x" * 129), "job.name"),
        (lambda: JobConfig(resume="atuo"), "job.resume"),
        (lambda: JobConfig(resume="Never"), "job.resume"),
        (lambda: ExecutionConfig(batch_size=0), "execution.batch_size"),
        (lambda: ExecutionConfig(watermark_interval=timedelta(0)), "execution.watermark_interval"),
        (lambda: ExecutionConfig(seed=-1), "execution.seed"),
        (lambda: RestartConfig(multiplier=0.5), "restart.multiplier"),
        (lambda: RestartConfig(multiplier=float("nan")), "restart.multiplier"),
        (lambda: RestartConfig(multiplier=float("inf")), "restart.multiplier"),
        (lambda: RestartConfig(jitter=1.1), "restart.jitter"),
        (lambda: RestartConfig(strategy="always"), "restart.strategy"),
        (lambda: MetricsConfig(reporters="prometheus"), "metrics.reporters"),
        (lambda: MetricsConfig(reporters=("a", "a")), "metrics.reporters"),
        (lambda: LoggingConfig(level="loud"), "logging.level"),
    ],
)
def test_value_out_of_range_is_refused_by_key(make, key):
    with pytest.raises(SettingInvalid) as caught:
        make()
    assert caught.value.key == key
    assert f"{key} is {caught.value.value} (code). Allowed: " in str(caught.value)


def test_pause_with_several_checkpoints_at_a_time_is_refused_with_the_fix():
    with pytest.raises(SettingsConflict, match=r"checkpoint\.min_pause is 10s and checkpoint\.max_concurrent is 2: .*so only one can be") as caught:
        CheckpointConfig(min_pause=timedelta(seconds=10), max_concurrent=2)
    assert caught.value.fix == "Set checkpoint.max_concurrent to 1, or checkpoint.min_pause to 0s"


def test_several_checkpoints_at_a_time_are_taken_unless_there_is_to_be_a_pause_between_them():
    assert CheckpointConfig(max_concurrent=2).max_concurrent == 2
    with pytest.raises(SettingsConflict, match="so only one can be under way"):
        CheckpointConfig(max_concurrent=2, min_pause=timedelta(seconds=1))


def test_more_subtasks_than_key_groups_are_refused():
    with pytest.raises(SettingsConflict, match="cannot be more subtasks than key groups"):
        JobConfig(parallelism=9, max_parallelism=8)
    assert JobConfig(parallelism=8, max_parallelism=8).max_parallelism == 8


def test_first_wait_longer_than_the_longest_is_refused():
    with pytest.raises(SettingsConflict, match=r"Raise restart\.max"):
        RestartConfig(strategy="exponential_delay", initial=timedelta(minutes=2))


@pytest.mark.parametrize("option", [{"attempts": 60}, {"delay": timedelta(seconds=10)}, {"failure_rate": 3}])
def test_option_without_the_strategy_it_belongs_to_is_refused(option):
    [name] = option
    with pytest.raises(SettingsConflict, match=rf"restart\.{name} has no effect on the default strategy"):
        RestartConfig(**option)
    assert getattr(RestartConfig(strategy="none", **option), name) == option[name]


def test_options_of_the_default_strategy_need_no_strategy():
    assert RestartConfig(initial=timedelta(seconds=5)).initial == timedelta(seconds=5)


def test_path_is_taken_where_a_path_makes_sense():
    assert JobConfig(resume=Path("/ck/chk-7")).resume == "/ck/chk-7"
    assert CheckpointConfig(storage=Path("ck")).storage == "ck"
    assert JobConfig(resume="./auto").resume == "./auto"
    assert CheckpointConfig(storage="file:///ck").storage == "file:///ck"


def test_password_of_a_url_is_not_shown_when_the_value_is_refused():
    with pytest.raises(SettingInvalid) as caught:
        CheckpointConfig(storage=["s3://key:hunter2@bucket" + "x" * 200])
    assert "hunter2" not in str(caught.value)
    assert len(caught.value.value) <= 80
