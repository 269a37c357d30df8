"""Where in a value the part is that the data codec cannot carry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from millstream.contracts.serializer import class_name, short_repr
from millstream.errors import UnsupportedValue
from millstream.state.data_codec_leaves import LEAF_REDUCERS, Unsupported

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from millstream.state.data_codec_plans import ClassPlan

_ATOMS: Final = frozenset({type(None), bool, int, float, str, bytes, bytearray})
_MAX_DEPTH: Final = 100
_TOO_DEEP: Final = Unsupported(None, f"is nested more than {_MAX_DEPTH} deep", "Store it flat, for example as a list of edges.")


def describe_unsupported(values: Sequence[Any], plan: Callable[[type], ClassPlan], error: Exception) -> UnsupportedValue:
    """The error for the first part of the values that cannot be carried, found anew because the pickle machine tells no place."""
    too_deep = None
    for value in values:
        for trouble in _troubles(value, "value", plan, ()):
            if trouble.reason is not _TOO_DEEP:
                return trouble.error()
            too_deep = too_deep or trouble
    if too_deep is not None and isinstance(error, RecursionError):
        return too_deep.error()
    return UnsupportedValue(path="value", type_name=_name(values), why=f"cannot be written ({error})", fix="Use plain data.")


class _Trouble(NamedTuple):
    path: str
    part: Any
    reason: Unsupported

    def error(self) -> UnsupportedValue:
        return UnsupportedValue(path=self.path, type_name=_name(self.part), why=self.reason.why, fix=self.reason.fix)


def _name(part: object) -> str:
    return class_name(type(part)).removeprefix("builtins:")


def _troubles(value: Any, path: str, plan: Callable[[type], ClassPlan], above: tuple[int, ...]) -> Iterator[_Trouble]:
    cls = type(value)
    if cls in _ATOMS:
        return
    if id(value) in above:
        yield _Trouble(path, value, Unsupported(value, "contains itself", "Store a key or an index instead of the reference."))
    elif len(above) >= _MAX_DEPTH:
        yield _Trouble(path, value, _TOO_DEEP)
    else:
        try:
            parts = list(_parts(value, path, plan))
        except Unsupported as reason:
            yield _Trouble(path, value, reason)
            return
        for part_path, part in parts:
            yield from _troubles(part, part_path, plan, (*above, id(value)))


def _parts(value: Any, path: str, plan: Callable[[type], ClassPlan]) -> Iterator[tuple[str, Any]]:
    cls = type(value)
    if cls is dict:
        for key, item in value.items():
            yield f"the key {short_repr(key, 40)} of {path}", key
            yield f"{path}[{short_repr(key, 40)}]", item
    elif cls in (list, tuple):
        yield from ((f"{path}[{index}]", item) for index, item in enumerate(value))
    elif cls in (set, frozenset):
        yield from ((f"an item of {path}", item) for item in value)
    elif (reduce := LEAF_REDUCERS.get(cls)) is not None:
        yield from ((f"{path}.tzinfo", part) for part in reduce(value)[1] if part is getattr(value, "tzinfo", None))
    else:
        class_plan = plan(cls)
        row = class_plan.row(value)
        yield from ((f"{path}.{name}", part) for name, part in zip(class_plan.ref.fields, row))
