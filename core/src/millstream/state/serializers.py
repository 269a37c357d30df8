"""Which serializer a state or an exchange uses: typed where a type is declared or annotated, the data codec otherwise."""

from __future__ import annotations

import inspect
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from millstream.contracts.serializer import Compatibility, Serializer, SerializerDescription, Verdict, short_repr
from millstream.errors import DamagedState, TypeNotCarried, ValueNotOfType
from millstream.state.annotated import AnnotatedSerializer, Annotation
from millstream.state.data_codec import DataCodec, unchanged_classes
from millstream.state.data_codec_registered import (
    MIXED,
    Registered,
    register_serializer,
    registered_bytes,
    registered_for,
    registered_value,
)
from millstream.state.differences import difference_of, equal
from millstream.state.evolution import evolve
from millstream.state.mixed import MixedReader, parts_of
from millstream.state.readers import CheckedReader, EvolvedReader
from millstream.state.typed_schema import schema_of, type_name
from millstream.state.widening import Refused, keys_stay

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "AnnotatedSerializer",
    "Annotation",
    "DataCodec",
    "RegisteredSerializer",
    "TypedSerializer",
    "register_serializer",
    "serializer_for",
    "typed_by",
]

T = TypeVar("T")
R = TypeVar("R")

VERSION: Final = 1
_ANYTHING: Final = (None, Any, object, inspect.Parameter.empty)
_BRING_BACK: Final = "Bring back what was declared then."
_MIGRATE: Final = (
    "Bring the type back as it was, or give its class (for a plain type: a class of its own) "
    "@schema_evolution(version=2, migrations={1: ...}) with a function that makes the new form of the old one"
)
_MIGRATION: Final = "it was written with the data codec; every entry is read with that and written anew with the declared type."


def serializer_for(declared: Any = None, annotation: Annotation | None = None) -> Serializer[Any]:
    """The serializer of a state or an exchange.

    Args:
        declared: `output_type=`, or the type of a state's descriptor. Any and object stand for the data codec.
        annotation: what a function's annotation says; counts if nothing is declared.

    Raises:
        TypeNotCarried: the declared type cannot be written.
    """
    if declared is None and annotation is not None and (typed := typed_by(annotation.type)) is not None:
        return AnnotatedSerializer(typed, annotation)
    if any(declared is anything for anything in _ANYTHING):
        return DataCodec()
    registered = registered_for(declared) if isinstance(declared, type) else None
    return TypedSerializer(declared) if registered is None else RegisteredSerializer(registered)


def typed_by(annotation: Any) -> TypedSerializer[Any] | None:
    """The typed serializer of an annotated type, if the annotation says all that there is to say.

    It does not where Any, a type variable or a container of anything is part of it, where the values would be None alone, and where the
    typed form carries no such type.
    """
    if annotation is NoneType or isinstance(annotation, TypeVar) or _is_open(annotation):
        return None
    if any(annotation is anything for anything in _ANYTHING) or (isinstance(annotation, type) and registered_for(annotation) is not None):
        return None
    try:
        typed: TypedSerializer[Any] = TypedSerializer(annotation)
    except TypeNotCarried:
        return None
    return None if _mentions(typed.description().schema, ("any",)) else typed


class TypedSerializer(Serializer[T]):
    """Carries values of a declared type as MessagePack, readable by other tools.

    What is written is read back at once and compared, because the encoder checks nothing: None under `str` would be written and would fail
    at the restore, and an int under `float` would come back as another type. NaN counts as equal to NaN. MessagePack has instants without
    offset, so a datetime has to be naive or in UTC. A subclass of int or str inside a value comes back as its base.

    Args:
        declared: anything that msgspec carries; types registered with `register_serializer` may be part of it.

    Raises:
        TypeNotCarried: it is something else.
    """

    def __init__(self, declared: Any) -> None:
        self._declared = declared
        self._schema = schema_of(declared)
        self._name = type_name(declared)
        self._encoder = msgspec.msgpack.Encoder(enc_hook=registered_bytes)
        # What `==` does not tell, such as 1 from 1.0, shows in the bytes; the offset of a datetime shows in JSON only.
        in_json = _mentions(self._schema, ("datetime", "any"))
        self._witness = msgspec.json.Encoder(enc_hook=registered_bytes) if in_json else self._encoder
        try:
            self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(declared, dec_hook=registered_value)
            self._list_decoder: msgspec.msgpack.Decoder[list[T]] = msgspec.msgpack.Decoder(list[declared], dec_hook=registered_value)
        except TypeError as error:
            raise TypeNotCarried(type_name=self._name, reason=str(error)) from None

    def encode(self, value: T) -> bytes:
        data, back = self._there_and_back(value)
        if type(back) is type(value) and equal(back, value) and self._agree(back, value):
            return data
        self._refuse_difference(value, back)
        return data

    def decode(self, data: bytes | memoryview) -> T:
        return self._read(self._decoder, data)

    def encode_many(self, values: Sequence[T]) -> bytes:
        values = list(values)
        try:
            data, back = self.there_and_back(values)
        except _REFUSALS:
            back, data = [], b""
        if equal(back, values) and list(map(type, back)) == list(map(type, values)) and self._agree(back, values):
            return data
        # One by one, to name the value at fault, or to find that all is well: NaN is unequal to itself.
        for value in values:
            self.encode(value)
        return self._encoder.encode(values)

    def encode_trusted(self, values: Sequence[T]) -> bytes:
        return self._encoder.encode(list(values))

    def decode_many(self, data: bytes | memoryview) -> list[T]:
        return self._read(self._list_decoder, data)

    def there_and_back(self, values: list[T]) -> tuple[bytes, list[T]]:
        """Writes values, whatever they are, and reads them; whoever calls it compares them. Raises whatever msgspec and classes raise."""
        data = self._encoder.encode(values)
        return data, self._list_decoder.decode(data)

    def description(self) -> SerializerDescription:
        return SerializerDescription(kind="typed", version=VERSION, type_name=self._name, schema=self._schema)

    def compatibility(self, stored: SerializerDescription) -> Compatibility:
        """AS_IS for the same structure, AFTER_MIGRATION for one that this type has come from (`millstream.state.evolution`), and from the
        data codec while its classes are as they were."""
        if stored.kind == "data":
            return _from_data_codec(stored)
        if stored.kind == MIXED:
            typed, data = map(self.compatibility, parts_of(stored))
            return typed if typed.verdict is Verdict.INCOMPATIBLE else data
        if stored.kind != "typed":
            why = f"it was written with the registered serializer {stored.kind!r}, and {self._name} is declared now. {_BRING_BACK}"
            return Compatibility(Verdict.INCOMPATIBLE, why)
        if stored.version != VERSION:
            why = f"it was written by version {stored.version} of the typed format; this is version {VERSION}. Use the release that wrote it."
            return Compatibility(Verdict.INCOMPATIBLE, why)
        if stored.schema == self._schema:
            return Compatibility(Verdict.AS_IS)
        try:
            evolve(stored.schema, self._declared, self._name)
        except Refused as refused:
            return Compatibility(Verdict.INCOMPATIBLE, f"{refused.what}. {refused.fix or _MIGRATE}.")
        return Compatibility(Verdict.AFTER_MIGRATION, f"it was written as an earlier form of {self._name}.")

    def finds_keys(self, stored: SerializerDescription) -> bool:
        if stored.kind == MIXED:
            return self.finds_keys(parts_of(stored)[0])
        return stored.kind == "data" or (stored.kind == "typed" and stored.version == VERSION and keys_stay(stored.schema, self._schema))

    def reader(self, stored: SerializerDescription) -> Serializer[T]:
        if stored.kind == "data":
            return CheckedReader(DataCodec(), self)
        if stored.kind == MIXED:
            typed, data = map(self.reader, parts_of(stored))
            return MixedReader(typed, data, self)
        if stored.schema == self._schema:
            return self
        return EvolvedReader(evolve(stored.schema, self._declared, self._name), self, stored.type_name)

    def _there_and_back(self, value: T) -> tuple[bytes, T]:
        try:
            data = self._encoder.encode(value)
            return data, self._decoder.decode(data)
        except _REFUSALS as error:
            raise self._refusal(value, str(error)) from None

    def _agree(self, read: Any, written: Any) -> bool:
        try:
            return self._witness.encode(read) == self._witness.encode(written)
        except _REFUSALS:  # keys that JSON does not have; the parts are compared then
            return False

    def _refuse_difference(self, value: T, back: T) -> None:
        difference = difference_of(value, back, "it")
        if difference is not None:
            raise self._refusal(value, difference)

    def _refusal(self, value: T, detail: str) -> ValueNotOfType:
        return ValueNotOfType(expected=self._name, actual=type_name(type(value)), value=short_repr(value, 200), detail=detail)

    def _read(self, decoder: msgspec.msgpack.Decoder[R], data: bytes | memoryview) -> R:
        try:
            return decoder.decode(data)
        # Also what a registered function or a class's __post_init__ says about bytes that nobody wrote.
        except Exception as error:
            raise DamagedState(serializer=f"values of type {self._name}", reason=f"{type(error).__name__}: {error}") from error


class RegisteredSerializer(Serializer[T]):
    """Carries values of a type that `register_serializer` was called for."""

    def __init__(self, registered: Registered) -> None:
        self._registered = registered

    def encode(self, value: T) -> bytes:
        if type(value) is not self._registered.cls:
            expected, actual = type_name(self._registered.cls), type_name(type(value))
            raise ValueNotOfType(expected=expected, actual=actual, value=short_repr(value, 200), detail="its type is another one")
        return self._registered.to_bytes(value)

    def decode(self, data: bytes | memoryview) -> T:
        try:
            return self._registered.from_bytes(bytes(data))  # type: ignore[no-any-return]
        # Whatever the registered function says about bytes that nobody wrote.
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise DamagedState(serializer=f"values of serializer {self._registered.name!r}", reason=reason) from error

    def encode_many(self, values: Sequence[T]) -> bytes:
        return msgspec.msgpack.encode([self.encode(value) for value in values])

    def decode_many(self, data: bytes | memoryview) -> list[T]:
        try:
            parts = _BYTES_DECODER.decode(data)
        except msgspec.MsgspecError as error:
            raise DamagedState(serializer=f"values of serializer {self._registered.name!r}", reason=str(error)) from None
        return [self.decode(part) for part in parts]

    def description(self) -> SerializerDescription:
        return SerializerDescription(kind=self._registered.name, version=VERSION, type_name=type_name(self._registered.cls))

    def compatibility(self, stored: SerializerDescription) -> Compatibility:
        """AS_IS for the same name, AFTER_MIGRATION from the data codec."""
        if stored.kind == "data":
            return _from_data_codec(stored)
        if stored.kind == self._registered.name:
            return Compatibility(Verdict.AS_IS)
        why = f"it was written as {stored.type_name} with serializer {stored.kind!r}; now it is {self._registered.name!r}. {_BRING_BACK}"
        return Compatibility(Verdict.INCOMPATIBLE, why)

    def finds_keys(self, stored: SerializerDescription) -> bool:
        return stored.kind in ("data", self._registered.name)

    def reader(self, stored: SerializerDescription) -> Serializer[T]:
        return CheckedReader(DataCodec(), self) if stored.kind == "data" else self


def _is_open(annotation: Any) -> bool:
    parameters: tuple[Any, ...] = getattr(annotation, "__parameters__", ())
    return bool(parameters)


def _from_data_codec(stored: SerializerDescription) -> Compatibility:
    unchanged = unchanged_classes(stored)
    return Compatibility(Verdict.AFTER_MIGRATION, _MIGRATION) if unchanged.verdict is Verdict.AS_IS else unchanged


def _mentions(schema: Any, kinds: tuple[str, ...]) -> bool:
    if isinstance(schema, dict):
        return schema.get("kind") in kinds or any(_mentions(part, kinds) for part in schema.values())
    return isinstance(schema, list) and any(_mentions(part, kinds) for part in schema)


_REFUSALS: Final = (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError, AttributeError)
_BYTES_DECODER: Final = msgspec.msgpack.Decoder(list[bytes])
