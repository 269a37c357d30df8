"""The ranges in which the distributions of this repository ask for each other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def repository(folder: Path, asked: str, version: str = "0.4.2") -> Path:
    """A checkout with two distributions, of which `plugin` asks for `core`."""
    (folder / "tools").mkdir()
    (folder / "tools" / "siblings.py").write_bytes((ROOT / "tools" / "siblings.py").read_bytes())
    for name, dependencies, its_version in [("core", "", version), ("plugin", f'"click>=8", "millstream-core{asked}"', "0.1.0")]:
        (folder / name).mkdir()
        (folder / name / "about.py").write_text(f'__version__ = "{its_version}"\n')
        (folder / name / "pyproject.toml").write_text(
            f'[project]\nname = "millstream-{name}"\ndependencies = [{dependencies}]\n[tool.hatch.version]\npath = "about.py"\n'
        )
    return folder


def check(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "tools/siblings.py"], cwd=root, capture_output=True, text=True, check=False, timeout=50)


def test_the_ranges_of_this_repository_are_right() -> None:
    done = check(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert names[0] == "millstream-core"
    assert names.index("millstream-filesystem") < names.index("millstream-testkit") < len(names)


@pytest.mark.parametrize(
    ("asked", "version", "said"),
    [
        (">=0.1,<1", "0.4.2", ""),
        (">=0.4.2,<1", "0.4.2", ""),
        (">=1.2,<2", "1.2.0", ""),
        (">=0.1,<2", "0.4.2", "its next major version is 1"),
        (">=0.1,<1", "1.0.0", "its next major version is 2"),
        (">=0.5,<1", "0.4.2", "there is no 0.5 yet"),
        (">=0.1", "0.4.2", "not of the form"),
        ("", "0.4.2", "not of the form"),
        ("==0.4.2", "0.4.2", "not of the form"),
    ],
)
def test_a_range_that_is_open_too_wide_or_ahead_is_refused_with_the_right_one(tmp_path: Path, asked: str, version: str, said: str) -> None:
    done = check(repository(tmp_path, asked, version))
    assert (done.returncode, said in done.stdout) == (1 if said else 0, True), done.stdout + done.stderr
    if said:
        major, minor, _ = version.split(".")
        assert done.stdout.strip().endswith(f"Write millstream-core>={major}.{minor},<{int(major) + 1}.")
