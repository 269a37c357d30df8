"""Formats as files have them: lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from millstream.formats import LineEncoder, LineFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from millstream.contracts.format import Encoder, Format

T = TypeVar("T")


def skips_blank_lines(format_: Format[Any]) -> bool:
    """Whether an empty line is no record."""
    return isinstance(format_, LineFormat) and format_.skips_blank_lines


def file_suffix(format_: Format[Any]) -> str:
    """How names of files in the format end."""
    return format_.file_suffix if isinstance(format_, LineFormat) else ""


def encode_lines(encoder: Encoder[T], values: Sequence[T]) -> bytes:
    r"""Values as lines that end in `\n`.

    Raises:
        TypeError, ValueError: the format cannot carry a value, or the value would not be one line.
    """
    if isinstance(encoder, LineEncoder):
        return encoder.encode_lines(values)
    lines = [encoder.encode(value) for value in values]
    for line in lines:
        if b"\n" in line:
            msg = f"the format writes a line end inside a record ({line[:80]!r}...), so it cannot stand in a file of lines"
            raise ValueError(msg)
    return b"".join([line + b"\n" for line in lines])


def encode_valid_lines(encoder: Encoder[T], values: Sequence[T], reject: Callable[[object, Exception], None]) -> bytes:
    """Lines of the values that the format carries; the others are rejected, one by one."""
    try:
        return encode_lines(encoder, values)
    except Exception:  # noqa: BLE001 - some record is at fault: which, is found by trying each
        lines = []
    for value in values:
        try:
            lines.append(encode_lines(encoder, [value]))
        except Exception as error:  # noqa: BLE001 - encoding touches nothing but the record: it is the record's fault
            reject(value, error)
    return b"".join(lines)
