"""Protobuf files: where in them a message stands, and what they import."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import DecodeError as ParseError

from millstream_kafka.registry.stored import PROTOBUF, NewSchema

if TYPE_CHECKING:
    from collections.abc import Sequence

_BUILT_IN: Final = ("confluent/", "google/protobuf/", "google/type/")
"""Files that every registry has."""


def file_of(text: str) -> Any:
    """The descriptor of a file that a registry gives in base64. Raises ValueError."""
    try:
        found = FileDescriptorProto.FromString(base64.b64decode(text, validate=True))
    except (binascii.Error, ParseError) as error:
        msg = "it is no file descriptor in base64"
        raise ValueError(msg) from error
    return found


def new_schema(file: Any) -> NewSchema:
    """The file of a generated class, with those that it imports, as a registry takes it."""
    imports = {imported.name: new_schema(imported) for imported in file.dependencies if not imported.name.startswith(_BUILT_IN)}
    return NewSchema(PROTOBUF, base64.b64encode(file.serialized_pb).decode(), imports)


def path_to(file: Any, full_name: str) -> list[int] | None:
    """Indexes of a message in its file, from the outermost in; None if it is not there."""
    prefix = f"{file.package}." if file.package else ""
    if not full_name.startswith(prefix):
        return None
    path: list[int] = []
    messages = file.message_type
    for name in full_name[len(prefix) :].split("."):
        index = next((number for number, message in enumerate(messages) if message.name == name), None)
        if index is None:
            return None
        path.append(index)
        messages = messages[index].nested_type
    return path


def name_at(file: Any, path: Sequence[int]) -> str | None:
    """Full name of the message with these indexes; None if there is none."""
    names = [file.package] if file.package else []
    messages = file.message_type
    for index in path:
        if not 0 <= index < len(messages):
            return None
        names.append(messages[index].name)
        messages = messages[index].nested_type
    return ".".join(names)
