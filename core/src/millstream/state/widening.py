"""Which simple types may take the place of which others: only where every stored value has exactly one equal, or documented, successor."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from millstream.state.typed_schema import CONSTRAINTS, words

if TYPE_CHECKING:
    from millstream.state.typed_schema import Schema

Step = Callable[[Any], Any]
"""Makes what the present type reads of a value as MessagePack has it."""


class Refused(Exception):
    """No value of the old structure, or not every one, can be read as the new one.

    Args:
        what: what differs, where.
        fix: what to do; None for what suits every change.
    """

    def __init__(self, what: str, fix: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix


_SAME_BYTES: Final = {
    ("bytes", "bytearray"),
    ("bytearray", "bytes"),
    ("list", "tuple of any length"),
    ("tuple of any length", "list"),
    ("set", "frozenset"),
    ("frozenset", "set"),
}
"""Collections that hold the same items in the same order, or in none."""

_AT_LEAST: Final = ("gt", "ge", "min_length")
_AT_MOST: Final = ("lt", "le", "max_length")


def same_kind(old: Schema, new: Schema) -> bool:
    """Whether values are written alike, apart from what is inside them and from limits."""
    return old["kind"] == new["kind"] or (old["kind"], new["kind"]) in _SAME_BYTES


def widened(old: Schema, new: Schema, path: str) -> Step | None:
    """How values without parts go from one structure to another; None when they stay as they are.

    Raises:
        Refused: they do not.
    """
    kinds = old["kind"], new["kind"]
    if kinds in (("enum", "enum"), ("literal", "literal")):
        _superset(old, new, path)
        return None
    if kinds[0] == "literal" and kinds[1] in ("int", "str") and {type(value).__name__ for value in old["values"]} == {kinds[1]}:
        check_limits({}, new, path)
        return None
    if kinds == ("int", "float"):
        check_limits(old, new, path)
        return _exact_float
    if kinds == ("int", "decimal"):
        return _decimal
    if same_kind(old, new) and (kinds[0] != "registered" or old["name"] == new["name"]):
        check_limits(old, new, path)
        return None
    raise changed(old, new, path)


def changed(old: Schema, new: Schema, path: str) -> Refused:
    """The refusal of a type that has become another one."""
    return Refused(f"{path} was {words(old)} and is {words(new)} now")


def check_limits(old: Schema, new: Schema, path: str) -> None:
    """Refuses limits that values may break that were written without them."""
    for name in CONSTRAINTS:
        limit, before = new.get(name), old.get(name)
        if limit is None or limit == before:
            continue
        wider = before is not None and ((name in _AT_LEAST and limit <= before) or (name in _AT_MOST and limit >= before))
        if not wider:
            raise Refused(f"{path} has the limit {name}={limit!r} now, which stored values may break", "Widen the limit again")


def _superset(old: Schema, new: Schema, path: str) -> None:
    gone = [value for value in old["values"] if (type(value), value) not in [(type(one), one) for one in new["values"]]]
    if gone:
        raise Refused(f"{path} was {words(old)} and has no {', '.join(map(repr, gone))} any more", "Bring the value back")


def _exact_float(wire: Any) -> float:
    try:
        number = float(wire)
    except OverflowError:
        number = 0.0
    if number != wire:
        msg = f"{wire} has no equal float"
        raise ValueError(msg)
    return number


def _decimal(wire: Any) -> str:
    return str(Decimal(wire))


def keys_stay(old: Any, new: Any) -> bool:
    """Whether keys of one structure are found again under the other: the same, or an enum or literal that gained values."""
    if old == new:
        return True
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(keys_stay, old, new))
    if not (isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys()):
        return False
    if old.get("kind") in ("enum", "literal") and old["kind"] == new["kind"]:
        return {(type(value), value) for value in old["values"]} <= {(type(value), value) for value in new["values"]}
    return all(keys_stay(part, new[name]) for name, part in old.items())
