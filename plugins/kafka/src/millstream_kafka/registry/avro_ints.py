"""Finds numbers that Avro's int cannot hold. The library writes them all the same, and no other client can read what comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from fastavro.validation import validate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Check: TypeAlias = "Callable[[Any], None]"

_LEAST: Final = -(2**31)
_MOST: Final = 2**31 - 1
_WIDER: Final = frozenset({"long", "float", "double"})


def int_check(schema: Any) -> Check | None:
    """What raises ValueError for a value of a parsed schema in which an int is too large; None for a schema without ints."""
    return _Checks().of(schema)


class _Checks:
    """Checks of the parts of one schema."""

    def __init__(self) -> None:
        self._named: dict[str, Check | None] = {}

    def of(self, schema: Any) -> Check | None:
        if isinstance(schema, list):
            return self._of_union(schema)
        kind = schema["type"] if isinstance(schema, dict) else schema
        if kind == "int":
            return _check_int
        if kind in ("record", "error"):
            return self._of_record(schema)
        if kind in ("array", "map"):
            return _each(self.of(schema["items" if kind == "array" else "values"]))
        if isinstance(kind, dict | list):
            return self.of(kind)
        return self._named.get(kind)

    def _of_record(self, schema: Any) -> Check | None:
        fields: list[tuple[str, Check]] = []

        def check(value: Any) -> None:
            if isinstance(value, dict):  # if not, the library says so
                for name, check_field in fields:
                    try:
                        check_field(value.get(name))
                    except ValueError as error:
                        msg = f"field {name}: {error}"
                        raise ValueError(msg) from None

        # A record may hold itself: whether it has ints is not known before all of its fields were looked at.
        self._named[schema["name"]] = check
        fields += [(field["name"], found) for field in schema["fields"] if (found := self.of(field["type"])) is not None]
        if not fields:
            self._named[schema["name"]] = None
        return check if fields else None

    def _of_union(self, branches: Sequence[Any]) -> Check | None:
        checks = [(branch, self.of(branch)) for branch in branches]
        found = [(branch, check) for branch, check in checks if check is not None]
        wide = any((branch["type"] if isinstance(branch, dict) else branch) in _WIDER for branch in branches if not isinstance(branch, list))
        containers = [check for _, check in found if check is not _check_int]
        ints = any(check is _check_int for _, check in found) and not wide
        if not found or not (ints or containers):
            return None
        alone = len([branch for branch, _ in checks if not _is_plain(branch)]) == 1

        def check(value: Any) -> None:
            if ints and type(value) is int:
                _check_int(value)
            elif containers and isinstance(value, dict | list):
                if alone:
                    containers[0](value)
                else:
                    validate(value, list(branches))  # which of the branches it is, only the library can tell

        return check


def _is_plain(branch: Any) -> bool:
    kind = branch["type"] if isinstance(branch, dict) else branch
    return kind in {"null", "boolean", "int", "long", "float", "double", "bytes", "string", "fixed", "enum"}


def _check_int(value: Any) -> None:
    if type(value) is int and not _LEAST <= value <= _MOST:
        msg = f"{value} does not fit the 32 bits of an int"
        raise ValueError(msg)


def _each(check: Check | None) -> Check | None:
    if check is None:
        return None

    def check_each(values: Any) -> None:
        if isinstance(values, dict):
            values = values.values()
        elif not isinstance(values, list | tuple):
            return  # the library says so
        for value in values:
            check(value)

    return check_each
