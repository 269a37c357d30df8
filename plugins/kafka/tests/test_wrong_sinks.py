"""The test kit catches Kafka sinks that are wrong, on a real broker: each by the demand that names its fault."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from millstream_testkit.services import KafkaService

pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.one_python,
    pytest.mark.xdist_group("wrong_sinks"),
]  # whichever test comes first runs the kit over all wrong sinks

WRONG = Path(__file__).with_name("wrong")

BY_CALLS = [
    ("two_phase", "OneProducer", "a_handle_never_commits_a_later_epoch", "after the handle of the first of three epochs was committed"),
    ("two_phase", "PooledProducers", "a_handle_never_commits_a_later_epoch", "after a committed epoch was committed again"),
    ("two_phase", "CommitsAtPrepare", "nothing_is_visible_before_its_commit", "10 records are visible at the barrier"),
    ("two_phase", "CommitsOnTheNextSnapshot", "a_later_barrier_commits_nothing", "after the barriers of two checkpoints, of which none is complete"),
    ("two_phase", "SkipsTheFlush", "a_recovery_commits_every_waiting_epoch", "a reader finds 30 missing"),
    ("two_phase", "InitBeforeEnd", "a_recovery_commits_every_waiting_epoch", "LostEpoch"),
    ("two_phase", "TakesUnknownForCommitted", "an_aborted_epoch_cannot_be_committed", "its records are lost, and nobody is told"),
    ("two_phase", "NeverAborts", "lingering_work_is_aborted", "its handle can still commit it"),
    ("exactly_once", "NoFence", "an_older_attempt_is_fenced", "it must raise Fenced first"),
    ("exactly_once", "OneIdForAll", "runs_sinks_and_lanes_are_kept_apart", "a newer attempt has fenced it"),
    ("exactly_once", "OneMarkerForAll", "the_marker_moves_with_the_records", "another run finds the marker of this one"),
]
"""Found within milliseconds, by calls: file, suite, demand, and what is said."""

BY_KILLS = [
    ("exactly_once", "MarkerApart", "crash_between_any_two_calls_of_a_commit[8/16]", "doubled"),
    ("two_phase", "NewestEndTxnUnproved", "crash_at_every_point[sink.commit.after#last]", "can be found neither prepared nor committed"),
]
"""Found only where a process dies."""

RIGHT_BY_CALLS = [
    ("two_phase", "SlowToSend", "a_recovery_commits_every_waiting_epoch"),
    ("two_phase", "NewestEndTxn", "a_repeated_commit_changes_nothing"),
]
RIGHT_BY_KILLS = [("two_phase", "BelievesTheCoordinator", "crash_at_every_point[sink.commit.after#last]")]
"""The same without the mistake, or with what makes it good: so it is the mistake that is found, not how the wrong sinks are made."""

PLAIN = "committed_records_are_visible"
"""What every wrong sink can do: without the demands above it would pass for a right one."""


def run_suites(broker: KafkaService, folder: Path, nodes: Iterable[tuple[str, str, str]]) -> dict[tuple[str, str], Any]:
    """The kit's report on each demand, by suite and demand, from a pytest of its own that uses the same broker."""
    report = folder / "report.json"
    tests = [f"{WRONG / file}.py::Test{sink}::test_{demand}" for file, sink, demand in nodes]
    command = [sys.executable, "-m", "pytest", "-q", *tests, f"--millstream-report={report}"]
    command += ["-p", "no:randomly", "-p", "no:cacheprovider", f"--basetemp={folder / 'tmp'}"]
    environment = {**os.environ, "MILLSTREAM_TEST_KAFKA": broker.bootstrap}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=360, check=False)
    assert report.exists(), done.stdout + done.stderr
    connectors = json.loads(report.read_text())["connectors"]
    return {(connector["suite"], demand["demand"]): demand for connector in connectors for demand in connector["demands"]}


@pytest.fixture(scope="module")
def by_calls(millstream_kafka: KafkaService, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Any]:
    plain = [(file, sink, PLAIN) for file, sink, *_ in BY_CALLS + BY_KILLS]
    nodes = [*(case[:3] for case in BY_CALLS), *RIGHT_BY_CALLS, *plain]
    return run_suites(millstream_kafka, tmp_path_factory.mktemp("by-calls"), nodes)


@pytest.fixture(scope="module")
def by_kills(millstream_kafka: KafkaService, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Any]:
    nodes = [*(case[:3] for case in BY_KILLS), *RIGHT_BY_KILLS]
    return run_suites(millstream_kafka, tmp_path_factory.mktemp("by-kills"), nodes)


def assert_caught(reports: dict[tuple[str, str], Any], sink: str, demand: str, finding: str) -> None:
    found = reports[f"Test{sink}", demand.partition("[")[0]]
    assert found["outcome"] == "failed", found
    assert any(finding in detail for detail in found["failures"].values()), found


def ids_of(cases: Iterable[tuple[str, ...]]) -> list[str]:
    return [case[1] for case in cases]


@pytest.mark.parametrize(("sink", "demand", "finding"), [case[1:] for case in BY_CALLS], ids=ids_of(BY_CALLS))
def test_a_wrong_sink_is_caught_by_the_demand_that_names_its_fault(
    sink: str, demand: str, finding: str, by_calls: dict[tuple[str, str], Any]
) -> None:
    assert_caught(by_calls, sink, demand, finding)


@pytest.mark.parametrize("sink", ids_of(BY_CALLS + BY_KILLS))
def test_a_wrong_sink_passes_where_nothing_goes_wrong(sink: str, by_calls: dict[tuple[str, str], Any]) -> None:
    assert by_calls[f"Test{sink}", PLAIN]["outcome"] == "passed"


@pytest.mark.parametrize(("sink", "demand"), [case[1:] for case in RIGHT_BY_CALLS], ids=ids_of(RIGHT_BY_CALLS))
def test_the_same_sink_without_the_mistake_meets_the_demand(sink: str, demand: str, by_calls: dict[tuple[str, str], Any]) -> None:
    assert by_calls[f"Test{sink}", demand]["outcome"] == "passed"


@pytest.mark.faults
@pytest.mark.parametrize(("sink", "demand", "finding"), [case[1:] for case in BY_KILLS], ids=ids_of(BY_KILLS))
def test_a_wrong_sink_is_caught_when_its_process_dies(sink: str, demand: str, finding: str, by_kills: dict[tuple[str, str], Any]) -> None:
    assert_caught(by_kills, sink, demand, finding)


@pytest.mark.faults
@pytest.mark.parametrize(("sink", "demand"), [case[1:] for case in RIGHT_BY_KILLS], ids=ids_of(RIGHT_BY_KILLS))
def test_the_same_sink_without_the_mistake_survives_its_process(sink: str, demand: str, by_kills: dict[tuple[str, str], Any]) -> None:
    assert by_kills[f"Test{sink}", demand.partition("[")[0]]["outcome"] == "passed"
