"""A disk that forgets what was not synced.

What POSIX leaves open is decided by the seed at a loss of power: bytes behind the last sync of a file may be there, be cut short or
be zeros, and each change of a name that its folder was not synced after may have happened or not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from millstream.ports import Clock, Random


@dataclass(eq=False)
class File:
    """Bytes without a name.

    Attributes:
        data: what a reader sees now.
        flushed: how many of them have left the process's own buffer.
        synced: how many of them are durable.
        modified_ns: time of the last change.
    """

    data: bytearray = field(default_factory=bytearray)
    flushed: int = 0
    synced: int = 0
    modified_ns: int = 0

    def sync(self) -> None:
        """Makes all bytes durable."""
        self.flushed = self.synced = len(self.data)


@dataclass(eq=False)
class Folder:
    """Names.

    Attributes:
        entries: as they are now.
        synced: as they are after a loss of power, at least.
    """

    entries: dict[str, Node] = field(default_factory=dict)
    synced: dict[str, Node] = field(default_factory=dict)


Node: TypeAlias = "File | Folder"
Edit: TypeAlias = "tuple[Folder, str, Node | None]"
"""A name in a folder and what it stands for from now on; None removes it."""

_NOTHING, _IN_ORDER, _ANY = range(3)
_MODES: Final = 3


class SimulatedDisk:
    """Files and folders of one machine.

    Args:
        clock: for times of change.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.root = Folder()
        self._unsynced: list[list[Edit]] = []

    # --- looking

    def find(self, path: str) -> Node | None:
        """What is at the path, None when there is nothing."""
        node: Node | None = self.root
        for name in _names(path):
            node = node.entries.get(name) if isinstance(node, Folder) else None
        return node

    def folder(self, path: str) -> Folder:
        """The folder at the path.

        Raises:
            FileNotFoundError, NotADirectoryError: there is none.
        """
        node = self.find(path)
        if node is None:
            raise FileNotFoundError(2, "No such file or directory", path)
        if not isinstance(node, Folder):
            raise NotADirectoryError(20, "Not a directory", path)
        return node

    def file(self, path: str) -> File:
        """The file at the path.

        Raises:
            FileNotFoundError, IsADirectoryError: there is none.
        """
        node = self.find(path)
        if node is None:
            raise FileNotFoundError(2, "No such file or directory", path)
        if not isinstance(node, File):
            raise IsADirectoryError(21, "Is a directory", path)
        return node

    def parent(self, path: str) -> tuple[Folder, str]:
        """The folder that a path is in, and its name there. Raises as `folder`."""
        *above, name = _names(path)
        return self.folder("/".join(above)), name

    def files(self) -> dict[str, bytes]:
        """All files by path, for tests."""
        return {path: bytes(node.data) for path, node in _walk(self.root, "") if isinstance(node, File)}

    def write(self, path: str, data: bytes) -> None:
        """Puts a durable file where it is missing, with its folders, as somebody outside would do."""
        folder = self.root
        *above, name = _names(path)
        for part in above:
            node = folder.entries.setdefault(part, Folder())
            assert isinstance(node, Folder)  # noqa: S101 - a test's own path
            folder.synced[part] = node
            folder = node
        folder.entries[name] = folder.synced[name] = File(bytearray(data), len(data), len(data), self.now_ns())

    def now_ns(self) -> int:
        """For times of change."""
        return self._clock.now_ms() * 1_000_000

    # --- changing

    def change(self, *edits: Edit) -> None:
        """Changes names, all at once; not durable yet."""
        for folder, name, node in edits:
            _set(folder.entries, name, node)
        self._unsynced.append(list(edits))

    def sync_folder(self, folder: Folder) -> None:
        """Makes every change of the folder's names durable."""
        later = []
        for edits in self._unsynced:
            if any(edited is folder for edited, _, _ in edits):
                _persist(edits)
            else:
                later.append(edits)
        self._unsynced = later

    # --- crashing

    def lose_buffers(self, random: Random, files: Iterable[File] | None = None) -> None:
        """A process died that had written to these files, or to all: what it had not handed over is gone, or part of it."""
        for node in files if files is not None else (node for _, node in _walk(self.root, "") if isinstance(node, File)):
            if node.flushed < len(node.data):
                _cut(node, node.flushed + random.below(len(node.data) - node.flushed + 1))

    def lose_power(self, random: Random) -> None:
        """The machine died: what was not synced is gone, or part of it."""
        mode = random.below(_MODES)
        kept = random.below(len(self._unsynced) + 1)
        for number, edits in enumerate(self._unsynced):
            if (mode == _IN_ORDER and number < kept) or (mode == _ANY and random.below(2)):
                _persist(edits)
        self._unsynced.clear()
        _only_synced(self.root, {})
        seen: set[int] = set()
        for _, node in _walk(self.root, ""):
            if isinstance(node, File) and id(node) not in seen:
                seen.add(id(node))
                _tear(node, random)

    def worst_case(self) -> SimulatedDisk:
        """What is sure to be left if the power went now. This disk stays as it is."""
        disk = SimulatedDisk(self._clock)
        disk.root = _durable_copy(self.root)
        return disk


def _names(path: str) -> list[str]:
    return [name for name in path.split("/") if name not in ("", ".")]


def _set(names: dict[str, Node], name: str, node: Node | None) -> None:
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


def _persist(edits: list[Edit]) -> None:
    for folder, name, node in edits:
        _set(folder.synced, name, node)


def _walk(folder: Folder, path: str) -> Iterator[tuple[str, Node]]:
    for name, node in folder.entries.items():
        yield f"{path}/{name}", node
        if isinstance(node, Folder):
            yield from _walk(node, f"{path}/{name}")


def _only_synced(folder: Folder, seen: dict[int, Folder]) -> None:
    # A folder that was moved can have both names; it is visited once.
    if id(folder) in seen:
        return
    seen[id(folder)] = folder
    folder.entries = dict(folder.synced)
    for node in folder.entries.values():
        if isinstance(node, Folder):
            _only_synced(node, seen)


def _cut(file: File, length: int) -> None:
    del file.data[length:]
    file.flushed = len(file.data)


def _tear(file: File, random: Random) -> None:
    tail = len(file.data) - file.synced
    if tail > 0:
        kept = file.synced + (0, tail, random.below(tail + 1))[random.below(3)]
        zeros = len(file.data) - kept if random.below(4) == 0 else 0
        _cut(file, kept)
        file.data.extend(bytes(zeros))
    file.sync()


def _durable_copy(folder: Folder) -> Folder:
    copy = Folder()
    for name, node in folder.synced.items():
        if isinstance(node, Folder):
            copy.entries[name] = _durable_copy(node)
        else:
            data = node.data[: node.synced]
            copy.entries[name] = File(data, len(data), len(data), node.modified_ns)
    copy.synced = dict(copy.entries)
    return copy
