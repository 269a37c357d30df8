"""Tables of the README and of docs/ say what the code says."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
import tomllib
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from millstream import DiscardingSink, StreamExecutionEnvironment
from millstream.cli.app import COMMANDS
from millstream.contracts.guarantee import SinkCapabilities, SourceCapabilities
from millstream.graph.guarantee import legs
from millstream.ports import CRASH_POINTS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]


def table(page: str, head: str) -> list[list[str]]:
    """The rows of the table whose first column has that head, as lists of cells."""
    text = (ROOT / page).read_text()
    found = re.search(rf"^\| {head} \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert found is not None, f"{page} has no table that begins with {head!r}"
    return [[cell.strip() for cell in line.strip().strip("|").split(" | ")] for line in found[1].splitlines()]


def test_the_table_of_crash_points_lists_each_point_once_in_order() -> None:
    rows = table("docs/exactly-once.md", "point")
    assert [(name.strip("`"), state) for name, state, _ in rows] == list(CRASH_POINTS.items())
    assert all(what for _, _, what in rows)


def test_the_page_of_demands_says_what_the_suites_demand() -> None:
    written = runpy.run_path(str(ROOT / "tools/demands_table.py"))["page"]()
    assert (ROOT / "docs/testkit/demands.md").read_text() == written, "run python tools/demands_table.py"


SOURCES = {"not replayable": SourceCapabilities(replayable=False), "replayable": SourceCapabilities(replayable=True)}
CHECKPOINTS: dict[str, dict[str, Any]] = {
    "off": {"checkpointing": False, "mode": "exactly_once", "durable": True},
    "in memory": {"checkpointing": True, "mode": "exactly_once", "durable": False},
    "at-least-once mode": {"checkpointing": True, "mode": "at_least_once", "durable": True},
    "exactly-once mode": {"checkpointing": True, "mode": "exactly_once", "durable": True},
}
SINKS = {
    "plain": [SinkCapabilities(kind="plain")],
    "idempotent": [SinkCapabilities(kind="idempotent")],
    "write-ahead, with atomic marker and fencing": [SinkCapabilities(kind="write_ahead", atomic_marker=True, fencing=True)],
    "write-ahead, without one of them": [
        SinkCapabilities(kind="write_ahead", atomic_marker=True),
        SinkCapabilities(kind="write_ahead", fencing=True),
    ],
    "two-phase commit, prepared work outlives the process": [SinkCapabilities(kind="two_phase_commit", prepared_survives_disconnect=True)],
    "two-phase commit, it does not": [SinkCapabilities(kind="two_phase_commit")],
}


def computed(source: SourceCapabilities, checkpoints: dict[str, Any], sink: SinkCapabilities) -> str:
    env = StreamExecutionEnvironment()
    env.from_collection([1]).sink_to(DiscardingSink())
    graph, env.graph = env.graph, type(env.graph)()
    object.__setattr__(graph.nodes[0].source, "capabilities", source)
    object.__setattr__(graph.nodes[1].sink, "capabilities", sink)
    (leg,) = legs(graph, **checkpoints)
    return leg.guarantee.label.replace("_", " ")


@pytest.mark.parametrize("page", ["README.md", "docs/exactly-once.md"])
def test_the_table_of_guarantees_says_what_is_computed(page: str) -> None:
    rows = table(page, "source")
    used = set()
    for source, checkpoints, sink in product(SOURCES, CHECKPOINTS, SINKS):
        here = (source, checkpoints, sink)
        row = next(row for row in rows if all(cell in (word, "any") for cell, word in zip(row, here)))
        used.add(tuple(row))
        for capabilities in SINKS[sink]:
            assert computed(SOURCES[source], CHECKPOINTS[checkpoints], capabilities) == row[3], here
    assert used == {tuple(row) for row in rows}, "a row that never applies"


def test_every_check_that_the_architecture_names_exists() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = {contract["name"] for contract in settings["tool"]["importlinter"]["contracts"]}
    names = [name for _, held_by in table("docs/architecture.md", "invariant") for name in re.findall(r"`([^`]+)`", held_by)]
    assert len(names) > 50
    assert [name for name in names if not exists(name, contracts)] == []


def exists(name: str, contracts: set[str]) -> bool:
    path, _, test = name.partition("::")
    if not test:
        return name in contracts or (ROOT / name).is_file()
    return (ROOT / path).is_file() and re.search(rf"^ *def {test}\(", (ROOT / path).read_text(), re.MULTILINE) is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    missing = [target for target in targets if "://" not in target and not leads_somewhere(page, target)]
    assert missing == []


def leads_somewhere(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    if not file.exists():
        return False
    headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE) if anchor else []
    return not anchor or anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_flowchart_of_the_main_job_is_what_plan_prints_and_mermaid_reads() -> None:
    command = [sys.executable, "-m", "millstream.cli.entry", "plan", "examples/demo/job.py", "-p", "2", "--format", "mermaid"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=50).stdout
    shown = re.search(r"^```mermaid\n(.*?)^```$", (ROOT / "docs/tools.md").read_text(), re.MULTILINE | re.DOTALL)
    assert shown is not None
    assert shown[1] == printed
    chart = runpy.run_path(str(ROOT / "core/tests/cli/test_plan_formats.py"))["parse"](printed)
    assert [text for _, text in chart.nodes.values()] == [
        "source files(readings)\nuid readings",
        "operator window reduce\nuid lowest",
        "sink sink(FileSink)\nuid windows",
    ]


def test_the_page_of_tools_lists_every_command() -> None:
    assert [row[0].strip("`") for row in table("docs/tools.md", "command")] == list(COMMANDS)
