"""A terminal that shows a block of lines which is drawn anew, below whatever else is written to it."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.live import Live

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType


class Terminal:
    """Draws the block, and takes it away while somebody else writes.

    Records that a job prints reach the terminal as they are: rendering each would cost more than the job itself.

    Args:
        file: the terminal, without redirection.
    """

    def __init__(self, file: TextIO) -> None:
        self._console = Console(file=file)
        self._live: Live | None = None
        self._lock = threading.RLock()
        self._inside_line = False

    def draw(self, block: RenderableType) -> None:
        """Draws the block in the place of the last one. While somebody is in the middle of a line, nothing."""
        with self._lock:
            if self._inside_line:
                return
            if self._live is None:
                self._live = Live(console=self._console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)
                self._live.start()  # draws nothing yet
            self._live.update(block, refresh=True)

    def erase(self) -> None:
        """Takes the block away."""
        with self._lock:
            if self._live is not None:
                self._live.stop()
                self._live = None

    def write(self, file: TextIO, text: str) -> int:
        """Lets somebody write."""
        with self._lock:
            self.erase()
            if text:
                self._inside_line = not text.endswith("\n")
            return file.write(text)

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Makes `sys.stdout` and `sys.stderr` take the block away before they write."""
        stdout, stderr = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = _Shared(stdout, self), _Shared(stderr, self)
        try:
            yield
        finally:
            self.erase()
            sys.stdout, sys.stderr = stdout, stderr


class _Shared:
    """A text file that writes through the terminal and is the file itself in everything else."""

    def __init__(self, file: TextIO, terminal: Terminal) -> None:
        self._file = file
        self._terminal = terminal

    def write(self, text: str) -> int:
        return self._terminal.write(self._file, text)

    def writelines(self, lines: Any) -> None:
        self.write("".join(lines))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
