"""Values and the bytes that they are kept as."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from millstream.errors.base import MillstreamError


@dataclass(kw_only=True, eq=False)
class UnsupportedValue(MillstreamError):
    """A value, or a part of one, that the data codec cannot give back as it was."""

    code: ClassVar[str] = "unsupported-value"
    path: str
    type_name: str
    why: str
    fix: str

    def sentence(self) -> str:
        return f"{self.path} cannot be stored or sent: {self.type_name} {self.why}. {self.fix}"


@dataclass(kw_only=True, eq=False)
class DamagedState(MillstreamError):
    """Bytes that no serializer of this job wrote."""

    code: ClassVar[str] = "damaged-state"
    serializer: str
    reason: str

    def sentence(self) -> str:
        return (
            f"Bytes that should hold {self.serializer} were refused: {self.reason}. They were damaged or not written by Millstream; nothing "
            "in them was executed. Restore an older checkpoint (millstream checkpoints list)."
        )


@dataclass(kw_only=True, eq=False)
class ChangedClass(MillstreamError):
    """A stored object whose class is gone or has other fields now."""

    code: ClassVar[str] = "changed-class"
    class_name: str
    why: str

    def sentence(self) -> str:
        return (
            f"Stored objects of class {self.class_name} cannot be read: {self.why}. The data codec reads a class only as it was written. "
            "Bring the class back as it was. To change it, first run the job with its type declared (output_type=, or the type of the state's "
            "descriptor) until a checkpoint has completed: typed state can follow a class that changes."
        )


@dataclass(kw_only=True, eq=False)
class TypeNotCarried(MillstreamError):
    """A declared type that has no typed serializer."""

    code: ClassVar[str] = "type-not-carried"
    type_name: str
    reason: str

    def sentence(self) -> str:
        return (
            f"The declared type {self.type_name} cannot be written: {self.reason}. Declare a type that msgspec carries (for several classes "
            "in one place: Structs with tag=True), call register_serializer for the type in question, or declare none and use the data codec."
        )


@dataclass(kw_only=True, eq=False)
class ValueNotOfType(MillstreamError):
    """A value that its declared type would not give back as it was."""

    code: ClassVar[str] = "value-not-of-type"
    expected: str
    actual: str
    value: str
    detail: str

    def sentence(self) -> str:
        return (
            f"The value {self.value}, {self.actual}, does not come back equal from its declared type {self.expected}: {self.detail}. Make "
            "the function return what was declared, or correct the declaration (output_type=, or the type of the state's descriptor)."
        )


@dataclass(kw_only=True, eq=False)
class ValueNotEvolved(MillstreamError):
    """A stored value that the type which is declared now cannot take."""

    code: ClassVar[str] = "value-not-evolved"
    stored: str
    wanted: str
    value: str
    reason: str
    fix: str = "Bring the type back as it was, or declare a migration that takes such values (schema_evolution)."

    def sentence(self) -> str:
        return f"The stored value {self.value}, written as {self.stored}, cannot become {self.wanted}: {self.reason}. {self.fix}"


@dataclass(kw_only=True, eq=False)
class SerializerAlreadyRegistered(MillstreamError):
    """Two serializers for one type, or two of one name."""

    code: ClassVar[str] = "serializer-already-registered"
    name: str
    type_name: str
    other: str

    def sentence(self) -> str:
        return (
            f"Serializer {self.name!r} for {self.type_name} clashes with {self.other}, which is registered already. Register each type "
            "once, under a name of its own."
        )
