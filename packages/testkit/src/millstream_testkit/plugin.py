"""The pytest plugin: options, the report, and what the terminal shows at the end. pytest loads it by itself.

--millstream-report=PATH    writes a report; `.txt`, `.json` or `.xml` (JUnit) by the path's ending; may be given several times
--millstream-full           runs every case instead of a covering sample
--millstream-seed=N         of the sample
"""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from millstream_testkit.demands import DEFAULT_SEED, demand_of
from millstream_testkit.services.fixtures import millstream_kafka, millstream_proxied_kafka

if TYPE_CHECKING:
    from collections.abc import Generator

    from millstream_testkit.report.model import Entry, Outcome, Report

__all__ = ["millstream_kafka", "millstream_proxied_kafka"]

_ENDINGS = (".txt", ".json", ".xml")
_TIMEOUT_S = 300
"""Of one test that kills processes, where pytest-timeout is installed: its own limits come first, and say more."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options."""
    group = parser.getgroup("millstream", "Millstream conformance suites")
    group.addoption(
        "--millstream-report", action="append", default=[], metavar="PATH", help="write a report; .txt, .json or .xml (JUnit) by its ending"
    )
    group.addoption("--millstream-full", action="store_true", help="run every case instead of a covering sample")
    group.addoption("--millstream-seed", type=int, default=DEFAULT_SEED, metavar="N", help="seed of the sample (default: %(default)s)")


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker, and the collector of results where the results come together."""
    config.addinivalue_line("markers", "faults: kills real processes with SIGKILL at named crash points")
    for path in config.option.millstream_report:
        if Path(path).suffix not in _ENDINGS:
            msg = f"--millstream-report={path}: the ending says what is written. Name a file that ends with {', '.join(_ENDINGS)}."
            raise pytest.UsageError(msg)
    if not hasattr(config, "workerinput"):  # else the results go to the process that started this one (pytest-xdist)
        config.pluginmanager.register(_Results(config), "millstream-results")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that start processes may take longer than others."""
    if config.pluginmanager.hasplugin("timeout"):
        for item in items:
            made = demand_of(getattr(item, "function", None))
            if made is not None and made.kills and item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(_TIMEOUT_S))


def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """What is not demanded of a connector is shown apart from tests that were skipped, in the kit's own summary."""
    facts = getattr(report, "millstream", None)
    return ("not demanded", "-", "NOT DEMANDED") if facts is not None and facts["outcome"] == "not run" else None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds what the conformance report needs to the report of a test: a simple dict, so that it travels between processes."""
    report = yield
    suite, made = getattr(item, "cls", None), demand_of(getattr(item, "function", None))
    decides = report.when == "call" or (report.when == "setup" and not report.passed) or (report.when == "teardown" and report.failed)
    if suite is not None and made is not None and decides:
        report.millstream = _facts(item, suite, report)  # type: ignore[attr-defined]
    return report


def _facts(item: pytest.Item, suite: Any, report: pytest.TestReport) -> dict[str, Any]:
    from millstream_testkit.suites.base import NOTES

    made = demand_of(cast("Any", item).function)
    assert made is not None  # looked at by the caller
    harness = suite.made_harness()
    distribution, version = harness.distribution()
    case = getattr(item, "callspec", None)
    # A failure that is expected is a failure: whoever reads the report must not take the demand for met.
    expected = getattr(report, "wasxfail", None) is not None and report.skipped
    outcome: Outcome = "failed" if report.failed or expected else "passed" if report.passed else "not run"
    return {
        "connector": harness.name,
        "subject": suite.subject,
        "suite": suite.__name__,
        "distribution": distribution,
        "version": version,
        "declares": _declares(harness.declared()),
        "guarantee": harness.guarantee() if suite.complete else "",
        "suite_demands": sorted(suite.demands()),
        "demand": made.name,
        "rule": made.rule,
        "case": case.id if case is not None and "case" in case.params and case.params["case"] is not None else "",
        "outcome": outcome,
        "seconds": report.duration,
        "detail": f"expected: {report.wasxfail}" if expected else _detail(report),
        "notes": item.stash.get(NOTES, None) or [],
    }


def _declares(declared: Any) -> str:
    fields = getattr(declared, "__dataclass_fields__", None)
    if fields is None:
        return str(declared)
    values = {name: getattr(declared, name) for name in fields}
    return ", ".join(name if value is True else f"{name}={value}" for name, value in values.items() if value not in (False, None, ""))


def _detail(report: pytest.TestReport) -> str:
    if report.skipped and isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ").removeprefix("not run: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is not None:
        return str(crash.message)
    return str(report.longrepr) if report.failed else ""


class _Results:
    """Collects the results of one run, and shows and writes them at its end."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._started = datetime.now(UTC)
        self._entries: list[Entry] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        facts = getattr(report, "millstream", None)
        if facts is not None:
            from millstream_testkit.report.model import Entry

            self._entries.append(Entry(**{**facts, "notes": tuple(facts["notes"]), "suite_demands": tuple(facts["suite_demands"])}))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self._entries:
            return
        from millstream_testkit.report.formats import connector_lines, write

        report = self._report()
        terminalreporter.section(f"Millstream conformance ({report.sampling})")
        for connector in report.connectors:
            for line in connector_lines(connector, every=False):
                terminalreporter.line(line)
        for path in map(Path, self._config.option.millstream_report):
            write(report, path)
            terminalreporter.line(f"report: {path}")

    def _report(self) -> Report:
        from millstream_testkit.report.model import Report, summed_up

        options = self._config.option
        return Report(
            format=1,
            started=self._started.isoformat(timespec="seconds"),
            versions={
                "millstream-testkit": metadata.version("millstream-testkit"),
                "millstream-core": metadata.version("millstream-core"),
                "python": platform.python_version(),
            },
            sampling="every case" if options.millstream_full else f"sample, seed {options.millstream_seed}",
            connectors=summed_up(self._entries),
        )
