"""Classes whose objects the data codec carries: which ones count, and how a stored name finds its class again."""

from __future__ import annotations

import dataclasses
import sys
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from millstream.contracts.serializer import class_name, main_stem
from millstream.errors import ChangedClass
from millstream.state.data_codec_leaves import Unsupported
from millstream.state.data_codec_plans import (
    DECLARE,
    ClassPlan,
    ClassRef,
    dataclass_plan,
    enum_plan,
    namedtuple_plan,
    registered_plan,
    struct_plan,
)
from millstream.state.data_codec_registered import registered_as, registered_for

if TYPE_CHECKING:
    from collections.abc import Callable


def plan_of(cls: type) -> ClassPlan:
    """The plan of a class that this process has.

    Raises:
        Unsupported: its objects cannot be carried.
    """
    registered = registered_for(cls)
    if registered is not None:
        return registered_plan(cls, registered)
    for counts, make_plan in _KINDS:
        if counts(cls):
            _check_findable(cls)
            return make_plan(cls)
    raise Unsupported(cls, *_REFUSED.get(class_name(cls), ("is not a type that the data codec carries", DECLARE)))


def resolve(ref: ClassRef) -> ClassPlan:
    """The plan of a class that stored objects name.

    Raises:
        ChangedClass: there is no such class, or it looks different now.
    """
    if ref.kind == "registered":
        registered = registered_as(ref.name)
        if registered is None:
            raise ChangedClass(class_name=ref.name, why="no serializer is registered under that name (register_serializer)")
        return plan_of(registered.cls)
    cls = find_class(ref.name)
    if cls is None:
        raise ChangedClass(class_name=ref.name, why="no module that this job has imported defines it")
    try:
        plan = plan_of(cls)
    except Unsupported as unsupported:
        raise ChangedClass(class_name=ref.name, why=f"it {unsupported.why}") from None
    if plan.ref.kind != ref.kind:
        raise ChangedClass(class_name=ref.name, why=f"it was a {ref.kind} and is a {plan.ref.kind} now")
    if plan.ref.fields != ref.fields:
        raise ChangedClass(class_name=ref.name, why=f"its fields were {_list(ref.fields)} and are {_list(plan.ref.fields)} now")
    return plan


def find_class(name: str) -> type | None:
    """The class called `module:qualname` among the modules imported already; no attribute hook of a module or class runs."""
    module_name, _, qualname = name.partition(":")
    modules = [sys.modules.get(module_name)]
    if main_stem() == module_name:
        modules.insert(0, sys.modules.get("__main__"))
    for module in modules:
        found: Any = module
        for part in qualname.split("."):
            owner = type if _is_class(found) else object
            try:
                found = owner.__getattribute__(found, "__dict__").get(part)
            except AttributeError:
                found = None
        if _is_class(found):
            return found  # type: ignore[no-any-return]
    return None


def _is_class(found: Any) -> bool:
    return issubclass(type(found), type)


def _check_findable(cls: type) -> None:
    name = class_name(cls)
    if "<locals>" in name:
        raise Unsupported(cls, "is a class defined inside a function", "Move it to the top level of its module.")
    if find_class(name) is not cls:
        raise Unsupported(cls, f"is a class that cannot be found as {name}", "Give it its own name at the top level of its module.")
    if getattr(cls, "__del__", None) is not None:
        raise Unsupported(cls, "is a class with a __del__ method, which would run on objects made without __init__", "Remove the method.")


def _is_namedtuple(cls: Any) -> bool:
    return issubclass(cls, tuple) and isinstance(getattr(cls, "_fields", None), tuple)


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "none"


# Tried in this order.
_KINDS: Final[tuple[tuple[Callable[[Any], bool], Callable[[Any], ClassPlan]], ...]] = (
    (lambda cls: issubclass(cls, Enum), enum_plan),
    (lambda cls: issubclass(cls, msgspec.Struct), struct_plan),
    (_is_namedtuple, namedtuple_plan),
    (dataclasses.is_dataclass, dataclass_plan),
)

_AS_LIST: Final = ("is not a plain list", "Turn it into a list first.")
_AS_DICT: Final = ("is not a plain dict", "Turn it into a dict first.")
_CODE: Final = ("is code, not data", "Store what it works with, or its name, instead.")
_REFUSED: Final[dict[str, tuple[str, str]]] = {
    "collections:deque": _AS_LIST,
    "builtins:range": _AS_LIST,
    "builtins:generator": _AS_LIST,
    "collections:defaultdict": _AS_DICT,
    "collections:OrderedDict": _AS_DICT,
    "collections:Counter": _AS_DICT,
    "builtins:mappingproxy": _AS_DICT,
    "builtins:function": _CODE,
    "builtins:builtin_function_or_method": _CODE,
    "builtins:method": _CODE,
    "builtins:type": _CODE,
    "builtins:module": _CODE,
    "builtins:memoryview": ("is not plain bytes", "Turn it into bytes first."),
}
