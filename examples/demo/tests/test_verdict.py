"""The demonstration's generator and its independent reader."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[1]


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs a program of the demonstration."""
    return subprocess.run([sys.executable, str(DEMO / program), *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Four readings in two windows of two sensors, and their right output in two files."""
    readings, windows = tmp_path / "readings", tmp_path / "windows"
    readings.mkdir()
    windows.mkdir()
    (readings / "a.csv").write_text("id,timestamp,temperature\nx,15000,4.5\nx,29999,3.25\ny,15001,7.0\n")
    (readings / "b.csv").write_text("id,timestamp,temperature\nx,30000,9.0\n")
    (windows / "part-1.csv").write_text("id,window_start,window_end,temperature\nx,15000,30000,3.25\ny,15000,30000,7.0\n")
    (windows / "part-2.csv").write_text("id,window_start,window_end,temperature\nx,30000,45000,9.0\n")
    return readings, windows


def test_right_output_is_exact(folders: tuple[Path, Path]) -> None:
    judged = run("verdict.py", *folders)
    assert judged.returncode == 0
    assert [line.split() for line in judged.stdout.splitlines()] == [
        ["windows", "expected", "3"],
        ["windows", "found", "3"],
        ["windows", "missing", "0"],
        ["windows", "doubled", "0"],
        ["EXACT"],
    ]


def test_files_in_progress_are_not_read(folders: tuple[Path, Path]) -> None:
    (folders[1] / ".part-3.csv.inprogress").write_text("id,window_start,window_end,temperature\nx,30000,45000,9.0\n")
    assert run("verdict.py", *folders).returncode == 0


@pytest.mark.parametrize(
    ("file", "content", "finding"),
    [
        ("part-2.csv", "id,window_start,window_end,temperature\n", "missing 1 such as x at 30000"),
        ("part-3.csv", "id,window_start,window_end,temperature\ny,15000,30000,7.0\n", "doubled 1 such as y at 15000"),
        ("part-3.csv", "id,window_start,window_end,temperature\nz,15000,30000,7.0\n", "unknown 1 such as z at 15000"),
        ("part-2.csv", "id,window_start,window_end,temperature\nx,30000,45000,9.5\n", "wrong value 1 such as x at 30000"),
        ("part-3.csv", "id,window_start,window_end,temperature\nx,30000,45", "torn lines 1 such as part-3.csv:2"),
    ],
)
def test_damaged_output_is_not_exact_and_the_damage_is_named(folders: tuple[Path, Path], file: str, content: str, finding: str) -> None:
    (folders[1] / file).write_text(content)
    judged = run("verdict.py", *folders)
    assert judged.returncode == 1
    assert finding in " ".join(judged.stdout.split())
    assert judged.stdout.endswith("NOT EXACT\n")


def test_missing_output_folder_cannot_be_judged(folders: tuple[Path, Path], tmp_path: Path) -> None:
    judged = run("verdict.py", folders[0], tmp_path / "nowhere")
    assert judged.returncode == 2
    assert "no such folder" in judged.stderr


def test_same_seed_gives_the_same_readings_within_the_three_seconds_the_job_allows(tmp_path: Path) -> None:
    for name in ("first", "second"):
        assert run("generate.py", tmp_path / name, "--readings", 5_000, "--seed", 3).returncode == 0
    first, second = ([path.read_text() for path in sorted((tmp_path / name).iterdir())] for name in ("first", "second"))
    assert first == second
    rows = [line.split(",") for text in first for line in text.splitlines()[1:]]
    times = [int(row[1]) for row in rows]
    newest = lowest = 0
    for time in times:
        newest = max(newest, time)
        lowest = min(lowest, time - newest)
    assert len(rows) == 5_000
    assert -3_000 < lowest < 0


def test_generator_does_not_write_over_readings(tmp_path: Path) -> None:
    written = run("generate.py", tmp_path)
    assert written.returncode == 1
    assert "exists already" in written.stderr
