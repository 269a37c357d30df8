"""The defects that are kept as patches: what each does wrong, and which tests must tell."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Defect:
    """One plausible mistake.

    Attributes:
        patch: for `git apply`, from the root of the source tree.
        what: it does wrong.
        found_by: arguments of pytest: the tests that must fail.
    """

    patch: Path
    what: str
    found_by: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of the patch."""
        return self.patch.stem

    def apply(self, tree: Path, *options: str) -> None:
        """Puts the mistake into a source tree. Raises CalledProcessError, with git's reason, when the patch does not fit any more."""
        # The tree may be below a checkout; git must not take that one's root for the root of the patch.
        environment = {"GIT_CEILING_DIRECTORIES": str(tree.parent), "PATH": _path()}
        subprocess.run(["git", "apply", *options, str(self.patch)], cwd=tree, env=environment, check=True, capture_output=True, text=True)


def _path() -> str:
    import os

    return os.environ.get("PATH", os.defpath)


def defects() -> list[Defect]:
    """All of them, by name."""
    return [_read(path) for path in sorted(HERE.glob("*.patch"))]


def _read(path: Path) -> Defect:
    header = path.read_text().partition("\n\n")[0].splitlines()
    fields = [line.partition(": ") for line in header]
    (what,) = [value for name, _, value in fields if name == "Defect"]
    return Defect(path, what, tuple(value for name, _, value in fields if name == "Found by"))
