"""What the supervisor sees of the job from outside: its checkpoint folder and its output folder."""

from __future__ import annotations

import sys
import time
from glob import escape, glob
from pathlib import Path

import verdict


def newest_checkpoint(folder: Path) -> int:
    """Highest id of a completed checkpoint (`chk-N` with its `_metadata`) anywhere below a folder; 0 when there is none."""
    # glob, unlike Path.rglob, does not mind that the job deletes older checkpoints meanwhile.
    found = glob(f"{escape(str(folder))}/**/chk-*/_metadata", recursive=True)
    return max((int(Path(path).parent.name.removeprefix("chk-")) for path in found), default=0)


class Progress:
    """Shows how far the job is: one line that is written over on a terminal, a line every two seconds elsewhere.

    Attributes:
        attempt: number of the running attempt, 1 for the first.
    """

    def __init__(self, output: Path, checkpoints: Path) -> None:
        self.attempt = 0
        self._output = output
        self._checkpoints = checkpoints
        self._started_s = self._shown_s = time.monotonic()
        self._live = sys.stdout.isatty()
        self._every_s = 0.1 if self._live else 2.0
        self._newest = 0
        self._counted: dict[tuple[Path, int], int] = {}

    def windows(self) -> int:
        """Results that a reader can see now. Files that did not grow are not read again."""
        if not self._output.is_dir():
            return 0
        counted: dict[tuple[Path, int], int] = {}
        for path in verdict.files(self._output):
            known = (path, path.stat().st_size)
            counted[known] = self._counted[known] if known in self._counted else max(path.read_bytes().count(b"\n") - 1, 0)
        self._counted = counted
        return sum(counted.values())

    def show(self) -> None:
        """Shows the state of things, unless it was shown a moment ago."""
        if time.monotonic() - self._shown_s < self._every_s:
            return
        self._shown_s = time.monotonic()
        self._newest = max(self._newest, newest_checkpoint(self._checkpoints))  # a finished job deletes them
        line = f"attempt {self.attempt}, checkpoint {self._newest}, {self.windows():,} windows in finished files"
        if self._live:
            print(f"\r\x1b[K{self._elapsed()} {line}", end="", flush=True)
        else:
            print(f"{self._elapsed()} {line}", flush=True)

    def say(self, event: str) -> None:
        """Prints what has happened on a line of its own."""
        self.clear()
        print(f"{self._elapsed()} {event}; {self.windows():,} windows in finished files", flush=True)

    def clear(self) -> None:
        """Takes the live line away."""
        if self._live:
            print("\r\x1b[K", end="", flush=True)

    def _elapsed(self) -> str:
        return f"{time.monotonic() - self._started_s:6.2f} s "
