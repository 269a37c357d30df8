"""A conformance report as data. Each test becomes an Entry; entries of one demand are added up."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Outcome: TypeAlias = Literal["passed", "failed", "not run"]


class Entry(msgspec.Struct, frozen=True):
    """One test.

    Attributes:
        connector: name of the harness.
        subject: what the suite is about: sink, source, ...
        suite: name of the suite's class.
        distribution: that the connector comes from, empty for none.
        version: of it.
        declares: its capabilities, as text.
        guarantee: what it gives when all is proved; empty for none.
        suite_demands: everything that the suite demands.
        demand: name.
        rule: what must hold.
        case: what it was tried with, empty for a single try.
        outcome: of the test.
        seconds: that it took.
        detail: what failed, or why it was not run.
        notes: what else was seen.
    """

    connector: str
    subject: str
    suite: str
    distribution: str
    version: str
    declares: str
    guarantee: str
    demand: str
    rule: str
    case: str
    outcome: Outcome
    seconds: float
    suite_demands: tuple[str, ...]
    detail: str = ""
    notes: tuple[str, ...] = ()


class DemandReport(msgspec.Struct, frozen=True):
    """All cases of one demand.

    Attributes:
        outcome: failed if one failed; passed if one was run.
        cases: how many were run.
        failures: case and what was wrong, of those that failed.
        reason: why it was not run.
    """

    demand: str
    rule: str
    outcome: Outcome
    cases: int
    seconds: float
    failures: dict[str, str] = {}
    reason: str = ""
    notes: tuple[str, ...] = ()


class ConnectorReport(msgspec.Struct, frozen=True):
    """One connector in one suite.

    Attributes:
        guarantee: the resulting one: what the connector declares, if everything was run that is demanded of it, and nothing failed; else
            `not proved`, and why.
    """

    connector: str
    subject: str
    suite: str
    distribution: str
    version: str
    declares: str
    guarantee: str
    demands: list[DemandReport]

    @property
    def failed(self) -> list[DemandReport]:
        """Demands that are not met."""
        return [each for each in self.demands if each.outcome == "failed"]


class Report(msgspec.Struct, frozen=True):
    """A whole run.

    Attributes:
        format: number of this layout; fields are only ever added.
        started: date and time, ISO 8601 in UTC.
        versions: of the kit, the engine and Python.
        sampling: `full`, or `sample, seed N`.
    """

    format: int
    started: str
    versions: dict[str, str]
    sampling: str
    connectors: list[ConnectorReport]


def summed_up(entries: list[Entry]) -> list[ConnectorReport]:
    """The entries, by connector and demand."""
    by_connector: dict[tuple[str, str, str], list[Entry]] = {}
    for entry in entries:
        by_connector.setdefault((entry.distribution, entry.connector, entry.suite), []).append(entry)
    return [_connector(found) for _, found in sorted(by_connector.items())]


def _connector(entries: list[Entry]) -> ConnectorReport:
    by_demand: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: (entry.demand, entry.case)):
        by_demand.setdefault(entry.demand, []).append(entry)
    first = entries[0]
    left_out = set(first.suite_demands) - set(by_demand)
    failed = any(entry.outcome == "failed" for entry in entries)
    not_proved = "not proved" if failed else f"not proved: {len(left_out)} demands were left out of this run" if left_out else ""
    return ConnectorReport(
        connector=first.connector,
        subject=first.subject,
        suite=first.suite,
        distribution=first.distribution,
        version=first.version,
        declares=first.declares,
        guarantee=(not_proved or first.guarantee) if first.guarantee else "",
        demands=[_demand(found) for found in by_demand.values()],
    )


def _demand(entries: list[Entry]) -> DemandReport:
    failures = {entry.case or "-": entry.detail for entry in entries if entry.outcome == "failed"}
    ran = [entry for entry in entries if entry.outcome != "not run"]
    return DemandReport(
        demand=entries[0].demand,
        rule=entries[0].rule,
        outcome="failed" if failures else "passed" if ran else "not run",
        cases=len(ran),
        seconds=round(sum(entry.seconds for entry in entries), 3),
        failures=failures,
        reason="" if ran else entries[0].detail,
        notes=tuple(dict.fromkeys(note for entry in entries for note in entry.notes)),
    )
