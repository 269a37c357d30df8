"""The hidden folder of one sink lane: files that nobody may read yet, and what became visible.

    <root>/.millstream/<owner>/<lane>/<attempt>-<token>/   files that one attempt writes or has prepared
    <root>/.millstream/<owner>/<lane>/committed-<id>       empty: every checkpoint up to <id> is committed

`owner` stands for job, sink and run, so several sinks can share a folder, and two runs of a job never touch each other's files.

An attempt takes the lane over by moving its predecessor's folder into its own. That is one rename: a predecessor that wakes up
afterwards finds its folder gone, and can neither add to what it prepared nor make any of it visible.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from millstream.errors import Fenced
from millstream_filesystem.paths import sync_names

if TYPE_CHECKING:
    from millstream.contracts.sink import EndedRun, SinkContext
    from millstream.ports import Storage

_WORK: Final = ".millstream"
_ATTEMPT: Final = re.compile(r"(\d+)-[0-9a-f]+", re.ASCII)
_COMMITTED: Final = re.compile(r"committed-(\d+)", re.ASCII)


def owner_of(context: SinkContext | EndedRun, kind: str) -> str:
    """16 hexadecimal digits that stand for job, sink and run, and for the kind of sink."""
    return _digest(kind, context.job_name, context.sink_uid, context.run_id)


def forget_lanes(root: str, run: EndedRun, kind: str) -> None:
    """Removes the lanes of a run that is over for good. The folder that they share with other sinks stays."""
    run.storage.delete_tree(f"{root}/{_WORK}/{owner_of(run, kind)}")


def new_token(context: SinkContext, serial: int) -> str:
    """16 hexadecimal digits for a name. Unlike a bare random number, never the same in two attempts of a seeded job."""
    parts = (context.job_name, context.sink_uid, context.run_id, context.attempt, context.lane, serial, context.random.token())
    return _digest(*map(str, parts))


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=8).hexdigest()


class Lane:
    """One lane of one owner.

    Args:
        storage: where the folder is.
        root: the folder of finished files.
        owner: of the lane.
        number: of the lane.
    """

    def __init__(self, storage: Storage, root: str, owner: str, number: int) -> None:
        self._storage = storage
        self._owner_folder = f"{root}/{_WORK}/{owner}"
        self._root = root
        self.number = number
        self.folder = f"{self._owner_folder}/{number}"
        self.own = ""

    def exists(self) -> bool:
        """Whether anybody ever wrote to the lane."""
        return self._storage.is_folder(self.folder)

    def claim(self, context: SinkContext) -> None:
        """Takes the lane over from older attempts, with all their files.

        Raises:
            Fenced: a newer attempt has it.
        """
        storage = self._storage
        mine = f"{context.attempt:06d}-{new_token(context, self.number)}"
        self.own = f"{self.folder}/{mine}"
        storage.make_folder(self.own)
        # Listed after our folder is there: of two attempts that start at once, the older one sees the newer one.
        others = [name for name in storage.list(self.folder) if name != mine and _ATTEMPT.fullmatch(name)]
        if any(int(name.partition("-")[0]) > context.attempt for name in others):
            raise self.fenced(context)
        for name in others:
            try:
                storage.rename(f"{self.folder}/{name}", f"{self.own}/{name}")
            except FileNotFoundError:
                raise self.fenced(context) from None
        self._flatten(self.own)
        sync_names(storage, self.own, self._root)

    def is_lost(self) -> bool:
        """Whether a newer attempt has taken the lane over."""
        return self._storage.info(self.own) is None

    def fenced(self, context: SinkContext) -> Fenced:
        """The error for an attempt that lost the lane."""
        return Fenced(sink_uid=context.sink_uid, lane=self.number, attempt=context.attempt)

    def files(self) -> list[str]:
        """Names in our folder: own files and those taken over."""
        return self._storage.list(self.own)

    def find(self, name: str) -> str:
        """Path of a file of any attempt, or the path it would have in our folder."""
        if not self.own and self.exists():
            for attempt in self._storage.list(self.folder):
                path = f"{self.folder}/{attempt}/{name}"
                if self._storage.info(path) is not None:
                    return path
        return f"{self.own or self.folder}/{name}"

    def committed(self) -> int:
        """The highest checkpoint id marked as committed; 0 when there is none."""
        return max(self._marks(), default=0)

    def mark_committed(self, checkpoint_id: int) -> None:
        """Remembers that every checkpoint up to this one is committed, also when its finished files are taken away."""
        if not self.exists():
            return  # somebody tidied up behind a job that was over: the finished file is the proof
        marks = sorted(self._marks())
        if not marks or marks[-1] < checkpoint_id:
            mark = f"{self.folder}/committed-{checkpoint_id}"
            if marks:
                self._storage.rename(f"{self.folder}/committed-{marks[-1]}", mark)
            else:
                self._storage.open_write(mark).close()
            self._storage.sync_folder(self.folder)

    def release(self) -> None:
        """Removes our folder if nothing waits in it."""
        try:
            if not self.files():
                self._storage.delete_tree(self.own)
        except FileNotFoundError:
            pass  # taken over: no longer ours to tidy

    def _marks(self) -> list[int]:
        names = self._storage.list(self.folder) if self.exists() else []
        return [int(match[1]) for match in map(_COMMITTED.fullmatch, names) if match]

    def _flatten(self, folder: str) -> None:
        # A predecessor that died right after taking over left folders inside its own.
        for name in self._storage.list(folder):
            path = f"{folder}/{name}"
            if self._storage.is_folder(path):
                self._flatten(path)
                self._storage.delete_tree(path)
            elif folder != self.own:
                self._storage.rename(path, f"{self.own}/{name}")
