"""Durable bytes: the little of a file system that checkpoints and file connectors need."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What a listing says of a file.

    Attributes:
        path: full path.
        size_bytes: length.
        modified_ns: time of the last change, ns since the epoch.
    """

    path: str
    size_bytes: int
    modified_ns: int


class Storage(Protocol):
    """Files and folders. Paths are plain strings with `/`.

    Nothing is durable before it was synced: a file's bytes by `sync_file`, its name by `sync_folder` of its folder.
    Every method raises OSError as the operating system does.
    """

    def make_folder(self, path: str) -> None:
        """Creates the folder and its parents where missing."""

    def open_write(self, path: str) -> BinaryIO:
        """A new file; an existing one is an error (FileExistsError)."""

    def open_append(self, path: str) -> BinaryIO:
        """An existing file, written at its end."""

    def open_read(self, path: str) -> BinaryIO:
        """An existing file, from its start."""

    def sync_file(self, file: BinaryIO) -> None:
        """Flushes and makes the bytes written so far durable."""

    def sync_folder(self, path: str) -> None:
        """Makes the names in the folder durable."""

    def rename(self, source: str, target: str) -> None:
        """Atomic within a file system; replaces `target`."""

    def rename_new(self, source: str, target: str) -> None:
        """As `rename`, but an existing `target` is FileExistsError and nothing changes."""

    def delete(self, path: str) -> None:
        """Removes a file; a missing one is FileNotFoundError."""

    def delete_folder(self, path: str) -> None:
        """Removes a folder if nothing is in it; otherwise OSError. Atomic: what somebody puts in meanwhile is never lost."""

    def delete_tree(self, path: str) -> None:
        """Removes a folder and all in it; a missing one is no error."""

    def list(self, path: str) -> list[str]:
        """Names in a folder, sorted; a missing folder is FileNotFoundError."""

    def info(self, path: str) -> FileInfo | None:
        """The file's facts, or None when no such file or folder exists."""

    def is_folder(self, path: str) -> bool:
        """Whether `path` is an existing folder."""


class LocalStorage:
    """The machine's file system."""

    def make_folder(self, path: str) -> None:
        os.makedirs(path, exist_ok=True)

    def open_write(self, path: str) -> BinaryIO:
        return open(path, "xb")

    def open_append(self, path: str) -> BinaryIO:
        file = open(path, "r+b")  # noqa: SIM115 - the caller owns the file
        file.seek(0, os.SEEK_END)
        return file

    def open_read(self, path: str) -> BinaryIO:
        return open(path, "rb")

    def sync_file(self, file: BinaryIO) -> None:
        file.flush()
        os.fsync(file.fileno())

    def sync_folder(self, path: str) -> None:
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def rename(self, source: str, target: str) -> None:
        os.replace(source, target)

    def rename_new(self, source: str, target: str) -> None:
        # A hard link refuses an existing target atomically, which os.replace cannot.
        os.link(source, target)
        os.unlink(source)

    def delete(self, path: str) -> None:
        os.unlink(path)

    def delete_folder(self, path: str) -> None:
        os.rmdir(path)

    def delete_tree(self, path: str) -> None:
        while os.path.exists(path):
            with suppress(FileNotFoundError):  # somebody else is removing it, too: what is left is looked at again
                shutil.rmtree(path)

    def list(self, path: str) -> list[str]:
        return sorted(os.listdir(path))

    def info(self, path: str) -> FileInfo | None:
        try:
            stat = Path(path).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return FileInfo(path, stat.st_size, stat.st_mtime_ns)

    def is_folder(self, path: str) -> bool:
        return os.path.isdir(path)
