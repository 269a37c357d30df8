"""The structure of a declared type as data: stored beside typed state, and compared when it is restored.

Names of classes are no part of it, because they are no part of the bytes: a class may be renamed, or moved to another module.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec.inspect as mi

from millstream.contracts.serializer import class_name
from millstream.errors import TypeNotCarried
from millstream.state.data_codec_registered import registered_for

Schema = dict[str, Any]

_ITEMS: Final[dict[type, str]] = {
    mi.ListType: "list",
    mi.SetType: "set",
    mi.FrozenSetType: "frozenset",
    mi.VarTupleType: "tuple of any length",
}
_SCALARS: Final[dict[type, str]] = {
    mi.AnyType: "any",
    mi.NoneType: "none",
    mi.BoolType: "bool",
    mi.IntType: "int",
    mi.FloatType: "float",
    mi.StrType: "str",
    mi.BytesType: "bytes",
    mi.ByteArrayType: "bytearray",
    mi.DateTimeType: "datetime",
    mi.TimeType: "time",
    mi.DateType: "date",
    mi.TimeDeltaType: "timedelta",
    mi.UUIDType: "uuid",
    mi.DecimalType: "decimal",
}
_CONSTRAINTS: Final = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern", "tz")


def schema_of(declared: Any) -> Schema:
    """The structure of a type.

    Raises:
        TypeNotCarried: msgspec does not carry it, or a part of it that is not registered either.
    """
    name = type_name(declared)
    try:
        info = mi.type_info(declared)
    except Exception as error:  # noqa: BLE001 - TypeError from msgspec, NameError for a forward reference, anything for a strange class
        raise TypeNotCarried(type_name=name, reason=str(error)) from None
    return _schema(info, name, ())


def type_name(declared: Any) -> str:
    """A type as people write it."""
    if isinstance(declared, type) and not hasattr(declared, "__args__"):
        return class_name(declared).removeprefix("builtins:")
    return str(declared)


def schema_difference(stored: Any, present: Any, path: str = "the type") -> str | None:
    """The first difference between two structures; None when they are equal."""
    if stored == present:
        return None
    if isinstance(stored, dict) and isinstance(present, dict) and stored.get("kind") == present.get("kind"):
        if "fields" in stored and (difference := _fields_difference(stored["fields"], present["fields"], path)):
            return difference
        for part in ("items", "keys", "values", "types"):
            old, new = stored.get(part), present.get(part)
            if isinstance(old, dict) and isinstance(new, dict) and (difference := schema_difference(old, new, f"the {part} of {path}")):
                return difference
            if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
                for index, (one, other) in enumerate(zip(old, new)):
                    if difference := schema_difference(one, other, f"part {index} of {path}"):
                        return difference
    return f"{path} was {_words(stored)} and is {_words(present)} now"


def _fields_difference(stored: list[Schema], present: list[Schema], path: str) -> str | None:
    old = {field["name"]: field for field in stored}
    new = {field["name"]: field for field in present}
    for name in old.keys() - new.keys():
        return f"field {name!r} of {path} is gone"
    for name in new.keys() - old.keys():
        return f"field {name!r} of {path} is new"
    for name in old:
        if difference := schema_difference(old[name]["type"], new[name]["type"], f"field {name!r} of {path}"):
            return difference
        if old[name] != new[name]:
            return f"field {name!r} of {path} {'may be missing' if old[name]['required'] else 'is required'} now"
    return None if list(old) == list(new) else f"the order of the fields of {path} has changed"


def _words(schema: Any) -> str:
    if not isinstance(schema, dict):
        return repr(schema)
    rest = {key: value for key, value in schema.items() if key not in ("kind", "fields")}
    return f"{schema.get('kind')} {rest}" if rest else str(schema.get("kind"))


def _schema(info: mi.Type, name: str, above: tuple[type, ...]) -> Schema:
    kind = type(info)
    if kind in _SCALARS:
        limits = {limit: getattr(info, limit) for limit in _CONSTRAINTS if getattr(info, limit, None) is not None}
        return {"kind": _SCALARS[kind], **limits}
    if isinstance(info, mi.ListType | mi.SetType | mi.FrozenSetType | mi.VarTupleType):
        return {"kind": _ITEMS[kind], "items": _schema(info.item_type, name, above)}
    if isinstance(info, mi.TupleType):
        return {"kind": "tuple", "items": [_schema(item, name, above) for item in info.item_types]}
    if isinstance(info, mi.DictType):
        return {"kind": "dict", "keys": _schema(info.key_type, name, above), "values": _schema(info.value_type, name, above)}
    if isinstance(info, mi.UnionType):
        types = sorted((_schema(one, name, above) for one in info.types), key=str)
        return {"kind": "union", "types": types}
    if isinstance(info, mi.LiteralType):
        return {"kind": "literal", "values": sorted(info.values, key=repr)}
    if isinstance(info, mi.EnumType):
        return {"kind": "enum", "values": sorted((member.value for member in info.cls), key=repr)}
    if isinstance(info, mi.StructType | mi.DataclassType | mi.TypedDictType | mi.NamedTupleType):
        return _fields_schema(info, name, above)
    return _custom_schema(info, name)


def _fields_schema(info: mi.StructType | mi.DataclassType | mi.TypedDictType | mi.NamedTupleType, name: str, above: tuple[type, ...]) -> Schema:
    if info.cls in above:
        return {"kind": "recursive", "levels": above[::-1].index(info.cls)}
    inside = (*above, info.cls)
    fields = [{"name": f.encode_name, "type": _schema(f.type, name, inside), "required": f.required} for f in info.fields]
    array = isinstance(info, mi.NamedTupleType) or (isinstance(info, mi.StructType) and info.array_like)
    schema: Schema = {"kind": "array of fields" if array else "object", "fields": fields}
    if isinstance(info, mi.StructType) and info.tag is not None:
        schema.update(tag_field=info.tag_field, tag=info.tag)
    return schema


def _custom_schema(info: mi.Type, name: str) -> Schema:
    cls = getattr(info, "cls", type(info))
    registered = registered_for(cls)
    if registered is None:
        raise TypeNotCarried(type_name=name, reason=f"msgspec does not carry {type_name(cls)}")
    return {"kind": "registered", "name": registered.name}
