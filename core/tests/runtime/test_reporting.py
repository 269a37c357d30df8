"""Reporters see the numbers of a job, and their trouble is not the job's."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from millstream import StreamExecutionEnvironment
from millstream.contracts.metrics_reporter import MetricsReporter
from millstream.errors import InvalidArgument
from millstream.plugins import PluginManager, hookimpl
from millstream.plugins.entries import MetricsReporterEntry
from millstream.runtime.reporting import read

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

seen: list[dict[str, Any]] = []


class Remembering(MetricsReporter):
    def report(self, metrics: Iterable[tuple[tuple[str, ...], Any]]) -> None:
        seen.append({".".join(scope): read(metric) for scope, metric in metrics})


class Broken(MetricsReporter):
    def report(self, metrics: Iterable[tuple[tuple[str, ...], Any]]) -> None:
        raise OSError("nobody listens")


class Renaming(Remembering):
    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

    def report(self, metrics: Iterable[tuple[tuple[str, ...], Any]]) -> None:
        super().report(((self._prefix, *scope), metric) for scope, metric in metrics)


class Plugin:
    @hookimpl
    def millstream_metrics_reporters(self) -> Iterator[MetricsReporterEntry]:
        yield MetricsReporterEntry(name="remembering", factory=f"{__name__}:Remembering", description="for this test")
        yield MetricsReporterEntry(name="renaming", factory=f"{__name__}:Renaming", description="for this test")
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


def test_what_stands_behind_the_colon_is_given_to_the_reporter() -> None:
    seen.clear()
    run("renaming:at home")
    assert seen[-1]["at home.numbers.large.0.numRecordsIn"] == 3


@pytest.mark.parametrize("name", ["log", "remembering"])
def test_an_argument_for_a_reporter_that_takes_none_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument, match=rf"metrics\.reporters.*{name}:9249.*{name} alone: this reporter takes no argument"):
        run(f"{name}:9249")


def test_a_reporter_is_told_of_the_whole_job_without_operator_and_subtask() -> None:
    seen.clear()
    run("remembering")
    assert seen[-1]["numbers...numRestarts"] == 0
    assert seen[-1]["numbers...numberOfCompletedCheckpoints"] == 1  # the last one of a bounded input
    assert seen[-1]["numbers...uptime"] >= 0


def test_the_log_names_what_belongs_to_the_whole_job_without_gaps(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        run("log")
    assert "numbers.numRestarts = 0" in caplog.text
