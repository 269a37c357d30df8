"""Bytes as they come."""

from __future__ import annotations

from pathlib import Path

import pytest

from millstream import StreamExecutionEnvironment
from millstream.formats import RawFormat
from millstream.plugins import default_manager


def test_bytes_go_in_and_out_unchanged() -> None:
    encoder, decoder = RawFormat().encoder(), RawFormat().decoder()
    values = [b"", b"\x00\xff", b"a,b", "ä".encode("latin-1")]
    assert [encoder.encode(value) for value in values] == values
    assert decoder.decode_many(values) == [decoder.decode(value) for value in values] == values


def test_lines_of_a_file_are_read_as_bytes(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"one\n\xfftwo\n\nthree")
    env = StreamExecutionEnvironment()
    from millstream_filesystem import FileSource

    found = list(env.from_source(FileSource(tmp_path / "in", RawFormat()), uid="in").execute_and_collect("raw"))
    assert found == [b"one", b"\xfftwo", b"", b"three"]


@pytest.mark.parametrize("value", [b"a\nb", b"ends\r"])
def test_a_line_cannot_hold_a_line_end(value: bytes) -> None:
    with pytest.raises(ValueError, match="holds a line end"):
        RawFormat().encoder().encode_lines([b"fine", value])
    assert RawFormat().encoder().encode(value) == value  # a message can


@pytest.mark.parametrize("value", ["text", 5, None, bytearray(b"x")])
def test_what_is_no_bytes_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match=f"must be bytes, not {type(value).__name__}"):
        RawFormat().encoder().encode(value)  # type: ignore[arg-type]  # wrong on purpose


def test_it_is_found_by_its_name() -> None:
    assert default_manager().find("format", "raw").load() is RawFormat
