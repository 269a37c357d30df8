"""Cuts a stream of bytes into lines."""

from __future__ import annotations

from typing import Final

MAX_LINE_BYTES: Final = 16 * 2**20
"""A longer line is dropped: a server that never sends a line end must not fill the memory."""

_SHOWN_BYTES: Final = 1000


class LineSplitter:
    r"""Keeps the beginning of a line until its end comes.

    Args:
        delimiter: what ends a line, at least one byte; with `\n`, a `\r` before it belongs to the end, too.
    """

    def __init__(self, delimiter: bytes) -> None:
        self._delimiter = delimiter
        self._strip = delimiter == b"\n"
        self._buffer = bytearray()
        self._too_long = b""
        self._skipping = False

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that end in `data`, without their ends."""
        delimiter, buffer = self._delimiter, self._buffer
        # The end of a line may have begun in what came before.
        start = max(0, len(buffer) - len(delimiter) + 1)
        buffer += data
        if buffer.find(delimiter, start) < 0:
            self._drop_too_long()
            return []
        received = bytes(buffer)
        lines = received.split(delimiter)
        self._buffer = bytearray(lines.pop())
        if self._skipping:
            del lines[0]
            self._skipping = False
        if self._strip and b"\r" in received:
            lines = [line.removesuffix(b"\r") for line in lines]
        return lines

    def _drop_too_long(self) -> None:
        buffer = self._buffer
        if not self._skipping and len(buffer) > MAX_LINE_BYTES:
            self._too_long = bytes(buffer[:_SHOWN_BYTES])
            self._skipping = True
        if self._skipping:
            # Just enough stays to recognize an end of which a part has come.
            del buffer[: len(buffer) - len(self._delimiter) + 1]

    def take_too_long(self) -> bytes:
        """The first 1,000 bytes of a line that was too long, once; b"" when there was none."""
        too_long, self._too_long = self._too_long, b""
        return too_long

    def rest(self) -> bytes:
        """What stands behind the last line end; the next data begins a new line."""
        rest = b"" if self._skipping else bytes(self._buffer)
        self._buffer = bytearray()
        self._skipping = False
        return rest.removesuffix(b"\r") if self._strip else rest
