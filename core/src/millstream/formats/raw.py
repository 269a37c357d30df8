"""Raw bytes, as they come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from millstream.contracts.format import Decoder
from millstream.formats.lines import LineEncoder, LineFormat

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class RawFormat(LineFormat[bytes]):
    """A record is the bytes it was read from. In a file of lines it is a line without its end, and cannot hold one."""

    def decoder(self, header: bytes | None = None) -> RawDecoder:
        return RawDecoder()

    def encoder(self) -> RawEncoder:
        return RawEncoder()


class RawDecoder(Decoder[bytes]):
    """Bytes to the same bytes."""

    def decode(self, raw: bytes) -> bytes:
        return raw

    def decode_many(self, raws: list[bytes]) -> list[bytes]:
        return raws


class RawEncoder(LineEncoder[bytes]):
    """Bytes to the same bytes."""

    def encode(self, value: bytes) -> bytes:
        given: object = value
        if not isinstance(given, bytes):
            msg = f"a raw record must be bytes, not {type(given).__name__}: map the records to bytes first, or choose another format"
            raise TypeError(msg)
        return value

    def encode_many(self, values: Sequence[bytes]) -> list[bytes]:
        return list(values) if set(map(type, values)) <= {bytes} else [self.encode(value) for value in values]

    def encode_lines(self, values: Sequence[bytes]) -> bytes:
        for value in values:
            if b"\n" in self.encode(value) or value.endswith(b"\r"):
                msg = f"{value[:80]!r} holds a line end, so it would be read back as something else: encode it, with base64 say"
                raise ValueError(msg)
        return b"".join([value + b"\n" for value in values])
