"""JSON, one value per line, by msgspec."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import msgspec

from millstream.contracts.format import DecodeError, Decoder
from millstream.errors import InvalidArgument
from millstream.formats.lines import LineEncoder, LineFormat
from millstream.formats.text import undecodable

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

_AT_BYTE: Final = re.compile(r"^JSON is malformed: (?P<reason>.*) \(byte (?P<byte>\d+)\)$", re.DOTALL)
_AT_PATH: Final = re.compile(r"^(?P<reason>.*) - at `\$\.?(?P<path>.*)`$", re.DOTALL)


@dataclass(frozen=True)
class JsonLinesFormat(LineFormat[T]):
    """One JSON value per line.

    Args:
        record_type: what a line becomes: a dataclass, NamedTuple, TypedDict, msgspec.Struct or any other type that msgspec reads.
            Fields are checked and converted; unknown fields are ignored. Without it a line becomes dicts, lists, str, int, float,
            bool and None as they stand.

    Raises:
        InvalidArgument: msgspec cannot read the type.
    """

    record_type: type[T] | None = None

    file_suffix = ".jsonl"
    skips_blank_lines = True

    def __post_init__(self) -> None:
        self.decoder()

    def decoder(self, header: bytes | None = None) -> JsonDecoder[T]:
        try:
            return JsonDecoder(msgspec.json.Decoder(cast("type[T]", Any if self.record_type is None else self.record_type)))
        except (TypeError, NameError) as error:
            raise InvalidArgument(
                what="JsonLinesFormat(record_type=...)",
                value=f"{self.record_type!r} ({error})",
                allowed="a type that msgspec supports, with annotations that can be resolved where its module is imported",
            ) from None

    def encoder(self) -> JsonEncoder[T]:
        return JsonEncoder()


class JsonDecoder(Decoder[T]):
    """JSON bytes to values."""

    def __init__(self, decoder: msgspec.json.Decoder[T]) -> None:
        self._decode = decoder.decode

    def decode(self, raw: bytes) -> T:
        try:
            return self._decode(raw)
        except msgspec.DecodeError as error:
            raise _explain(error, raw) from None
        except UnicodeDecodeError as error:
            # msgspec reports positions inside the text it was reading, not inside the record.
            raise _not_utf8(raw, error) from None
        except RecursionError:
            raise DecodeError("it is nested too deeply") from None

    def decode_many(self, raws: list[bytes]) -> list[T]:
        try:
            return list(map(self._decode, raws))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise DecodeError(str(error)) from None


class JsonEncoder(LineEncoder[T]):
    """Values to JSON bytes."""

    def __init__(self) -> None:
        self._encoder = msgspec.json.Encoder()

    def encode(self, value: T) -> bytes:
        return self.encode_lines([value])[:-1]

    def encode_lines(self, values: Sequence[T]) -> bytes:
        data = self._encoder.encode_lines(values)
        # JSON has no NaN and no infinity, and msgspec writes null in their place.
        if b"null" in data and any(_has_non_finite(msgspec.to_builtins(value)) for value in values):
            msg = "JSON cannot carry NaN or an infinity: replace it by None before the sink"
            raise ValueError(msg)
        return data


def _has_non_finite(value: object) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dict):
        return any(_has_non_finite(part) for part in value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return any(_has_non_finite(part) for part in value)
    return False


def _explain(error: msgspec.DecodeError, raw: bytes) -> DecodeError:
    message = str(error)
    if at := _AT_BYTE.match(message):
        return DecodeError(f"it is not JSON: {at['reason']}", column=_column(raw, int(at["byte"])))
    if at := _AT_PATH.match(message):
        return DecodeError(at["reason"], field=at["path"] or None)
    if not isinstance(error, msgspec.ValidationError):
        what = "it is empty" if not raw.strip() else "it ends in the middle of a JSON value"
        return DecodeError(what, column=_column(raw, len(raw)))
    return DecodeError(message)


def _not_utf8(raw: bytes, error: UnicodeDecodeError) -> DecodeError:
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as where:
        return undecodable(where, "utf-8")
    return DecodeError(f"it holds text that is not UTF-8: {error.reason}")


def _column(raw: bytes, byte: int) -> int:
    return len(raw[:byte].decode("utf-8", errors="replace")) + 1
