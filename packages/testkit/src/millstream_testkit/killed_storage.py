"""A checkpoint storage used by processes that are killed, one after the other, and looked at by a stranger in the end."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from millstream.contracts.checkpoint_storage import CheckpointStorageContext
from millstream.ports import LocalStorage
from millstream_testkit.job_folder import last_lines
from millstream_testkit.job_process import JobProcess, ProcessOptions
from millstream_testkit.storage_checkpoints import JOB, look
from millstream_testkit.storage_life import Entry, Expected

if TYPE_CHECKING:
    from pathlib import Path

    from millstream_testkit.storage_harness import CheckpointStorageHarness

LIFE_TIMEOUT_S: Final = 40.0


@dataclass(frozen=True)
class _Options(ProcessOptions):
    words: tuple[str, ...] = ()

    def arguments(self) -> list[str]:
        return list(self.words)


class KilledStorage:
    """One location over all its attempts.

    Args:
        harness: of the storage.
        root: an existing, empty folder.
    """

    program: Final = "millstream_testkit.storage_process"

    def __init__(self, harness: CheckpointStorageHarness, root: Path) -> None:
        self.root = root
        self.log = root / "log"
        self.attempt = 0
        self._harness = harness
        self.location = harness.create_location(root)

    def arguments(self) -> list[str]:
        """For the command line of every process."""
        return [f"--harness={self._harness.reference()}", f"--location={self.location}"]

    def start(self, crash: str = "", moments: Path | None = None) -> JobProcess:
        """The next attempt."""
        self.attempt += 1
        words = (f"--attempt={self.attempt}", f"--journal={self.root / 'journal'}", *([f"--moments={moments}"] if moments else []))
        return JobProcess(self, _Options(crash=crash, words=words))

    def live(self, crash: str = "") -> int | None:
        """The next attempt, to its end. The exit code."""
        return self.wait(self.start(crash))

    def wait(self, process: JobProcess) -> int | None:
        """Waits for the end of an attempt; None when it took too long."""
        try:
            return process.wait(LIFE_TIMEOUT_S, lambda: None)
        finally:
            process.kill()

    def moments(self) -> list[str]:
        """The crash points that the next attempt passes, which nobody kills, in order.

        Raises:
            RuntimeError: it did not come to its end.
        """
        path = self.root / f"moments-{self.attempt + 1}"
        code = self.wait(self.start(moments=path))
        if code != 0:
            msg = f"an attempt that nobody killed ended with exit code {code}:\n{self.last_words()}"
            raise RuntimeError(msg)
        found: list[str] = json.loads(path.read_text())
        return found

    def journal(self) -> list[Entry]:
        """What the attempts did."""
        return [msgspec.json.decode(line, type=Entry) for line in (self.root / "journal").read_bytes().splitlines()]

    def problems(self) -> list[str]:
        """What is wrong by the journal, and with what a stranger finds: this process, which has never written there."""
        expected = Expected.by(self.journal())
        store = self._harness.storage(self.location).open(CheckpointStorageContext(JOB, LocalStorage()))
        return [*expected.problems, *expected.compare(look(store))]

    def last_words(self) -> str:
        """The end of the log."""
        return last_lines(self.log)

    def drop(self) -> None:
        """Removes the location. The folder is kept."""
        self._harness.drop_location(self.location)


_moments: dict[tuple[str, str], list[str]] = {}
"""By reference of the harness and where the attempt before was killed: the same for all that ask in this process."""


def killed_once(harness: CheckpointStorageHarness, root: Path, moment: str) -> KilledStorage:
    """A storage in a new folder whose first attempt is killed at a moment; not at all when it is empty.

    Raises:
        RuntimeError: it was never there.
    """
    folder = root / f"storage-{len(list(root.iterdir()))}"
    folder.mkdir()
    storage = KilledStorage(harness, folder)
    code = storage.live(moment) if moment else -signal.SIGKILL
    if code != -signal.SIGKILL:
        msg = f"the process was never at {moment} (exit code {code}):\n{storage.last_words()}"
        raise RuntimeError(msg)
    return storage


def moments_of(harness: CheckpointStorageHarness, root: Path, after: str = "") -> list[str]:
    """The crash points that a first attempt passes; or, after a death at one of them, the second."""
    key = harness.reference(), after
    if key not in _moments:
        storage = killed_once(harness, root, after)
        _moments[key] = storage.moments()
        storage.drop()
    return _moments[key]
