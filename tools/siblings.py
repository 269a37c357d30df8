"""The distributions of this repository, what they need of each other, and whether the ranges they ask for are right.

    python tools/siblings.py

A distribution asks for a sibling from a version on that exists, up to the sibling's next major version: `millstream-core>=0.1,<1`.
"""

from __future__ import annotations

import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Dist:
    """A distribution: its folder, its name, the version in its `__about__.py`, and what it asks for, with its extras."""

    folder: Path
    name: str
    version: Version
    requirements: tuple[Requirement, ...]

    @property
    def stem(self) -> str:
        """What the names of its files begin with."""
        return f"{self.name.replace('-', '_')}-{self.version}"


def dists(root: Path = ROOT) -> list[Dist]:
    """All of a checkout, each behind those that it needs."""
    projects = sorted([*root.glob("*/pyproject.toml"), *root.glob("*/*/pyproject.toml")])
    return in_order([read(project) for project in projects])


def read(project: Path) -> Dist:
    """A distribution by its pyproject.toml."""
    settings = tomllib.loads(project.read_text())
    about = (project.parent / settings["tool"]["hatch"]["version"]["path"]).read_text()
    found = re.search(r'^__version__ = "([^"]+)"$', about, re.MULTILINE)
    if found is None:
        raise SystemExit(f'{project.parent}: __about__.py has no line __version__ = "..."')
    lines = list(settings["project"]["dependencies"])
    for extra, optional in settings["project"].get("optional-dependencies", {}).items():
        lines += [f'{line}; extra == "{extra}"' for line in optional]
    requirements = tuple(map(Requirement, lines))
    return Dist(project.parent, canonicalize_name(settings["project"]["name"]), Version(found[1]), requirements)


def siblings(dist: Dist, all_dists: list[Dist]) -> list[tuple[Requirement, Dist]]:
    """What a distribution asks for that is made here, too."""
    by_name = {one.name: one for one in all_dists}
    return [(one, by_name[canonicalize_name(one.name)]) for one in dist.requirements if canonicalize_name(one.name) in by_name]


def in_order(all_dists: list[Dist]) -> list[Dist]:
    """Each distribution behind those that it needs, which is the order to publish them in."""
    ordered: list[Dist] = []
    while len(ordered) < len(all_dists):
        ready = [one for one in all_dists if one not in ordered and all(sibling in ordered for _, sibling in siblings(one, all_dists))]
        if not ready:
            raise SystemExit(f"These need each other in a circle: {', '.join(one.name for one in all_dists if one not in ordered)}")
        ordered += ready
    return ordered


def problems(all_dists: list[Dist]) -> list[str]:
    """Ranges that are not as they must be; a sentence with the fix for each."""
    found = []
    for dist in all_dists:
        for requirement, sibling in siblings(dist, all_dists):
            what = range_problem(requirement, sibling.version)
            if what:
                fix = f"Write {sibling.name}>={sibling.version.major}.{sibling.version.minor},<{sibling.version.major + 1}"
                found.append(f"{dist.folder}/pyproject.toml asks for {requirement}: {what}. {fix}.")
    return found


def range_problem(requirement: Requirement, version: Version) -> str:
    """What is wrong with a range, given the version that the sibling has now; empty when nothing is."""
    bounds = {specifier.operator: Version(specifier.version) for specifier in requirement.specifier}
    if set(bounds) != {">=", "<"}:
        return "the range is not of the form >=LOWEST,<NEXT_MAJOR"
    if bounds["<"] != Version(str(version.major + 1)):
        return f"the sibling's version is {version}, so its next major version is {version.major + 1}"
    if bounds[">="] > version:
        return f"the sibling's version is {version}, and there is no {bounds['>=']} yet"
    return ""


def main() -> int:
    found = dists()
    wrong = problems(found)
    print("\n".join(wrong or [f"{dist.name} {dist.version}" for dist in found]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
