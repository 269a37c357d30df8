"""The killed job's process, seen from the supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from millstream_testkit.epoch_source import EpochSource

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from millstream_testkit.case import Shape

POLL_S: Final = 0.02
"""Time between two looks at the target while the job runs."""


@dataclass(frozen=True)
class JobFolder:
    """Where one job and everything of it lives.

    Attributes:
        root: exists and was empty when the job first started.
        factory: of the sink.
    """

    root: Path
    factory: str
    shape: Shape = "keyed"
    records: int = 60
    per_epoch: int = 5
    splits: int = 2
    keys: int = 4

    @property
    def target(self) -> Path:
        """What the sink writes to."""
        return self.root / "target"

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

    def command(self, parallelism: int, checkpoint_timeout_ms: int) -> list[str]:
        """Starts the job, or goes on with it."""
        options = {
            "sink": self.factory,
            "target": self.target,
            "checkpoints": self.checkpoints,
            "journal": self.journal,
            "shape": self.shape,
            "parallelism": parallelism,
            "records": self.records,
            "per-epoch": self.per_epoch,
            "splits": self.splits,
            "keys": self.keys,
            "checkpoint-timeout-ms": checkpoint_timeout_ms,
        }
        return [sys.executable, "-m", "millstream_testkit.crash_job", *(f"--{name}={value}" for name, value in options.items())]

    def last_words(self, lines: int = 25) -> str:
        """The end of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""


class JobProcess:
    """One attempt.

    Args:
        folder: of the job.
        parallelism: of this attempt.
        crash: value of MILLSTREAM_CRASH.
        messages: value of MILLSTREAM_TESTKIT_MESSAGES.
        count_to: value of MILLSTREAM_TESTKIT_COUNT.
    """

    def __init__(
        self,
        folder: JobFolder,
        parallelism: int = 2,
        crash: str = "",
        messages: str = "",
        count_to: str = "",
        checkpoint_timeout_ms: int = 10_000,
    ) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MILLSTREAM_")}
        wanted = {"MILLSTREAM_CRASH": crash, "MILLSTREAM_TESTKIT_MESSAGES": messages, "MILLSTREAM_TESTKIT_COUNT": count_to}
        environment.update({name: value for name, value in wanted.items() if value})
        with folder.log.open("ab") as log:
            log.write(f"--- attempt: {wanted}\n".encode())
            log.flush()
            self._process = subprocess.Popen(
                folder.command(parallelism, checkpoint_timeout_ms),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def wait(self, timeout_s: float, look: Callable[[], None]) -> int | None:
        """Waits for the end, calling `look` all the while. The exit code; None when the process had to be killed for taking too long."""
        limit_s = time.monotonic() + timeout_s
        while True:
            try:
                return self._process.wait(POLL_S)
            except subprocess.TimeoutExpired:
                if time.monotonic() > limit_s:
                    self.kill()
                    return None
                look()

    def wait_until_stopped(self, timeout_s: float) -> bool:
        """Waits until the process is stopped by SIGSTOP. False when it ended, or did not stop in time."""
        limit_s = time.monotonic() + timeout_s
        while time.monotonic() < limit_s:
            number, status = os.waitpid(self._process.pid, os.WNOHANG | os.WUNTRACED)
            if number:
                if os.WIFSTOPPED(status):
                    return True
                self._process.returncode = os.waitstatus_to_exitcode(status)
                return False
            time.sleep(POLL_S)
        return False

    def resume(self) -> None:
        """Lets a stopped process go on."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Ends the process if it is still there."""
        self._process.kill()
        self._process.wait()
