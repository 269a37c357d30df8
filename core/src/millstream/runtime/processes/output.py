"""What a TaskManager process writes to its standard output, where the program's own is no plain one.

A notebook, a capturing test, or the command line's display of progress put something of theirs in the place of `sys.stdout` and
`sys.stderr`. What another process writes to the file below would not be seen there, or spoil the display, so it goes through a pipe.
"""

from __future__ import annotations

import codecs
import os
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing import TextIO

_READ: Final = 1 << 16


def is_replaced(name: str) -> bool:
    """Whether `sys.stdout` or `sys.stderr` is not what Python made of the file that a new process would inherit."""
    return getattr(sys, name) is not getattr(sys, f"__{name}__")


class ForwardedOutput:
    """The reading end of a pipe whose text goes to `sys.stdout` or `sys.stderr` of this process, in whole lines: others write there, too.

    Args:
        name: `stdout` or `stderr`.

    Attributes:
        writer: file descriptor of the other end, for the new process.
        closed: nothing comes any more.
    """

    has_output: Final = False

    def __init__(self, name: str) -> None:
        self._name = name
        self._reader, self.writer = os.pipe()
        os.set_blocking(self._reader, False)
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        self._line = ""  # as much as has come of it
        self.closed = False

    def fileno(self) -> int:
        """For selectors."""
        return self._reader

    def started(self) -> None:
        """The process has its end, or there will be none."""
        os.close(self.writer)

    def forward(self) -> None:
        """Writes what has come."""
        while not self.closed:
            try:
                data = os.read(self._reader, _READ)
            except BlockingIOError:
                return
            text = self._line + self._decoder.decode(data, final=not data)
            end = text.rfind("\n") + 1 if data else len(text)
            self._line = text[end:]
            self._write(text[:end])
            if not data:
                self.close()

    def _write(self, text: str) -> None:
        file: TextIO | None = getattr(sys, self._name)
        if not text or file is None:
            return
        try:
            file.write(text)
            file.flush()
        except (OSError, ValueError):  # closed, or full: as little as one may expect of a process that wrote there itself
            self.close()

    def close(self) -> None:
        """No more of it."""
        if not self.closed:
            self.closed = True
            os.close(self._reader)
