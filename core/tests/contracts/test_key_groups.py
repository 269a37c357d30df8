from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from millstream.contracts.key_groups import (
    KeyGroups,
    canonical_key_bytes,
    default_max_parallelism,
    key_group,
    key_group_range,
    subtask_of_group,
)
from millstream.errors import InvalidArgument, UnsupportedKey

GOLDEN = Path(__file__).with_name("golden_key_groups.json")
BERLIN = ZoneInfo("Europe/Berlin")


class Point(NamedTuple):
    x: int
    y: int


class Level(IntEnum):
    LOW = 1


class Tone(StrEnum):
    WARM = "warm"


class Color(Enum):
    RED = 1
    BLUE = 2


class Shade(Enum):
    RED = 1


class Rights(Flag):
    READ = 1
    WRITE = 2


class Old(str, Enum):  # noqa: UP042 - the spelling of Python 3.10, which people still use
    WARM = "warm"


@dataclass(frozen=True)
class Order:
    shop: str
    number: int
    note: str = field(default="", compare=False)


@dataclass(frozen=True)
class Loose:
    number: int

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1


class Shout(str):
    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and self.lower() == other.lower()

    def __hash__(self) -> int:
        return hash(self.lower())


class Word(str):
    __slots__ = ()


class Half(float, Enum):
    ONE = 0.5


def golden_key(entry: list[Any]) -> Any:
    tag, value = entry
    read = {
        "s": str,
        "i": int,
        "b": bytes.fromhex,
        "d": date.fromisoformat,
        "n": datetime.fromisoformat,
        "a": datetime.fromisoformat,
        "u": UUID,
        "t": lambda items: tuple(map(golden_key, items)),
    }
    return read[tag](value)


def golden_vectors() -> list[tuple[Any, int, int]]:
    return [(golden_key(entry), small, large) for entry, small, large in json.loads(GOLDEN.read_text("utf-8"))]


SCALARS = st.one_of(
    st.text(),
    st.characters(categories=["Cs"]),
    st.integers(),
    st.booleans(),
    st.binary(max_size=300),
    st.dates(),
    st.datetimes(),
    st.datetimes(timezones=st.builds(timezone, st.timedeltas(timedelta(hours=-23), timedelta(hours=23)))),
    st.uuids(),
    st.sampled_from([*Color, *Shade, Level.LOW, Tone.WARM, Rights.READ, Rights.READ | Rights.WRITE, Old.WARM]),
    # Near each other, so that equal ones and prefixes come up.
    st.sampled_from(["", "1", "warm", "a" * 254, "a" * 255, "a" * 256, 0, 1, -1, 255, 256, b"", b"1", True, False]),
)
KEYS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.tuples(inner),
        st.tuples(inner, inner),
        st.lists(inner, max_size=3).map(tuple),
        st.builds(Point, inner, inner),
        st.builds(Order, inner, inner, st.text()),
    ),
    max_leaves=5,
)


@given(KEYS, KEYS)
def test_keys_have_equal_bytes_exactly_when_they_are_equal(one: Any, other: Any) -> None:
    assert (canonical_key_bytes(one) == canonical_key_bytes(other)) == (one == other)


@given(KEYS, KEYS)
def test_no_key_is_a_prefix_of_another(one: Any, other: Any) -> None:
    first, second = canonical_key_bytes(one), canonical_key_bytes(other)
    assert first == second or not second.startswith(first)


@given(st.datetimes(datetime(2000, 1, 2), datetime(2030, 1, 1)), st.booleans(), st.booleans())  # noqa: DTZ001 - zoned below
@example(datetime(2010, 11, 7, 7), False, False)  # noqa: DTZ001 - 01:00 in New York, for the second time
def test_datetimes_of_one_instant_are_one_key_whatever_their_zones(moment: datetime, fold: bool, other_fold: bool) -> None:
    here = moment.replace(tzinfo=BERLIN, fold=fold)
    there = here.replace(fold=0).astimezone(ZoneInfo("America/New_York"))
    again = moment.replace(tzinfo=BERLIN, fold=other_fold)
    assert here == again
    assert canonical_key_bytes(here) == canonical_key_bytes(again)
    # Python takes a time in an hour that comes twice for no time of another zone, not even of the same instant (PEP 495).
    for other in (here, there.astimezone(UTC)):
        if other == there:
            assert canonical_key_bytes(other) == canonical_key_bytes(there)


@pytest.mark.parametrize(
    ("key", "same"),
    [
        (True, 1),
        (Level.LOW, 1),
        (Tone.WARM, "warm"),
        (Old.WARM, "warm"),
        (Word("x"), "x"),
        (Point(1, 2), (1, 2)),
        (Point(True, Level.LOW), (1, 1)),
        (Order("a", 1, "x"), Order("a", 1, "y")),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))), datetime(1, 1, 1, 0, 0, tzinfo=timezone(timedelta(hours=14), "far"))),
    ],
)
def test_keys_that_compare_equal_fall_into_one_group(key: Any, same: Any) -> None:
    assert key == same
    assert canonical_key_bytes(key) == canonical_key_bytes(same)
    assert KeyGroups(4096)(key) == KeyGroups(4096)(same) == key_group(same, 4096)


@pytest.mark.parametrize(
    ("key", "type_name", "fix"),
    [
        (None, "NoneType", "Filter such records out"),
        (1.0, "float", "Round it to an int"),
        (float("nan"), "float", "Round it"),
        ([1], "list", "Use a tuple"),
        ({1}, "set", "Use a tuple"),
        ({"a": 1}, "dict", "Use a tuple"),
        (bytearray(b"x"), "bytearray", "Use str, int"),
        (memoryview(b"x"), "memoryview", "Use str, int"),
        (Decimal(1), "decimal.Decimal", "Use str, int"),
        (1j, "complex", "Use str, int"),
        (frozenset({1}), "frozenset", "Use str, int"),
        (timedelta(1), "datetime.timedelta", "Use str, int"),
        (object(), "object", "Use str, int"),
        ((1, ("a", 2.5)), "float", "Round it"),
        (Order("a", None), "NoneType", "Filter such"),  # type: ignore[arg-type]
    ],
)
def test_a_key_that_cannot_be_one_is_refused_with_the_part_at_fault_and_the_fix(key: Any, type_name: str, fix: str) -> None:
    for refuse in (lambda: canonical_key_bytes(key, operator="count"), lambda: KeyGroups(128, operator="count")(key)):
        with pytest.raises(UnsupportedKey) as raised:
            refuse()
        assert (raised.value.type_name, raised.value.operator) == (type_name, "count")
        assert "operator 'count'" in str(raised.value)
        assert fix in str(raised.value)


@pytest.mark.parametrize("key", [Loose(1), Shout("x"), Half.ONE])
def test_a_key_with_an_equality_of_its_own_is_refused(key: Any) -> None:
    with pytest.raises(UnsupportedKey, match="equality of its own"):
        canonical_key_bytes(key)


def test_a_dataclass_that_can_change_is_refused_with_the_fix() -> None:
    @dataclass(unsafe_hash=True)
    class Draft:
        number: int

    @dataclass(frozen=True, eq=False)
    class ByIdentity:
        number: int

    for key in (Draft(1), ByIdentity(1)):
        with pytest.raises(UnsupportedKey, match=r"@dataclass\(frozen=True\)"):
            canonical_key_bytes(key)


def test_a_key_nested_without_end_is_refused() -> None:
    key: Any = ()
    for _ in range(100_000):
        key = (key,)
    with pytest.raises(UnsupportedKey, match="nested too deeply"):
        canonical_key_bytes(key)


def test_a_remembered_int_does_not_let_an_equal_float_through() -> None:
    groups = KeyGroups(128)
    assert groups(1) == groups(True)
    assert groups((1, "a")) == groups((True, "a"))
    for key in (1.0, (1.0, "a"), (1, 1.0)):
        with pytest.raises(UnsupportedKey):
            groups(key)
    with pytest.raises(UnsupportedKey):
        groups.of_many([1, 2, 1.0])
    with pytest.raises(UnsupportedKey):
        groups.of_many([1.0, 2.0])


@given(st.lists(KEYS, max_size=20), st.integers(1, 5))
def test_what_is_remembered_is_what_is_computed_even_when_much_has_been_forgotten(keys: list[Any], remembered: int) -> None:
    groups = KeyGroups(4096, remembered=remembered)
    expected = [key_group(key, 4096) for key in keys]
    assert [groups(key) for key in keys] == expected
    assert groups.of_many(keys) == expected
    assert [groups(key) for key in keys] == expected


@given(st.one_of(st.lists(st.text(st.characters()), max_size=20), st.lists(st.integers(), max_size=20)))
def test_the_groups_of_many_strings_or_numbers_are_those_of_each(keys: list[Any]) -> None:
    assert KeyGroups(4096).of_many(keys) == [key_group(key, 4096) for key in keys]


@pytest.mark.parametrize("key", ["\ud800", "x" * 254, "x" * 255, "é" * 200, 2**2031, -(2**2031) - 1, 2**5000, True])
def test_the_groups_of_unusual_keys_are_the_same_among_many(key: Any) -> None:
    assert KeyGroups(4096).of_many([key, key]) == [key_group(key, 4096)] * 2


def test_golden_keys_keep_their_groups() -> None:
    vectors = golden_vectors()
    assert len(vectors) == 1_000
    for key, small, large in vectors:
        assert (key_group(key, 128), key_group(key, 4096)) == (small, large)


@pytest.mark.parametrize("seed", ["1", "4711"])
def test_a_process_with_another_hash_seed_finds_the_same_groups(seed: str) -> None:
    program = """
import enum, sys
from millstream.contracts.key_groups import KeyGroups
class Color(enum.Enum):
    RED = 1
groups = KeyGroups(32768)
print([groups(key) for key in ("a", "ä", 5, -5, b"b", ("a", 1), (), True, 10**40, Color.RED, ("x", Color.RED))], hash("a"))
"""
    other = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed}
    )
    here = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": "0"}
    )
    assert other.stdout.rpartition(" ")[0] == here.stdout.rpartition(" ")[0]
    assert other.stdout != here.stdout


@given(st.integers(1, 200), st.integers(1, 400))
def test_every_group_belongs_to_exactly_the_subtask_that_is_named_for_it(parallelism: int, max_parallelism: int) -> None:
    if parallelism > max_parallelism:
        with pytest.raises(InvalidArgument):
            key_group_range(0, parallelism, max_parallelism)
        return
    ranges = [key_group_range(subtask, parallelism, max_parallelism) for subtask in range(parallelism)]
    assert [group for part in ranges for group in part] == list(range(max_parallelism))
    assert max(map(len, ranges)) - min(map(len, ranges)) <= 1
    owners = [subtask for subtask, part in enumerate(ranges) for _ in part]
    assert [subtask_of_group(group, parallelism, max_parallelism) for group in range(max_parallelism)] == owners


@pytest.mark.parametrize(("subtask", "parallelism", "groups"), [(-1, 2, 8), (2, 2, 8), (0, 0, 8), (0, 9, 8)])
def test_a_range_that_does_not_exist_is_refused(subtask: int, parallelism: int, groups: int) -> None:
    with pytest.raises(InvalidArgument):
        key_group_range(subtask, parallelism, groups)


@pytest.mark.parametrize(
    ("parallelism", "groups"),
    [(1, 128), (85, 128), (86, 256), (128, 256), (170, 256), (171, 256), (172, 512), (16_384, 32_768), (32_768, 32_768)],
)
def test_the_default_number_of_groups_leaves_room_to_grow(parallelism: int, groups: int) -> None:
    assert default_max_parallelism(parallelism) == groups


@pytest.mark.parametrize("max_parallelism", [0, -1, 32_769])
def test_a_number_of_groups_out_of_range_is_refused(max_parallelism: int) -> None:
    with pytest.raises(InvalidArgument, match="1 to 32768"):
        KeyGroups(max_parallelism)
