"""State whose type only an annotation tells, which nothing keeps from being wrong."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from millstream.contracts.serializer import Compatibility, Serializer, SerializerDescription, short_repr
from millstream.errors import ValueNotOfType
from millstream.state.data_codec import DataCodec
from millstream.state.data_codec_registered import MIXED
from millstream.state.differences import difference_of
from millstream.state.mixed import MixedReader, mixed, parts_of
from millstream.state.readers import PresentSerializer
from millstream.state.typed_schema import type_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millstream.state.serializers import TypedSerializer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Annotation:
    """What the annotation of a function says of its result.

    Attributes:
        type: resolved.
        function: whose it is, for people.
    """

    type: Any
    function: str


class AnnotatedSerializer(Serializer[Any]):
    """Typed as long as all values match the annotation. From the first one on that does not, all are written with the data codec.

    So a wrong annotation loses nothing and fails nothing: what was written typed until then is still read, and the state is as if there
    were no annotation. That it happened is logged, and the description tells it.

    Args:
        typed: of the annotated type.
        annotation: where that is from.
    """

    def __init__(self, typed: TypedSerializer[Any], annotation: Annotation) -> None:
        self._typed = typed
        self._data = DataCodec()
        self._witness = DataCodec()  # of its own, so that the description of the other names only classes that it has written
        self._annotation = annotation
        self._matches = True
        self._wrote_typed = False
        self._holds_parts = holds_parts(typed.description().schema)

    def encode(self, value: Any) -> bytes:
        if self._matches:
            try:
                data = self._typed.encode(value)
                if self._holds_parts:
                    self._check_exact([value], [self._typed.decode(data)])
            except Exception as refused:  # noqa: BLE001 - ValueNotOfType, or whatever a class says when it is read back
                self._give_up(refused)
            else:
                self._wrote_typed = True
                return data
        return self._data.encode(value)

    def decode(self, data: bytes | memoryview) -> Any:
        return self._own_reader().decode(data)

    def encode_many(self, values: Sequence[Any]) -> bytes:
        if self._matches:
            try:
                data = self._encode_typed(values)
            except Exception as refused:  # noqa: BLE001 - as in encode
                self._give_up(refused)
            else:
                self._wrote_typed = True
                return data
        return self._data.encode_many(values)

    def decode_many(self, data: bytes | memoryview) -> list[Any]:
        return self._own_reader().decode_many(data)

    def description(self) -> SerializerDescription:
        """That of the declared type while all values match, so that the annotation can become a declared type at any time."""
        if self._matches:
            return self._typed.description()
        data = self._data.description()
        return mixed(self._typed.description(), data) if self._wrote_typed else data

    def compatibility(self, stored: SerializerDescription) -> Compatibility:
        return self._typed.compatibility(stored)

    def finds_keys(self, stored: SerializerDescription) -> bool:
        return self._typed.finds_keys(stored)

    def reader(self, stored: SerializerDescription) -> Serializer[Any]:
        if stored.kind == "data":
            return _Noticing(self, self._data)
        if stored.kind == MIXED:
            # Some values did not match, so they will not now either. Written by the data codec alone, they need no annotation any more.
            self._matches = False
            return MixedReader(self._typed.reader(parts_of(stored)[0]), self._data, self)
        return self._typed.reader(stored)

    def notice(self, values: Sequence[Any]) -> None:
        """Looks whether restored values match the annotation."""
        if self._matches:
            try:
                self._encode_typed(values)
            except Exception as refused:  # noqa: BLE001 - ValueNotOfType, or whatever a class says when it is read back
                self._give_up(refused)

    def _encode_typed(self, values: Sequence[Any]) -> bytes:
        if not self._holds_parts:
            return self._typed.encode_many(values)
        values = list(values)
        with suppress(Exception):  # the error that names the value is below
            data, read = self._typed.there_and_back(values)
            if self._looks_the_same(values, read):
                return data
        data = self._typed.encode_many(values)
        self._check_exact(values, self._typed.decode_many(data))
        return data

    def _looks_the_same(self, values: Sequence[Any], read: Sequence[Any]) -> bool:
        """Whether the data codec writes the same of both. Its bytes have everything in them; they may differ for nothing, such as the order of
        a set. Comparing them takes less time than comparing values, and than the checks of the typed serializer."""
        return self._witness.encode_many(values) == self._witness.encode_many(read)

    def _check_exact(self, values: Sequence[Any], read: Sequence[Any]) -> None:
        """Makes sure that parts of values kept their types, which the typed serializer does not: it makes numbers of an IntEnum under int."""
        for value, back in zip(values, read, strict=True):
            difference = difference_of(value, back, "it")
            if difference is not None:
                expected, actual = self._typed.description().type_name, type_name(type(value))
                raise ValueNotOfType(expected=expected, actual=actual, value=short_repr(value, 200), detail=difference)

    def _own_reader(self) -> MixedReader[Any]:
        return MixedReader(self._typed, self._data, self)

    def _give_up(self, refused: Exception) -> None:
        self._matches = False
        log.warning(
            "The annotation of %s does not hold, so this state is written with the data codec: nothing is lost, but it cannot evolve. Correct "
            "the annotation, or declare a type (output_type=object for the data codec). %s",
            self._annotation.function,
            refused,
        )


def holds_parts(schema: Any) -> bool:
    """Whether values of a structure may have others inside."""
    if schema["kind"] == "union":
        return any(map(holds_parts, schema["types"]))
    return any(isinstance(part, dict | list) for part in schema.values())


class _Noticing(PresentSerializer[Any]):
    """Reads what the data codec wrote, for a serializer that would rather have it typed."""

    def __init__(self, present: AnnotatedSerializer, former: DataCodec) -> None:
        super().__init__(present)
        self._annotated = present
        self._former = former

    def decode(self, data: bytes | memoryview) -> Any:
        value = self._former.decode(data)
        self._annotated.notice([value])
        return value

    def decode_many(self, data: bytes | memoryview) -> list[Any]:
        values = self._former.decode_many(data)
        self._annotated.notice(values)
        return values
