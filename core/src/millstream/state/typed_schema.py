"""The structure of a declared type as data: stored beside typed state, and compared when it is restored.

Names of classes are no part of it, because they are no part of the bytes: a class may be renamed, or moved to another module. The
version of a class is, once it is above 1, and so is what a field means that is left out of the bytes.
"""

from __future__ import annotations

import base64
from typing import Any, Final, get_origin

import msgspec
import msgspec.inspect as mi

from millstream.contracts.schema_evolution import evolution_of
from millstream.contracts.serializer import class_name
from millstream.errors import TypeNotCarried
from millstream.state.data_codec_registered import registered_bytes, registered_for

Schema = dict[str, Any]

FieldsType = mi.StructType | mi.DataclassType | mi.TypedDictType | mi.NamedTupleType
FIELDS: Final = (mi.StructType, mi.DataclassType, mi.TypedDictType, mi.NamedTupleType)

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
CONSTRAINTS: Final = ("gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern", "tz")


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


def words(schema: Any) -> str:
    """A structure in a few words, for messages."""
    if not isinstance(schema, dict):
        return repr(schema)
    kind = str(schema["kind"])
    match kind:
        case "union":
            return " or ".join(map(words, schema["types"]))
        case "enum" | "literal":
            return f"{kind} of {', '.join(map(repr, schema['values']))}"
        case "object" | "array of fields":
            version = f", version {schema['version']}" if "version" in schema else ""
            return f"{kind} with {', '.join(field['name'] for field in schema['fields']) or 'no fields'}{version}"
        case "dict":
            return f"dict[{words(schema['keys'])}, {words(schema['values'])}]"
        case "tuple":
            return f"tuple[{', '.join(map(words, schema['items']))}]"
        case "registered":
            return f"registered {schema['name']!r}"
    if "items" in schema:
        return f"{kind} of {words(schema['items'])}"
    limits = ", ".join(f"{name}={schema[name]!r}" for name in CONSTRAINTS if name in schema)
    return f"{kind} ({limits})" if limits else kind


def resolved(schema: Schema) -> Schema:
    """The same structure with the very object in the place of each `recursive`: recursive types become cycles."""
    cyclic: Schema = _resolve(schema, ())
    return cyclic


def _resolve(schema: Any, above: tuple[Schema, ...]) -> Any:
    if isinstance(schema, list):
        return [_resolve(part, above) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("kind") == "recursive":
        return above[-1 - schema["levels"]]
    copy: Schema = {}
    inside = (*above, copy) if "fields" in schema else above
    copy.update({name: _resolve(part, inside) for name, part in schema.items()})
    return copy


def part_schema(info: mi.Type) -> Schema:
    """The structure of one part of a declared type, as msgspec describes it."""
    return _schema(info, type_name(getattr(info, "cls", type(info))), ())


def _schema(info: mi.Type, name: str, above: tuple[type, ...]) -> Schema:
    kind = type(info)
    limits = {limit: getattr(info, limit) for limit in CONSTRAINTS if getattr(info, limit, None) is not None}
    if kind in _SCALARS:
        return {"kind": _SCALARS[kind], **limits}
    if isinstance(info, mi.ListType | mi.SetType | mi.FrozenSetType | mi.VarTupleType):
        return {"kind": _ITEMS[kind], "items": _schema(info.item_type, name, above), **limits}
    if isinstance(info, mi.TupleType):
        return {"kind": "tuple", "items": [_schema(item, name, above) for item in info.item_types]}
    if isinstance(info, mi.DictType):
        return {"kind": "dict", "keys": _schema(info.key_type, name, above), "values": _schema(info.value_type, name, above), **limits}
    if isinstance(info, mi.UnionType):
        types = sorted((_schema(one, name, above) for one in info.types), key=str)
        return {"kind": "union", "types": types}
    if isinstance(info, mi.LiteralType):
        return {"kind": "literal", "values": sorted(info.values, key=repr)}
    if isinstance(info, mi.EnumType):
        return {"kind": "enum", "values": sorted((member.value for member in info.cls), key=repr)}
    if isinstance(info, FIELDS):
        return _fields_schema(info, name, above)
    return _custom_schema(info, name)


def _fields_schema(info: FieldsType, name: str, above: tuple[type, ...]) -> Schema:
    if info.cls in above:
        return {"kind": "recursive", "levels": above[::-1].index(info.cls)}
    inside = (*above, info.cls)
    fields = [{"name": f.encode_name, "type": _schema(f.type, name, inside), "required": f.required, **_when_missing(info, f)} for f in info.fields]
    schema: Schema = {"kind": "array of fields" if is_array(info) else "object", "fields": fields}
    if isinstance(info, mi.StructType) and info.tag is not None:
        schema.update(tag_field=info.tag_field, tag=info.tag)
    version = evolution_of(class_of(info)).version
    if version > 1:
        schema["version"] = version
    return schema


def is_array(info: FieldsType) -> bool:
    """Whether objects of a class are written as an array, without the names of their fields."""
    return isinstance(info, mi.NamedTupleType) or (isinstance(info, mi.StructType) and info.array_like)


def class_of(info: FieldsType) -> Any:
    """The class itself, also of `Box[int]`."""
    return get_origin(info.cls) or info.cls


def default_of(field: mi.Field) -> Any:
    """The default of a field, made anew if need be; NODEFAULT when it has none."""
    return field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default


def _when_missing(info: FieldsType, field: mi.Field) -> Schema:
    """What it means that a field is not in the bytes, where that can be: that it had its default, or that it had no value."""
    if field.required or is_array(info):
        return {}
    default = default_of(field)
    if isinstance(info, mi.TypedDictType) or default is msgspec.NODEFAULT:  # a Struct's field may be UNSET
        return {"absent": True}
    if isinstance(info, mi.StructType) and class_of(info).__struct_config__.omit_defaults:
        return {"omitted": base64.b64encode(msgspec.msgpack.encode(default, enc_hook=registered_bytes)).decode()}
    return {}


def _custom_schema(info: mi.Type, name: str) -> Schema:
    cls = getattr(info, "cls", type(info))
    registered = registered_for(cls)
    if registered is None:
        raise TypeNotCarried(type_name=name, reason=f"msgspec does not carry {type_name(cls)}")
    return {"kind": "registered", "name": registered.name}
