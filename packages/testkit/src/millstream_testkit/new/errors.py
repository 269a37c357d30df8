"""Why no package was written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from millstream.errors import MillstreamError


@dataclass(kw_only=True, eq=False)
class ConnectorNameUnusable(MillstreamError):
    """A name that no connector can have.

    Attributes:
        suggestion: a name that can be used.
    """

    code: ClassVar[str] = "connector-name-unusable"
    name: str
    reason: str
    suggestion: str

    def sentence(self) -> str:
        return f"A connector cannot be named {self.name!r}: {self.reason}. Try: millstream new connector {self.suggestion}"


@dataclass(kw_only=True, eq=False)
class PackageFolderUnusable(MillstreamError):
    """A folder that no package can be written to."""

    code: ClassVar[str] = "package-folder-unusable"
    folder: str
    reason: str

    def sentence(self) -> str:
        return f"No package can be written to {self.folder}: {self.reason}. Give a folder that is new or empty with --directory FOLDER."
