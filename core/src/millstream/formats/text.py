"""Plain text: every line is a `str`."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from millstream.contracts.format import DecodeError, Decoder
from millstream.formats.lines import LineEncoder, LineFormat, check_line_encoding

if TYPE_CHECKING:
    from collections.abc import Sequence


_LINE_BY_LINE_ALIKE: Final = frozenset({"utf-8", "ascii", "iso8859-1", "iso8859-15", "cp1252"})
"""Encodings without shift states: many lines may be decoded, and encoded, in one go. By the names that `codecs.lookup` gives."""


@dataclass(frozen=True)
class TextFormat(LineFormat[str]):
    """One `str` per line, without its line end. An empty line is an empty string.

    Args:
        encoding: how text is written as bytes; one that keeps ASCII (UTF-16 does not).

    Raises:
        InvalidArgument: the encoding is unknown, or line ends could not be found in it.
    """

    encoding: str = "utf-8"

    file_suffix = ".txt"
    skips_blank_lines = False

    def __post_init__(self) -> None:
        check_line_encoding("TextFormat(encoding=...)", self.encoding)

    def decoder(self, header: bytes | None = None) -> TextDecoder:
        return TextDecoder(self.encoding)

    def encoder(self) -> TextEncoder:
        return TextEncoder(self.encoding)


class TextDecoder(Decoder[str]):
    """Bytes to `str`."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._many_at_once = codecs.lookup(encoding).name in _LINE_BY_LINE_ALIKE

    def decode(self, raw: bytes) -> str:
        try:
            return raw.decode(self._encoding)
        except UnicodeDecodeError as error:
            raise undecodable(error, self._encoding) from None

    def decode_many(self, raws: list[bytes]) -> list[str]:
        if not self._many_at_once:
            return [self.decode(raw) for raw in raws]
        try:
            lines = b"\n".join(raws).decode(self._encoding).split("\n")
        except UnicodeDecodeError as error:
            raise undecodable(error, self._encoding) from None
        # A record with a line feed inside (not from a file), or no record at all, makes the counts differ.
        return lines if len(lines) == len(raws) else [self.decode(raw) for raw in raws]


class TextEncoder(LineEncoder[str]):
    """`str` to bytes."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._many_at_once = codecs.lookup(encoding).name in _LINE_BY_LINE_ALIKE

    def encode_many(self, values: Sequence[str]) -> list[bytes]:
        return super().encode_many(values) if self._many_at_once else [self.encode(value) for value in values]

    def encode(self, value: str) -> bytes:
        return self.encode_lines([value])[:-1]

    def encode_lines(self, values: Sequence[str]) -> bytes:
        if not values:
            return b""
        try:
            text = "\n".join(values)
        except TypeError:
            wrong = next(value for value in values if not isinstance(value, str))
            msg = f"a line of text must be a str, not {type(wrong).__name__}: map the records to str first, or choose another format"
            raise TypeError(msg) from None
        if text.count("\n") != len(values) - 1 or "\r" in text:
            _refuse_line_ends(values)
        return (text + "\n").encode(self._encoding)


def _refuse_line_ends(values: Sequence[str]) -> None:
    for value in values:
        if "\n" in value or value.endswith("\r"):
            msg = f"{value[:80]!r} holds a line end, so it would be read back as something else: use JsonLinesFormat, or remove it"
            raise ValueError(msg)


def undecodable(error: UnicodeDecodeError, encoding: str) -> DecodeError:
    """What is wrong with bytes that are not text, with the column (1-based, in characters) where it begins."""
    column = len(error.object[: error.start].decode(encoding, errors="replace")) + 1
    byte = error.object[error.start]
    return DecodeError(f"byte 0x{byte:02x} is not {encoding}: {error.reason}", column=column)
