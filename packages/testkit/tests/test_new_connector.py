"""`millstream new connector`: what it writes is a package that says what is missing, and that passes when that is there.

`my_queue` is what an author would write: a source and a sink for a queue kept in SQLite, and their harnesses.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from millstream.cli.app import app

pytestmark = pytest.mark.one_python

WRITTEN_BY_AN_AUTHOR = Path(__file__).parent / "my_queue"
LONGEST = "abcdefghijklmnopqrstuvwxyz012345"
QUICK = ("-m", "not faults")
LIMIT_S = 150
"""Of a process. All of this file is about a minute of processor time; the limit is for machines that do something else, too."""

SLOW = pytest.mark.timeout(LIMIT_S + 30)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["new", "connector", *arguments])


def written(folder: Path, name: str = "my-queue") -> Path:
    """The folder of a new package."""
    result = invoke(name, "--directory", str(folder))
    assert result.exit_code == 0, result.output
    return folder


def run(folder: Path, *command: str, site: Path | None = None) -> subprocess.CompletedProcess[str]:
    """A module of this Python, run in a folder; `site` holds what is installed beside the test kit."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "MILLSTREAM", "PYTHONPATH"))}
    environment |= {"COLUMNS": "200", "NO_COLOR": "1"} | ({"PYTHONPATH": str(site)} if site else {})
    words = [sys.executable, "-m", *command]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False)


def run_its_tests(folder: Path, *options: str, site: Path | None = None) -> tuple[subprocess.CompletedProcess[str], Any]:
    """What the package's own tests print, and the connectors of their report, by name."""
    report = folder / "report.json"
    common = ("-q", "-p", "no:cacheprovider", f"--basetemp={folder.parent / 'its-tmp'}", f"--millstream-report={report}")
    done = run(folder, "pytest", *common, *options, site=site)
    connectors = json.loads(report.read_text())["connectors"] if report.exists() else []
    return done, {connector["connector"]: connector for connector in connectors}


def outcomes(connector: Any) -> set[str]:
    return {demand["outcome"] for demand in connector["demands"]}


def failures(connectors: Any) -> set[str]:
    """How the cases failed, cut behind the name of what is not written."""
    found = {detail for connector in connectors.values() for demand in connector["demands"] for detail in demand["failures"].values()}
    return {":".join(detail.split(":")[:2]) for detail in found}


@pytest.fixture
def implemented(tmp_path: Path) -> tuple[Path, Path]:
    """A new package, written by an author and installed: its folder, and that in which it is installed."""
    folder, site = written(tmp_path / "package"), tmp_path / "site"
    for name in ("source.py", "sink.py"):
        shutil.copy(WRITTEN_BY_AN_AUTHOR / name, folder / "src/millstream_my_queue" / name)
    shutil.copy(WRITTEN_BY_AN_AUTHOR / "conformance.py", folder / "tests/test_conformance.py")
    # Without an index: all that it needs is here.
    alone = ("--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    done = run(folder, "pip", "install", "--quiet", *alone, "--target", str(site), str(folder))
    assert done.returncode == 0, done.stderr
    return folder, site


# --- the command


def test_it_is_among_the_commands_and_imported_only_when_it_is_called() -> None:
    show = "import sys; from click.testing import CliRunner; from millstream.cli.app import app; "
    show += "print(CliRunner().invoke(app, ['--help']).output, [name for name in sys.modules if name.startswith('millstream_testkit.new')])"
    done = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, timeout=30, check=False)
    assert "Write the package of a new connector." in done.stdout, done.stderr
    assert done.stdout.endswith(" []\n"), done.stdout


def test_without_a_folder_it_is_written_beside_where_you_are_and_every_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke("my-queue")
    assert result.exit_code == 0, result.output
    folder = tmp_path / "millstream-my-queue"
    there = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert [line.strip() for line in result.output.splitlines()[1 : len(there) + 1]] == there
    assert "src/millstream_my_queue/py.typed" in there
    assert "No license is chosen" in result.output
    assert not list(folder.glob("LICENSE*"))


def test_the_project_has_the_entry_point_and_asks_for_what_it_needs(tmp_path: Path) -> None:
    folder = written(tmp_path / "package")
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == "millstream-my-queue"
    assert project["entry-points"]["millstream"] == {"my-queue": "millstream_my_queue.plugin"}
    assert project["dependencies"] == ["millstream-core>=0.1,<1"]
    assert project["optional-dependencies"]["test"] == ["millstream-testkit>=0.1,<1"]
    assert "license" not in project
    # The one template that has another use for the sign of placeholders.
    assert "python-version: ${{ matrix.python }}" in (folder / ".github/workflows/ci.yml").read_text()


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("MyQueue", "my-queue"),
        ("my_queue", "my-queue"),
        ("my--queue-", "my-queue"),
        ("millstream-my-queue", "my-queue"),
        ("Millstream_My queue", "my-queue"),
        ("2nd-queue", "nd-queue"),
        ("Schlüssel", "schlussel"),
        ("redis", "my-redis"),
        ("file", "my-file"),
        ("testkit", "my-testkit"),
        ("write-ahead", "my-write-ahead"),
        ("Split", "my-split"),
        (f"{LONGEST}z", LONGEST),
        ("../elsewhere", "elsewhere"),
        ("$", "my-queue"),
        ("", "my-queue"),
    ],
)
def test_a_name_that_cannot_be_used_is_answered_with_one_that_can(name: str, suggestion: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke("--", name)
    assert result.exit_code == 1, result.output
    assert f"A connector cannot be named {name!r}: " in result.stderr
    assert result.stderr.endswith(f"Try: millstream new connector {suggestion}\n")
    assert list(tmp_path.iterdir()) == []
    assert invoke(suggestion).exit_code == 0


def test_a_folder_that_has_something_in_it_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    result = invoke("my-queue", "--directory", str(tmp_path))
    assert result.exit_code == 1
    assert f"No package can be written to {tmp_path}: it is not empty, it has 'README.md'" in result.stderr
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_a_folder_that_cannot_be_made_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = invoke("my-queue", "--directory", str(tmp_path / "file" / "package"))
    assert result.exit_code == 1
    assert f"No package can be written to {tmp_path / 'file' / 'package'}: Not a directory" in result.stderr


# --- what it writes


@pytest.mark.parametrize("name", ["q", "my-queue", LONGEST])
def test_a_new_package_has_the_style_that_it_asks_for(name: str, tmp_path: Path) -> None:
    folder = written(tmp_path / "package", name)
    for command in (("check",), ("format", "--check", "--diff")):
        done = run(folder, "ruff", *command, "--no-cache")
        assert done.returncode == 0, done.stdout + done.stderr


@SLOW
def test_the_types_of_a_new_package_are_right(tmp_path: Path) -> None:
    folder = written(tmp_path / "package")
    done = run(folder, "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"))
    assert done.stdout == "Success: no issues found in 7 source files\n", done.stdout + done.stderr


@SLOW
def test_the_tests_of_a_new_package_say_what_to_write(tmp_path: Path) -> None:
    folder = written(tmp_path / "package")
    done, connectors = run_its_tests(folder, *QUICK, "-o", "pythonpath=src")
    assert done.returncode == 1, done.stdout
    assert "3 passed" in done.stdout  # those of test_plugin.py
    assert failures(connectors) == {
        "NotImplementedError: SourceHarness.create_origin",
        "NotImplementedError: SinkHarness.create_target",
    }
    assert [outcomes(connector) for connector in connectors.values()] == [{"failed", "not run"}] * 2


@SLOW
def test_with_harnesses_that_are_written_they_say_what_to_write_of_source_and_sink(tmp_path: Path) -> None:
    folder = written(tmp_path / "package")
    shutil.copy(WRITTEN_BY_AN_AUTHOR / "conformance.py", folder / "tests/test_conformance.py")
    done, connectors = run_its_tests(folder, *QUICK, "-o", "pythonpath=src")
    assert done.returncode == 1, done.stdout
    assert failures(connectors) == {"NotImplementedError: Enumerator.start", "NotImplementedError: Lanes.fence"}
    passed = [demand["demand"] for connector in connectors.values() for demand in connector["demands"] if demand["outcome"] == "passed"]
    assert passed == ["description_travels"]


# --- what becomes of it


@SLOW
def test_an_installed_package_is_listed_and_keeps_its_contracts(implemented: tuple[Path, Path]) -> None:
    folder, site = implemented
    listed = run(folder, "millstream", "plugins", site=site).stdout
    rows = [line.split() for line in listed.splitlines() if line.startswith("my-queue ")]
    assert [row[:4] for row in rows] == [["my-queue", "millstream-my-queue", "0.1.0", "exactly_once"]] * 2, listed
    assert "write-ahead, atomic marker, fencing, visible only committed" in listed
    assert "Not loaded" not in listed

    done, connectors = run_its_tests(folder, *QUICK, site=site)
    assert done.returncode == 0, done.stdout
    assert {name: outcomes(connector) for name, connector in connectors.items()} == {
        "MyQueueSource": {"passed", "not run"},
        "MyQueueSink": {"passed", "not run"},
    }
    assert {(connector["distribution"], connector["version"]) for connector in connectors.values()} == {("millstream-my-queue", "0.1.0")}


@pytest.mark.faults
@SLOW
def test_an_installed_package_is_killed_by_its_own_tests_and_survives(implemented: tuple[Path, Path]) -> None:
    folder, site = implemented
    # A few, because what is tested here is that they work with a package that is installed: the suites have tests of their own.
    some = "calls_of_a_commit[8/16] or calls_of_a_commit[16/16] or (TestMyQueueSource and checkpoint.)"
    done, connectors = run_its_tests(folder, "-m", "faults", "-k", some, site=site)
    assert done.returncode == 0, done.stdout
    killed = {name: {demand["demand"] for demand in connector["demands"] if demand["outcome"] == "passed"} for name, connector in connectors.items()}
    assert killed == {"MyQueueSource": {"crash_at_every_point"}, "MyQueueSink": {"crash_between_any_two_calls_of_a_commit"}}
