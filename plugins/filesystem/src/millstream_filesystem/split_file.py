"""One file while it is read: blocks of bytes to lines, with the position behind each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from millstream.errors import PathUnusable
from millstream_filesystem.split import FileSplit

if TYPE_CHECKING:
    from millstream.ports import Storage

BLOCK_BYTES: Final = 256 * 1024
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


class SplitFile:
    r"""The rest of a file, line by line. A line ends with `\n` or `\r\n`, the last one also with the file.

    A UTF-8 byte order mark at the start of the file is no part of its first line.

    Args:
        storage: where the file is.
        split: the file and the position to go on from.
        has_header: the first line names the columns, and is no record.

    Raises:
        FileChanged: the file is not what was found.
        PathUnusable: it may not be read.
    """

    def __init__(self, storage: Storage, split: FileSplit, *, has_header: bool) -> None:
        self._storage = storage
        self._split = split
        self._lines: list[bytes] = []
        self._next = 0
        self._holds_cr = False
        self._rest = b""
        split.check_unchanged(storage)
        try:
            self._file = storage.open_read(split.path)
        except FileNotFoundError:
            raise split.changed(None) from None
        except PermissionError as error:
            raise PathUnusable(
                what="The file", path=split.path, reason=error.strerror or str(error), fix="Make it readable to the user that runs the job"
            ) from error
        self._offset, self._lines_before, self.header = split.offset, split.lines_before, split.header
        try:
            self._skip_to_records(has_header=has_header)
        except BaseException:
            self._file.close()
            raise
        self._read_bytes = self._offset

    def _skip_to_records(self, *, has_header: bool) -> None:
        begin = len(_BYTE_ORDER_MARK) if self._file.read(len(_BYTE_ORDER_MARK)) == _BYTE_ORDER_MARK else 0
        lines_before = 0
        if has_header and self.header is None:
            self._file.seek(begin)
            line = self._file.readline()
            self._split.check_unchanged(self._storage)
            self.header = line.removesuffix(b"\n").removesuffix(b"\r")
            begin += len(line)
            lines_before = 1
        if self._split.offset == 0:
            self._offset, self._lines_before = begin, lines_before
        self._file.seek(self._offset)

    @property
    def path(self) -> str:
        """Of the file."""
        return self._split.path

    @property
    def ended(self) -> bool:
        """Whether every line was taken."""
        return self._next >= len(self._lines) and self._read_bytes >= self._split.size_bytes

    def position(self) -> FileSplit:
        """The split as it stands behind the last line taken, unless that ended the file."""
        split = self._split
        return FileSplit(split.path, split.size_bytes, split.modified_ns, self._offset, self._lines_before, self.header)

    def take(self, limit: int) -> tuple[int, list[bytes]]:
        """The next lines without their ends.

        Args:
            limit: the most lines to take, >= 1.

        Returns:
            The number of the first line, from 1, and at least one line unless the file has ended.

        Raises:
            FileChanged: the file is not what was found.
        """
        if self._next >= len(self._lines) and not self.ended:
            self._fill()
        elif self._read_bytes >= self._split.size_bytes and self._next + limit >= len(self._lines):
            # Nothing is read any more that would show it: what was appended since the last block would be passed over for good.
            self._split.check_unchanged(self._storage)
        lines = self._lines[self._next : self._next + limit]
        first = self._lines_before + 1
        self._next += len(lines)
        self._lines_before += len(lines)
        self._offset += sum(map(len, lines)) + len(lines)
        if self._holds_cr:
            lines = [line.removesuffix(b"\r") for line in lines]
        return first, lines

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _fill(self) -> None:
        pieces = [self._rest]
        end = -1
        while end < 0 and self._read_bytes < self._split.size_bytes:
            block = self._file.read(min(BLOCK_BYTES, self._split.size_bytes - self._read_bytes))
            if not block:
                raise self._split.changed(self._storage.info(self.path))
            # Looked at after the read: then what was read is what was found.
            self._split.check_unchanged(self._storage)
            self._read_bytes += len(block)
            end = len(block) if self._read_bytes == self._split.size_bytes else block.rfind(b"\n")
            pieces.append(block if end < 0 else block[:end])
            self._rest = b"" if end < 0 else block[end + 1 :]
        data = b"".join(pieces)
        if self._read_bytes == self._split.size_bytes:
            data = data.removesuffix(b"\n")
        self._lines = data.split(b"\n")
        self._next = 0
        self._holds_cr = b"\r" in data
