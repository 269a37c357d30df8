"""Files and servers that are read from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from millstream.errors.base import MillstreamError


@dataclass(kw_only=True, eq=False)
class PathUnusable(MillstreamError):
    """A file or folder that a source, sink or checkpoint storage was given cannot be used."""

    code: ClassVar[str] = "path-unusable"
    what: str
    path: str
    reason: str
    fix: str

    def sentence(self) -> str:
        return f"{self.what} {self.path} cannot be used: {self.reason}. {self.fix}."


@dataclass(kw_only=True, eq=False)
class FileChanged(MillstreamError):
    """A file is no longer what it was when the source found it. The `now_` fields are None when it is gone."""

    code: ClassVar[str] = "file-changed"
    path: str
    size_bytes: int
    modified_ns: int
    now_size_bytes: int | None = None
    now_modified_ns: int | None = None

    def sentence(self) -> str:
        was = f"{self.size_bytes:,} bytes, modified at {self.modified_ns} ns"
        now = "is gone" if self.now_size_bytes is None else f"has {self.now_size_bytes:,} bytes, modified at {self.now_modified_ns} ns"
        return (
            f"{self.path} had {was}, when the source found it, and now {now}: positions in it, and what was read of it, do not hold any "
            "more. A file must not change once the source can see it: write it under a name that starts with '.' or '_', and rename it "
            "when it is complete. Put the old file back (with its modification time, as `cp -p` does), or start afresh with --resume never."
        )


@dataclass(kw_only=True, eq=False)
class FileHeaderInvalid(MillstreamError):
    """The first line of a file does not name the columns that the format needs."""

    code: ClassVar[str] = "file-header-invalid"
    path: str
    reason: str

    def sentence(self) -> str:
        stop = "" if self.reason.endswith("?") else "."
        return f"The first line of {self.path} is not the expected header: {self.reason}{stop} Correct the file, or the format's columns."


@dataclass(kw_only=True, eq=False)
class MalformedRecord(MillstreamError):
    """Input that is not a record of its format."""

    code: ClassVar[str] = "malformed-record"
    source_uid: str
    position: str
    record: str
    error: str

    def sentence(self) -> str:
        return (
            f"{self.position}: {self.error}. The record is {self.record} (source {self.source_uid!r}). Correct it, or give the source "
            "on_error='skip' or on_error=dead_letter(sink)."
        )


@dataclass(kw_only=True, eq=False)
class ServerUnreachable(MillstreamError):
    """A server does not accept connections, or broke one off, as often as it was tried. `tries` counts the last ones in a row."""

    code: ClassVar[str] = "server-unreachable"
    what: str
    host: str
    port: int
    reason: str
    tries: int
    fix: str

    def sentence(self) -> str:
        tried = f" after {self.tries} tries" if self.tries > 1 else ""
        return f"{self.what} cannot read from {self.host}:{self.port}{tried}: {self.reason}. {self.fix}"
