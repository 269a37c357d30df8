"""`encode_many` gives what `encode` gives for each, in every format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.contracts.format import Format
from millstream.formats import CsvFormat, JsonLinesFormat, RawFormat, TextFormat


@dataclass(frozen=True)
class Row:
    name: str
    number: int


TEXTS = st.text().filter(lambda text: "\n" not in text and "\r" not in text)
BYTES = st.binary()
VALUES: list[tuple[Format[Any], st.SearchStrategy[Any]]] = [
    (RawFormat(), BYTES),
    (TextFormat(), TEXTS.filter(lambda text: not any(0xD800 <= ord(char) < 0xE000 for char in text))),
    (TextFormat("iso2022_jp"), st.text(alphabet="aあ漢")),
    (JsonLinesFormat(), st.recursive(st.none() | st.integers(-5, 5) | TEXTS.filter(str.isascii), lambda inner: st.lists(inner, max_size=3))),
    (CsvFormat(record_type=Row), st.builds(Row, TEXTS.filter(str.isascii), st.integers(-9, 9))),
]


@pytest.mark.parametrize(("file_format", "values"), VALUES, ids=lambda part: repr(part)[:30])
@given(data=st.data())
def test_many_are_each_by_itself(file_format: Format[Any], values: st.SearchStrategy[Any], data: st.DataObject) -> None:
    encoder = file_format.encoder()
    drawn = data.draw(st.lists(values, max_size=5))
    try:
        expected = [encoder.encode(value) for value in drawn]
    except (TypeError, ValueError) as error:
        with pytest.raises(type(error)):
            encoder.encode_many(drawn)
    else:
        assert encoder.encode_many(drawn) == expected


def test_a_value_that_is_no_record_is_refused_among_others() -> None:
    for file_format, wrong in [(RawFormat(), "text"), (TextFormat(), b"bytes"), (JsonLinesFormat(), float("nan"))]:
        with pytest.raises((TypeError, ValueError)):
            file_format.encoder().encode_many([wrong])  # type: ignore[attr-defined]  # the formats have no common type
