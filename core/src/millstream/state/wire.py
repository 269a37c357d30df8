"""Values as MessagePack has them, before any class is made of them: which structure such a value is of, and its plain form.

The plain form is what a migration is called with: a dict from field to value for an object, and for everything else the value as it was.
"""

from __future__ import annotations

import base64
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from millstream.state.data_codec_registered import registered_as

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.state.typed_schema import Schema

_PARSED: Final[dict[str, Any]] = {
    "datetime": datetime,
    "time": time,
    "date": date,
    "timedelta": timedelta,
    "uuid": UUID,
    "decimal": Decimal,
}
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "none": (type(None),),
    "bool": (bool,),
    "int": (int,),
    "float": (float,),
    "str": (str,),
    "bytes": (bytes,),
    "bytearray": (bytes,),
    "datetime": (str, datetime),
    "registered": (bytes,),
    "dict": (dict,),
    "tuple": (list,),
    "list": (list,),
    "set": (list,),
    "frozenset": (list,),
    "tuple of any length": (list,),
    **dict.fromkeys(("time", "date", "timedelta", "uuid", "decimal"), (str,)),
}
_COLLECTIONS: Final[dict[str, Callable[[Any], Any]]] = {
    "list": list,
    "set": set,
    "frozenset": frozenset,
    "tuple of any length": tuple,
}


def recognizer(schema: Schema) -> Callable[[Any], bool]:
    """Tells whether a value is of that structure rather than of another one in the same union."""
    kind = schema["kind"]
    if kind in ("enum", "literal"):
        values = [(type(value), value) for value in schema["values"]]
        return lambda wire: (type(wire), wire) in values
    if kind == "object":
        return _with_tag(dict, schema, lambda wire: wire.get(schema["tag_field"]))
    if kind == "array of fields":
        return _with_tag(list, schema, lambda wire: wire[0] if wire else None)
    types = _TYPES.get(kind, (object,))
    return lambda wire: type(wire) in types or types == (object,)


def _with_tag(cls: type, schema: Schema, tag_of: Callable[[Any], Any]) -> Callable[[Any], bool]:
    if "tag" not in schema:
        return lambda wire: type(wire) is cls
    tag = schema["tag"]
    return lambda wire: type(wire) is cls and tag_of(wire) == tag


def omitted(field: Schema) -> Any:
    """The value of a field that was left out because it had its default."""
    return msgspec.msgpack.decode(base64.b64decode(field["omitted"]))


def fields_of(schema: Schema, wire: Any) -> dict[str, Any]:
    """The fields of an object, however it was written, without its tag."""
    names = [field["name"] for field in schema["fields"]]
    if schema["kind"] == "array of fields":
        return dict(zip(names, wire[1:] if "tag" in schema else wire))
    found = {name: wire[name] for name in names if name in wire}
    found.update({field["name"]: omitted(field) for field in schema["fields"] if "omitted" in field and field["name"] not in wire})
    return found


class PlainForm:
    """Turns values of one structure into their plain form. Recursive structures are cycles: each part is built once."""

    def __init__(self) -> None:
        self._known: dict[int, Callable[[Any], Any]] = {}

    def of(self, schema: Schema) -> Callable[[Any], Any]:
        """The function for a structure, which `typed_schema.resolved` made."""
        known = self._known.get(id(schema))
        if known is None:
            self._known[id(schema)] = lambda wire: self._known[id(schema)](wire)
            known = self._known[id(schema)] = self._make(schema)
        return known

    def _make(self, schema: Schema) -> Callable[[Any], Any]:
        kind = schema["kind"]
        if kind in _PARSED:
            parsed = _PARSED[kind]
            return lambda wire: msgspec.convert(wire, parsed)
        if kind in _COLLECTIONS:
            make, item = _COLLECTIONS[kind], self.of(schema["items"])
            return lambda wire: make(map(item, wire))
        if kind == "tuple":
            items = [self.of(part) for part in schema["items"]]
            return lambda wire: tuple(item(part) for item, part in zip(items, wire))
        if kind == "dict":
            keys, values = self.of(schema["keys"]), self.of(schema["values"])
            return lambda wire: {keys(key): values(value) for key, value in wire.items()}
        if kind == "union":
            return self._member([(recognizer(member), self.of(member)) for member in schema["types"]])
        if "fields" in schema:
            return self._object(schema)
        if kind == "registered":
            return lambda wire: _from_registered(schema["name"], wire)
        return bytearray if kind == "bytearray" else lambda wire: wire

    def _member(self, members: list[tuple[Callable[[Any], bool], Callable[[Any], Any]]]) -> Callable[[Any], Any]:
        return lambda wire: next((plain(wire) for recognized, plain in members if recognized(wire)), wire)

    def _object(self, schema: Schema) -> Callable[[Any], Any]:
        parts = {field["name"]: self.of(field["type"]) for field in schema["fields"]}
        tag = {schema["tag_field"]: schema["tag"]} if "tag" in schema else {}
        return lambda wire: {**tag, **{name: parts[name](value) for name, value in fields_of(schema, wire).items()}}


def _from_registered(name: str, wire: Any) -> Any:
    registered = registered_as(name)
    if registered is None:
        msg = f"no serializer is registered as {name!r} any more (register_serializer)"
        raise TypeError(msg)
    return registered.from_bytes(wire)
