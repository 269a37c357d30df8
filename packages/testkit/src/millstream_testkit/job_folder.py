"""Where one job and everything of it lives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from millstream_testkit.epoch_source import EpochSource

if TYPE_CHECKING:
    from pathlib import Path

    from millstream_testkit.case import Shape
    from millstream_testkit.harness import SinkHarness


@dataclass(frozen=True)
class JobFolder:
    """The folder of one job.

    Attributes:
        root: exists and was empty when the job first started.
        harness: reference of the sink's harness.
        target: what the sink writes to.
        shape: of the job.
        records: numbers that go through it.
        per_epoch: of one split, between two pauses.
        splits: of the source.
        keys: how many there are.
    """

    root: Path
    harness: str
    target: str
    shape: Shape = "keyed"
    records: int = 60
    per_epoch: int = 5
    splits: int = 2
    keys: int = 4

    @classmethod
    def make(cls, harness: SinkHarness, root: Path, shape: Shape = "keyed", records: int = 60) -> JobFolder:
        """A new job in an empty folder, with a new target."""
        return cls(root, harness.reference(), harness.create_target(root), shape, records)

    @property
    def program(self) -> str:
        """The module that runs the job."""
        return "millstream_testkit.crash_job"

    @property
    def checkpoints(self) -> Path:
        """The checkpoint storage."""
        return self.root / "checkpoints"

    @property
    def journal(self) -> Path:
        """Positions that checkpoints captured, written by the source."""
        return self.root / "journal"

    @property
    def log(self) -> Path:
        """Output and errors of all attempts."""
        return self.root / "log"

    def source(self) -> EpochSource:
        """The job's source, for what it says about positions."""
        return EpochSource(self.records, self.per_epoch, self.splits)

    def arguments(self) -> list[str]:
        """For the command line of the job."""
        options = {
            "harness": self.harness,
            "target": self.target,
            "checkpoints": self.checkpoints,
            "journal": self.journal,
            "shape": self.shape,
            "records": self.records,
            "per-epoch": self.per_epoch,
            "splits": self.splits,
            "keys": self.keys,
        }
        return [f"--{name}={value}" for name, value in options.items()]

    def last_words(self) -> str:
        """The end of the log."""
        return last_lines(self.log)


def last_lines(log: Path, most: int = 25) -> str:
    """The end of a log, of which there may be none yet."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-most:]) if log.exists() else ""
