"""`millstream plan --from`: what a restore would do, and whether it would be accepted, without changing anything."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

CHECKPOINTED = (Path(__file__).parent / "conftest.py").read_text().partition('CHECKPOINTED = """')[2].partition('"""')[0]


def rows(output: str, title: str) -> dict[str, list[str]]:
    lines = output[output.index(f"{title}\n") :].split("\n\n")[0].splitlines()[2:]
    cells = [re.split(" {2,}", line.strip()) for line in lines]
    return {row[0] if title == "Operators" else f"{row[0]}/{row[1]}": row[1 if title == "Operators" else 2 :] for row in cells}


@pytest.fixture
def same(script: Any, checkpoints: Path) -> str:
    """The job that left the checkpoints."""
    return str(script(CHECKPOINTED))


def test_the_same_job_at_another_parallelism(invoke: Any, same: str, checkpoints: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in checkpoints.rglob("*")}
    result = invoke("plan", same, "--from", checkpoints, "-p", "3")
    assert result.exit_code == 0, result.output + result.stderr
    newest = max(checkpoints.glob("readings/chk-*"), key=lambda path: int(path.name[4:]))
    assert result.output.startswith(f"From {newest}: final {newest.name[4:]}, to job 'readings'\n")
    assert result.output.endswith("\n\nA restore would be accepted.\n")
    operators, states = rows(result.output, "Operators"), rows(result.output, "States")
    assert operators["last"] == ["process(Last)", "matched", "1 -> 3", "128"]
    assert states["last/last"] == ["value", "5", "at open", "declared when the operator opens"]
    assert states["newest/@rolling"][:3] == ["rolling", "5", "matched"]
    assert "lane l goes to subtask l mod 3: lanes 0" in states["files/two-phase-commit"][-1]
    assert "are committed before its first record" in states["files/two-phase-commit"][-1]
    assert {path: path.stat().st_mtime_ns for path in checkpoints.rglob("*")} == before


CHANGED = (
    CHECKPOINTED.replace('uid="newest"', 'uid="newest-v2"')
    .replace("value: int", "value: str")
    .replace("Reading(str(index % 5), index)", 'Reading(str(index % 5), "x")')
)


def test_all_that_does_not_fit_and_the_exit_code(invoke: Any, script: Any, checkpoints: Path) -> None:
    result = invoke("plan", script(CHANGED), "--from", checkpoints, "-s", "job.max_parallelism=64")
    assert result.exit_code == 1, result.output
    assert "A restore would be refused, for 2 reasons:\n  1. operator 'generator' (uid 'readings')" in result.output
    assert "Set max_parallelism=128" in result.output
    assert "Is it operator 'reduce', whose uid 'newest-v2' is new? Give an operator uid='newest'" in result.output
    assert rows(result.output, "Operators")["newest-v2"] == ["reduce", "new", "1", "64"]
    assert rows(result.output, "Operators")["newest"] == ["reduce", "dropped", "1", "128"]


def test_left_behind_when_that_is_allowed(invoke: Any, script: Any, checkpoints: Path) -> None:
    result = invoke("plan", script(CHANGED), "--from", checkpoints, "--allow-non-restored-state")
    assert result.exit_code == 0, result.output
    assert "Left behind: it holds state of operator 'reduce' (uid 'newest'), which the job no longer has.\nA restore would be acc" in result.output


def test_a_state_that_is_read_in_another_form_and_one_that_cannot_be(invoke: Any, script: Any, checkpoints: Path) -> None:
    wider = CHECKPOINTED.replace("value: int", "value: float").replace("index % 5), index)", "index % 5), float(index))")
    result = invoke("plan", script(wider), "--from", checkpoints)
    assert result.exit_code == 0, result.output
    assert rows(result.output, "States")["newest/@rolling"][2] == "retyped"
    result = invoke("plan", script(CHANGED.replace("newest-v2", "newest")), "--from", checkpoints, "--json")
    assert result.exit_code == 1
    plan = json.loads(result.stdout)
    assert plan["accepted"] is False
    (newest,) = [operator for operator in plan["operators"] if operator["uid"] == "newest"]
    assert newest["states"][0]["verdict"] == "refused"
    assert "field 'value'" in newest["states"][0]["note"]
    assert "field 'value'" in plan["mismatches"][0]


def test_run_says_the_same_before_anything_starts(invoke: Any, script: Any, checkpoints: Path) -> None:
    path = max(checkpoints.glob("readings/chk-*"), key=lambda folder: int(folder.name[4:]))
    job = script(CHANGED)
    planned = invoke("plan", job, "--from", path).output
    result = invoke("run", job, "--checkpoint-dir", "elsewhere", "--resume", path)
    assert result.exit_code == 1
    reason = planned.partition("1. ")[2].strip()
    assert reason in result.stderr
    assert not Path("elsewhere").exists() or not list(Path("elsewhere").rglob("leader-*"))


def test_wrong_paths_and_a_flowchart(invoke: Any, same: str, folder: Path) -> None:
    result = invoke("plan", same, "--from", "nowhere")
    assert result.exit_code == 1
    assert "There are no checkpoints at nowhere" in result.stderr
    assert invoke("plan", same, "--from", "chk", "--format", "mermaid").exit_code == 2
