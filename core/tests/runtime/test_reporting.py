"""Reporters see the numbers of a job, and their trouble is not the job's."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from millstream import StreamExecutionEnvironment
from millstream.contracts.metrics_reporter import MetricsReporter
from millstream.plugins import PluginManager, hookimpl
from millstream.plugins.entries import MetricsReporterEntry
from millstream.runtime.reporting import read

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pytest

seen: list[dict[str, Any]] = []


class Remembering(MetricsReporter):
    def report(self, metrics: Iterable[tuple[tuple[str, ...], Any]]) -> None:
        seen.append({".".join(scope): read(metric) for scope, metric in metrics})


class Broken(MetricsReporter):
    def report(self, metrics: Iterable[tuple[tuple[str, ...], Any]]) -> None:
        raise OSError("nobody listens")


class Plugin:
    @hookimpl
    def millstream_metrics_reporters(self) -> Iterator[MetricsReporterEntry]:
        yield MetricsReporterEntry(name="remembering", factory=f"{__name__}:Remembering", description="for this test")
        yield MetricsReporterEntry(name="broken", factory=f"{__name__}:Broken", description="for this test")


def run(*reporters: str) -> None:
    import millstream_memory.plugin

    plugins = PluginManager.with_plugins([Plugin(), millstream_memory.plugin])
    environment = StreamExecutionEnvironment({"metrics.reporters": reporters}, plugins=plugins)
    environment.from_collection([1, 2, 3]).filter(lambda value: value > 1, name="large").sink_to(discarding())
    environment.execute("numbers")


def discarding() -> Any:
    from millstream import DiscardingSink

    return DiscardingSink()


def test_a_reporter_gets_every_metric_by_job_operator_and_subtask_when_the_job_ends() -> None:
    seen.clear()
    run("remembering")
    assert seen[-1]["numbers.large.0.numRecordsIn"] == 3
    assert seen[-1]["numbers.large.0.numRecordsOut"] == 2


def test_a_reporter_that_raises_is_logged_and_the_job_ends_well(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        run("broken")
    assert "metrics reporter Broken: nobody listens" in caplog.text
