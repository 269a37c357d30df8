"""State whose type an annotation tells: what is written, and that a wrong annotation loses nothing."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.contracts.serializer import Serializer, SerializerDescription, Verdict
from millstream.errors import ValueNotEvolved
from millstream.state.annotated import AnnotatedSerializer, Annotation
from millstream.state.serializers import DataCodec, TypedSerializer, serializer_for, typed_by

T = TypeVar("T")


@dataclass(frozen=True)
class Reading:
    sensor: str
    celsius: float


@dataclass
class Loose:
    anything: Any


@dataclass
class Listed:
    rows: list = field(default_factory=list)  # type: ignore[type-arg]


@dataclass
class Fussy:
    """Refuses to be made again of what it was made of."""

    n: int

    def __post_init__(self) -> None:
        if self.n == 7:
            raise KeyError(self.n)


class Colour(IntEnum):
    RED = 1


class Name(StrEnum):
    A = "a"


@dataclass
class Numbered:
    n: int


class Point(NamedTuple):
    x: int
    y: int


def annotated(annotation: Any) -> Serializer[Any]:
    return serializer_for(None, Annotation(annotation, "total"))


def pieces_of(serializer: Serializer[Any], values: list[Any]) -> list[bytes]:
    return [serializer.encode(value) for value in values]


@pytest.mark.parametrize("annotation", [int, str, float, int | None, list[int], dict[str, Reading], tuple[str, int], Reading, Point, list[Reading]])
def test_an_annotation_that_says_everything_is_typed_just_as_if_it_were_declared(annotation: Any) -> None:
    serializer = annotated(annotation)
    assert isinstance(serializer, AnnotatedSerializer)
    assert serializer.description() == TypedSerializer(annotation).description()


@pytest.mark.parametrize(
    "annotation",
    [
        *(None, type(None), Any, object, T, list, dict, tuple, set, complex),
        *(list[Any], dict[str, Any], list[T], tuple[int, list], Loose, Listed, Reading | Loose, Reading | Fussy, "Reading", 5),  # type: ignore[type-arg,valid-type]
    ],
)
def test_an_annotation_that_says_less_or_cannot_be_carried_counts_as_none(annotation: Any) -> None:
    assert typed_by(annotation) is None
    assert type(annotated(annotation)) is DataCodec


@pytest.mark.parametrize("declared", [Any, object])
def test_declaring_anything_stands_for_the_data_codec_whatever_the_annotation_says(declared: Any) -> None:
    assert type(serializer_for(declared, Annotation(int, "total"))) is DataCodec


def test_a_declared_type_counts_more_than_an_annotation() -> None:
    assert serializer_for(str, Annotation(int, "total")).description().type_name == "str"


def test_values_that_match_are_written_typed() -> None:
    serializer, typed = annotated(Reading), TypedSerializer(Reading)
    values = [Reading("a", 1.5), Reading("b", 2.5)]
    assert serializer.encode_many(values) == typed.encode_many(values)
    assert serializer.encode(values[0]) == typed.encode(values[0])
    assert serializer.decode_many(typed.encode_many(values)) == values
    assert serializer.description() == typed.description()


WRONG = [
    (int, 1, "one"),
    (int, 1, None),
    (int, 1, True),
    (int, 1, 2**70),
    (float, 1.5, 1),
    (Reading, Reading("a", 1.5), Reading("a", 1)),
    (tuple[str, int], ("a", 1), ["a", 1]),
    (list[int], [1], [1, None]),
    (Fussy, Fussy(1), "fussy"),
    (int, 1, Colour.RED),
    (tuple[str, int], ("a", 1), ("a", Colour.RED)),
    (dict[str, list[int]], {"a": [1]}, {"a": [1, Colour.RED]}),
    (Numbered, Numbered(1), Numbered(Colour.RED)),
    (tuple[str, int | None], ("a", 1), (Name.A, None)),
]


@pytest.mark.parametrize(("annotation", "right", "wrong"), WRONG)
def test_the_first_value_that_does_not_match_and_all_after_it_go_through_the_data_codec(annotation: Any, right: Any, wrong: Any) -> None:
    serializer = annotated(annotation)
    many, one = serializer.encode_many([right]), serializer.encode(right)
    late = serializer.encode_many([right, wrong])
    assert late == DataCodec().encode_many([right, wrong])
    assert serializer.encode(right) == DataCodec().encode(right)
    stored = serializer.description()
    assert (stored.kind, stored.type_name) == ("mixed", TypedSerializer(annotation).description().type_name)
    heir = annotated(annotation)
    assert heir.compatibility(stored).verdict is Verdict.AFTER_MIGRATION
    reader = heir.reader(stored)
    assert [reader.decode_many(many), reader.decode(one), reader.decode_many(late)] == [[right], right, [right, wrong]]
    assert repr(reader.decode_many(late)) == repr([right, wrong])
    assert heir.encode_many([right]) == DataCodec().encode_many([right])
    assert heir.description().kind == "data"


def test_a_class_that_cannot_be_read_back_falls_back_too() -> None:
    serializer = annotated(Fussy)
    fussy = Fussy(1)
    fussy.n = 7
    assert DataCodec().decode(serializer.encode(fussy)) == fussy


def test_sets_and_dicts_of_another_order_match() -> None:
    values = [{("a", n) for n in range(20)}, {("a", n) for n in range(19, -1, -1)}]
    serializer = annotated(set[tuple[str, int]])
    assert serializer.decode_many(serializer.encode_many(values)) == values
    assert serializer.description().kind == "typed"
    records = [{"x" * n: 1, "y" * n: 2} for n in range(1, 5)]
    serializer = annotated(dict[str, int])
    assert serializer.decode_many(serializer.encode_many(records)) == records
    assert serializer.description().kind == "typed"


def test_without_a_single_match_it_is_the_data_codec() -> None:
    serializer = annotated(int)
    serializer.encode("one")
    assert serializer.description() == DataCodec().description()


def test_that_an_annotation_does_not_hold_is_logged_once_with_its_function_and_the_fix(caplog: pytest.LogCaptureFixture) -> None:
    serializer = annotated(int)
    with caplog.at_level(logging.WARNING):
        pieces_of(serializer, [1, "one", "two", 3])
    (record,) = caplog.records
    text = record.getMessage()
    for part in ("annotation of total does not hold", "written with the data codec", "output_type=object", "'one'", "int"):
        assert part in text


ANY_VALUES = st.one_of(st.integers(0, 40), st.integers(), st.none(), st.text(), st.floats(allow_nan=False), st.booleans(), st.lists(st.integers()))


@given(st.sampled_from([int, str, float, int | str, list[int]]), st.lists(st.one_of(ANY_VALUES, st.lists(ANY_VALUES).map(tuple)), max_size=12))
@settings(max_examples=200, deadline=None)
def test_whatever_the_annotation_says_all_pieces_are_read_back(annotation: Any, pieces: list[Any]) -> None:
    """A tuple stands for a column of values, everything else for one value alone."""
    serializer = annotated(annotation)
    written = [serializer.encode_many(list(piece)) if type(piece) is tuple else serializer.encode(piece) for piece in pieces]
    for reader in (serializer, annotated(annotation).reader(serializer.description())):
        read = [reader.decode_many(data) if type(piece) is tuple else reader.decode(data) for piece, data in zip(pieces, written, strict=True)]
        assert repr(read) == repr([list(piece) if type(piece) is tuple else piece for piece in pieces])


# --- what a changed job reads


def test_what_the_data_codec_wrote_becomes_typed_if_it_matches() -> None:
    codec, serializer = DataCodec(), annotated(Reading)
    values = [Reading("a", 1.5), Reading("b", 2.5)]
    data, alone = codec.encode_many(values), codec.encode(values[0])
    assert serializer.compatibility(codec.description()).verdict is Verdict.AFTER_MIGRATION
    reader = serializer.reader(codec.description())
    assert (reader.decode_many(data), reader.decode(alone)) == (values, values[0])
    assert serializer.encode_many(values) == TypedSerializer(Reading).encode_many(values)


@pytest.mark.parametrize("one_by_one", [False, True])
def test_what_the_data_codec_wrote_stays_with_it_if_some_of_it_does_not_match(one_by_one: bool) -> None:
    codec, serializer = DataCodec(), annotated(float)
    values = [1.5, 2]
    written = [codec.encode(value) for value in values] if one_by_one else [codec.encode_many(values)]
    reader = serializer.reader(codec.description())
    read = [reader.decode(data) for data in written] if one_by_one else reader.decode_many(written[0])
    assert list(map(repr, read)) == ["1.5", "2"]
    assert serializer.encode(1.5) == codec.encode(1.5)
    assert serializer.description().kind == "data"


def mixed_pieces() -> tuple[list[bytes], SerializerDescription]:
    serializer = annotated(int)
    return pieces_of(serializer, [16, 300, "late", 17]), serializer.description()


def test_a_declared_type_reads_mixed_state_as_far_as_its_values_have_that_type() -> None:
    pieces, stored = mixed_pieces()
    both = TypedSerializer(int | str)
    assert both.compatibility(stored).verdict is Verdict.AFTER_MIGRATION
    assert [both.reader(stored).decode(piece) for piece in pieces] == [16, 300, "late", 17]
    reader = TypedSerializer(int).reader(stored)
    with pytest.raises(ValueNotEvolved, match="'late'"):
        [reader.decode(piece) for piece in pieces]


def test_without_an_annotation_mixed_state_is_refused_with_the_way_out() -> None:
    compatibility = DataCodec().compatibility(mixed_pieces()[1])
    assert compatibility.verdict is Verdict.INCOMPATIBLE
    assert "written as int, which the annotation of a function says" in compatibility.reason
    assert "Restore it once with that annotation" in compatibility.reason


def test_mixed_state_of_a_structure_that_is_another_one_now_is_refused() -> None:
    assert annotated(list[int]).compatibility(mixed_pieces()[1]).verdict is Verdict.INCOMPATIBLE
    assert not annotated(str).finds_keys(mixed_pieces()[1])
    assert annotated(int).finds_keys(mixed_pieces()[1])


def test_a_class_that_changed_since_the_data_codec_wrote_it_is_refused() -> None:
    codec = DataCodec()
    codec.encode(Reading("a", 1.5))
    stored = codec.description()
    (name,) = stored.schema["classes"]
    changed = SerializerDescription(stored.kind, stored.version, stored.type_name, {"classes": {name: {"kind": "dataclass", "fields": ["sensor"]}}})
    assert annotated(Reading).compatibility(changed).verdict is Verdict.INCOMPATIBLE
