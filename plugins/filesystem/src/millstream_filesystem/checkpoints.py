"""Checkpoints in a folder.

    <root>/<job>/chk-<id>/<files>     written before the manifest, each durable before the next step
    <root>/<job>/chk-<id>/_metadata   the manifest: with it the checkpoint exists, without it nothing counts
    <root>/<job>/shared/<files>       state that several checkpoints may refer to
    <root>/<job>/taskowned/           empty so far
    <root>/<job>/<name>               small documents

A savepoint has a folder of its own, which somebody may move, copy or rename:

    <folder>/_savepoint               says that it is one
    <folder>/chk-<id>/                as above

Names that start with `.` are temporary, except `.highest-<id>`, which remembers an id whose folder was deleted.
"""

from __future__ import annotations

import itertools
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from millstream.contracts.checkpoint_storage import CheckpointStorage, CheckpointStorageContext, CheckpointStore
from millstream.errors import NoCheckpointToResume, PathUnusable
from millstream.ports import crash_point
from millstream_filesystem.job_folder import folder_of_job, job_of_folder
from millstream_filesystem.paths import local_path, naming, sync_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from millstream.ports import Storage

_MANIFEST: Final = "_metadata"
_CHECKPOINT: Final = re.compile(r"chk-(\d+)", re.ASCII)
_HIGHEST: Final = re.compile(r"\.highest-(\d+)", re.ASCII)
_FENCED: Final = re.compile(r"\.fenced-(\d+)", re.ASCII)
_TEMPORARY: Final = re.compile(r"\..+\.\d+-\d+\.tmp", re.ASCII)
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9.-]*", re.ASCII)
_SAVEPOINT: Final = "_savepoint"
_RESERVED: Final = re.compile(r"chk-\d+|shared|taskowned", re.ASCII)


@dataclass(frozen=True)
class FilesystemCheckpointStorage(CheckpointStorage):
    """Keeps checkpoints below a folder that every process of the job can reach.

    Args:
        root: the folder, or a `file:` URL of it; made when the first checkpoint is written. Many jobs may share it.

    Raises:
        InvalidArgument: it is empty, or the URL of something else.
    """

    root: str | os.PathLike[str]
    durable = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", local_path("FilesystemCheckpointStorage(root=...)", self.root))

    def open(self, context: CheckpointStorageContext) -> FilesystemCheckpointStore:
        root = str(self.root)
        if context.storage.info(root) is not None and not context.storage.is_folder(root):
            raise PathUnusable(
                what="The checkpoint folder", path=root, reason="it is a file", fix="Give the path of a folder that the job may write to"
            )
        return FilesystemCheckpointStore(context.storage, root, f"{root}/{folder_of_job(context.job_name)}")

    def find(self, location: str, storage: Storage) -> tuple[FilesystemCheckpointStore, int]:
        folder = local_path("The path of a checkpoint", location)
        if folder.endswith(f"/{_MANIFEST}"):
            folder = folder.removesuffix(f"/{_MANIFEST}")
        if storage.info(f"{folder}/{_SAVEPOINT}") is not None:
            savepoint = FilesystemSavepointStore(storage, folder, folder)
            ids = savepoint.published()
            if not ids:
                why = f"the savepoint has no manifest ({_MANIFEST}), so it was never completed: its folder can be deleted"
                raise NoCheckpointToResume(path=folder, why=why)
            return savepoint, ids[-1]
        job_folder, _, name = folder.rpartition("/")
        match = _CHECKPOINT.fullmatch(name)
        if match is None or storage.info(f"{folder}/{_MANIFEST}") is None:
            raise NoCheckpointToResume(path=folder, why=_why_none(storage, folder, is_named_so=match is not None))
        return FilesystemCheckpointStore(storage, job_folder, job_folder), int(match[1])

    def open_savepoint(self, location: str, storage: Storage) -> FilesystemSavepointStore:
        folder = local_path("The path of a savepoint", location)
        return FilesystemSavepointStore(storage, folder.rpartition("/")[0] or "/", folder)

    def delete_savepoint(self, location: str, storage: Storage) -> None:
        folder = local_path("The path of a savepoint", location)
        if storage.info(folder) is None:
            return
        if storage.info(f"{folder}/{_SAVEPOINT}") is None:
            raise NoCheckpointToResume(path=folder, why=f"it is not the folder of a savepoint, which has a file {_SAVEPOINT}")
        store = self.open_savepoint(folder, storage)
        for number in {*store.published(), *store.unpublished()}:
            store.delete(number)
        storage.delete_tree(folder)
        storage.sync_folder(folder.rpartition("/")[0] or "/")

    def jobs(self, storage: Storage) -> Sequence[str]:
        root = str(self.root)
        names = [job_of_folder(path) for path in _job_folders(storage, root, "")]
        return sorted(name for name in names if FilesystemCheckpointStore(storage, root, f"{root}/{folder_of_job(name)}").published())


class FilesystemCheckpointStore(CheckpointStore):
    """The checkpoints of one job.

    Args:
        storage: where the folders are.
        root: folder of all jobs.
        job_folder: folder of this job, below the root.
    """

    def __init__(self, storage: Storage, root: str, job_folder: str) -> None:
        self._storage = storage
        self._root = root
        self._job_folder = job_folder
        self._ready = False
        self._serials = itertools.count()
        # Files that this object wrote of checkpoints that it has not published, by their paths below the job's folder.
        self._begun: dict[int, set[str]] = {}

    def write_file(self, checkpoint_id: int, name: str, parts: Iterable[bytes]) -> None:
        self._write_new(self._make_checkpoint_folder(checkpoint_id), _checked(name), parts, lambda: None)
        self._begun.setdefault(checkpoint_id, set()).add(f"chk-{checkpoint_id}/{name}")

    def write_shared(self, checkpoint_id: int, name: str, parts: Iterable[bytes]) -> None:
        # Half written it is among what goes with the checkpoint, which is all that is looked through when its writer dies.
        folder, begun = self._shared_folder, self._make_checkpoint_folder(checkpoint_id)
        temporary = self._write_temporary(begun, _checked(name), parts)
        # In the place of one of that name, if somebody who died wrote it: nobody knows whether that one is durable.
        self._storage.rename(temporary, f"{folder}/{name}")
        self._storage.sync_folder(folder)
        self._begun.setdefault(checkpoint_id, set()).add(f"shared/{name}")

    def read_shared(self, name: str) -> bytes:
        return self._read(f"{self._shared_folder}/{_checked(name)}")

    def delete_shared(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self._storage.delete(f"{self._shared_folder}/{_checked(name)}")
            self._storage.sync_folder(self._shared_folder)

    def shared(self) -> Sequence[str]:
        return [name for name in self._names(self._shared_folder) if _NAME.fullmatch(name)]

    @property
    def _shared_folder(self) -> str:
        return f"{self._job_folder}/shared"

    def publish(self, checkpoint_id: int, manifest: bytes, check: Callable[[], None] = lambda: None) -> None:
        folder = self._make_checkpoint_folder(checkpoint_id)

        def last_look() -> None:
            check()
            crash_point("checkpoint.metadata.before_rename")

        self._write_new(folder, _MANIFEST, [manifest], last_look)
        self._begun.pop(checkpoint_id, None)
        crash_point("checkpoint.metadata.renamed")
        try:
            self._storage.sync_folder(folder)
            self._storage.sync_folder(self._job_folder)
        except OSError:
            self._forget(f"{folder}/{_MANIFEST}")  # who is told that it failed must not find it later
            raise

    def fence(self) -> None:
        """Moves the folders of unpublished checkpoints away: a manifest that was about to be renamed into one of them no longer can be.

        Half-written documents go, too. One that somebody is writing just now is written again.
        """
        self._put_back()
        for number in self.unpublished():
            folder, aside = self._folder_of(number), f"{self._job_folder}/.fenced-{number}"
            if self._storage.info(folder) is None:
                continue
            self._remember(max(number, self.highest_id()))
            with suppress(FileNotFoundError):  # whoever wrote it has just given it up
                self._storage.rename(folder, aside)
        self._put_back()

    def _put_back(self) -> None:
        """Deletes what was moved away, unless its manifest was published just before the move, and what is only half written."""
        for name in self._names(self._shared_folder):
            if _TEMPORARY.fullmatch(name):
                self._forget(f"{self._shared_folder}/{name}")
        for name in self._names(self._job_folder):
            match = _FENCED.fullmatch(name)
            aside = f"{self._job_folder}/{name}"
            if _TEMPORARY.fullmatch(name):
                self._forget(aside)
            if match is None:
                continue
            if self._storage.info(f"{aside}/{_MANIFEST}") is not None:
                self._storage.rename(aside, self._folder_of(int(match[1])))
                self._storage.sync_folder(self._job_folder)
            else:
                self._storage.delete_tree(aside)

    def published(self) -> Sequence[int]:
        return [number for number in self._ids() if self._storage.info(f"{self._folder_of(number)}/{_MANIFEST}") is not None]

    def unpublished(self) -> Sequence[int]:
        published = set(self.published())
        begun = {int(match[1]) for name in self._names(self._job_folder) if (match := _CHECKPOINT.fullmatch(name))}
        return sorted(begun - published)

    def highest_id(self) -> int:
        return max(self._ids(), default=0)

    def read_manifest(self, checkpoint_id: int) -> bytes:
        folder = self._folder_of(checkpoint_id)
        data = self._read(f"{folder}/{_MANIFEST}")
        # Who published it may have died before its name was durable. Whoever goes on from here must not lose it again.
        self._storage.sync_folder(folder)
        self._storage.sync_folder(self._job_folder)
        return data

    def read_file(self, checkpoint_id: int, name: str) -> bytes:
        return self._read(f"{self._folder_of(checkpoint_id)}/{_checked(name)}")

    def delete(self, checkpoint_id: int) -> None:
        folder = self._folder_of(checkpoint_id)
        if self._storage.info(folder) is None:
            return
        if checkpoint_id == self.highest_id():
            self._remember(checkpoint_id)
        with suppress(FileNotFoundError):
            self._storage.delete(f"{folder}/{_MANIFEST}")
            self._storage.sync_folder(folder)
        crash_point("checkpoint.subsume.deleting")
        self._storage.delete_tree(folder)
        self._begun.pop(checkpoint_id, None)

    def withdraw(self, checkpoint_id: int) -> None:
        written, folder = self._begun.pop(checkpoint_id, None), self._folder_of(checkpoint_id)
        # A publish that reported an error may have happened all the same: what is published stays.
        if written is None or self._storage.info(f"{folder}/{_MANIFEST}") is not None:
            return
        if checkpoint_id == self.highest_id() and self._storage.info(folder) is not None:
            self._remember(checkpoint_id)
        for path in sorted(written):
            with suppress(FileNotFoundError):  # a new leader has moved the folder away
                self._storage.delete(f"{self._job_folder}/{path}")
        with suppress(OSError):  # not empty: a new leader uses the id, too
            self._storage.delete_folder(folder)

    def close(self) -> None:
        for checkpoint_id in list(self._begun):
            self.withdraw(checkpoint_id)

    def write_document(self, name: str, data: bytes) -> None:
        self._place_document(name, data, self._storage.rename)

    def create_document(self, name: str, data: bytes) -> bool:
        try:
            self._place_document(name, data, self._storage.rename_new)
        except FileExistsError:
            return False
        return True

    def _place_document(self, name: str, data: bytes, rename: Callable[[str, str], None]) -> None:
        self._make_job_folder()
        target = f"{self._job_folder}/{_checked_document(name)}"
        for chances in (2, 1, 0):
            temporary = self._write_temporary(self._job_folder, name, [data])
            try:
                rename(temporary, target)
                break
            except FileNotFoundError:  # a new leader took our half-written file for that of a dead process
                if not chances:
                    raise
            except Exception:
                self._forget(temporary)
                raise
        self._storage.sync_folder(self._job_folder)

    def read_document(self, name: str) -> bytes | None:
        try:
            return self._read(f"{self._job_folder}/{_checked_document(name)}")
        except FileNotFoundError:
            return None

    def delete_document(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self._storage.delete(f"{self._job_folder}/{_checked_document(name)}")
            self._storage.sync_folder(self._job_folder)

    def documents(self) -> Sequence[str]:
        return [name for name in self._names(self._job_folder) if _NAME.fullmatch(name) and not _RESERVED.fullmatch(name)]

    def location(self, checkpoint_id: int | None = None) -> str:
        return self._job_folder if checkpoint_id is None else self._folder_of(checkpoint_id)

    def _folder_of(self, checkpoint_id: int) -> str:
        return f"{self._job_folder}/chk-{checkpoint_id}"

    def _write_new(self, folder: str, name: str, parts: Iterable[bytes], before_rename: Callable[[], None]) -> None:
        temporary = self._write_temporary(folder, name, parts)
        try:
            before_rename()
            self._storage.rename_new(temporary, f"{folder}/{name}")
        except Exception:  # whatever stopped it: a file that nobody looks for helps nobody
            self._forget(temporary)
            raise
        if name != _MANIFEST:
            self._storage.sync_folder(folder)

    def _write_temporary(self, folder: str, name: str, parts: Iterable[bytes]) -> str:
        """Writes a durable file under a name that nobody looks for; nothing is left of it when that fails."""
        while True:
            path = f"{folder}/.{name}.{os.getpid()}-{next(self._serials)}.tmp"
            try:
                file = self._storage.open_write(path)
                break
            except FileExistsError:
                continue  # left by a process of the same number that died
        try:
            with naming(folder), file:
                for part in parts:
                    file.write(part)
                self._storage.sync_file(file)
        except Exception:  # whatever stopped it, also in `parts`: half a file helps nobody, and a full disk needs the space
            self._forget(path)
            raise
        return path

    def _forget(self, path: str) -> None:
        with suppress(OSError):  # the first error is the one that counts
            self._storage.delete(path)

    def _read(self, path: str) -> bytes:
        with self._storage.open_read(path) as file:
            return file.read()

    def _ids(self) -> list[int]:
        return sorted({int(match[1]) for name in self._names(self._job_folder) if (match := _CHECKPOINT.fullmatch(name) or _HIGHEST.fullmatch(name))})

    def _names(self, folder: str) -> Sequence[str]:
        """What is in a folder; nothing while it is not there."""
        try:
            return self._storage.list(folder)
        except FileNotFoundError:
            return []

    def _remember(self, checkpoint_id: int) -> None:
        """Keeps the id from being used again."""
        while True:
            marks = sorted(int(match[1]) for name in self._storage.list(self._job_folder) if (match := _HIGHEST.fullmatch(name)))
            if marks and marks[-1] >= checkpoint_id:
                return
            mark = f"{self._job_folder}/.highest-{checkpoint_id}"
            try:
                if marks:
                    self._storage.rename(f"{self._job_folder}/.highest-{marks[-1]}", mark)
                else:
                    self._storage.open_write(mark).close()
            except FileNotFoundError:  # another process, which leads no more or leads now, was faster
                continue
            self._storage.sync_folder(self._job_folder)
            return

    def _make_checkpoint_folder(self, checkpoint_id: int) -> str:
        self._make_job_folder()
        folder = self._folder_of(checkpoint_id)
        if self._storage.info(folder) is None:
            self._storage.make_folder(folder)
            self._storage.sync_folder(self._job_folder)
        self._begun.setdefault(checkpoint_id, set())
        return folder

    def _make_job_folder(self) -> None:
        if self._ready:
            return
        self._storage.make_folder(f"{self._job_folder}/shared")
        self._storage.make_folder(f"{self._job_folder}/taskowned")
        sync_names(self._storage, self._job_folder, self._root)
        self._ready = True


class FilesystemSavepointStore(FilesystemCheckpointStore):
    """One savepoint in its folder. Its id is used for nothing else there, so that none is remembered."""

    def withdraw(self, checkpoint_id: int) -> None:
        super().withdraw(checkpoint_id)
        if self._names(self._job_folder) == [_SAVEPOINT]:
            self._forget(f"{self._job_folder}/{_SAVEPOINT}")
            with suppress(OSError):  # another process begins to write, or was faster
                self._storage.delete_folder(self._job_folder)

    def location(self, checkpoint_id: int | None = None) -> str:
        return self._job_folder

    def _remember(self, checkpoint_id: int) -> None:
        pass

    def _make_job_folder(self) -> None:
        if self._ready:
            return
        self._storage.make_folder(self._job_folder)
        with suppress(FileExistsError):  # another process, or thread, was faster
            self._storage.open_write(f"{self._job_folder}/{_SAVEPOINT}").close()
        sync_names(self._storage, self._job_folder, self._root)
        self._ready = True


def _job_folders(storage: Storage, root: str, inside: str) -> Iterator[str]:
    """Relative paths of folders whose names are those of jobs; whatever else lies in the root is passed over."""
    try:
        names = storage.list(f"{root}/{inside}")
    except OSError:  # not there, not a folder, or somebody else's that this user may not read
        return
    for name in names:
        if name.endswith("+"):
            yield from _job_folders(storage, root, f"{inside}{name}/")
        elif storage.is_folder(f"{root}/{inside}{name}") and _is_folder_of_job(f"{inside}{name}"):
            yield f"{inside}{name}"


def _is_folder_of_job(path: str) -> bool:
    name = job_of_folder(path)
    return name != "" and "\ufffd" not in name and folder_of_job(name) == path


def _why_none(storage: Storage, folder: str, *, is_named_so: bool) -> str:
    if storage.info(folder) is None:
        return "there is no such folder" + (_kept_beside(storage, folder) if is_named_so else "")
    if is_named_so:
        return f"the folder has no manifest ({_MANIFEST}), so the checkpoint was never completed, or is being deleted"
    ids = FilesystemCheckpointStore(storage, folder, folder).published() if storage.is_folder(folder) else ()
    return f"that is the folder of a job, whose newest checkpoint is {folder}/chk-{ids[-1]}" if ids else "that is not the folder of a checkpoint"


def _kept_beside(storage: Storage, folder: str) -> str:
    """What is there instead of a checkpoint that may have expired."""
    job_folder, _, name = folder.rpartition("/")
    kept = FilesystemCheckpointStore(storage, job_folder, job_folder).published() if storage.is_folder(job_folder) else ()
    if not kept:
        return ""
    expired = int(name.removeprefix("chk-")) < kept[0]
    why = " any more, because older checkpoints are deleted (checkpoint.retained says how many stay)" if expired else ""
    return f"{why}; the newest checkpoint of the job is {job_folder}/chk-{kept[-1]}"


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name):
        msg = f"{name!r} is no name of a checkpoint's file: use lower-case letters, digits, '-' and '.', a letter or digit first"
        raise ValueError(msg)
    return name


def _checked_document(name: str) -> str:
    if _RESERVED.fullmatch(name):
        msg = f"{name!r} is no name of a document: checkpoints use it"
        raise ValueError(msg)
    return _checked(name)
