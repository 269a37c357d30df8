"""Formats: bytes of one record to a value and back. Framing (lines, messages) is the connector's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")


class DecodeError(ValueError):
    """The bytes are not a record of the format.

    Attributes:
        reason: what is wrong, as the end of a sentence.
        column: 1-based column in the raw record, in characters or fields as the format counts; None where unknown.
        field: name of the offending field, None where unknown.
    """

    def __init__(self, reason: str, column: int | None = None, field: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.column = column
        self.field = field


class Decoder(ABC, Generic[T]):
    """Turns raw records into values; one per split."""

    @abstractmethod
    def decode(self, raw: bytes) -> T:
        """One record. Raises DecodeError."""

    def decode_many(self, raws: list[bytes]) -> list[T]:
        """Several at once. Raises DecodeError without saying which: the caller then decodes one by one."""
        return [self.decode(raw) for raw in raws]


class Encoder(ABC, Generic[T]):
    """Turns values into raw records."""

    @abstractmethod
    def encode(self, value: T) -> bytes:
        """One record, without a line end. Raises TypeError or ValueError for a value the format cannot carry."""

    def encode_many(self, values: Sequence[T]) -> list[bytes]:
        """Several, each by itself. Raises as `encode` does without saying for which: the caller then encodes one by one."""
        return [self.encode(value) for value in values]


class Format(ABC, Generic[T]):
    """A picklable description of a format.

    Attributes:
        has_header: the first line of each file names the columns and is given to `decoder`.
    """

    has_header: bool = False

    @abstractmethod
    def decoder(self, header: bytes | None = None) -> Decoder[T]: ...

    @abstractmethod
    def encoder(self) -> Encoder[T]: ...

    def header(self) -> bytes | None:
        """The first line that a sink writes into each file, or None."""
        return None
