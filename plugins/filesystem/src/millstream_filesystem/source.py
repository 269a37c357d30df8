"""Source that reads files line by line.

Guarantee: exactly once, because a position in a file is a number of bytes, and a file that changed stops the job.

Needs: files that do not change once they can be seen. Write them under a name that starts with `.` or `_`, and rename them. A change is
noticed until the last record of the file has been read, and for as long as the job lives where a folder is watched.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from millstream.contracts.guarantee import SourceCapabilities
from millstream.contracts.source import EnumeratorContext, ReaderContext, Source
from millstream.errors import InvalidArgument
from millstream.plugins.formats import format_of
from millstream_filesystem.enumerator import FileEnumerator
from millstream_filesystem.paths import local_path
from millstream_filesystem.reader import FileReader

if TYPE_CHECKING:
    import os

    from millstream.contracts.format import Format

T = TypeVar("T")

CAPABILITIES: Final = SourceCapabilities(replayable=True)


@dataclass(frozen=True)
class FileSource(Source[T]):
    """Reads a file, the files of a folder, or those that match a pattern; each file is one split.

    Files are handed out by name. Names that start with `.` or `_` are passed over. Lines end with LF or CRLF, the last one also with
    its file.

    Args:
        path: absolute or from the current folder; `*`, `?`, `[...]` stand for parts of names, `**` for any number of folders.
        format: what a line is: a Format, or the name of one ("text", "csv", "json").
        monitor_interval: how often to look for new files, for ever; None reads what is there at the start of the job, and ends.
        recursive: of a folder, also the files in folders inside.
        records_per_second: reads no faster than this over all subtasks; None for as fast as it goes.

    Raises:
        InvalidArgument: an option makes no sense.
        UnknownPlugin: no plugin offers the format.
    """

    path: str | os.PathLike[str]
    format: Format[T] | str = "text"
    monitor_interval: timedelta | None = None
    recursive: bool = False
    records_per_second: float | None = None
    bounded: bool = field(init=False)
    capabilities: SourceCapabilities = field(init=False, default=CAPABILITIES, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", local_path("FileSource(path=...)", self.path))
        object.__setattr__(self, "format", format_of("FileSource(format=...)", self.format))
        object.__setattr__(self, "bounded", self.monitor_interval is None)
        interval: Any = self.monitor_interval
        if interval is not None and not (isinstance(interval, timedelta) and interval > timedelta(0)):
            allowed = "a timedelta above zero, or None to read once"
            raise InvalidArgument(what="FileSource(monitor_interval=...)", value=repr(interval), allowed=allowed)
        rate: Any = self.records_per_second
        if rate is not None and not (isinstance(rate, int | float) and rate > 0 and math.isfinite(rate)):
            raise InvalidArgument(what="FileSource(records_per_second=...)", value=repr(rate), allowed="a number above 0, or None")

    def create_enumerator(self, context: EnumeratorContext, state: bytes | None) -> FileEnumerator:
        interval_s = None if self.monitor_interval is None else self.monitor_interval.total_seconds()
        return FileEnumerator(context, str(self.path), recursive=self.recursive, interval_s=interval_s, state=state)

    def create_reader(self, context: ReaderContext) -> FileReader[T]:
        return FileReader(context, format_of("FileSource(format=...)", self.format), self.records_per_second)
