"""One attempt of a job: a process, seen from its supervisor."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final, Protocol

from millstream_testkit.counting import COUNT_VARIABLE
from millstream_testkit.loading import PATH_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

POLL_S: Final = 0.02
"""Time between two looks at the process and its target."""


@cache
def _compiled() -> str:
    """A folder for compiled modules, for as long as this process lives: where nobody else finds, or has put, any."""
    folder = tempfile.mkdtemp(prefix="millstream-compiled-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@dataclass(frozen=True)
class ProcessOptions:
    """How a process is started.

    Attributes:
        crash: what MILLSTREAM_CRASH arms.
    """

    crash: str = ""

    def arguments(self) -> list[str]:
        """For the command line."""
        return []

    def own_variables(self) -> dict[str, str]:
        """Environment variables of the kit and the engine; empty ones are left out."""
        return {"MILLSTREAM_CRASH": self.crash, PATH_VARIABLE: os.pathsep.join(sys.path)}

    def environment(self) -> dict[str, str]:
        """Of the process; nothing of the engine's settings is inherited."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MILLSTREAM_")}
        if inherited.pop("PYTHONDONTWRITEBYTECODE", None):
            # Each process would compile all it imports, which takes longer than most jobs of the kit.
            inherited["PYTHONPYCACHEPREFIX"] = _compiled()
        return {**inherited, **{name: value for name, value in self.own_variables().items() if value}}


@dataclass(frozen=True)
class AttemptOptions(ProcessOptions):
    """How an attempt of a job is started.

    Attributes:
        messages: faults of messages.
        parallelism: of the job.
        interval_ms: between checkpoints.
        checkpoint_timeout_ms: after which a checkpoint has failed.
        resume: setting `job.resume`.
        rewind: setting `job.rewind`.
        retained: setting `checkpoint.retained`.
        count_to: file for the number of passes of each crash point.
    """

    messages: str = ""
    parallelism: int = 2
    interval_ms: int = 20
    checkpoint_timeout_ms: int = 10_000
    resume: str = "auto"
    rewind: bool = False
    retained: int = 1
    count_to: Path | None = None

    def arguments(self) -> list[str]:
        return [
            f"--parallelism={self.parallelism}",
            f"--interval-ms={self.interval_ms}",
            f"--checkpoint-timeout-ms={self.checkpoint_timeout_ms}",
            f"--resume={self.resume}",
            f"--retained={self.retained}",
            *(["--rewind"] if self.rewind else []),
        ]

    def own_variables(self) -> dict[str, str]:
        messages = {"MILLSTREAM_TESTKIT_MESSAGES": self.messages, COUNT_VARIABLE: str(self.count_to or "")}
        return {**super().own_variables(), **messages}


class Startable(Protocol):
    """What a process is started from."""

    @property
    def program(self) -> str:
        """The module that runs the job."""

    @property
    def log(self) -> Path:
        """Output and errors of all attempts."""

    def arguments(self) -> list[str]:
        """For the command line of the job."""


class JobProcess:
    """A running attempt.

    Args:
        folder: of the job.
        options: of this attempt.
        script: runs the job instead of the folder's program, with the same arguments.
    """

    def __init__(self, folder: Startable, options: ProcessOptions, script: Path | None = None) -> None:
        program = [str(script)] if script else ["-m", folder.program]
        with folder.log.open("ab") as log:
            log.write(f"--- {options}\n".encode())
            log.flush()
            self._process = subprocess.Popen(
                [sys.executable, *program, *folder.arguments(), *options.arguments()],
                env=options.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll()

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
            if number and os.WIFSTOPPED(status):
                return True
            if number:
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
