"""Fields of records, for sum, min, max, min_by and max_by: a position, a key of a dict, or the name of an attribute."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

import msgspec

from millstream.contracts.functions import ReduceFunction

if TYPE_CHECKING:
    from collections.abc import Callable


def getter(field: int | str | None, sample: Any) -> Callable[[Any], Any]:
    """Reads the field of records like `sample`. None is the record itself."""
    if field is None:
        return lambda record: record
    if isinstance(field, int) or isinstance(sample, dict):
        return itemgetter(field)
    return attrgetter(field)


def replace_field(record: Any, field: int | str | None, value: Any) -> Any:
    """A record like `record` with another value in the field."""
    if field is None:
        return value
    if isinstance(record, tuple) and hasattr(record, "_replace"):
        row: Any = record
        return row._replace(**{row._fields[field] if isinstance(field, int) else field: value})
    if isinstance(record, tuple) and isinstance(field, int):
        position = field % len(record)
        return (*record[:position], value, *record[position + 1 :])
    if isinstance(record, list | dict):
        changed: Any = copy.copy(record)
        changed[field] = value
        return changed
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return dataclasses.replace(record, **{str(field): value})
    return msgspec.structs.replace(record, **{str(field): value})


@dataclass
class FieldReduce(ReduceFunction[Any]):
    """sum, min and max: the first record, with its field brought up to date."""

    field: int | str | None
    combine: Callable[[Any, Any], Any]
    _get: Callable[[Any], Any] | None = None

    def reduce(self, first: Any, second: Any) -> Any:
        get = self._get
        if get is None:
            get = self._get = getter(self.field, first)
        before = get(first)
        after = self.combine(before, get(second))
        return first if after is before else replace_field(first, self.field, after)


@dataclass
class FieldChoice(ReduceFunction[Any]):
    """min_by and max_by: the whole record whose field is best; the earlier one where two are equal."""

    field: int | str | None
    better: Callable[[Any, Any], bool]
    _get: Callable[[Any], Any] | None = None

    def reduce(self, first: Any, second: Any) -> Any:
        get = self._get
        if get is None:
            get = self._get = getter(self.field, first)
        return second if self.better(get(second), get(first)) else first
