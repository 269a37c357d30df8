"""Finds files and hands them to readers, one at a time."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

import msgspec

from millstream.contracts.source import EnumeratorContext, Split, SplitEnumerator
from millstream.contracts.versions import check_version
from millstream.errors import FileChanged, PathUnusable
from millstream.ports import crash_point
from millstream_filesystem.discovery import find_files, is_pattern
from millstream_filesystem.split import FileSplit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millstream.ports.storage import FileInfo

_STATE_FORMAT: Final = 1


class _State(msgspec.Struct, array_like=True):
    """What a checkpoint keeps of the enumerator.

    Attributes:
        format: number of this layout.
        unassigned: splits that no reader has.
        known: every file ever found, packed; empty unless a folder is watched.
    """

    format: int
    unassigned: list[FileSplit]
    known: bytes


class FileEnumerator(SplitEnumerator):
    """Looks for files once, or again and again.

    A file is known by its path from the moment it is found, for as long as the job lives: one that is deleted and written anew is
    not read again, and one that changes stops the job.

    Args:
        context: of the coordinator.
        path: a file, a folder or a pattern.
        recursive: of a folder, also the files in folders inside.
        interval_s: seconds between two looks; None to look once.
        state: what an earlier enumerator's `snapshot` returned.

    Raises:
        PathUnusable: there is nothing to read, or it cannot be read.
    """

    def __init__(self, context: EnumeratorContext, path: str, *, recursive: bool, interval_s: float | None, state: bytes | None) -> None:
        self._context = context
        self._path = path
        self._recursive = recursive
        self._interval_s = interval_s
        self._known: dict[str, tuple[int, int]] = {}
        self._known_packed: bytes | None = None
        self._unassigned: list[FileSplit] = []
        self._waiting: dict[int, None] = {}
        self._closed = False
        if state is not None:
            restored = msgspec.msgpack.decode(state, type=_State)
            check_version("The list of a file source's files that no reader has", restored.format, _STATE_FORMAT)
            self._unassigned = restored.unassigned
            self._known = _unpack(restored.known)
        if interval_s is not None:
            self._refuse_to_watch_a_file()
        if state is None or interval_s is not None:
            self._discover()

    def start(self) -> None:
        self._serve()
        self._look_again_later()

    def handle_split_request(self, subtask: int) -> None:
        self._waiting[subtask] = None
        self._serve()
        if subtask in self._waiting:
            self._context.no_splits_yet(subtask)

    def add_splits_back(self, splits: Sequence[Split], subtask: int) -> None:
        # Whatever that reader asked for before it died, its successor asks for again.
        self._waiting.pop(subtask, None)
        self._unassigned[:0] = [FileSplit.from_split(split) for split in splits]
        self._serve()

    def snapshot(self, checkpoint_id: int) -> bytes:
        if self._known_packed is None:
            self._known_packed = _pack(self._known)
        return msgspec.msgpack.encode(_State(_STATE_FORMAT, self._unassigned, self._known_packed))

    def close(self) -> None:
        self._closed = True

    def _serve(self) -> None:
        for subtask in list(self._waiting):
            if self._unassigned:
                del self._waiting[subtask]
                self._context.assign(subtask, [self._unassigned.pop(0).to_split()])
                crash_point("source.assign.before_ack")
            elif self._interval_s is None:
                del self._waiting[subtask]
                self._context.no_more_splits(subtask)

    def _look_again_later(self) -> None:
        if self._interval_s is not None:
            self._context.call_later(self._interval_s, self._look_again)

    def _look_again(self) -> None:
        if self._closed:
            return
        self._discover()
        self._serve()
        self._look_again_later()

    def _discover(self) -> None:
        watching = self._interval_s is not None
        for info in find_files(self._context.storage, self._path, recursive=self._recursive, may_be_none=watching):
            # An empty file has no records; while a folder is watched, it may still be waiting for its first.
            if info.size_bytes and self._is_new(info):
                self._unassigned.append(FileSplit.of_file(info))
                if watching:
                    self._known[info.path] = (info.size_bytes, info.modified_ns)
                    self._known_packed = None

    def _is_new(self, info: FileInfo) -> bool:
        known = self._known.get(info.path)
        if known is not None and known != (info.size_bytes, info.modified_ns):
            raise FileChanged(
                path=info.path,
                size_bytes=known[0],
                modified_ns=known[1],
                now_size_bytes=info.size_bytes,
                now_modified_ns=info.modified_ns,
            )
        return known is None

    def _refuse_to_watch_a_file(self) -> None:
        storage = self._context.storage
        if not is_pattern(self._path) and storage.info(self._path) is not None and not storage.is_folder(self._path):
            raise PathUnusable(
                what="The file source's path",
                path=self._path,
                reason="monitor_interval is set, but it is one file, which must not change while it is read",
                fix="Give the folder it is in, or leave monitor_interval out",
            )


def _pack(known: dict[str, tuple[int, int]]) -> bytes:
    # Sorted paths share long beginnings: about a tenth is left of them.
    return zlib.compress(msgspec.msgpack.encode(sorted(known.items())), 1) if known else b""


def _unpack(packed: bytes) -> dict[str, tuple[int, int]]:
    return dict(msgspec.msgpack.decode(zlib.decompress(packed), type=list[tuple[str, tuple[int, int]]])) if packed else {}
