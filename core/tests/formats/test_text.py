"""Lines of text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.contracts.format import DecodeError
from millstream.errors import InvalidArgument
from millstream.formats import TextFormat


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\r\n", exclude_categories=("Cs",)))))
def test_lines_come_back_equal(lines: list[str]) -> None:
    raws = TextFormat().encoder().encode_lines(lines).split(b"\n")[:-1]
    assert TextFormat().decoder().decode_many(raws) == lines


def test_other_encodings_that_keep_ascii_work() -> None:
    for encoding in ("latin-1", "cp1252", "shift_jis", "iso2022_jp"):
        text = "a" if encoding in ("latin-1", "cp1252") else "日本"
        raws = TextFormat(encoding=encoding).encoder().encode_lines([text, "b"]).split(b"\n")[:-1]
        assert TextFormat(encoding=encoding).decoder().decode_many(raws) == [text, "b"]


@pytest.mark.parametrize("encoding", ["utf-16", "cp037", "no-such-thing", "rot13"])
def test_encodings_in_which_lines_cannot_be_found_are_refused(encoding: str) -> None:
    with pytest.raises(InvalidArgument, match="keeps ASCII"):
        TextFormat(encoding=encoding)


def test_bytes_that_are_no_text_are_named_with_their_column() -> None:
    decoder = TextFormat().decoder()
    with pytest.raises(DecodeError):
        decoder.decode_many([b"fine", "ä".encode() + b"\xc3"])
    with pytest.raises(DecodeError, match="0xc3 is not utf-8") as caught:
        decoder.decode("ä".encode() + b"\xc3")
    assert caught.value.column == 2


def test_a_record_with_a_line_feed_inside_stays_one_record() -> None:
    assert TextFormat().decoder().decode_many([b"a\nb", b"c"]) == ["a\nb", "c"]
    assert TextFormat().decoder().decode_many([]) == []


@pytest.mark.parametrize("value", ["a\nb", "a\r", "\n"])
def test_a_text_that_would_be_read_back_as_something_else_is_not_written(value: str) -> None:
    with pytest.raises(ValueError, match="line end"):
        TextFormat().encoder().encode_lines(["x", value])


def test_what_is_no_text_is_not_written() -> None:
    with pytest.raises(TypeError, match="not int"):
        TextFormat().encoder().encode_lines(["x", 1])  # type: ignore[list-item]
