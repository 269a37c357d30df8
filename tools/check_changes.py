"""Checks the changelog fragments: well named, readable by towncrier, and there for every distribution that changed.

A fragment is `changes/<issue>.<type>.md`, or `changes/+<word>.<type>.md` without an issue. A distribution needs at least one
while its version has no section in CHANGELOG.md; on a branch, one that touches `src/` adds or edits a fragment as well.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
BASES = ("origin/main", "main")


def main() -> int:
    base = merge_base()
    changed = git("diff", "--name-only", f"{base}...HEAD").splitlines() if base else []
    problems = []
    for project in sorted(ROOT.glob("*/pyproject.toml")) + sorted(ROOT.glob("*/*/pyproject.toml")):
        dist = project.parent
        problems += naming_problems(dist, tomllib.loads(project.read_text()))
        problems += presence_problems(dist, [Path(name) for name in changed])
    for problem in problems:
        print(problem)
    if not problems:
        print(f"Changelog fragments are in order{'' if base else ' (no branch to compare with main, so only their form was checked)'}.")
    return 1 if problems else 0


def naming_problems(dist: Path, project: dict[str, dict[str, dict[str, list[dict[str, str]]]]]) -> list[str]:
    """Fragments with an unknown type or an odd name, and empty ones."""
    types = [kind["directory"] for kind in project["tool"]["towncrier"]["type"]]
    name = re.compile(rf"(\d+|\+[\w-]+)\.({'|'.join(types)})(\.\d+)?\.md")
    problems = []
    for fragment in fragments(dist):
        where = fragment.relative_to(ROOT)
        if not name.fullmatch(fragment.name):
            problems.append(f"{where}: name it <issue>.<type>.md or +<word>.<type>.md, the type one of {', '.join(types)}.")
        elif not fragment.read_text().strip():
            problems.append(f"{where}: is empty. Write to the person who upgrades: what is different, and what they must do.")
    return problems


def presence_problems(dist: Path, changed: list[Path]) -> list[str]:
    """A distribution whose version, or whose change on this branch, nothing describes."""
    where = dist.relative_to(ROOT)
    about = next(iter([*dist.glob("src/*/__about__.py"), *dist.glob("__about__.py")]))
    version = about.read_text().split('__version__ = "')[1].split('"')[0]
    changelog = dist / "CHANGELOG.md"
    released = changelog.exists() and f"## {version} " in changelog.read_text()
    if not released and not fragments(dist):
        return [f"{where}: version {version} has no section in CHANGELOG.md and no fragment in {where}/changes."]
    touched = [path for path in changed if path.is_relative_to(where / "src")]
    described = [path for path in changed if path.is_relative_to(where / "changes")]
    if touched and not described:
        return [f"{where}: this branch changes {touched[0]} and adds no fragment to {where}/changes."]
    return []


def fragments(dist: Path) -> list[Path]:
    return sorted(path for path in (dist / "changes").glob("*") if not path.name.startswith("."))


def merge_base() -> str:
    """The commit that this branch is compared with; empty on main itself and outside a git checkout."""
    head = git("rev-parse", "HEAD")
    for base in BASES:
        found = git("rev-parse", "--verify", "--quiet", base)
        if found:
            return "" if found == head else found
    return ""


def git(*arguments: str) -> str:
    """Output of a git command; empty when it fails, as it does outside a checkout."""
    try:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        return ""


if __name__ == "__main__":
    sys.exit(main())
