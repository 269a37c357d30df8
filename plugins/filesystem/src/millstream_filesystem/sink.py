"""Sink that writes files into a folder.

Guarantee: with `delivery="exactly_once"` a file appears under its final name when the checkpoint that covers it is complete, and only
then, once. With "at_least_once" it appears at the barrier, and records behind the last checkpoint appear again after a failure.

Needs: a file system with hard links and atomic renames, that keeps what was synced. Readers pass over names that start with `.`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar, cast

from millstream.contracts.sink import AnySink, BaseSink
from millstream.errors import InvalidArgument
from millstream.plugins.formats import format_of
from millstream_filesystem import at_least_once, exactly_once
from millstream_filesystem.formats import file_suffix
from millstream_filesystem.paths import local_path
from millstream_filesystem.target import FileTarget

if TYPE_CHECKING:
    import os

    from millstream.contracts.format import Format
    from millstream.contracts.guarantee import Delivery, SinkCapabilities

T = TypeVar("T")


@dataclass(frozen=True)
class FileSink(BaseSink[T]):
    """Writes each record as a line; a file per subtask and checkpoint, none for a checkpoint without records.

    Finished files are named `<prefix>-<subtask>-<checkpoint>-<token><suffix>` and never change. Several sinks may share a folder.
    Unfinished ones are in the hidden folder `.millstream` inside, with a mark per subtask that says what is committed: finished
    files may be taken away at any time. When a run has ended and none of its checkpoints is kept, all that the hidden folder holds of it
    goes; whoever restores a copy of such a checkpoint with `--rewind` must have left the finished files where they are.

    Args:
        path: the folder; made if it is missing.
        format: of a record: a Format, or the name of one ("text", "csv", "json").
        delivery: "exactly_once" or "at_least_once".
        prefix: how names begin.
        suffix: how names end; that of the format by default, such as ".csv".

    Raises:
        InvalidArgument: an option makes no sense.
        UnknownPlugin: no plugin offers the format.
    """

    path: str | os.PathLike[str]
    format: Format[T] | str = "text"
    delivery: Delivery = "at_least_once"
    prefix: str = "part"
    suffix: str | None = None
    capabilities: SinkCapabilities = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", local_path("FileSink(path=...)", self.path))
        object.__setattr__(self, "format", format_of("FileSink(format=...)", self.format))
        if self.delivery not in ("at_least_once", "exactly_once"):
            allowed = '"at_least_once" or "exactly_once"'
            raise InvalidArgument(what="FileSink(delivery=...)", value=repr(self.delivery), allowed=allowed)
        if not self.prefix or self.prefix[0] in "._" or not _is_part_of_name(self.prefix):
            allowed = "part of a file name, not empty, that starts neither with '.' nor with '_' (readers take such files for unfinished)"
            raise InvalidArgument(what="FileSink(prefix=...)", value=repr(self.prefix), allowed=allowed)
        if self.suffix is not None and not _is_part_of_name(self.suffix):
            raise InvalidArgument(what="FileSink(suffix=...)", value=repr(self.suffix), allowed='part of a file name, such as ".csv"')
        format_of("FileSink(format=...)", self.format).header()  # a header without names is refused here, not at the first record
        object.__setattr__(self, "capabilities", self.resolve().capabilities)

    def resolve(self) -> AnySink:
        format_ = format_of("FileSink(format=...)", self.format)
        suffix = file_suffix(format_) if self.suffix is None else self.suffix
        target = FileTarget(cast("str", self.path), format_, self.prefix, suffix)
        if self.delivery == "exactly_once":
            return exactly_once.ExactlyOnceFileSink(target)
        return at_least_once.AtLeastOnceFileSink(target)


def _is_part_of_name(text: str) -> bool:
    return len(text) <= 100 and not any(mark in text for mark in "/\\\0\n")
