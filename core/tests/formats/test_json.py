"""JSON lines: what comes back, and what the author of a bad line is told."""

from __future__ import annotations

import pickle
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.contracts.format import DecodeError
from millstream.errors import InvalidArgument
from millstream.formats import JsonLinesFormat


@dataclass
class Place:
    name: str
    tags: list[int]


@dataclass
class Reading:
    sensor: str
    place: Place | None = None


def error_of(format_: JsonLinesFormat[Any], raw: bytes) -> DecodeError:
    decoder = format_.decoder()
    with pytest.raises(DecodeError):
        decoder.decode_many([raw])
    with pytest.raises(DecodeError) as caught:
        decoder.decode(raw)
    return caught.value


def test_a_record_type_is_filled_and_checked() -> None:
    decoder = JsonLinesFormat(record_type=Reading).decoder()
    assert decoder.decode(b'{"sensor": "a", "place": {"name": "x", "tags": [1]}, "more": 1}') == Reading("a", Place("x", [1]))


def test_a_wrong_field_is_named_by_its_path() -> None:
    error = error_of(JsonLinesFormat(record_type=Reading), b'{"sensor": "a", "place": {"name": "x", "tags": [1, "b"]}}')
    assert (error.field, error.reason) == ("place.tags[1]", "Expected `int`, got `str`")
    assert "missing required field `sensor`" in error_of(JsonLinesFormat(record_type=Reading), b"{}").reason


@pytest.mark.parametrize(
    ("raw", "column", "said"),
    [
        (b'{"a": x}', 7, "it is not JSON: invalid character"),
        ('{"ä": x}'.encode(), 7, "invalid character"),
        (b"1 2", 4, "trailing characters"),
        (b'{"a": ', 7, "ends in the middle"),
        (b"", 1, "it is empty"),
        (b'"a\xff"', 3, "byte 0xff is not utf-8"),
        (b"[" * 100_000, None, "nested too deeply"),
        (b"NaN", 1, "not JSON"),
        (b"1" * 5000, None, "out of range"),
    ],
)
def test_what_is_no_json_says_where(raw: bytes, column: int | None, said: str) -> None:
    error = error_of(JsonLinesFormat(), raw)
    assert said in error.reason
    assert error.column == column


@pytest.mark.parametrize("value", [float("nan"), {"a": [1, float("inf")]}, (None, -float("inf"))])
def test_nan_and_infinities_are_refused_because_they_would_come_back_as_null(value: Any) -> None:
    with pytest.raises(ValueError, match="NaN or an infinity"):
        JsonLinesFormat().encoder().encode(value)


def test_null_itself_and_objects_msgspec_knows_are_written() -> None:
    encoder = JsonLinesFormat().encoder()
    assert encoder.encode_lines([{"a": None}, Place("null", [])]) == b'{"a":null}\n{"name":"null","tags":[]}\n'
    with pytest.raises(TypeError):
        encoder.encode(object())


def test_a_type_that_msgspec_cannot_read_is_refused_when_the_format_is_made() -> None:
    with pytest.raises(InvalidArgument, match="record_type"):
        JsonLinesFormat(record_type=Reading | Place)  # type: ignore[arg-type]


def test_a_format_travels_to_workers() -> None:
    assert pickle.loads(pickle.dumps(JsonLinesFormat(record_type=Reading))) == JsonLinesFormat(record_type=Reading)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(st.characters(exclude_categories=("Cs",))),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(exclude_categories=("Cs",)), max_size=3), inner, max_size=3),
    max_leaves=10,
)


@settings(deadline=None)
@given(st.lists(json_values))
def test_values_come_back_equal(values: list[Any]) -> None:
    lines = JsonLinesFormat().encoder().encode_lines(values).split(b"\n")[:-1]
    assert JsonLinesFormat().decoder().decode_many(lines) == values


@settings(deadline=None)
@given(st.binary(max_size=30))
def test_any_bytes_are_a_value_or_a_decode_error(raw: bytes) -> None:
    with suppress(DecodeError):
        JsonLinesFormat().decoder().decode(raw)
