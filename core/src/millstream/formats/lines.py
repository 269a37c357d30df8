"""Formats whose records are lines of text: what a file needs to know of them beyond one record.

A record of such a format never holds a line break, so a reader may split its input at every line feed.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, TypeVar

from millstream.contracts.format import Encoder, Format
from millstream.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")


class LineEncoder(Encoder[T]):
    """Turns values into lines, whole batches at a time."""

    @abstractmethod
    def encode_lines(self, values: Sequence[T]) -> bytes:
        r"""All values in order, each followed by `\n`. Raises TypeError or ValueError as `encode` does; then nothing was encoded."""

    def encode_many(self, values: Sequence[T]) -> list[bytes]:
        # Records hold no line end, so what was made in one go can be taken apart.
        *records, _ = self.encode_lines(values).split(b"\n")
        return records


class LineFormat(Format[T]):
    """A format that can stand in a text file.

    Attributes:
        file_suffix: how names of files in this format end, with the dot.
        skips_blank_lines: an empty line is no record and is passed over.
    """

    file_suffix: str = ""
    skips_blank_lines: bool = False

    @abstractmethod
    def encoder(self) -> LineEncoder[T]: ...


def check_line_encoding(what: str, encoding: str) -> None:
    """Refuses encodings in which a line feed is not the byte 0x0A (UTF-16, EBCDIC) and names that Python does not know.

    Raises:
        InvalidArgument: lines could not be found in such bytes.
    """
    allowed = 'the name of an encoding that keeps ASCII, for example "utf-8", "latin-1" or "cp1252"'
    try:
        fits = "a\r\n,".encode(encoding) == b"a\r\n,"
    except (LookupError, UnicodeError):
        fits = False
    if not fits:
        raise InvalidArgument(what=what, value=repr(encoding), allowed=allowed)
