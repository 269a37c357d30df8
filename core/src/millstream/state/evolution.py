"""From the structure that state was written with to the type that is declared now: what becomes of each value, or why nothing can.

Decided from the two structures alone, before anything is read. Values are changed as MessagePack has them, then read by the declared
type like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import msgspec.inspect as mi

from millstream.contracts.schema_evolution import evolution_of
from millstream.state.data_codec_registered import registered_bytes
from millstream.state.typed_schema import FIELDS, class_of, default_of, is_array, part_schema, resolved, words
from millstream.state.widening import Refused, changed, check_limits, keys_stay, same_kind, widened
from millstream.state.wire import PlainForm, fields_of, recognizer

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.contracts.schema_evolution import SchemaEvolution
    from millstream.state.typed_schema import FieldsType, Schema
    from millstream.state.widening import Step

_SEQUENCES: Final = (mi.ListType, mi.SetType, mi.FrozenSetType, mi.VarTupleType)
_READABLE_AS_ANY: Final = ("any", "none", "bool", "int", "float", "str", "bytes", "list", "dict")
_MISSING: Final = object()


class Evolved(NamedTuple):
    """How stored values are read.

    Attributes:
        wire_type: what MessagePack is decoded to first.
        step: makes what the declared type reads of such a value; None when it reads stored values as they are.
    """

    wire_type: Any
    step: Step | None


def evolve(stored: Schema, declared: Any, name: str) -> Evolved:
    """How values that were written with a structure are read as a declared type.

    Args:
        stored: the structure, from the checkpoint.
        declared: the type.
        name: what messages call it.

    Raises:
        Refused: they cannot be, or not all of them.
    """
    old, new = resolved(stored), mi.type_info(declared)
    step = _Evolution().step(old, new, name)
    return Evolved(_wire_type(old, new, name) if step is not None else None, step)


class _Evolution:
    def __init__(self) -> None:
        self._known: dict[tuple[int, int], Step | None] = {}
        self._pending: set[tuple[int, int]] = set()
        self._kept: list[Any] = []  # so that no id is used twice
        self._plain = PlainForm()

    def step(self, old: Schema, new: mi.Type, path: str) -> Step | None:
        """How values of one structure become values of a type."""
        if isinstance(new, mi.UnionType) or old["kind"] == "union":
            return self._union_step(old, new, path)
        if isinstance(new, FIELDS):
            return self._class_step(old, new, path)
        if isinstance(new, mi.AnyType):
            _as_anything(old, path)
            return None
        return self._parts_step(old, new, path)

    def _parts_step(self, old: Schema, new: mi.Type, path: str) -> Step | None:
        if isinstance(new, _SEQUENCES) and (old["kind"] == "tuple" and isinstance(new, mi.VarTupleType)):
            return self._tuple_step(old["items"], [new.item_type] * len(old["items"]), path)
        kind = {"kind": _collection(new)}
        if kind["kind"] is None:
            return widened(old, part_schema(new), path)
        if not same_kind(old, kind):
            raise changed(old, part_schema(new), path)
        check_limits(old, {name: value for name in ("min_length", "max_length") if (value := getattr(new, name, None)) is not None}, path)
        if isinstance(new, mi.TupleType):
            return self._tuple_step(old["items"], new.item_types, path)
        if isinstance(new, mi.DictType):
            return self._dict_step(old, new, path)
        item = self.step(old["items"], new.item_type, f"the items of {path}")  # type: ignore[attr-defined]  # it is a sequence
        return None if item is None else lambda wire: list(map(item, wire))

    def _tuple_step(self, old: list[Schema], new: Any, path: str) -> Step | None:
        if len(old) != len(new):
            raise Refused(f"{path} had {len(old)} items and has {len(new)} now")
        steps = [self.step(one, other, f"item {index} of {path}") for index, (one, other) in enumerate(zip(old, new))]
        return None if _idle(steps) else lambda wire: [_taken(step, item) for step, item in zip(steps, wire)]

    def _dict_step(self, old: Schema, new: mi.DictType, path: str) -> Step | None:
        keys = part_schema(new.key_type)
        if not keys_stay(old["keys"], keys) and not self._reads_keys(old["keys"], new.key_type):
            raise Refused(f"the keys of {path} were {words(old['keys'])} and are {words(keys)} now", "Keep the type of the keys")
        values = self.step(old["values"], new.value_type, f"the values of {path}")
        return None if values is None else lambda wire: {key: values(value) for key, value in wire.items()}

    def _reads_keys(self, old: Schema, new: mi.Type) -> bool:
        """Whether keys are read as they are. No two of them may become one."""
        try:
            return not _has_fields(old) and self.step(old, new, "") is None
        except Refused:
            return False

    # --- unions

    def _union_step(self, old: Schema, new: mi.Type, path: str) -> Step | None:
        olds = old["types"] if old["kind"] == "union" else [old]
        news = list(new.types) if isinstance(new, mi.UnionType) else [new]
        steps = [(recognizer(member), self._member_step(member, news, path)) for member in olds]
        if _idle([step for _, step in steps]):
            return None
        return lambda wire: next((_taken(step, wire) for recognized, step in steps if recognized(wire)), wire)

    def _member_step(self, old: Schema, news: list[mi.Type], path: str) -> Step | None:
        closest = min(_unlike(old, new) for new in news)
        candidates = [new for new in news if _unlike(old, new) == closest]
        refusals = []
        for new in candidates:
            try:
                return self.step(old, new, path)
            except Refused as refused:
                refusals.append(refused)
        if old["kind"] == "none":
            raise Refused(f"{path} could be None and cannot any more", "Allow None again")
        if len(candidates) == 1:
            raise refusals[0]
        raise Refused(f"{path} was {words(old)} and is {' or '.join(words(part_schema(new)) for new in news)} now")

    # --- classes

    def _class_step(self, old: Schema, new: FieldsType, path: str) -> Step | None:
        pair = (id(old), id(new))
        if pair in self._known:
            return self._known[pair]
        if pair in self._pending:  # inside itself
            return lambda wire: _taken(self._known[pair], wire)
        self._pending.add(pair)
        self._kept += [old, new]
        try:
            step = self._known[pair] = self._object_step(old, new, path)
        finally:
            self._pending.discard(pair)
        return step

    def _object_step(self, old: Schema, new: FieldsType, path: str) -> Step | None:
        cls = class_of(new)
        declared = evolution_of(cls)
        stored_version = old.get("version", 1)
        if stored_version > declared.version:
            what = f"{path} was written by version {stored_version} of a class, and {cls.__qualname__} declares version {declared.version}"
            raise Refused(what, "Resume with the later release of the job, which knows that version")
        if stored_version < declared.version:
            return self._migration(old, cls, declared.migrations[stored_version], stored_version)
        if "fields" not in old:
            raise changed(old, part_schema(new), path)
        _check_tag(old, new, path)
        return self._fields_step(old, new, declared, path)

    def _migration(self, old: Schema, cls: Any, migration: Callable[[Any], Any], version: int) -> Step:
        plain = self._plain.of(old)
        made_of = dict if issubclass(cls, dict) else cls  # a TypedDict is no class of its objects

        def migrate(wire: Any) -> Any:
            made = migration(plain(wire))
            if type(made) is not made_of:
                msg = f"the migration of {cls.__qualname__} from version {version} returned {made!r}"
                raise TypeError(msg)
            return _to_wire(made)

        return migrate

    def _fields_step(self, old: Schema, new: FieldsType, declared: SchemaEvolution, path: str) -> Step | None:
        before = {field["name"]: field for field in old["fields"]}
        sources = _sources(before, new, declared)
        gone = [name for name in before if name not in sources.values() and name not in declared.removed]
        added = [field for field in new.fields if field.encode_name not in sources]
        self._refuse_likely_rename(before, gone, added, path)
        for field in added:
            if field.required:
                raise Refused(f"field {field.name!r} of {path} is new and has no default", "Give it one")
        steps: dict[str, Step | None] = {}
        for field in new.fields:
            name = sources.get(field.encode_name)
            if name is not None:
                if field.required and before[name].get("absent"):
                    raise Refused(f"field {field.name!r} of {path} may be missing in stored values, and has to be there now", "Give it a default")
                steps[field.encode_name] = self.step(before[name]["type"], field.type, f"field {field.name!r} of {path}")
        if _reads_as_it_is(old, new, sources, steps):
            return None
        return _array_builder(old, new, sources, steps) if is_array(new) else _object_builder(old, new, sources, steps)

    def _refuse_likely_rename(self, before: dict[str, Schema], gone: list[str], added: list[mi.Field], path: str) -> None:
        for name in gone:
            for field in added:
                try:
                    self.step(before[name]["type"], field.type, path)
                except Refused:
                    continue  # one cannot have become the other
                raise Refused(
                    f"field {name!r} of {path} is gone and field {field.name!r} is new",
                    f"If it was renamed, declare @schema_evolution(renamed={{{name!r}: {field.name!r}}}) on the class; if it was dropped, "
                    f"declare removed=[{name!r}]",
                )


def _as_anything(old: Schema, path: str) -> None:
    parts = [old[name] for name in ("items", "keys", "values") if isinstance(old.get(name), dict)]
    if old["kind"] not in _READABLE_AS_ANY:
        raise Refused(f"{path} was {words(old)} and may be anything now, which would not bring back that type")
    for part in parts:
        _as_anything(part, path)


def _collection(new: mi.Type) -> str | None:
    kind: str = part_schema(new)["kind"] if isinstance(new, (*_SEQUENCES, mi.TupleType, mi.DictType)) else ""
    return kind or None


def _unlike(old: Schema, new: mi.Type) -> int:
    """Sorts the members of a union: first what a value is most likely to have become."""
    schema = part_schema(new)
    if not same_kind(old, schema) and not ("fields" in old and "fields" in schema):
        return 2
    return int(old.get("tag") != schema.get("tag"))


def _check_tag(old: Schema, new: FieldsType, path: str) -> None:
    tag = new.tag if isinstance(new, mi.StructType) else None
    if tag is not None and old.get("tag") != tag:
        was = f"had the tag {old['tag']!r}" if "tag" in old else "had no tag"
        raise Refused(f"{path} {was} and has {tag!r} now", "Pin it with tag= on the Struct, or declare a migration")


def _sources(before: dict[str, Schema], new: FieldsType, declared: SchemaEvolution) -> dict[str, str]:
    """Present field to the stored one that it comes from, both by the names they have in the bytes."""
    encoded = {field.name: field.encode_name for field in new.fields}
    sources = {name: name for name in encoded.values() if name in before}
    for former, present in declared.renamed.items():
        name = encoded.get(present, present)
        if former in before and name not in before:
            sources[name] = former
    return sources


def _reads_as_it_is(old: Schema, new: FieldsType, sources: dict[str, str], steps: dict[str, Step | None]) -> bool:
    if not _idle(steps.values()) or any(new_name != old_name for new_name, old_name in sources.items()):
        return False
    if is_array(new) or old["kind"] != "object":
        names = [field["name"] for field in old["fields"]]
        return is_array(new) and old["kind"] != "object" and [field.encode_name for field in new.fields][: len(names)] == names
    strict = isinstance(new, mi.StructType) and new.forbid_unknown_fields
    return not any("omitted" in field for field in old["fields"]) and not (strict and len(sources) < len(old["fields"]))


def _object_builder(old: Schema, new: FieldsType, sources: dict[str, str], steps: dict[str, Step | None]) -> Step:
    tag: dict[Any, Any] = {new.tag_field: new.tag} if isinstance(new, mi.StructType) and new.tag is not None else {}

    def build(wire: Any) -> dict[str, Any]:
        fields = fields_of(old, wire)
        return {**tag, **{name: _taken(steps[name], fields[source]) for name, source in sources.items() if source in fields}}

    return build


def _array_builder(old: Schema, new: FieldsType, sources: dict[str, str], steps: dict[str, Step | None]) -> Step:
    tag: list[Any] = [new.tag] if isinstance(new, mi.StructType) and new.tag is not None else []

    def build(wire: Any) -> list[Any]:
        fields = fields_of(old, wire)
        items = list(tag)
        for field in new.fields:
            value = fields.get(sources.get(field.encode_name, ""), _MISSING)
            items.append(_to_wire(default_of(field)) if value is _MISSING else _taken(steps[field.encode_name], value))
        return items

    return build


def _taken(step: Step | None, wire: Any) -> Any:
    return wire if step is None else step(wire)


def _idle(steps: Any) -> bool:
    return all(step is None for step in steps)


def _to_wire(value: Any) -> Any:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(value, enc_hook=registered_bytes))


# --- objects as keys of a dict: MessagePack would read them as dicts, which cannot be keys


def _wire_type(old: Schema, new: mi.Type, path: str) -> Any:
    if not _object_keys(old, set()):
        return Any
    if isinstance(new, mi.DictType) and old["kind"] == "dict":
        key: Any = new.key_type.cls if isinstance(new.key_type, FIELDS) else Any
        return dict[key, _wire_type(old["values"], new.value_type, path)]  # type: ignore[misc]
    if isinstance(new, _SEQUENCES) and "items" in old and isinstance(old["items"], dict):
        return list[_wire_type(old["items"], new.item_type, path)]  # type: ignore[misc]
    raise Refused(f"{path} holds a dict with objects as keys inside an object", "Give the objects that are keys an array form (NamedTuple)")


def _object_keys(schema: Any, seen: set[int]) -> bool:
    if id(schema) in seen:
        return False
    seen.add(id(schema))
    if isinstance(schema, list):
        return any(_object_keys(part, seen) for part in schema)
    if not isinstance(schema, dict):
        return False
    return (schema.get("kind") == "dict" and _has_fields(schema["keys"])) or any(_object_keys(part, seen) for part in schema.values())


def _has_fields(schema: Any) -> bool:
    """Whether objects with named fields are part of it. Keys cannot be recursive."""
    if isinstance(schema, list):
        return any(map(_has_fields, schema))
    return isinstance(schema, dict) and (schema.get("kind") == "object" or any(map(_has_fields, schema.values())))
