"""How the command begins. `millstream --version` is asked by scripts and editors all the time: it must cost nothing."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from millstream.__about__ import __version__

PROGRAM = """
import sys
sys.argv = ["millstream", "--version"]
from millstream.cli.entry import main
main()
print(sorted({name.partition(".")[0] for name in sys.modules} & {"click", "msgspec", "rich", "pluggy", "cloudpickle"}))
print(sorted(name for name in sys.modules if name.startswith("millstream")))
"""


def test_the_version_is_told_without_importing_anything_else() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=30)
    version, libraries, own = done.stdout.splitlines()
    assert version == f"millstream {__version__}"
    assert libraries == "[]"
    assert own == "['millstream', 'millstream.__about__', 'millstream.cli', 'millstream.cli.entry']"


def test_it_is_told_by_the_full_command_line_too(invoke: Any) -> None:
    assert invoke("--version").output == f"millstream {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "code", "stdout", "stderr"),
    [
        (["--version"], 0, f"millstream {__version__}", ""),
        (["plan", "--help"], 0, "Usage: millstream plan [OPTIONS] SCRIPT", ""),
        (["paln"], 2, "", "Usage: millstream [OPTIONS] COMMAND"),
    ],
)
def test_python_m_millstream_is_the_command(arguments: list[str], code: int, stdout: str, stderr: str) -> None:
    done = subprocess.run([sys.executable, "-m", "millstream", *arguments], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == code
    assert done.stdout.startswith(stdout)
    assert done.stderr.startswith(stderr)
