"""Avro schemas, parsed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fastavro.repository import AbstractSchemaRepository, SchemaRepositoryError
from fastavro.schema import load_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

_ROOT = "\0root"


def parsed(text: str, referenced: Mapping[str, str] | None = None) -> Any:
    """A schema with all that it refers to, as fastavro wants it.

    Args:
        text: JSON.
        referenced: texts of other schemas, by name.

    Raises:
        ValueError: it is no Avro schema.
    """
    try:
        return load_schema(_ROOT, repo=_Texts(text, referenced or {}))
    except RecursionError:
        msg = "it refers to itself"
        raise ValueError(msg) from None
    except Exception as error:  # a schema of somebody else: the library raises many things for bad ones
        reason = f"{type(error).__name__}: {error}".replace(_ROOT, "it")
        raise ValueError(reason) from error


def name_of(schema: Any) -> str:
    """Full name of a record, enum or fixed; of others the type."""
    if isinstance(schema, list):
        return "union"
    if isinstance(schema, dict):
        return str(schema.get("name") or name_of(schema.get("type")))
    return str(schema)


def is_bytes(schema: Any) -> bool:
    """Written as they are, without their length: so do all clients of registries."""
    return schema == "bytes" or (isinstance(schema, dict) and schema.get("type") == "bytes")


class _Texts(AbstractSchemaRepository):
    """Schemas by name; the library asks for those that a schema refers to."""

    def __init__(self, root: str, referenced: Mapping[str, str]) -> None:
        self._texts = dict(referenced)
        for text in referenced.values():
            schema = json.loads(text)
            if isinstance(schema, dict) and "name" in schema:  # references may be named freely
                space, name = schema.get("namespace"), schema["name"]
                self._texts.setdefault(f"{space}.{name}" if space and "." not in name else name, text)
        self._texts[_ROOT] = root

    def load(self, name: str) -> Any:
        if name not in self._texts:
            msg = f"it refers to {name!r}, which is not there"
            raise SchemaRepositoryError(msg)
        schema = json.loads(self._texts[name])
        return {"type": schema} if isinstance(schema, str) else schema
