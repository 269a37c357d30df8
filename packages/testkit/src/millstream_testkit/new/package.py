"""The files of a new connector: templates that belong to this package, filled in and written."""

from __future__ import annotations

import os
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Final

from millstream.__about__ import __version__ as core_version
from millstream_testkit.__about__ import __version__ as testkit_version
from millstream_testkit.new.errors import PackageFolderUnusable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.resources.abc import Traversable
    from pathlib import Path

    from millstream_testkit.new.names import ConnectorNames

_TEMPLATES: Final = "connector"
_ENDING: Final = ".template"
"""Keeps tools from taking templates for what they become."""

_PACKAGE: Final = "PACKAGE"
"""Stands for the name of the package where a path has it."""


def rendered(names: ConnectorNames) -> dict[str, str]:
    """The text of each file of the package, by its path in the package's folder, in the order of the paths."""
    values = {
        "name": names.name,
        "dist": names.dist,
        "package": names.package,
        "stem": names.stem,
        "words": names.words,
        "core": _requirement("millstream-core", core_version),
        "testkit": _requirement("millstream-testkit", testkit_version),
    }
    found = {path.replace(_PACKAGE, names.package): Template(text).substitute(values) for path, text in _templates()}
    return dict(sorted(found.items()))


def write_package(names: ConnectorNames, folder: Path) -> list[str]:
    """Writes the package, and makes the folder if need be.

    Returns:
        The paths of the files, in the folder.

    Raises:
        PackageFolderUnusable: there is something in the folder already, or it cannot be written to.
    """
    texts = rendered(names)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        there = sorted(os.listdir(folder))
        if there:
            raise PackageFolderUnusable(folder=str(folder), reason=f"it is not empty, it has {there[0]!r}, and nothing is overwritten")
        for path, text in texts.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            with file.open("x", encoding="utf-8", newline="\n") as opened:
                opened.write(text)
    except OSError as error:
        raise PackageFolderUnusable(folder=str(folder), reason=f"{error.strerror} ({error.filename})") from error
    return list(texts)


def _templates() -> Iterator[tuple[str, str]]:
    """Path, without the ending, and text of each template."""

    def under(folder: Traversable, path: str) -> Iterator[tuple[str, str]]:
        for item in folder.iterdir():
            if item.is_dir():
                yield from under(item, f"{path}{item.name}/")
            elif item.name.endswith(_ENDING):
                yield path + item.name.removesuffix(_ENDING), item.read_text(encoding="utf-8")

    return under(files(__package__) / _TEMPLATES, "")


def _requirement(dist: str, version: str) -> str:
    """From the minor version that is installed, up to the next major one, as the distributions of Millstream ask for each other."""
    major, minor, *_ = version.split(".")
    return f"{dist}>={major}.{minor},<{int(major) + 1}"
