"""The interpreter, and the versions of what is installed."""

from __future__ import annotations

import platform
import sys
import sysconfig
from importlib.metadata import PackageNotFoundError, distribution, distributions
from typing import TYPE_CHECKING, Final

from millstream.cli.doctor.finding import ok, problem, warning
from millstream.cli.doctor.requirement import Requirement
from millstream.plugins.lookup import normalized
from millstream.plugins.manager import CORE_DIST, GROUP

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from importlib.metadata import Distribution

    from millstream.cli.doctor.finding import Finding

_TESTED: Final = "Programming Language :: Python :: 3."


def environment_findings() -> Iterator[Finding]:
    """About this interpreter and this installation."""
    yield interpreter_finding(sys.version_info[:2], supported_minors(), sys.implementation.name)
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        yield free_threading_finding()
    if not sys.platform.startswith(("linux", "darwin")):
        yield warning("environment", f"{platform.system()} is not supported.", "Use Linux or macOS; on Windows, WSL.")
    yield from version_findings(distributions())


def interpreter_finding(version: tuple[int, int], tested: Sequence[int], implementation: str = "cpython") -> Finding:
    """About an interpreter.

    Args:
        version: of Python.
        tested: minor versions of Python 3 that this release was tested on.
        implementation: as `sys.implementation` names it.
    """
    spelled = f"{version[0]}.{version[1]}"
    known = ", ".join(f"3.{minor}" for minor in tested)
    if implementation != "cpython":
        return warning("environment", f"{implementation} is untested.", f"Use CPython {known}.")
    if version[0] == 3 and version[1] in tested:
        return ok("environment", f"Python {spelled} is supported.")
    return warning("environment", f"Python {spelled} is untested with this release.", f"Use Python {known}, or look for a newer release.")


def free_threading_finding() -> Finding:
    """About a build without the global interpreter lock."""
    what = "This is a free-threaded build of Python. The engine is untested without the global interpreter lock."
    return warning("environment", what, f"Use the ordinary build of Python {platform.python_version()}.")


def supported_minors() -> list[int]:
    """Minor versions of Python 3 that core's own metadata names."""
    try:
        classifiers = distribution(CORE_DIST).metadata.get_all("Classifier") or []
    except PackageNotFoundError:  # run from a folder, not installed
        return []
    minors = [classifier.removeprefix(_TESTED) for classifier in classifiers if classifier.startswith(_TESTED)]
    return [int(minor) for minor in minors if minor.isdigit()]


def version_findings(installed: Iterable[Distribution]) -> Iterator[Finding]:
    """One for each distribution of Millstream and each plugin: whether what it needs is there in a version that it fits."""
    names = {normalized(dist.metadata["Name"]): dist for dist in installed if dist.metadata["Name"]}
    for name, dist in sorted(names.items()):
        if not name.startswith("millstream") and not any(point.group == GROUP for point in dist.entry_points):
            continue
        wrong = [text for line in dist.requires or () if (text := _unmet(line, names))]
        if wrong:
            what = f"{dist.metadata['Name']} {dist.version} needs {', and '.join(wrong)}."
            yield problem("environment", what, f"pip install --upgrade {dist.metadata['Name']}")
        else:
            yield ok("environment", f"{dist.metadata['Name']} {dist.version}: what it needs is installed in versions that fit.")


def _unmet(line: str, installed: dict[str, Distribution]) -> str:
    """What is wrong with one requirement; empty when it is met, or does not concern this installation."""
    requirement = Requirement.parse(line)
    if requirement is None or requirement.is_conditional:
        return ""
    found = installed.get(normalized(requirement.name))
    if found is None:
        return f"{requirement.name}, which is not installed"
    return "" if requirement.allows(found.version) else f"{requirement.name}{requirement.versions}, but {found.version} is installed"
