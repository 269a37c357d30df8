"""A report as text, JSON or JUnit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from millstream_testkit.report.model import ConnectorReport, DemandReport, Report


def as_text(report: Report) -> str:
    """For people, also without colours and wide windows."""
    head = f"Millstream conformance report, {report.started}, {report.sampling}"
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return "\n".join([head, versions, *(line for each in report.connectors for line in ["", *connector_lines(each, every=True)])]) + "\n"


def connector_lines(report: ConnectorReport, *, every: bool) -> list[str]:
    """One connector: all its demands, or those of which something is to be said."""
    origin = f" ({report.distribution} {report.version})" if report.distribution else ""
    ran = [each for each in report.demands if each.outcome != "not run"]
    met = len(ran) - len(report.failed)
    lines = [
        f"{report.subject} {report.connector}{origin}",
        f"  declares   {report.declares}",
        f"  demands    {met} of {len(ran)} met in {sum(each.cases for each in ran)} cases; {len(report.demands) - len(ran)} not run",
    ]
    if report.guarantee:
        lines.append(f"  guarantee  {report.guarantee}")
    for each in report.demands:
        if every or each.outcome == "failed" or each.notes:
            lines += _demand_lines(each, every=every)
    return lines if every else [*lines, *_not_run_lines(report)]


def _not_run_lines(report: ConnectorReport) -> list[str]:
    """What was not run, by reason."""
    reasons: dict[str, list[str]] = {}
    for each in report.demands:
        if each.outcome == "not run":
            reasons.setdefault(each.reason, []).append(each.demand)
    return [f"  not run    {reason}: {', '.join(demands)}" for reason, demands in sorted(reasons.items())]


def _demand_lines(report: DemandReport, *, every: bool) -> list[str]:
    count = f" [{report.cases} cases, {report.seconds:.1f} s]" if every and report.outcome != "not run" else ""
    lines = [f"  {report.outcome.upper() if report.outcome == 'failed' else report.outcome:<8} {report.demand}{count}"]
    if every or report.outcome == "failed":
        lines.append(f"           rule: {report.rule}")
    if report.reason:
        lines.append(f"           {report.reason}")
    for case, detail in report.failures.items():
        lines.append(f"           case: {case}")
        lines += [f"             {line}" for line in detail.splitlines()[:8]]
    return [*lines, *(f"           note: {note}" for note in report.notes)]


def as_json(report: Report) -> str:
    """For programs."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n"


def as_junit(report: Report) -> str:
    """For CI services: a suite per connector, a case per demand."""
    root = ET.Element("testsuites", name="millstream-testkit")
    for connector in report.connectors:
        suite = ET.SubElement(
            root,
            "testsuite",
            name=f"{connector.connector} ({connector.subject})",
            tests=str(len(connector.demands)),
            failures=str(len(connector.failed)),
            skipped=str(sum(each.outcome == "not run" for each in connector.demands)),
            time=f"{sum(each.seconds for each in connector.demands):.3f}",
            timestamp=report.started,
        )
        properties = ET.SubElement(suite, "properties")
        facts = {
            "distribution": connector.distribution,
            "version": connector.version,
            "declares": connector.declares,
            "guarantee": connector.guarantee,
            "sampling": report.sampling,
            **report.versions,
        }
        for name, value in facts.items():
            ET.SubElement(properties, "property", name=name, value=value)
        for each in connector.demands:
            _junit_case(suite, connector, each)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _junit_case(suite: ET.Element, connector: ConnectorReport, report: DemandReport) -> None:
    case = ET.SubElement(suite, "testcase", classname=connector.suite, name=report.demand, time=f"{report.seconds:.3f}")
    if report.outcome == "failed":
        text = "\n\n".join(f"{name}:\n{detail}" for name, detail in report.failures.items())
        ET.SubElement(case, "failure", message=report.rule).text = _allowed_in_xml(text)
    elif report.outcome == "not run":
        ET.SubElement(case, "skipped", message=report.reason)
    output = "\n".join([f"rule: {report.rule}", f"cases: {report.cases}", *(f"note: {note}" for note in report.notes)])
    ET.SubElement(case, "system-out").text = _allowed_in_xml(output)


def _allowed_in_xml(text: str) -> str:
    return "".join(letter if letter in "\n\t" or letter >= " " else "?" for letter in text)


WRITERS: Final[dict[str, Callable[[Report], str]]] = {".txt": as_text, ".json": as_json, ".xml": as_junit}
"""By the ending of the file's name."""


def write(report: Report, path: Path) -> None:
    """Writes a report in the format that the path's ending names, and makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(WRITERS[path.suffix](report))
