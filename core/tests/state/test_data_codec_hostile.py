"""Bytes that someone else wrote, or that a disk changed: documented errors, no effect, bounded memory."""

from __future__ import annotations

import builtins
import copyreg
import functools
import operator
import os
import pickle
import struct
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream.errors import ChangedClass, DamagedState
from millstream.state.data_codec import DataCodec
from millstream.state.data_codec_stream import ForeignBytes, check_opcodes

MODULE = __name__
RAN: list[str] = []
WATCHED: list[str] = []
_watching = False


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if _watching and event.split(".")[0] in ("os", "subprocess", "exec", "compile", "import", "open", "socket", "ctypes", "pickle", "marshal"):
        WATCHED.append(f"{event}{args!r:.80}")


sys.addaudithook(_audit)


@contextmanager
def watched() -> Iterator[None]:
    """Fails if anything inside runs a program, imports, opens, or looks a name up for pickle, or runs a method of Gadget."""
    global _watching
    RAN.clear()
    WATCHED.clear()
    _watching = True
    try:
        yield
    finally:
        _watching = False
    assert (RAN, WATCHED) == ([], [])


def ran(*args: Any) -> str:
    RAN.append(repr(args))
    return "ran"


class Armed:
    """Every hook that the pickle machine, or something on the way, might run."""

    def __call__(self, *args: Any) -> Any:
        return ran("call", *args)

    def __setstate__(self, state: Any) -> None:
        ran("setstate", state)

    def append(self, item: Any) -> None:
        ran("append", item)

    def extend(self, items: Any) -> None:
        ran("extend", items)

    def add(self, item: Any) -> None:
        ran("add", item)

    def __setitem__(self, key: Any, item: Any) -> None:
        ran("setitem", key, item)

    def __reduce__(self) -> Any:
        return ran, ("reduce",)

    def __repr__(self) -> str:
        return str(ran("repr"))

    def __del__(self) -> None:
        ran("del")


@dataclass
class Gadget:
    name: Any

    def __init__(self, name: Any) -> None:
        ran("init", name)

    def __post_init__(self) -> None:
        ran("post_init")

    __call__ = Armed.__call__
    __setstate__ = Armed.__setstate__
    append = Armed.append
    extend = Armed.extend
    add = Armed.add
    __setitem__ = Armed.__setitem__


@dataclass
class Trap(Armed):
    name: Any


class Pair(NamedTuple):
    left: Any
    right: Any


@dataclass(frozen=True)
class Point:
    x: Any


class Evil:
    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> Any:
        return self.call[0], self.call[1:]


def opcode(name: str) -> bytes:
    return bytes(getattr(pickle, name))


def text(value: str) -> bytes:
    data = value.encode()
    return opcode("SHORT_BINUNICODE") + bytes([len(data)]) + data


def named(module: str, name: str) -> bytes:
    return text(module) + text(name) + opcode("STACK_GLOBAL")


def plain(opcodes: bytes) -> bytes:
    return b"\x10" + opcodes


def with_preamble(preamble: Any, opcodes: bytes) -> bytes:
    head = msgspec.msgpack.encode(preamble)
    return b"\x11" + struct.pack("<Q", len(head)) + head + opcodes


def with_gadget(opcodes: bytes, cls: type = Gadget, fields: tuple[str, ...] = ("name",), kind: str = "dataclass") -> bytes:
    return with_preamble([[[kind, f"{MODULE}:{cls.__name__}", fields]], ["s0", "s1"], False, True], opcodes)


# How the codec writes an object: its marker stands behind the leaves' constructors.
APART = b"h\x0a"
GADGET = APART + b"K\x00" + text("x") + b"\x86R"
CALL = b"(" + text("echo pwned") + b"tR"

HAND_MADE: dict[str, bytes] = {
    "nothing": b"",
    "stop alone": b".",
    "no list": b"K\x01.",
    "no stop": b"](K\x01e",
    "two stops": b"]..",
    "tail": b"].]",
    "os.system": named("os", "system") + CALL + b".",
    "posix.system in a list": b"](" + named("posix", "system") + CALL + b"e.",
    "builtins.eval": named("builtins", "eval") + b"(" + text("1+1") + b"tR.",
    "builtins.exec by GLOBAL": b"cbuiltins\nexec\n(" + text("x=1") + b"tR.",
    "INST": b"(" + text("echo") + b"ios\nsystem\n.",
    "OBJ": b"(" + b"cos\nsystem\n" + text("echo") + b"o.",
    "NEWOBJ": named("builtins", "object") + b")\x81.",
    "NEWOBJ_EX": named("builtins", "object") + b")}\x92.",
    "getattr chain": named("builtins", "getattr") + named("os", "system") + text("__call__") + b"\x86R.",
    "operator.attrgetter": named("operator", "attrgetter") + text("system") + b"\x85R.",
    "operator.methodcaller": named("operator", "methodcaller") + text("system") + b"\x85R.",
    "functools.partial": named("functools", "partial") + named("os", "system") + b"\x85R.",
    "functools.reduce": named("functools", "reduce") + b")R.",
    "codecs.decode": named("codecs", "decode") + CALL + b".",
    "importlib": named("importlib", "import_module") + text("antigravity") + b"\x85R.",
    "runpy": named("runpy", "run_path") + text("/etc/passwd") + b"\x85R.",
    "subprocess": named("subprocess", "Popen") + text("true") + b"\x85R.",
    "pickle.loads": named("pickle", "loads") + opcode("SHORT_BINBYTES") + b"\x01." + b"\x85R.",
    "the codec's own": named("millstream.state.data_codec", "DataCodec") + b")R.",
    "sealed by name": named("millstream.state.data_codec_leaves", "_MakeDate") + b")R.",
    "dotted name": named("os", "path.os.system") + b".",
    "copyreg reconstructor": named("copyreg", "_reconstructor") + b"(" + named("builtins", "object") + b"NNtR.",
    "EXT1": b"\x82\xf0)R.",
    "EXT2": b"\x83\xf0\x00)R.",
    "EXT4": b"\x84\xf0\x00\x00\x00)R.",
    "PERSID": b"Pos\n.",
    "BINPERSID": b"K\x00Q.",
    "BINPERSID in a list": b"](K\x00Qe.",
    "NEXT_BUFFER": b"\x97.",
    "READONLY_BUFFER": b"N\x98.",
    "INT in text": b"I1\n.",
    "LONG in text": b"L" + b"9" * 100 + b"L\n.",
    "FLOAT in text": b"F1.5\n.",
    "STRING": b"S'x'\n.",
    "UNICODE": b"Vx\n.",
    "BINSTRING": b"T\x01\x00\x00\x00x.",
    "SHORT_BINSTRING": b"U\x01x.",
    "PUT": b"]p99999999\n.",
    "BINPUT": b"]q\x01.",
    "LONG_BINPUT": b"]r\xff\xff\xff\x7f.",
    "MEMOIZE": b"]\x94.",
    "GET": b"g0\n.",
    "LONG_BINGET": b"](j\x00\x00\x00\x00e.",
    "BINGET of nothing": b"](h\xffe.",
    "DUP": b"]2.",
    "POP": b"]N0.",
    "POP_MARK": b"](N1.",
    "PROTO": b"\x80\x05].",
    "FRAME": b"\x95\x02\x00\x00\x00\x00\x00\x00\x00].",
    "nested FRAMEs": b"\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x95\x40\x00\x00\x00\x00\x00\x00\x00].",
    "DICT": b"(d.",
    "LIST": b"(l.",
    "LONG1 cut": b"](\x8a\xff\x01e.",
    "string cut": b"](\x8c\xffabce.",
    "string longer than all": b"](X\xff\xff\xff\xffxe.",
    "bytes of an exabyte": b"](\x8e" + struct.pack("<Q", 2**60) + b"xe.",
    "bytearray of a terabyte": b"](\x96" + struct.pack("<Q", 2**40) + b"xe.",
    "negative LONG4": b"](\x8b\xff\xff\xff\xffe.",
    "not UTF-8": b"](\x8c\x02\xff\xfee.",
    "append to nothing": b"a.",
    "append to an int": b"K\x01Na.",
    "append to a tuple": b")Na.",
    "setitem on a list": b"]K\x00Ns.",
    "setitems on an int": b"K\x01(NNu.",
    "add to a dict": b"}(N\x90.",
    "list as a key": b"](}]Nse.",
    "tuple of too much": b"]\x87.",
    "no mark": b"]Ne.",
    "odd setitems": b"](}(NNNue.",
    "reduce of an int": b"](K\x01)Re.",
    "reduce of a tuple": b"]()) Re.",
    "reduce without a tuple": b"](h\x04K\x01Re.",
    "date of text": b"](h\x04" + text("x") + b"\x85Re.",
    "date beyond the calendar": b"](h\x04J\xff\xff\xff\x7f\x85Re.",
    "datetime from pickled state": b"](h\x06C\x0a" + b"\xff" * 10 + b"\x85Re.",
    "datetime with a strange zone": b"](h\x06" + text("2024-01-01") + b"K\x00K\x05\x87Re.",
    "datetime with strange fold": b"](h\x06" + text("2024-01-01") + b"K\x05N\x87Re.",
    "time of a list": b"](h\x05]\x85Re.",
    "timedelta without end": b"](h\x07(J\xff\xff\xff\x7fK\x00K\x00tRe.",
    "timezone of an int": b"](h\x08K\x01\x85Re.",
    "UTC called": b"](h\x00)Re.",
    "decimal of nonsense": b"](h\x02" + text("1/0") + b"\x85Re.",
    "decimal of a tuple": b"](h\x02(K\x00)K\x01t\x85Re.",
    "uuid of a negative": b"](h\x03J\xff\xff\xff\xff\x85Re.",
    "uuid with keywords": b"](h\x03}\x85Re.",
    "complex of text": b"](h\x01" + text("1") + text("2") + b"\x86Re.",
    "zone outside the database": b"](h\x09" + text("../../etc/passwd") + b"\x85Re.",
    "zone that is a list": b"](h\x09]\x85Re.",
    "an object without preamble": b"](" + GADGET + b"e.",
    "set state of a date": b"](h\x04K\x01\x85R}b e.",
    "set state of a constructor": b"](h\x04}" + text("__call__") + b"Nsbe.",
    "append to a constructor": b"](h\x04Nae.",
    "setitem on a constructor": b"](h\x04NNse.",
    "add to a constructor": b"](h\x04(N\x90e.",
    "a constructor as a value": b"](h\x04e.",
    "a constructor as a key": b"](}h\x04Nse.",
    "a constructor inside an argument": b"](h\x08h\x04\x85Re.",
}

WITH_OBJECTS: dict[str, bytes] = {
    "an object on its way called": with_gadget(b"](" + GADGET + b")Re."),
    "an object on its way appended to": with_gadget(b"](" + GADGET + b"Nae."),
    "an object on its way extended": with_gadget(b"](" + GADGET + b"(NNee."),
    "an object on its way indexed": with_gadget(b"](" + GADGET + b"NNse."),
    "an object on its way added to": with_gadget(b"](" + GADGET + b"(N\x90e."),
    "an object on its way given state": with_gadget(b"](" + GADGET + b"}" + text("name") + b"Nsbe."),
    "a method replaced by state": with_gadget(b"](" + GADGET + b"}" + text("append") + named("os", "system") + b"sbe."),
    "a string called": with_gadget(b"](h\x0b)Re."),
    "no class of that number": with_gadget(b"](" + APART + b"K\x07" + text("x") + b"\x86Re."),
    "a negative number": with_gadget(b"](" + APART + b"J\xff\xff\xff\xff" + text("x") + b"\x86Re."),
    "a class by name instead of number": with_gadget(b"](" + APART + text("os:system") + text("x") + b"\x86Re."),
    "an object's constructor as a value": with_gadget(b"](" + APART + b"e."),
    "an object's constructor as a part": with_gadget(b"](" + APART + b"K\x00" + APART + b"\x86Re."),
    "no number at all": with_gadget(b"](" + APART + b")Re."),
    "too few parts": with_gadget(b"](" + APART + b"K\x00\x85Re."),
    "too many parts": with_gadget(b"](" + APART + b"K\x00NN\x87Re."),
    "fewer items than a NamedTuple has": with_gadget(b"](" + APART + b"K\x00N\x86Re.", Pair, ("left", "right"), "namedtuple"),
    "an unhashable field in a key": with_gadget(b"](}" + APART + b"K\x00]\x86RNse.", Point, ("x",)),
    "a class with __del__": with_gadget(b"](" + GADGET + b"e.", Trap),
    "a class that carries no data": with_gadget(b"](" + GADGET + b"e.", Evil),
    "a function for a class": with_preamble([[["dataclass", f"{MODULE}:ran", ["name"]]], [], False, True], b"](" + GADGET + b"e."),
    "os.system for a class": with_preamble([[["dataclass", "os:system", ["name"]]], [], False, True], b"](" + GADGET + b"e."),
    "a dunder path": with_preamble([[["dataclass", f"{MODULE}:Gadget.__init__", ["name"]]], [], False, True], b"](" + GADGET + b"e."),
    "a path through a metaclass": with_preamble([[["dataclass", "builtins:type.mro", ["name"]]], [], False, True], b"](" + GADGET + b"e."),
    "a module that is not imported": with_preamble([[["dataclass", "antigravity:A", ["name"]]], [], False, True], b"](" + GADGET + b"e."),
    "other fields": with_preamble([[["dataclass", f"{MODULE}:Gadget", ["append"]]], [], False, True], b"](" + GADGET + b"e."),
    "another kind": with_preamble([[["enum", f"{MODULE}:Gadget", ["name"]]], [], False, True], b"](" + GADGET + b"e."),
    "an unknown kind": with_preamble([[["callable", f"{MODULE}:ran", []]], [], False, True], b"](" + GADGET + b"e."),
    "a name that is not registered": with_preamble([[["registered", "os.system", []]], [], False, True], b"](" + GADGET + b"e."),
    "rows of no class": with_preamble([[], [], True, False], b"]."),
    "rows that are no rows": with_preamble([[["dataclass", f"{MODULE}:Gadget", ["name"]]], [], True, False], b"](K\x01e."),
    "rows that are lists": with_preamble([[["dataclass", f"{MODULE}:Gadget", ["name"]]], [], True, False], b"](]Nae."),
    "rows of another width": with_preamble([[["dataclass", f"{MODULE}:Gadget", ["name"]]], [], True, False], b"](NN\x86e."),
    "objects where none are announced": with_preamble([[["dataclass", f"{MODULE}:Gadget", ["name"]]], [], False, False], b"](" + GADGET + b"e."),
    "a preamble of something else": with_preamble({"classes": 5}, b"]."),
    "a preamble beyond the end": b"\x11" + struct.pack("<Q", 2**40) + b"]",
    "a number of groups beyond the end": b"\x12" + struct.pack("<Q", 2**40) + b"]",
    "groups in groups": b"\x12" + struct.pack("<Q", 3) + b"\x12\x10].",
    "an unknown form": b"\x7f].",
    "the next version": b"\x20].",
}

CALLS: dict[str, tuple[Any, ...]] = {
    "os.system": (os.system, "true"),
    "eval": (builtins.eval, "1"),
    "exec": (builtins.exec, "x = 1"),
    "getattr": (getattr, "x", "upper"),
    "attrgetter": (operator.attrgetter, "system"),
    "partial": (functools.partial, os.system, "true"),
    "open": (open, "/etc/passwd"),
    "__import__": (__import__, "antigravity"),
    "ran": (ran, "x"),
    "add_extension": (copyreg.add_extension, "os", "system", 240),
    "Gadget": (Gadget, "x"),
}


def refused(data: bytes) -> None:
    """Decoding raises a documented error, and does nothing else, whichever way it is asked."""
    for decode in (DataCodec().decode, DataCodec().decode_many):
        with watched(), pytest.raises((DamagedState, ChangedClass)) as raised:
            decode(data)
        assert raised.value.code in ("damaged-state", "changed-class")


@pytest.mark.parametrize("opcodes", HAND_MADE.values(), ids=HAND_MADE.keys())
def test_a_hand_made_payload_is_refused_and_nothing_runs(opcodes: bytes) -> None:
    refused(plain(opcodes))
    if not opcodes.startswith(b"](" + GADGET):
        refused(with_gadget(opcodes))
        refused(with_gadget(opcodes, Trap))


@pytest.mark.parametrize("data", WITH_OBJECTS.values(), ids=WITH_OBJECTS.keys())
def test_a_payload_that_abuses_objects_is_refused_and_no_method_of_theirs_runs(data: bytes) -> None:
    refused(data)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_pickle_that_calls_something_is_refused_and_the_call_does_not_happen(call: tuple[Any, ...], protocol: int) -> None:
    dump = pickle.dumps([Evil(*call)], protocol)
    for data in (dump, plain(dump), plain(dump[2:]), plain(dump[11:]), with_gadget(dump), with_gadget(dump[11:])):
        refused(data)


def test_an_extension_code_that_some_library_registered_and_used_is_not_reachable() -> None:
    copyreg.add_extension(MODULE, "ran", 241)
    try:
        pickle.loads(b"\x82\xf1.")
        refused(plain(b"](\x82\xf1)Re."))
        refused(with_gadget(b"](\x82\xf1)Re."))
    finally:
        copyreg.remove_extension(MODULE, "ran", 241)
        copyreg.clear_extension_cache()


def test_the_payloads_would_do_harm_to_plain_pickle() -> None:
    RAN.clear()
    pickle.loads(pickle.dumps([Evil(ran, "x")]))
    assert RAN == ["('x',)"]


def doubling(levels: int) -> bytes:
    """A tuple that holds itself twice on every level, as a key: 2 ** levels steps for its hash."""
    return b"]}N\x85\x94" + b"".join(b"h%ch%c\x86\x94" % (n, n) for n in range(levels)) + b"Nsa."


@pytest.mark.parametrize(
    "data",
    [
        plain(b"]r\xff\xff\xff\x7f."),
        plain(b"]p4000000000\n."),
        plain(b"](\x96" + struct.pack("<Q", 2**33) + b"xe."),
        plain(b"](\x8e" + struct.pack("<Q", 2**33) + b"xe."),
        plain(b"\x95" + struct.pack("<Q", 2**33) + b"]."),
        plain(doubling(200)),
        plain(b"]}N" + b"\x85" * 20_000 + b"Nsa."),
        plain(b"]\x8f(N" + b"N\x86" * 20_000 + b"\x90a."),
        plain(b"](" + b"(" * 20_000 + b"t" * 20_000 + b"\x91e."),
        plain(b"]}(" + b"N\x85" * 5_000 + b"t" + b"\x85" * 5_000 + b"Nsa."),
        with_preamble([[], ["x"] * 100_000, False, False], b"](h\xffe."),
    ],
    ids=["LONG_BINPUT", "PUT", "bytearray", "bytes", "frame", "doubling", "deep key", "deep item", "deep marks", "deep behind flat", "strings"],
)
def test_a_bomb_is_refused_before_it_takes_memory_or_time(data: bytes) -> None:
    tracemalloc.start()
    try:
        refused(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40 * 2**20


def test_many_shallow_keys_pass_the_check_of_depth() -> None:
    value = {(n, (n, str(n))): [(n,)] * 3 for n in range(5_000)} | {"t(" * 5_000: set(range(3_000))}
    codec = DataCodec()
    assert codec.decode(codec.encode(value)) == value


def test_a_list_nested_without_end_is_only_a_deep_list() -> None:
    deep = plain(b"]" * 100_000 + b"a" * 99_999 + b".")
    with watched():
        value = DataCodec().decode(deep)
    depth = 0
    while value:
        (value,) = value
        depth += 1
    assert depth == 99_998


def test_a_hash_or_equality_that_fails_on_strange_parts_is_damage() -> None:
    refused(with_gadget(b"](}" + APART + b"K\x00}\x86RNse.", Point, ("x",)))


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.integers(),
        st.floats(),
        st.text(max_size=10),
        st.binary(max_size=10),
        st.sampled_from([datetime(2024, 1, 1, tzinfo=UTC), Decimal("1.5"), UUID(int=5), timedelta(1), 1j, "x" * 300]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(st.text(max_size=3), inner, max_size=3),
        st.tuples(inner).map(lambda row: Point(*row)),
        st.tuples(inner, inner).map(lambda row: Pair(*row)),
    ),
    max_leaves=6,
)


def only_data(value: Any) -> bool:
    if isinstance(value, list | tuple | set | frozenset):
        return type(value) in (list, tuple, set, frozenset, Pair) and all(map(only_data, value))
    if isinstance(value, dict):
        return all(map(only_data, value)) and all(map(only_data, value.values()))
    if type(value) is Point:
        return only_data(value.x)
    return value is None or type(value).__module__ in ("builtins", "datetime", "decimal", "uuid", "zoneinfo")


def harmless(data: bytes) -> None:
    """Decoding gives plain data, or a documented error; nothing runs."""
    for decode in (DataCodec().decode, DataCodec().decode_many):
        with watched():
            try:
                value = decode(data)
            except (DamagedState, ChangedClass):
                continue
        assert only_data(value)
        assert not callable(value)


@settings(max_examples=120)
@given(st.lists(VALUES, min_size=1, max_size=3), st.data())
def test_changed_cut_or_mixed_up_bytes_are_refused_or_are_other_data(values: list[Any], data: st.DataObject) -> None:
    whole = DataCodec().encode_many(values)
    harmless(whole[: data.draw(st.integers(0, len(whole)))])
    flipped = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(whole) - 1))
        flipped[position] ^= 1 << data.draw(st.integers(0, 7))
    harmless(bytes(flipped))
    start = data.draw(st.integers(0, len(whole) - 1))
    harmless(whole[:start] + data.draw(st.binary(max_size=5)) + whole[start:])


FRAGMENTS = [
    *(bytes([code]) for code in b"N\x88\x89\x85\x86\x87t)]}\x8f(aesu\x90\x91R"),
    *(b"h%c" % number for number in range(14)),
    b"K\x01",
    b"M\x01\x01",
    b"G" + struct.pack(">d", 1.5),
    b"C\x01x",
    b"\x8a\x01\x05",
    b"\x96" + struct.pack("<Q", 2) + b"ab",
    text("2024-01-01"),
    text("x"),
    b"NN\x86",
    b"K\x00K\x01\x86",
    APART + b"K\x00N\x86R",
    b"h\x04K\x05\x85R",
    b"}NNs",
    b"]Na",
    b"](",
    b"\x8f(K\x01\x90",
]


@settings(max_examples=150)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=25))
def test_any_sequence_of_allowed_opcodes_is_refused_or_is_data(parts: list[bytes]) -> None:
    opcodes = b"](" + b"".join(parts)
    for ending in (b".", b"e.", b"ae.", b"ee."):
        harmless(plain(opcodes + ending))
        harmless(with_gadget(opcodes + ending, Point, ("x",)))


@settings(max_examples=120)
@given(st.binary(max_size=40))
def test_random_bytes_are_refused_or_are_data(data: bytes) -> None:
    for wrapped in (data, plain(data), plain(b"](" + data + b"e."), with_gadget(data)):
        harmless(wrapped)


def passes_a_plain_loop(data: bytes) -> bool:
    """The same check, opcode by opcode."""
    fixed = dict.fromkeys(b"N\x88\x89\x85\x86\x87t)]}\x8f(aesu\x90\x91R", 0) | {0x68: 1, 0x4B: 1, 0x4D: 2, 0x4A: 4, 0x47: 8}
    sized = {0x8C: 1, 0x43: 1, 0x8A: 1, 0x58: 4, 0x42: 4, 0x8B: 4, 0x8D: 8, 0x8E: 8, 0x96: 8}
    position = 0
    while position < len(data):
        code = data[position]
        position += 1
        if code == 0x2E:
            return position == len(data)
        if code in fixed:
            position += fixed[code]
        elif code in sized:
            position += sized[code] + int.from_bytes(data[position : position + sized[code]], "little")
        else:
            return False
    return False


SHORT = [bytes([code]) for code in range(256)]


@settings(max_examples=150)
@given(st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.sampled_from(SHORT), st.binary(max_size=6)), max_size=12))
def test_the_check_of_opcodes_agrees_with_a_plain_loop(parts: list[bytes]) -> None:
    for data in (b"".join(parts) + b".", b"".join(parts)):
        try:
            check_opcodes(data)
        except ForeignBytes:
            passed = False
        else:
            passed = True
        assert passed == passes_a_plain_loop(data)


@pytest.mark.parametrize("length", [0, 1, 31, 32, 33, 63, 64, 127, 128, 200, 254, 255, 256, 65_536])
@pytest.mark.parametrize("missing", [0, 1])
def test_the_check_knows_every_length_of_a_string(length: int, missing: int) -> None:
    head = bytes([0x8C, length]) if length < 256 else b"X" + struct.pack("<I", length)
    data = b"](" + head + b"." * (length - missing) + b"e."
    if missing and length:
        with pytest.raises(ForeignBytes):
            check_opcodes(data[:-2])
    else:
        check_opcodes(data)
