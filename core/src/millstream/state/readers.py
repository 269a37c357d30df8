"""Serializers that read what an earlier form of a job wrote. What they read, the job's present serializer writes."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from millstream.contracts.serializer import Compatibility, Serializer, SerializerDescription, short_repr
from millstream.errors import DamagedState, MillstreamError, ValueNotEvolved, ValueNotOfType
from millstream.state.data_codec_registered import registered_bytes, registered_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millstream.state.evolution import Evolved

T = TypeVar("T")


class PresentSerializer(Serializer[T]):
    """Decodes in its own way, and is the present serializer in everything else."""

    def __init__(self, present: Serializer[T]) -> None:
        self._present = present

    @abstractmethod
    def decode_many(self, data: bytes | memoryview) -> list[T]: ...

    def encode(self, value: T) -> bytes:
        return self._present.encode(value)

    def encode_many(self, values: Sequence[T]) -> bytes:
        return self._present.encode_many(values)

    def description(self) -> SerializerDescription:
        return self._present.description()

    def compatibility(self, stored: SerializerDescription) -> Compatibility:
        return self._present.compatibility(stored)


class CheckedReader(PresentSerializer[T]):
    """Reads with another serializer, and makes sure that the present one can write what comes out.

    Args:
        former: what wrote the values.
        present: what will write them.
    """

    def __init__(self, former: Serializer[T], present: Serializer[T]) -> None:
        super().__init__(present)
        self._former = former

    def decode(self, data: bytes | memoryview) -> T:
        return self._checked([self._former.decode(data)])[0]

    def decode_many(self, data: bytes | memoryview) -> list[T]:
        return self._checked(self._former.decode_many(data))

    def _checked(self, values: list[T]) -> list[T]:
        try:
            self._present.encode_many(values)
        except ValueNotOfType as refused:
            stored = self._former.description().kind
            raise ValueNotEvolved(
                stored=f"{refused.actual} ({stored})", wanted=refused.expected, value=refused.value, reason=refused.detail
            ) from refused
        return values


class EvolvedReader(PresentSerializer[T]):
    """Reads typed values of an earlier structure.

    Args:
        evolved: what becomes of them.
        present: the typed serializer of the declared type.
        stored_type: name of the type that they were written as.
    """

    def __init__(self, evolved: Evolved, present: Serializer[T], stored_type: str) -> None:
        super().__init__(present)
        self._step = evolved.step
        self._stored_type = stored_type
        wire: Any = evolved.wire_type
        self._one = msgspec.msgpack.Decoder(wire, dec_hook=registered_value)
        self._many = msgspec.msgpack.Decoder(list[wire], dec_hook=registered_value)
        self._encoder = msgspec.msgpack.Encoder(enc_hook=registered_bytes)

    def decode(self, data: bytes | memoryview) -> T:
        return self._present.decode(data) if self._step is None else self._evolve(self._read(self._one, data))

    def decode_many(self, data: bytes | memoryview) -> list[T]:
        if self._step is None:
            return self._present.decode_many(data)
        stored = self._read(self._many, data)
        try:
            return self._present.decode_many(self._encoder.encode(list(map(self._step, stored))))
        except Exception:  # noqa: BLE001 - whatever it is: one by one, to name the value
            return [self._evolve(value) for value in stored]

    def _evolve(self, stored: Any) -> T:
        assert self._step is not None  # noqa: S101 - callers ask
        try:
            return self._present.decode(self._encoder.encode(self._step(stored)))
        # A migration raises anything, and what it made may not be of the declared type.
        except Exception as error:
            reason = error.reason if isinstance(error, DamagedState) else f"{type(error).__name__}: {error}"
            wanted = self._present.description().type_name
            raise ValueNotEvolved(stored=self._stored_type, wanted=wanted, value=short_repr(stored, 200), reason=reason) from error

    def _read(self, decoder: msgspec.msgpack.Decoder[Any], data: bytes | memoryview) -> Any:
        try:
            return decoder.decode(data)
        except Exception as error:
            if isinstance(error, MillstreamError):
                raise
            raise DamagedState(serializer=f"values of type {self._stored_type}", reason=f"{type(error).__name__}: {error}") from error
