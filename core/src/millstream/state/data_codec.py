"""The data codec: carries plain data and the job's own data classes exactly, without a declared type.

Built on pickle 5, and the one place where the core unpickles anything but user functions. Why that is safe:

- Bytes pass a check of their opcodes first (`data_codec_stream`): no opcode that names a class, sets state, builds an instance or
  remembers an object gets through. What is left describes a tree of builtin values.
- The only callables that the pickle machine can reach are sealed constructors of immutable types (`data_codec_leaves`). They are given
  to it; nothing is ever looked up by name.
- Objects of the job's classes are written as rows of plain data. They are made after the pickle machine has ended, only of classes that
  are imported already, and without running a method of theirs (`data_codec_plans`), save for the `__hash__` and `__eq__` of what stands
  in a set or as the key of a dict.

Bytes: 0x10 and opcodes; or 0x11, length and bytes of a preamble, and opcodes; or 0x12 and several of those, each behind its length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from millstream.contracts.serializer import Compatibility, Serializer, SerializerDescription, Verdict
from millstream.errors import ChangedClass, DamagedState
from millstream.state.data_codec_classes import plan_of, resolve
from millstream.state.data_codec_leaves import LEAF_REDUCERS, Unsupported
from millstream.state.data_codec_path import describe_unsupported
from millstream.state.data_codec_pickle import MAX_STRINGS, Maker, Reader, Writer
from millstream.state.data_codec_plans import ClassPlan, ClassRef
from millstream.state.data_codec_registered import MIXED
from millstream.state.data_codec_stream import ForeignBytes, check_opcodes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

VERSION: Final = 1
_PLAIN: Final = b"\x10"
_WITH_PREAMBLE: Final = b"\x11"
_SEVERAL: Final = b"\x12"

FIRST_BYTES: Final = frozenset((*_PLAIN, *_WITH_PREAMBLE, *_SEVERAL))
"""What bytes begin with; they are always more than one."""

_GROUP: Final = 1_000
"""Values in one pickle: enough to share its cost, few enough for the check of its depth to stay quick."""

_REMEMBERED_PREAMBLES: Final = 256


class _Preamble(msgspec.Struct, frozen=True, array_like=True):
    """What opcodes refer to.

    Attributes:
        classes: of the objects.
        strings: written once, referred to by number.
        rows: the values are objects of the first class, written as rows.
        nested: objects stand inside the values.
    """

    classes: list[ClassRef]
    strings: list[str]
    rows: bool
    nested: bool


class DataCodec(Serializer[Any]):
    """Carries plain data and data classes, each exactly as it is.

    That is None, bool, int, float, complex, str, bytes, bytearray, date, time, datetime, timedelta, timezone, ZoneInfo, Decimal, UUID,
    Enum, list, tuple, set, frozenset, dict, and dataclasses, NamedTuples and Structs. Subclasses of builtin types are refused, and so is
    everything else. An object that stands in several places comes back as several equal ones. A class is read only as it was written:
    see `compatibility`.
    """

    def __init__(self) -> None:
        self._plans: dict[type, ClassPlan] = {}
        self._preambles: dict[bytes, tuple[_Preamble, list[ClassPlan]]] = {}
        # Taken out while in use, so that a codec may be used by several threads.
        self._writers: list[Writer] = []
        self._readers: dict[bool, list[Reader]] = {False: [], True: []}
        self._adopted: dict[str, dict[str, Any]] = {}

    def encode(self, value: Any) -> bytes:
        return self._encode_group((value,))

    def decode(self, data: bytes | memoryview) -> Any:
        values = self.decode_many(data)
        if len(values) != 1:
            raise _damaged(f"there are {len(values)} values where one belongs")
        return values[0]

    def encode_many(self, values: Sequence[Any]) -> bytes:
        if len(values) <= _GROUP:
            return self._encode_group(values)
        groups = [self._encode_group(values[start : start + _GROUP]) for start in range(0, len(values), _GROUP)]
        return _SEVERAL + b"".join([len(group).to_bytes(8, "little") + group for group in groups])

    def decode_many(self, data: bytes | memoryview) -> list[Any]:
        data = bytes(data)
        try:
            if data[:1] == _SEVERAL:
                return [value for group in _split(data, 1) for value in self._decode_group(group)]
            return self._decode_group(data)
        except (DamagedState, ChangedClass):
            raise
        except ForeignBytes as foreign:
            raise _damaged(str(foreign)) from None
        # Whatever the pickle machine, a constructor, or the hash of a made object says about data that does not fit.
        except Exception as error:
            raise _damaged(f"{type(error).__name__}: {error}") from error

    def description(self) -> SerializerDescription:
        """Names the classes whose objects were written or read so far, or adopted, with their fields."""
        classes = dict(self._adopted)
        classes.update({plan.ref.name: {"kind": plan.ref.kind, "fields": list(plan.ref.fields)} for plan in self._plans.values()})
        return SerializerDescription(kind="data", version=VERSION, type_name="Any", schema={"classes": dict(sorted(classes.items()))})

    def compatibility(self, stored: SerializerDescription) -> Compatibility:
        """AS_IS while every class that was written is as it was."""
        if stored.kind == MIXED:
            why = (
                f"it was written as {stored.type_name}, which the annotation of a function says, and with the data codec where values did not "
                "match. Restore it once with that annotation: the checkpoints after that are written with the data codec alone."
            )
            return Compatibility(Verdict.INCOMPATIBLE, why)
        if stored.kind != "data":
            why = (
                f"it was written with a declared or annotated type ({stored.type_name}), and there is none now. Declare it with output_type=, "
                "or as the type of the state's descriptor."
            )
            return Compatibility(Verdict.INCOMPATIBLE, why)
        return unchanged_classes(stored)

    def adopt(self, stored: SerializerDescription) -> None:
        """Keeps the classes of a restored state in the description, though none of its objects may be written anew."""
        self._adopted.update(stored.schema.get("classes", {}))

    def plan(self, cls: type) -> ClassPlan:
        """How objects of a class are carried.

        Raises:
            Unsupported: they are not.
        """
        plan = self._plans.get(cls)
        if plan is None:
            plan = self._plans[cls] = plan_of(cls)
        return plan

    def _encode_group(self, values: Sequence[Any]) -> bytes:
        try:
            return self._write_group(values)
        except (Unsupported, RecursionError, ValueError) as error:
            raise describe_unsupported(values, self.plan, error) from None

    def _write_group(self, values: Sequence[Any]) -> bytes:
        row_plan = self._row_plan(values)
        root: list[Any] = list(values) if row_plan is None else row_plan.rows(values)
        strings = _repeated_strings(root)
        try:
            writer = Writer(self.plan, strings) if strings else self._writers.pop()
        except IndexError:
            writer = Writer(self.plan)
        opcodes = writer.write(root, row_plan)
        if not strings:
            self._writers.append(writer)
        if not writer.plans and not strings:
            return _PLAIN + opcodes
        classes = [plan.ref for plan in writer.plans]
        preamble = msgspec.msgpack.encode(_Preamble(classes, strings, row_plan is not None, writer.nested))
        return b"".join((_WITH_PREAMBLE, len(preamble).to_bytes(8, "little"), preamble, opcodes))

    def _row_plan(self, values: Sequence[Any]) -> ClassPlan | None:
        """The plan of the class that all values are of, if there is one."""
        if not values or type(values[0]) in _NO_CLASS:
            return None
        classes = set(map(type, values))
        return self.plan(classes.pop()) if len(classes) == 1 else None

    def _decode_group(self, data: bytes) -> list[Any]:
        kind = data[:1]
        if kind == _PLAIN:
            return self._run(data[1:], nested=False, strings=[])
        if kind != _WITH_PREAMBLE:
            raise ForeignBytes("it does not begin as it should" if data else "it is empty")
        head, opcodes = _split_one(data, 1)
        preamble, plans = self._read_preamble(head)
        values = self._run(opcodes, nested=preamble.nested, strings=preamble.strings)
        if preamble.nested:
            values = list(map(Maker(plans), values))
        return plans[0].objects(values) if preamble.rows else values

    def _run(self, opcodes: bytes, *, nested: bool, strings: list[str]) -> list[Any]:
        check_opcodes(opcodes)
        try:
            reader = Reader(nested=nested, strings=strings) if strings else self._readers[nested].pop()
        except IndexError:
            reader = Reader(nested=nested)
        values = reader.read(opcodes)
        if not strings:
            self._readers[nested].append(reader)
        if type(values) is not list:
            raise ForeignBytes("it holds no list of values")
        return values

    def _read_preamble(self, head: bytes) -> tuple[_Preamble, list[ClassPlan]]:
        known = self._preambles.get(head)
        if known is None:
            preamble = _PREAMBLE_DECODER.decode(head)
            plans = [resolve(ref) for ref in preamble.classes]
            self._plans.update({plan.cls: plan for plan in plans})
            if len(self._preambles) >= _REMEMBERED_PREAMBLES:
                self._preambles.clear()
            known = self._preambles[head] = preamble, plans
        return known


def unchanged_classes(stored: SerializerDescription) -> Compatibility:
    """Whether every class of a description of the data codec is as it was."""
    if stored.version != VERSION:
        why = f"it was written by version {stored.version} of the data codec; this is version {VERSION}."
        return Compatibility(Verdict.INCOMPATIBLE, why)
    for name, described in stored.schema.get("classes", {}).items():
        try:
            resolve(ClassRef(described["kind"], name, tuple(described["fields"])))
        except ChangedClass as changed:
            return Compatibility(Verdict.INCOMPATIBLE, str(changed))
    return Compatibility(Verdict.AS_IS)


def _repeated_strings(root: list[Any]) -> list[str]:
    """The keys of a first record that is a dict, or holds one: the records after it likely have the very same.

    Printable ones, because a lone surrogate has no place in the preamble.
    """
    if len(root) < 2:
        return []
    first = root[0]
    parts = first if type(first) is tuple else (first,)
    keys = {id(key): key for part in parts if type(part) is dict for key in part if type(key) is str and key.isprintable()}
    return list(keys.values())[:MAX_STRINGS]


def _split(data: bytes, position: int) -> Iterable[bytes]:
    while position < len(data):
        length = int.from_bytes(data[position : position + 8], "little")
        position += 8 + length
        if position > len(data):
            raise ForeignBytes(f"it ends in the middle, after {len(data)} bytes")
        yield data[position - length : position]


def _split_one(data: bytes, position: int) -> tuple[bytes, bytes]:
    start = position + 8
    end = start + int.from_bytes(data[position:start], "little")
    return data[start:end], data[end:]


def _damaged(reason: str) -> DamagedState:
    return DamagedState(serializer="values of the data codec", reason=reason)


_NO_CLASS: Final = frozenset({type(None), bool, int, float, str, bytes, bytearray, list, tuple, set, frozenset, dict, *LEAF_REDUCERS})
_PREAMBLE_DECODER: Final = msgspec.msgpack.Decoder(_Preamble)
