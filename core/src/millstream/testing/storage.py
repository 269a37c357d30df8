"""The Storage port of one life of a simulated process."""

from __future__ import annotations

import io
import re
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from millstream.ports.crash import CrashPointReached
from millstream.ports.storage import FileInfo
from millstream.testing.disk import File, Folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millstream.testing.disk import Edit, SimulatedDisk
    from millstream.testing.process import SimulatedProcess
    from millstream.testing.world import World

_PROCESS_NUMBER: Final = re.compile(r"\.\d+-\d+\.tmp$", re.ASCII)


class DiskStorage:
    """A disk without faults: for tests that look at it, or use it without a simulation."""

    def __init__(self, disk: SimulatedDisk) -> None:
        self.disk = disk

    @contextmanager
    def _call(self, operation: str, path: str) -> Iterator[None]:
        """Stands around every call that the disk answers."""
        yield

    def make_folder(self, path: str) -> None:
        with self._call("make_folder", path):
            folder = self.disk.root
            for name in filter(None, path.split("/")):
                node = folder.entries.get(name)
                if node is None:
                    node = Folder()
                    self.disk.change((folder, name, node))
                if not isinstance(node, Folder):
                    raise FileExistsError(17, "File exists", path)
                folder = node

    def open_write(self, path: str) -> BinaryIO:
        with self._call("open_write", path):
            folder, name = self.disk.parent(path)
            if name in folder.entries:
                raise FileExistsError(17, "File exists", path)
            file = File(modified_ns=self.disk.now_ns())
            self.disk.change((folder, name, file))
        return self._writer(file, path)

    def _writer(self, file: File, path: str) -> BinaryIO:
        return cast("BinaryIO", WriteHandle(self, file, path))

    def open_append(self, path: str) -> BinaryIO:
        with self._call("open_append", path):
            return self._writer(self.disk.file(path), path)

    def open_read(self, path: str) -> BinaryIO:
        with self._call("open_read", path):
            raw: Any = ReadHandle(self.disk.file(path))
            return io.BufferedReader(raw)

    def sync_file(self, file: BinaryIO) -> None:
        cast("WriteHandle", file).sync()

    def sync_folder(self, path: str) -> None:
        with self._call("sync_folder", path):
            self.disk.sync_folder(self.disk.folder(path))

    def rename(self, source: str, target: str) -> None:
        with self._call("rename", target):
            self.disk.change(*self._moved(source, target))

    def rename_new(self, source: str, target: str) -> None:
        with self._call("rename_new", target):
            unlink, link = self._moved(source, target)
            if self.disk.find(target) is not None:
                raise FileExistsError(17, "File exists", target)
            self.disk.change(link)
            self.disk.change(unlink)

    def _moved(self, source: str, target: str) -> tuple[Edit, Edit]:
        (old_folder, old_name), (new_folder, new_name) = self.disk.parent(source), self.disk.parent(target)
        node, there = old_folder.entries.get(old_name), new_folder.entries.get(new_name)
        if node is None:
            raise FileNotFoundError(2, "No such file or directory", source)
        if isinstance(there, Folder) and (there.entries or isinstance(node, File)):
            raise OSError(39, "Directory not empty", target)
        return (old_folder, old_name, None), (new_folder, new_name, node)

    def delete(self, path: str) -> None:
        with self._call("delete", path):
            self.disk.file(path)
            self.disk.change((*self.disk.parent(path), None))

    def delete_folder(self, path: str) -> None:
        with self._call("delete_folder", path):
            if self.disk.folder(path).entries:
                raise OSError(39, "Directory not empty", path)
            self.disk.change((*self.disk.parent(path), None))

    def delete_tree(self, path: str) -> None:
        with self._call("delete_tree", path):
            if self.disk.find(path) is not None:
                self._delete_all(*self.disk.parent(path))

    def _delete_all(self, parent: Folder, name: str) -> None:
        node = parent.entries[name]
        if isinstance(node, Folder):
            for inner in list(node.entries):
                self._delete_all(node, inner)
        self.disk.change((parent, name, None))

    def list(self, path: str) -> list[str]:
        with self._call("list", path):
            return sorted(self.disk.folder(path).entries)

    def info(self, path: str) -> FileInfo | None:
        with self._call("info", path):
            node = self.disk.find(path)
            if node is None:
                return None
            return FileInfo(path, len(node.data), node.modified_ns) if isinstance(node, File) else FileInfo(path, 0, 0)

    def is_folder(self, path: str) -> bool:
        with self._call("is_folder", path):
            return isinstance(self.disk.find(path), Folder)


class SimulatedStorage(DiskStorage):
    """A disk as one process sees it: calls fail, the process ends in the middle of one, and a dead one changes nothing any more.

    Attributes:
        written: the files that it has written to.
    """

    def __init__(self, world: World, process: SimulatedProcess) -> None:
        super().__init__(world.disk)
        self._world = world
        self._process = process
        self.written: list[File] = []
        self.dead = False

    def _writer(self, file: File, path: str) -> BinaryIO:
        self.written.append(file)
        return super()._writer(file, path)

    @contextmanager
    def _call(self, operation: str, path: str) -> Iterator[None]:
        if self.dead:
            raise CrashPointReached(f"{operation} of a dead process")
        self._world.note(f"disk {operation} {_PROCESS_NUMBER.sub('.tmp', path)}")
        plan = self._process.plan
        error = plan.before_call(self._process, operation)
        if error is None:
            yield
        elif plan.has_effect(error):
            yield
            raise error
        else:
            raise error


class WriteHandle(io.RawIOBase):
    """A file open for writing at its end."""

    def __init__(self, storage: DiskStorage, file: File, path: str) -> None:
        super().__init__()
        self._storage = storage
        self._file = file
        self._path = path

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]  # any buffer is taken, as by every raw file
        piece = bytes(data)
        with self._storage._call(f"write {len(piece)} {zlib.crc32(piece):08x}", self._path):
            self._file.data += piece
            self._file.modified_ns = self._storage.disk.now_ns()
        return len(piece)

    def tell(self) -> int:
        return len(self._file.data)

    def flush(self) -> None:
        if not self.closed and not getattr(self._storage, "dead", False):
            self._file.flushed = len(self._file.data)

    def sync(self) -> None:
        """Makes what was written durable."""
        with self._storage._call("sync_file", self._path):
            self._file.sync()


class ReadHandle(io.RawIOBase):
    """A file open for reading."""

    def __init__(self, file: File) -> None:
        super().__init__()
        self._file = file
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._file.data)}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]  # any writable buffer, as every raw file
        piece = self._file.data[self._position : self._position + len(buffer)]
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)
