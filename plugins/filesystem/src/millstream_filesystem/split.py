"""What a file split carries: the file as it was found, and how far it has been read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from millstream.contracts.source import Split
from millstream.errors import FileChanged

if TYPE_CHECKING:
    from millstream.ports import Storage
    from millstream.ports.storage import FileInfo


class FileSplit(msgspec.Struct, frozen=True):
    """One file and a position in it.

    Attributes:
        path: absolute; also the id of the split.
        size_bytes: when the source found the file.
        modified_ns: when the source found the file.
        offset: bytes in front of the next record; always the start of a line.
        lines_before: lines in front of the next record, the header included.
        header: the file's first line, where the format has one and it was read.
    """

    path: str
    size_bytes: int
    modified_ns: int
    offset: int = 0
    lines_before: int = 0
    header: bytes | None = None

    @classmethod
    def of_file(cls, info: FileInfo) -> FileSplit:
        """A file that was just found."""
        return cls(info.path, info.size_bytes, info.modified_ns)

    @classmethod
    def from_split(cls, split: Split) -> FileSplit:
        """Reads the data of a split.

        Raises:
            msgspec.ValidationError: it is not one of this source's.
            UnknownStateVersion: it is one of a later release.
        """
        split.check_version()
        return msgspec.convert(split.data, cls)

    def to_split(self) -> Split:
        """The split as the engine keeps it."""
        return Split(self.path, {name: getattr(self, name) for name in self.__struct_fields__})

    def check_unchanged(self, storage: Storage) -> None:
        """Raises FileChanged when the file is not what was found."""
        now = storage.info(self.path)
        if now is None or now.size_bytes != self.size_bytes or now.modified_ns != self.modified_ns:
            raise self.changed(now)

    def changed(self, now: FileInfo | None) -> FileChanged:
        """The error for a file that is now what `now` says, or gone."""
        return FileChanged(
            path=self.path,
            size_bytes=self.size_bytes,
            modified_ns=self.modified_ns,
            now_size_bytes=now.size_bytes if now else None,
            now_modified_ns=now.modified_ns if now else None,
        )
