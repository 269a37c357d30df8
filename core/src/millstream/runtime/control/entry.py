"""A running job's entry in the folder: a socket, and a note beside it of whose it is."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import Final

import msgspec

_MOST_NOTE_BYTES: Final = 65_536
_NAME: Final = re.compile(r"(\d{1,9})-[0-9a-f]{8}\.(json|sock|new)")
_NOTE: Final = re.compile(r"\d{1,9}-[0-9a-f]{8}\.json")


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Whose socket it is.

    Attributes:
        job_name: name of the job.
        run_id: its run.
        pid: process that has the JobManager.
        started_ms: wall clock at its start.
    """

    job_name: str
    run_id: str
    pid: int
    started_ms: int


class Entry:
    """The files of a job, which are named alike.

    Args:
        folder: a folder that was checked.
        stem: `PID-TOKEN`.
    """

    def __init__(self, folder: str, stem: str) -> None:
        self._base = os.path.join(folder, stem)

    @staticmethod
    def new(folder: str) -> Entry:
        """One that no other job has."""
        return Entry(folder, f"{os.getpid()}-{os.urandom(4).hex()}")

    @property
    def socket(self) -> str:
        """Path of the socket."""
        return f"{self._base}.sock"

    def publish(self, note: Note) -> None:
        """Lets others find the socket, which already listens: the note appears as a whole."""
        descriptor = os.open(f"{self._base}.new", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, msgspec.json.encode(note))
        finally:
            os.close(descriptor)
        os.replace(f"{self._base}.new", f"{self._base}.json")

    def read(self) -> Note | None:
        """The note; None when the job has gone meanwhile, or what is there is no note."""
        try:
            descriptor = os.open(f"{self._base}.json", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            return msgspec.json.decode(os.read(descriptor, _MOST_NOTE_BYTES), type=Note)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            return None
        finally:
            os.close(descriptor)

    def remove(self) -> None:
        """Takes it away: the note first, so that nobody finds a socket without anybody behind it."""
        for ending in ("json", "sock", "new"):
            _removed(f"{self._base}.{ending}")


def entries(folder: str) -> list[Entry]:
    """Those that jobs have published, and takes away what processes that were killed before they could have left."""
    found = [name for name in os.listdir(folder) if _NAME.fullmatch(name)]
    published = {name.removesuffix(".json") for name in found if _NOTE.fullmatch(name)}
    for name in found:
        if name.rpartition(".")[0] not in published and not is_alive(int(name.partition("-")[0])):
            _removed(os.path.join(folder, name))
    return [Entry(folder, stem) for stem in sorted(published)]


def is_alive(pid: int) -> bool:
    """Whether there is a process of that number."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _removed(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)
