"""Schemas as a registry has them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

Kind: TypeAlias = Literal["AVRO", "PROTOBUF"]

AVRO: Final = "AVRO"
PROTOBUF: Final = "PROTOBUF"


@dataclass(frozen=True)
class StoredSchema:
    """One schema.

    Attributes:
        schema_id: its id, which stands in messages.
        kind: AVRO, PROTOBUF, JSON or what else the registry knows.
        text: the schema; a Protobuf file is a FileDescriptorProto in base64.
        referenced: texts of the schemas that it refers to, and of those that these refer to, by the names it uses. What is needed by
            another stands in front of it.
    """

    schema_id: int
    kind: str
    text: str
    referenced: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class NewSchema:
    """A schema that a sink brings.

    Attributes:
        kind: AVRO or PROTOBUF.
        text: likewise.
        imports: schemas that it refers to, by name; each is kept under its name as the subject.
    """

    kind: Kind
    text: str
    imports: Mapping[str, NewSchema] = field(default_factory=dict)
