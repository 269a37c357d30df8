"""A file while a sink writes it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from millstream_filesystem.paths import naming

if TYPE_CHECKING:
    from millstream.ports import Storage

_WRITE_BYTES: Final = 1 << 20


class PartFile:
    """A new file that nobody sees yet.

    Args:
        storage: where it is.
        folder: folder it is in.
        name: new in the folder.
    """

    def __init__(self, storage: Storage, folder: str, name: str) -> None:
        self._storage = storage
        self._folder = folder
        self._path = f"{folder}/{name}"
        self._file = storage.open_write(self._path)
        self._pieces: list[bytes] = []
        self._pending_bytes = 0
        self.name = name
        self.size_bytes = 0

    def append(self, data: bytes) -> None:
        """Adds bytes; every megabyte they go to the operating system."""
        self._pieces.append(data)
        self._pending_bytes += len(data)
        self.size_bytes += len(data)
        if self._pending_bytes >= _WRITE_BYTES:
            self._write()

    def flush(self) -> None:
        """Gives all bytes to the operating system. They are not durable yet."""
        self._write()
        with naming(self._folder):
            self._file.flush()

    def seal(self) -> None:
        """Makes bytes and name durable, and closes the file."""
        self.flush()
        with naming(self._folder):
            self._storage.sync_file(self._file)
            self._file.close()
        self._storage.sync_folder(self._folder)

    def discard(self) -> None:
        """Closes and removes the file."""
        self._pieces.clear()
        with suppress(OSError):  # a full disk: what is still buffered is not wanted any more
            self._file.close()
        with suppress(FileNotFoundError):  # a newer attempt has taken the folder over
            self._storage.delete(self._path)

    def _write(self) -> None:
        pieces, self._pieces, self._pending_bytes = self._pieces, [], 0
        with naming(self._folder):
            self._file.write(b"".join(pieces))
