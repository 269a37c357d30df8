"""CSV: rows to lines and back, and what the author of a bad file is told."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.contracts.format import DecodeError
from millstream.errors import InvalidArgument
from millstream.formats import CsvFormat


class Reading(NamedTuple):
    sensor: str
    time: int
    celsius: float


@dataclass
class Order:
    number: int
    customer: str | None
    paid: bool = False


@dataclass(kw_only=True)
class Named:
    a: int
    b: int
    total: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        if self.a > self.b:
            msg = "a is above b"
            raise ValueError(msg)
        self.total = self.a + self.b


class Point(msgspec.Struct):
    x: float
    y: float


READINGS = [Reading("s1", 1547718199, 35.8), Reading("s2", -1, 0.0)]


def decode_both_ways(format_: CsvFormat[Any], lines: list[bytes], header: bytes | None = None) -> list[Any]:
    """Decodes in one batch and one by one, which must agree."""
    decoder = format_.decoder(header)
    batch = decoder.decode_many(lines)
    assert batch == [decoder.decode(line) for line in lines]
    return batch


def error_of(format_: CsvFormat[Any], line: bytes, header: bytes | None = None) -> DecodeError:
    decoder = format_.decoder(header)
    with pytest.raises(DecodeError):
        decoder.decode_many([line])
    with pytest.raises(DecodeError) as caught:
        decoder.decode(line)
    return caught.value


def test_without_types_a_row_is_a_tuple_of_texts() -> None:
    assert decode_both_ways(CsvFormat(), [b"a,1", b'"x,""y""",', b"only"]) == [("a", "1"), ('x,"y"', ""), ("only",)]


def test_types_make_values_of_cells_and_blanks_around_numbers_do_no_harm() -> None:
    format_ = CsvFormat(types={"sensor": str, "time": int, "celsius": float})
    assert decode_both_ways(format_, [b"sensor_1, 1547718199, 35.80018327300259"]) == [("sensor_1", 1547718199, 35.80018327300259)]


def test_a_record_type_makes_its_instances() -> None:
    assert decode_both_ways(CsvFormat(record_type=Reading), [b"s1,1547718199,35.8", b"s2,-1,0"]) == READINGS
    assert decode_both_ways(CsvFormat(record_type=Order), [b"1,,true", b"2,Ann,0"]) == [Order(1, None, True), Order(2, "Ann", False)]
    assert decode_both_ways(CsvFormat(record_type=Named), [b"1,2"])[0].total == 3
    assert decode_both_ways(CsvFormat(record_type=Point), [b"1,2.5"]) == [Point(1.0, 2.5)]


def test_every_type_of_column_comes_back() -> None:
    kinds = {"s": str, "i": int, "f": float, "b": bool, "d": Decimal, "t": datetime, "day": date, "o": int | None}
    rows = [
        ("x", 10**30, float("inf"), True, Decimal("1.10"), datetime(2024, 1, 2, 3, 4, 5, 6, UTC), date(1969, 1, 1), None),
        ("", -7, -0.0, False, Decimal(-1), datetime(2024, 1, 2), date(2024, 2, 29), 5),  # noqa: DTZ001 - as files hold it
    ]
    format_ = CsvFormat(types=kinds)
    assert decode_both_ways(format_, format_.encoder().encode_lines(rows).splitlines()) == rows


def test_the_header_finds_columns_by_name_in_any_order_and_passes_over_others() -> None:
    format_ = CsvFormat(record_type=Reading, has_header=True)
    assert decode_both_ways(format_, [b"35.8,north,s1,1547718199"], header=b"celsius, place ,sensor,time") == READINGS[:1]
    assert format_.header() == b"sensor,time,celsius"


def test_dict_rows_take_their_names_from_the_types_or_the_header() -> None:
    assert decode_both_ways(CsvFormat(types={"a": int}, rows="dict"), [b"1"]) == [{"a": 1}]
    assert decode_both_ways(CsvFormat(has_header=True, rows="dict"), [b"1,2"], header=b"a,b") == [{"a": "1", "b": "2"}]
    assert CsvFormat(types={"a": int, "b": str}, rows="dict").encoder().encode({"b": "x", "a": 1}) == b"1,x"


def test_a_header_without_a_column_is_an_error_that_knows_similar_names() -> None:
    with pytest.raises(DecodeError, match=r"no column 'celsius', only sensor, time, celcius. Did you mean 'celcius'"):
        CsvFormat(record_type=Reading, has_header=True).decoder(b"sensor,time,celcius")
    with pytest.raises(DecodeError, match="column 'a' twice"):
        CsvFormat(types={"a": int}, has_header=True).decoder(b"a,b,a")


def test_a_wrong_cell_is_named_by_column_and_field() -> None:
    error = error_of(CsvFormat(record_type=Reading), b"s1,12x,1.5")
    assert (error.column, error.field, error.reason) == (2, "time", "'12x' is not a whole number")
    with_header = error_of(CsvFormat(record_type=Reading, has_header=True), b"hot,north,s1,1", header=b"celsius,place,sensor,time")
    assert (with_header.column, with_header.field) == (1, "celsius")


@pytest.mark.parametrize("cell", [b"1_000", "١٢".encode(), b"", b"1.5", b"0x10"])
def test_numbers_that_only_python_reads_are_refused(cell: bytes) -> None:
    assert error_of(CsvFormat(types={"n": int, "x": str}), cell + b",").column == 1


def test_a_wrong_number_of_fields_names_those_that_are_wanted() -> None:
    assert error_of(CsvFormat(record_type=Reading), b"s1,1").reason == "it has 2 fields instead of 3 (sensor, time, celsius)"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'a,"open', "not closed on its line"),
        (b'a,"b"c', "closing quote is followed by more"),
        (b"a\rb,c", "carriage return"),
        (b"a\xff,b", "byte 0xff (number 2) is not utf-8"),
        (b"x" * 200_000, "more than 131,072 characters"),
    ],
)
def test_a_line_that_is_no_csv_says_what_is_wrong_with_it(line: bytes, said: str) -> None:
    assert said in error_of(CsvFormat(), line).reason


def test_an_open_quote_never_swallows_the_line_behind_it() -> None:
    decoder = CsvFormat().decoder()
    with pytest.raises(DecodeError):
        decoder.decode_many([b'a,"open', b'closed",b'])
    with pytest.raises(DecodeError):
        decoder.decode_many([b"1\n2", b'"x', b'y"'])


def test_what_the_record_type_refuses_is_a_bad_record_and_no_crash() -> None:
    assert error_of(CsvFormat(record_type=Named), b"3,2").reason == "the record type refuses it: a is above b"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (("s1", None, 1.0), r"column 2 \(time\) is None, a NoneType, but was declared as int"),
        (("s1", True, 1.0), "column 2"),
        (("s1", 1, "warm"), "column 3"),
        (("s1", 1), "2 fields instead of 3"),
        ("abc", "tuple or list, not str"),
        (("s\n1", 1, 1.0), "holds a line end"),
        (("s\r", 1, 1.0), "holds a line end"),
    ],
)
def test_a_row_that_would_not_come_back_is_not_written(value: Any, said: str) -> None:
    with pytest.raises((TypeError, ValueError), match=said):
        CsvFormat(types={"sensor": str, "time": int, "celsius": float}).encoder().encode(value)


def test_records_of_another_type_are_not_written() -> None:
    with pytest.raises(TypeError, match="is a Reading, not Order"):
        CsvFormat(record_type=Reading).encoder().encode_lines([Order(1, None)])
    with pytest.raises(TypeError, match="record_type="):
        CsvFormat().encoder().encode_lines([Order(1, None)])


@pytest.mark.parametrize(
    "options",
    [
        {"types": {"a": int}, "record_type": Reading},
        {"types": {}},
        {"types": {"a": list}},
        {"types": {"a": int | str}},
        {"record_type": int},
        {"delimiter": ""},
        {"delimiter": '"'},
        {"encoding": "utf-16"},
        {"encoding": "no-such"},
        {"rows": "list"},
        {"rows": "dict"},
        {"rows": "dict", "record_type": Reading},
    ],
)
def test_options_that_make_no_sense_are_refused_when_the_format_is_made(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        CsvFormat(**options)


def test_a_sink_header_needs_names() -> None:
    with pytest.raises(InvalidArgument, match="a header needs names"):
        CsvFormat(has_header=True).header()


def test_a_format_travels_to_workers() -> None:
    format_ = CsvFormat(types={"a": int}, has_header=True, delimiter=";")
    assert pickle.loads(pickle.dumps(format_)) == format_


texts = st.text(st.characters(exclude_characters="\r\n", exclude_categories=("Cs",)))
rows = st.tuples(texts, st.integers(), st.floats(allow_nan=False), st.booleans(), st.none() | st.integers())
KINDS = {"a": str, "b": int, "c": float, "d": bool, "e": int | None}


@settings(deadline=None)
@given(st.lists(rows), st.sampled_from(",;\t|"))
def test_typed_rows_come_back_equal(values: list[tuple[Any, ...]], delimiter: str) -> None:
    format_ = CsvFormat(types=KINDS, delimiter=delimiter)
    data = format_.encoder().encode_lines(values)
    lines = data.split(b"\n")[:-1]
    assert len(lines) == len(values)
    assert decode_both_ways(format_, lines) == values


@settings(deadline=None)
@given(st.lists(st.lists(texts, min_size=1).map(tuple)))
def test_untyped_rows_come_back_equal(values: list[tuple[str, ...]]) -> None:
    lines = CsvFormat().encoder().encode_lines(values).split(b"\n")[:-1]
    assert decode_both_ways(CsvFormat(), lines) == values


@settings(deadline=None)
@given(st.lists(st.binary(max_size=20).map(lambda raw: raw.replace(b"\n", b""))))
def test_any_bytes_decode_to_the_same_in_a_batch_as_alone_or_fail_in_both(lines: list[bytes]) -> None:
    decoder = CsvFormat(types={"a": str, "b": int}).decoder()

    def outcome(decode: Any) -> Any:
        try:
            return decode()
        except DecodeError:
            return "rejected"

    assert outcome(lambda: decoder.decode_many(lines)) == outcome(lambda: [decoder.decode(line) for line in lines])
