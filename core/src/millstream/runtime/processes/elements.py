"""Elements of a channel as payloads of frames, and back.

The timestamps of a batch travel as 64-bit integers. Its values go without a word of their types where they are objects of one class that says its
types (`shapes`), and else through the data codec, which carries plain data and data classes exactly and refuses everything else.
"""

from __future__ import annotations

import importlib
import os
import struct
import sys
from array import array
from typing import TYPE_CHECKING, Any, Final

import msgspec

from millstream.errors import ChangedClass, DamagedState, UnsupportedValue, shorten
from millstream.records import Barrier, EndOfInput, RecordBatch, Watermark, WatermarkStatus
from millstream.runtime.processes.frames import MAX_PAYLOAD, ForeignFrames, Kind
from millstream.runtime.processes.shapes import NoShape, ShapeReader, ShapeWriter
from millstream.state.data_codec import DataCodec
from millstream.state.data_codec_pickle import Reader
from millstream.state.data_codec_stream import ForeignBytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millstream.records import Element

_BATCH: Final = struct.Struct("!BIq")
_TIMED: Final = 1
_HIGHEST: Final = 2
_SHAPED: Final = 4
_SHAPE: Final = struct.Struct("!H")
_WATERMARK: Final = struct.Struct("!q")
_STATUS: Final = struct.Struct("!?")
_BARRIER: Final = struct.Struct("!Qq??")
"""The location of a savepoint follows."""


class NotSendable(Exception):
    """A record cannot travel: `record` says which, the argument why."""

    def __init__(self, record: object, reason: str) -> None:
        super().__init__(reason)
        self.record = shorten(record)


class _Nameless(Reader):
    """Looks nothing up by name: bytes can call the constructors that it was given, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        raise ForeignBytes(f"it names {module}.{name}")


class ExchangeCodec(DataCodec):
    """The data codec between processes of one job.

    It leaves out the check of each opcode, the larger part of what reading costs: who could write into the connection, which only the
    processes of the job have, could as well write into the memory of one of them.
    """

    def _run(self, opcodes: bytes, *, nested: bool, strings: list[str]) -> list[Any]:
        try:
            reader = _Nameless(nested=nested, strings=strings) if strings else self._readers[nested].pop()
        except IndexError:
            reader = _Nameless(nested=nested)
        values = reader.read(opcodes)
        if not strings:
            self._readers[nested].append(reader)
        if type(values) is not list:
            raise ForeignBytes("it holds no list of values")
        return values


class ElementCodec:
    """Turns elements into payloads. For one thread.

    Args:
        longest: bytes of a payload above which a batch is sent as several.
    """

    def __init__(self, longest: int = MAX_PAYLOAD) -> None:
        self._values = ExchangeCodec()
        self._shapes = ShapeWriter()
        self._shape_reader = ShapeReader()
        self._longest = longest

    def encode(self, element: Element) -> Iterator[tuple[Kind, bytes]]:
        """The payloads, in order; one, unless a batch is too long for it.

        Raises:
            NotSendable: a record is not plain data, or larger than a payload may be.
        """
        if isinstance(element, RecordBatch):
            yield from self._encode_batch(element)
        elif isinstance(element, Watermark):
            yield Kind.WATERMARK, _WATERMARK.pack(element.timestamp)
        elif isinstance(element, Barrier):
            head = _BARRIER.pack(element.checkpoint_id, element.timestamp_ms, element.aligned, element.last)
            yield Kind.BARRIER, head + os.fsencode(element.savepoint)
        elif isinstance(element, WatermarkStatus):
            yield Kind.STATUS, _STATUS.pack(element.idle)
        else:
            yield Kind.END, b""

    def _encode_batch(self, batch: RecordBatch[Any]) -> Iterator[tuple[Kind, bytes]]:
        count = len(batch.values)
        shaped, values = self._encode_values(batch.values)
        times = array("q", batch.timestamps).tobytes() if batch.timestamps is not None else b""
        if _BATCH.size + len(times) + len(values) > self._longest:
            if count == 1:
                raise NotSendable(batch.values[0], f"it is larger than {self._longest} bytes. Send what it is made of as several records.")
            for part in (slice(0, count // 2), slice(count // 2, count)):
                timestamps = batch.timestamps[part] if batch.timestamps is not None else None
                yield from self._encode_batch(RecordBatch(batch.values[part], timestamps, batch.highest))
            return
        flags = shaped | (_TIMED if batch.timestamps is not None else 0) | (_HIGHEST if batch.highest is not None else 0)
        yield Kind.RECORDS, b"".join((_BATCH.pack(flags, count, batch.highest or 0), times, values))

    def _encode_values(self, values: list[Any]) -> tuple[int, bytes]:
        shaped = self._shapes.encode(values) if values else None
        if shaped is not None:
            return _SHAPED, b"".join((_SHAPE.pack(len(shaped[0])), *shaped))
        try:
            return 0, self._values.encode_many(values)
        except UnsupportedValue as error:
            raise NotSendable(_first_refused(self._values, values), str(error)) from None

    def decode(self, kind: Kind, payload: bytes) -> Element:
        """The element of a payload.

        Raises:
            ForeignFrames: it is none.
        """
        try:
            if kind is Kind.RECORDS:
                return self._decode_batch(payload)
            if kind is Kind.WATERMARK:
                return Watermark(*_WATERMARK.unpack(payload))
            if kind is Kind.BARRIER:
                number, timestamp_ms, aligned, last = _BARRIER.unpack_from(payload)
                return Barrier(number, timestamp_ms, aligned, last, os.fsdecode(payload[_BARRIER.size :]))
            if kind is Kind.STATUS:
                return WatermarkStatus(*_STATUS.unpack(payload))
        except (struct.error, ValueError, NoShape, DamagedState, msgspec.MsgspecError) as error:
            raise ForeignFrames(f"a frame of kind {kind.name} cannot be read: {error}") from error
        if kind is Kind.END and not payload:
            return EndOfInput()
        raise ForeignFrames(f"a frame of kind {kind.name} and {len(payload)} bytes is no element")

    def _decode_shaped(self, data: bytes) -> list[Any]:
        (length,) = _SHAPE.unpack_from(data)
        begin = _SHAPE.size + length
        name, records = data[_SHAPE.size : begin], memoryview(data)[begin:]
        values = self._shape_reader.decode(name, records)
        if values is None and _import(name.decode()):
            values = self._shape_reader.decode(name, records)
        if values is None:
            raise ForeignFrames(f"there is no class {name.decode()} here")
        return values

    def _decode_values(self, data: bytes) -> list[Any]:
        while True:
            try:
                return self._values.decode_many(data)
            except ChangedClass as missing:
                # The sender works with a class of a module that nothing here has needed so far.
                if not _import(missing.class_name):
                    raise

    def _decode_batch(self, payload: bytes) -> RecordBatch[Any]:
        flags, count, highest = _BATCH.unpack_from(payload)
        position = _BATCH.size
        timestamps = None
        if flags & _TIMED:
            times = array("q")
            times.frombytes(memoryview(payload)[position : position + 8 * count])
            position += 8 * count
            timestamps = times.tolist()
        values = self._decode_shaped(payload[position:]) if flags & _SHAPED else self._decode_values(payload[position:])
        if len(values) != count or (timestamps is not None and len(timestamps) != count):
            raise ForeignFrames(f"a batch of {count} records holds {len(values)} values")
        return RecordBatch(values, timestamps, highest if flags & _HIGHEST else None)


def _import(name: str) -> bool:
    """Imports the module of a class, if that is to be had and was not imported before."""
    module = name.partition(":")[0]
    if module in sys.modules:
        return False
    try:
        importlib.import_module(module)
    except Exception:  # noqa: BLE001 - whatever the module does; that the class is missing is said by who asked
        return False
    return True


def _first_refused(codec: DataCodec, values: list[Any]) -> Any:
    for value in values:
        try:
            codec.encode(value)
        except UnsupportedValue:
            return value
    return values[0]
