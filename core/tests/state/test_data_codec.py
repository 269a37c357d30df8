from __future__ import annotations

import ast
import collections
import enum
import importlib.util
import pickle
import subprocess
import sys
import threading
import types
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, make_dataclass
from datetime import UTC, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import millstream
from millstream.contracts.serializer import SerializerDescription, Verdict
from millstream.errors import ChangedClass, DamagedState, UnsupportedValue
from millstream.state.data_codec import DataCodec

T = TypeVar("T")


@dataclass
class Order:
    shop: str
    total: Any


@dataclass(frozen=True)
class Point:
    x: Any
    y: Any = 0

    def __post_init__(self) -> None:
        if self.x == "made":
            raise AssertionError("__post_init__ ran")


@dataclass(frozen=True, slots=True)
class Slotted:
    a: Any
    b: Any = None


@dataclass
class Base:
    __slots__ = ("low",)
    low: Any


@dataclass
class Mixed(Base):
    high: Any


@dataclass
class Empty:
    pass


@dataclass
class One:
    only: Any


@dataclass
class Hidden:
    seen: Any
    secret: Any = field(default=0, repr=False, compare=False)
    made: Any = field(init=False, default=7)
    shared: ClassVar[int] = 1


@dataclass
class Box(Generic[T]):
    item: T

    @cached_property
    def twice(self) -> list[T]:
        return [self.item, self.item]


class Pair(NamedTuple):
    left: Any
    right: Any = None


OldPair = collections.namedtuple("OldPair", "left right")


class Tick(msgspec.Struct):
    symbol: Any
    price: Any = 0


class Key(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag="key"):
    name: Any
    number: Any = 0


class Color(enum.Enum):
    RED = 1
    BLUE = [2]  # noqa: RUF012 - an unhashable value
    CRIMSON = 1  # noqa: PIE796 - an alias


class Level(enum.IntEnum):
    LOW = 1


class Tone(enum.StrEnum):
    WARM = "warm"


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


class Outer:
    @dataclass
    class Inner:
        value: Any


def back(value: Any) -> Any:
    """The value from its own bytes and from those of a batch, which must agree."""
    codec = DataCodec()
    alone = DataCodec().decode(codec.encode(value))
    among = DataCodec().decode_many(memoryview(codec.encode_many([value, 5, value])))
    assert same(among, [alone, 5, alone])
    return alone


def same(one: Any, other: Any) -> bool:
    """Equal, of the same types throughout, NaN being equal to NaN."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return one.hex() == other.hex()
    if isinstance(one, complex):
        return same(one.real, other.real) and same(one.imag, other.imag)
    if isinstance(one, Decimal):
        return one.as_tuple() == other.as_tuple()
    if isinstance(one, datetime | time):
        return one.replace(tzinfo=None) == other.replace(tzinfo=None) and one.fold == other.fold and repr(one.tzinfo) == repr(other.tzinfo)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one.items()), list(other.items()))
    if isinstance(one, set | frozenset):
        return same(sorted(one, key=repr), sorted(other, key=repr))
    names = getattr(type(one), "__struct_fields__", None) or getattr(type(one), "__dataclass_fields__", ())
    if names and not isinstance(one, enum.Enum):
        return all(same(getattr(one, name), getattr(other, name)) for name in names if name != "shared")
    return bool(one == other)


def made(cls: Any, *parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.tuples(*parts).map(lambda row: cls(*row))


ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**2_100), 2**2_100),
    st.floats(),
    st.complex_numbers(),
    st.text(),
    st.characters(categories=["Cs"]),
    st.binary(max_size=300),
    st.dates(),
    st.times(),
    st.datetimes(),
    st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=1)), timezone(timedelta(seconds=-1), "odd"), ZoneInfo("Asia/Tokyo")])),
    st.times(timezones=st.just(UTC)),
    st.timedeltas(),
    st.decimals().filter(lambda number: not number.is_snan()),  # which has no hash
    st.uuids(),
    st.sampled_from([*Color, Level.LOW, Tone.WARM, Rights.READ, Rights.READ | Rights.WRITE, Rights(0)]),
    st.sampled_from([0, -0.0, 255, 256, 65_535, 65_536, 2**31, -(2**31), "x" * 255, "x" * 256, b"y" * 256, timezone.min, ZoneInfo("UTC")]),
)
HASHABLE = st.one_of(ATOMS, st.tuples(ATOMS, ATOMS), made(Point, ATOMS), made(Pair, ATOMS), ATOMS.map(lambda name: Key(name=name)))
VALUES = st.recursive(
    st.one_of(HASHABLE, st.binary(max_size=20).map(bytearray)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(HASHABLE, inner, max_size=4),
        st.sets(HASHABLE, max_size=4),
        st.frozensets(HASHABLE, max_size=4),
        made(Order, inner, inner),
        made(Slotted, inner, inner),
        made(Mixed, inner, inner),
        made(One, inner),
        st.builds(Empty),
        made(Hidden, inner, inner),
        made(OldPair, inner, inner),
        made(Tick, inner, inner),
        made(Outer.Inner, inner),
    ),
    max_leaves=12,
)


@given(VALUES)
def test_what_is_encoded_comes_back_equal_and_of_the_same_types(value: Any) -> None:
    codec = DataCodec()
    assert same(codec.decode(codec.encode(value)), value)


@given(st.lists(VALUES, max_size=6))
def test_batches_come_back_in_order(values: list[Any]) -> None:
    codec = DataCodec()
    assert same(codec.decode_many(codec.encode_many(values)), values)


@settings(max_examples=20)
@given(st.lists(st.one_of(ATOMS, made(Tick, ATOMS, ATOMS), st.dictionaries(st.sampled_from(["a", "b"]), ATOMS)), min_size=1, max_size=4))
def test_batches_of_thousands_come_back_in_order(values: list[Any]) -> None:
    codec = DataCodec()
    many = values * 700
    assert same(codec.decode_many(codec.encode_many(many)), many)


@pytest.mark.parametrize(
    "values",
    [
        [Order("a", 1), Order("b", None)],
        [Point(1), Point(2, 3)],
        [Order("a", Point(1)), Order("b", [Point(2)])],
        [Slotted(1), Slotted(2)],
        [Pair(1), Pair(2, Pair(3))],
        [Tick("a"), Tick("b", 2)],
        [Key(name="a"), Key(name="b", number=1)],
        [Color.RED, Color.BLUE],
        [Level.LOW] * 3,
        [Rights.READ | Rights.WRITE, Rights(0)],
        [One(1), One(2)],
        [Empty(), Empty()],
        [{"a": 1, "b": 2}, {"a": 3, "b": 4}, {"a": 5, "c": "a"}],
        [("k", {"a": 1, "": 2}), ("k", {"a": {"a": 2}})],
        [{str(n): n for n in range(600)}] * 3,
        [{"\ud800": 1, "\n": 2, "ä": 3}] * 3,
        ["x" * n for n in range(0, 600, 7)],
        [b"x" * 200_000, "y" * 200_000, 1, "z" * 70_000, (), "w" * 70_000],
        [Order("x" * 70_000, b"y" * 70_000)] * 2,
        [[[n] * 3 for n in range(30_000)]],
    ],
    ids=lambda values: type(values[0]).__name__,
)
def test_batches_of_one_kind_and_large_ones_come_back(values: list[Any]) -> None:
    codec = DataCodec()
    assert same(DataCodec().decode_many(codec.encode_many(values)), values)
    assert same([codec.decode(codec.encode(value)) for value in values], values)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        -0.0,
        float("-inf"),
        complex(-0.0, float("nan")),
        Decimal("sNaN123"),
        Decimal("-0E-17"),
        Decimal("1E+999999"),
        10**5_000,
        "\ud800",
        datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
        time(2, 30, fold=1),
        datetime.min,  # noqa: DTZ901
        datetime.max.replace(tzinfo=timezone(timedelta(hours=5), "five")),
        timedelta.min,
        timezone(timedelta(0), "not UTC"),
        UUID(int=2**128 - 1),
        {1: "int"},
        {True: "bool"},
        {1.0: "float"},
        bytearray(b"\x00\x01"),
        {frozenset({Point(1)}): {Pair(1, 2)}},
    ],
    ids=lambda value: type(value).__name__,
)
def test_edge_values_are_exact(value: Any) -> None:
    assert same(back(value), value)


def test_utc_stays_the_very_same_object() -> None:
    assert back(datetime(2024, 1, 1, tzinfo=UTC)).tzinfo is UTC


def test_objects_are_made_without_running_their_class() -> None:
    point = object.__new__(Point)
    object.__setattr__(point, "x", "made")
    object.__setattr__(point, "y", 1)
    assert back(point).x == "made"


def test_a_cached_property_is_left_behind_and_computed_again() -> None:
    box = Box[int](5)
    assert box.twice == [5, 5]
    copy = back(box)
    assert (copy, dict(vars(copy)), copy.twice) == (box, {"item": 5}, [5, 5])


def test_shared_objects_come_back_as_equal_ones_and_never_grow_the_bytes_of_small_ones() -> None:
    shared = [1, 2]
    first, second = back([shared, shared])
    assert first == second == shared
    assert first is not second


def test_equal_values_have_equal_bytes_whether_or_not_they_are_one_object() -> None:
    codec = DataCodec()
    text = "".join(["a", "b"] * 10)
    assert codec.encode([text, text]) == codec.encode([text, "ab" * 10])


def test_lists_nested_deeper_than_python_calls_come_back_with_objects_in_them() -> None:
    value: Any = One(1)
    for _ in range(400):
        value = [value]
    codec = DataCodec()
    restored = codec.decode(codec.encode(value))
    for _ in range(400):
        (restored,) = restored
    assert restored == One(1)


class Plain:
    def __init__(self) -> None:
        self.x = 1


class Text(str):
    __slots__ = ()


class Number(int):
    pass


@dataclass
class Grown(list[int]):
    extra: int = 0


@dataclass
class Failed(Exception):
    reason: str


@dataclass
class Abstract(ABC):
    x: int

    @abstractmethod
    def f(self) -> None: ...


@dataclass
class Computed:
    raw: int

    @property
    def hidden(self) -> int:
        return 1


Computed.__dataclass_fields__["hidden"] = field()
Computed.__dataclass_fields__["hidden"].name = "hidden"
Computed.__dataclass_fields__["hidden"]._field_type = Computed.__dataclass_fields__["raw"]._field_type  # type: ignore[attr-defined]


@dataclass
class Closing:
    path: str

    def __del__(self) -> None:
        pass


class Checked(msgspec.Struct):
    x: int

    def __post_init__(self) -> None:
        pass


class Strange(enum.Flag):
    A = 1

    @classmethod
    def _missing_(cls, value: object) -> Any:
        return cls.A


def made_here() -> Any:
    @dataclass
    class Local:
        x: int

    return Local(1)


def with_attribute() -> Order:
    order = Order("a", 1)
    order.note = "?"  # type: ignore[attr-defined]
    return order


def without_field() -> Order:
    order = Order("a", 1)
    del order.total
    return order


@pytest.mark.parametrize(
    ("value", "path", "says"),
    [
        ({"items": [1, 2, {"callback": len}]}, "value['items'][2]['callback']", "is code, not data"),
        (lambda: 1, "value", "is code, not data"),
        (Order("a", {Point(1): [Plain()]}), "value.total[Point(x=1, y=0)][0]", "Make it a dataclass"),
        ({Plain}, "an item of value", "Store what it works with"),
        ({Text("k"): 1}, "the key 'k' of value", "Text is not a type"),
        (Number(1), "value", "Number is not a type"),
        ([1, (2, Text("x"))], "value[1][1]", "Text"),
        (collections.defaultdict(int), "value", "Turn it into a dict first"),
        (collections.OrderedDict(), "value", "Turn it into a dict first"),
        (collections.Counter(), "value", "Turn it into a dict first"),
        (collections.deque(), "value", "Turn it into a list first"),
        (range(3), "value", "Turn it into a list first"),
        ((n for n in ()), "value", "Turn it into a list first"),
        (memoryview(b"x"), "value", "bytes"),
        (pickle.PickleBuffer(b"x"), "value", "Make it a dataclass"),
        (threading.Lock(), "value", "Make it a dataclass"),
        (sys.stdout, "value", "Make it a dataclass"),
        (sys, "value", "is code, not data"),
        (int, "value", "is code, not data"),
        (..., "value", "Make it a dataclass"),
        (ValueError("x"), "value", "Make it a dataclass"),
        (Grown(), "value", "beside its fields"),
        (Failed("x"), "value", "beside its fields"),
        (Computed(1), "value", "field 'hidden' is a property"),
        (Closing("x"), "value", "__del__"),
        (Checked(1), "value", "__post_init__"),
        (Strange.A, "value", "_missing_"),
        (made_here(), "value", "Move it to the top level"),
        (make_dataclass("Nowhere", ["x"])(1), "value", "cannot be found as"),
        ([with_attribute()], "value[0]", "attribute 'note', which is not a field"),
        ([without_field()], "value[0]", "field without a value"),
        (Pair.__new__(Pair, 1, 2)._replace(left=[len]), "value.left[0]", "is code"),
        (tuple.__new__(Pair, (1,)), "value", "1 items for 2 fields"),
        (datetime(2024, 1, 1, tzinfo=type("Zone", (type(UTC).__mro__[1],), {"utcoffset": lambda *_: None})()), "value.tzinfo", "Zone"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_anything_else_is_refused_when_written_with_its_place_and_the_fix(value: Any, path: str, says: str) -> None:
    for encode in (DataCodec().encode, lambda refused: DataCodec().encode_many([1, refused])):
        with pytest.raises(UnsupportedValue) as raised:
            encode(value)
        assert raised.value.path == path
        assert says in str(raised.value)


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: list[Any] = [1]
    loop.append({"again": loop})
    order = Order("a", None)
    order.total = (order,)
    for value, path in ((loop, "value[1]['again']"), (order, "value.total[0]")):
        with pytest.raises(UnsupportedValue, match="contains itself") as raised:
            DataCodec().encode(value)
        assert raised.value.path == path


def test_a_value_nested_without_end_is_refused() -> None:
    value: Any = ()
    for _ in range(100_000):
        value = (value,)
    with pytest.raises(UnsupportedValue, match="is nested more than"):
        DataCodec().encode(value)


def test_the_part_at_fault_is_found_behind_one_that_is_merely_deep() -> None:
    deep: Any = []
    for _ in range(150):
        deep = [deep]
    with pytest.raises(UnsupportedValue) as raised:
        DataCodec().encode([deep, len])
    assert raised.value.path == "value[1]"


def test_a_codec_goes_on_after_a_refusal() -> None:
    codec = DataCodec()
    with pytest.raises(UnsupportedValue):
        codec.encode([1, [len]])
    with pytest.raises(DamagedState):
        codec.decode(b"\x10](K\x01")
    assert codec.decode(codec.encode([1, Order("a", 2)])) == [1, Order("a", 2)]


def test_bytes_of_several_values_are_not_those_of_one() -> None:
    codec = DataCodec()
    with pytest.raises(DamagedState, match="2 values where one belongs"):
        codec.decode(codec.encode_many([1, 2]))


def test_a_codec_may_be_used_by_several_threads() -> None:
    codec = DataCodec()
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for n in range(300):
                value = [(number, n, Order("a", n))] * 5
                assert codec.decode_many(codec.encode_many(value)) == value
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def module_of(source: str, name: str = "the_jobs_module") -> types.ModuleType:
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(source, "<job>", "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - stands for editing the job's script
    return module


PREAMBLE = "from dataclasses import dataclass\nimport enum, typing, msgspec\n"


@pytest.fixture
def _forget_module() -> Any:
    yield
    sys.modules.pop("the_jobs_module", None)


@pytest.mark.usefixtures("_forget_module")
@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("@dataclass\nclass A:\n x: int", "@dataclass\nclass A:\n x: int\n y: int = 0", "its fields were x and are x, y now"),
        ("@dataclass\nclass A:\n x: int", "@dataclass\nclass A:\n y: int", "its fields were x and are y now"),
        ("@dataclass\nclass A:\n x: int", "class A(typing.NamedTuple):\n x: int", "was a dataclass and is a namedtuple now"),
        ("class A(typing.NamedTuple):\n x: int\n y: int = 1", "class A(typing.NamedTuple):\n y: int\n x: int", "fields were x, y and are y, x"),
        ("class A(msgspec.Struct):\n x: int", "class A(msgspec.Struct):\n y: int", "its fields were x and are y"),
        ("@dataclass\nclass A:\n x: int", "class A:\n pass", "not a type that the data codec carries"),
        ("@dataclass\nclass A:\n x: int", "A = print", "no module that this job has imported"),
        ("@dataclass\nclass A:\n x: int", "", "no module that this job has imported"),
    ],
)
def test_a_changed_class_is_refused_and_names_the_way_out(before: str, after: str, why: str) -> None:
    codec = DataCodec()
    value = module_of(PREAMBLE + before).A(1)
    data, many, described = codec.encode([value]), codec.encode_many([value, value]), codec.description()
    module_of(PREAMBLE + after)
    for decode in (lambda: DataCodec().decode(data), lambda: DataCodec().decode_many(many)):
        with pytest.raises(ChangedClass, match="output_type=") as raised:
            decode()
        assert why in str(raised.value)
        assert raised.value.class_name == "the_jobs_module:A"
    verdict = DataCodec().compatibility(described)
    assert verdict.verdict is Verdict.INCOMPATIBLE
    assert why in verdict.reason
    assert "output_type=" in verdict.reason


@pytest.mark.usefixtures("_forget_module")
def test_an_enum_may_gain_members_and_change_values_but_not_lose_what_was_stored() -> None:
    module = module_of(PREAMBLE + "class A(enum.Enum):\n RED = 1\n BLUE = 2")
    codec = DataCodec()
    data, described = codec.encode([module.A.RED]), codec.description()
    module = module_of(PREAMBLE + "class A(enum.Enum):\n RED = 'r'\n GREEN = 3")
    assert DataCodec().decode(data) == [module.A.RED]
    module_of(PREAMBLE + "class A(enum.Enum):\n READ = 1")
    with pytest.raises(ChangedClass, match=r"no member 'RED'\. Did you mean 'READ'"):
        DataCodec().decode(data)
    assert DataCodec().compatibility(described).verdict is Verdict.AS_IS


def test_a_class_of_a_module_that_was_never_imported_is_not_imported_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "never_imported.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    data = DataCodec().encode(Order("a", 1)).replace(f"{__name__}:Order".encode(), b"n" * len(f"{__name__}:Order"))
    with pytest.raises(ChangedClass, match="no module that this job has imported"):
        DataCodec().decode(data)
    assert "never_imported" not in sys.modules


def test_the_description_names_the_classes_that_were_written_read_or_adopted() -> None:
    codec, reader, heir = DataCodec(), DataCodec(), DataCodec()
    data = codec.encode([Order("a", Color.RED), Tick("b")])
    expected = {
        f"{__name__}:Color": {"kind": "enum", "fields": []},
        f"{__name__}:Order": {"kind": "dataclass", "fields": ["shop", "total"]},
        f"{__name__}:Tick": {"kind": "struct", "fields": ["symbol", "price"]},
    }
    reader.decode(data)
    heir.adopt(codec.description())
    for each in (codec, reader, heir):
        described = each.description()
        assert (described.kind, described.version, described.schema) == ("data", 1, {"classes": expected})
        assert msgspec.json.decode(msgspec.json.encode(described), type=SerializerDescription) == described
        assert DataCodec().compatibility(described).verdict is Verdict.AS_IS


@pytest.mark.parametrize(
    ("stored", "says"),
    [
        (SerializerDescription("typed", 1, "Order"), "Declare it with output_type="),
        (SerializerDescription("data", 99, "Any"), "version 99"),
    ],
)
def test_bytes_of_another_serializer_are_incompatible(stored: SerializerDescription, says: str) -> None:
    verdict = DataCodec().compatibility(stored)
    assert verdict.verdict is Verdict.INCOMPATIBLE
    assert says in verdict.reason


JOB = """
import sys
from dataclasses import dataclass
from millstream.state.data_codec import DataCodec

@dataclass
class Order:
    shop: str

if "write" in sys.argv:
    print(DataCodec().encode(Order("a")).hex())
elif "read" in sys.argv:
    order = DataCodec().decode(bytes.fromhex(sys.argv[2]))
    print(type(order) is Order, order)
"""
RUNNER = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("my_job", sys.argv.pop(1))
module = importlib.util.module_from_spec(spec)
sys.modules["my_job"] = module
spec.loader.exec_module(module)
"""


def test_a_script_reads_what_it_wrote_whether_it_runs_itself_or_is_run_as_a_module(tmp_path: Path) -> None:
    job, runner = tmp_path / "my_job.py", tmp_path / "run.py"
    job.write_text(JOB)
    runner.write_text(RUNNER)

    def run(*command: object) -> str:
        env = {"PYTHONPATH": ":".join(sys.path)}
        return subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, check=True, env=env).stdout.strip()

    as_script, as_module = run(job, "write"), run(runner, job, "write")
    assert as_script == as_module
    assert b"my_job:Order" in bytes.fromhex(as_script)
    for command in ((job,), (runner, job)):
        assert run(*command, "read", as_script) == "True Order(shop='a')"


def test_nothing_else_in_the_core_unpickles() -> None:
    """Only the data codec's modules and the one for user functions may touch pickle, cloudpickle or marshal."""
    root = Path(importlib.util.find_spec("millstream").origin).parent  # type: ignore[union-attr, arg-type]
    allowed = {"state/data_codec_pickle.py", "runtime/user_code.py"}
    found = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] in ("pickle", "_pickle", "cloudpickle", "dill", "shelve", "marshal", "copyreg") for name in names):
                found.add(str(path.relative_to(root)))
    assert found <= allowed
    assert millstream.__file__ == str(root / "__init__.py")
