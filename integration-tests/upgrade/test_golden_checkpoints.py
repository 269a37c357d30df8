"""Checkpoints that earlier releases wrote, restored with the code of today: state, results, and what sinks had yet to commit."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # classes in the checkpoints go by the names of the modules here

import golden_catalog  # noqa: E402
import golden_world  # noqa: E402

STORED = sorted(path.parent for path in HERE.glob("golden/*/*/written.json"))
SUMS = HERE / "golden" / "SHA256SUMS"
DAY_MS = 24 * 60 * 60 * 1000


def ids(folder: Path) -> str:
    return f"{folder.parent.name}-{folder.name}"


@pytest.fixture
def restored(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A copy of a golden folder."""
    return Path(shutil.copytree(request.param, tmp_path / request.param.name))


def written(folder: Path) -> Any:
    return json.loads((folder / "written.json").read_text())


@pytest.mark.parametrize("restored", STORED, ids=ids, indirect=True)
def test_a_golden_checkpoint_is_restored_and_everything_comes_out_once(restored: Path) -> None:
    expected = written(restored)
    assert golden_world.visible(restored) == expected["visible"], "what was visible when the process died"
    golden_world.run(restored.name, restored, resumed=True)
    assert golden_world.visible(restored) == expected["complete"]


@pytest.mark.parametrize("parallelism", [1, 3])
@pytest.mark.parametrize("restored", [path for path in STORED if not golden_catalog.JOBS[path.name].in_order], ids=ids, indirect=True)
def test_a_golden_checkpoint_is_restored_at_another_parallelism(restored: Path, parallelism: int) -> None:
    """But for jobs whose results depend on the order in which two sources, or subtasks of one, are read."""
    golden_world.run(restored.name, restored, resumed=True, parallelism=parallelism)
    found, expected = golden_world.visible(restored), written(restored)["complete"]
    if restored.name == "operator-lists":  # dealt out over the subtasks: no single one has all
        assert [line.split()[0] for line in found["lists"]] == [line.split()[0] for line in expected["lists"]]
    else:
        assert found == expected


@pytest.mark.parametrize("restored", [path for path in STORED if path.name == "expiring"], ids=ids, indirect=True)
def test_what_has_expired_since_a_golden_checkpoint_is_not_there(restored: Path) -> None:
    """The job counts the even and the odd numbers up to 99, in state that lives for a day."""
    golden_world.run(restored.name, restored, resumed=True, resumed_ms=golden_world.STARTED_MS + 2 * DAY_MS)
    lines = {int(line.split()[0]): line for line in golden_world.visible(restored)["expiring"]}
    assert lines.keys() == set(range(100))
    first = next(number for number in range(2, 100) if lines[number] == f"{number} 1")
    assert 50 < first < 70
    assert [lines[number] for number in range(98)] == [f"{n} {(n if n < first else n - first) // 2 + 1}" for n in range(98)]
    total = sum(range(first + first % 2, 99, 2))
    count = len(range(first + first % 2, 99, 2))
    assert f"{total}, {total / count}, 'from {first + first % 2} to 98'] [[Price(cents=80," in lines[98]


@pytest.mark.parametrize("restored", STORED, ids=ids, indirect=True)
def test_the_state_in_a_golden_checkpoint_is_what_was_written_down(restored: Path) -> None:
    expected = written(restored)
    assert golden_world.states(restored) == expected["states"]
    pending = sum(map(len, expected["complete"].values())) - sum(map(len, expected["visible"].values()))
    assert pending > 0
    assert any(operator["states"] for operator in expected["states"].values())


@pytest.mark.parametrize("folder", STORED, ids=ids)
def test_the_command_reads_and_verifies_a_golden_checkpoint(folder: Path) -> None:
    [metadata] = (folder / "checkpoints").rglob("_metadata")
    for command in ("verify", "inspect"):
        asked = [sys.executable, "-m", "millstream.cli.entry", "checkpoints", command, str(metadata.parent)]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=50, check=False)
        assert done.returncode == 0, done.stderr


def test_every_job_has_a_checkpoint_of_some_release() -> None:
    assert {path.name for path in STORED} == set(golden_catalog.JOBS), "run integration-tests/upgrade/make.py"


def test_no_golden_file_was_changed() -> None:
    """A checkpoint that is made anew proves nothing. New ones are added to SHA256SUMS by make.py; a line in it never changes."""
    listed = dict(reversed(line.split("  ")) for line in SUMS.read_text().splitlines())
    found = {str(path.relative_to(SUMS.parent)): path for path in SUMS.parent.rglob("*") if path.is_file() and path != SUMS}
    assert found.keys() == listed.keys()
    for name, path in found.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == listed[name], name


def test_golden_files_are_small_and_know_nothing_of_the_machine_that_made_them() -> None:
    files = [path for path in SUMS.parent.rglob("*") if path.is_file()]
    for release in {path.relative_to(SUMS.parent).parts[0] for path in files if path != SUMS}:
        assert sum(path.stat().st_size for path in files if path.is_relative_to(SUMS.parent / release)) < 250_000
    names = [
        b"/tmp",
        b"/home",
        b"/root",
        b"/work",
        b"/Users",
        b"/var",
        os.path.expanduser("~").encode(),
        str(HERE).encode(),
        platform.node().encode(),
    ]
    for path in files:
        data = path.read_bytes()
        assert not [name for name in names if len(name) > 3 and name in data], path
