"""Values of the standard library that the data codec writes as a call: sealed constructors, and what they are called with.

A constructor here is all that the pickle machine ever gets to call. Each makes one immutable type from plain data, checks what it is
given, and has no attribute that could be replaced.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Callable

Call = tuple["Sealed", tuple[Any, ...]]


class Unsupported(Exception):
    """Says why a part of a value cannot be written, and what to do."""

    def __init__(self, part: object, why: str, fix: str) -> None:
        self.part = part
        self.why = why
        self.fix = fix


class Sealed:
    """Makes values of one type from plain data; has no state, and no attribute can be set."""

    __slots__ = ()

    def __call__(self, *parts: Any) -> Any:
        raise NotImplementedError


class _MakeComplex(Sealed):
    __slots__ = ()

    def __call__(self, real: float, imag: float) -> complex:
        return complex(_exact(real, float), _exact(imag, float))


class _MakeDecimal(Sealed):
    __slots__ = ()

    def __call__(self, text: str) -> Decimal:
        return Decimal(_exact(text, str))


class _MakeUuid(Sealed):
    __slots__ = ()

    def __call__(self, number: int) -> UUID:
        return UUID(int=_exact(number, int))


class _MakeDate(Sealed):
    __slots__ = ()

    def __call__(self, ordinal: int) -> dt.date:
        return dt.date.fromordinal(ordinal)


class _MakeTime(Sealed):
    __slots__ = ()

    def __call__(self, text: str, fold: int = 0, zone: dt.tzinfo | None = None) -> dt.time:
        made = dt.time.fromisoformat(_exact(text, str))
        return made if fold == 0 and zone is None else made.replace(tzinfo=zone, fold=fold)


class _MakeDatetime(Sealed):
    __slots__ = ()

    # From text, because the class itself takes a first argument of bytes for a pickled state and checks little of it.
    def __call__(self, text: str, fold: int = 0, zone: dt.tzinfo | None = None) -> dt.datetime:
        made = dt.datetime.fromisoformat(_exact(text, str))
        return made if fold == 0 and zone is None else made.replace(tzinfo=zone, fold=fold)


class _MakeTimedelta(Sealed):
    __slots__ = ()

    def __call__(self, days: int, seconds: int, microseconds: int) -> dt.timedelta:
        return dt.timedelta(_exact(days, int), _exact(seconds, int), _exact(microseconds, int))


class _MakeTimezone(Sealed):
    __slots__ = ()

    def __call__(self, offset: dt.timedelta, *name: str) -> dt.timezone:
        return dt.timezone(_exact(offset, dt.timedelta), *name)


class _MakeZoneInfo(Sealed):
    __slots__ = ()

    def __call__(self, key: str) -> ZoneInfo:
        return ZoneInfo(_exact(key, str))


def _exact(value: Any, cls: type) -> Any:
    if type(value) is not cls:
        msg = f"{type(value).__name__} where a {cls.__name__} belongs"
        raise TypeError(msg)
    return value


_COMPLEX: Final = _MakeComplex()
_DECIMAL: Final = _MakeDecimal()
_UUID: Final = _MakeUuid()
_DATE: Final = _MakeDate()
_TIME: Final = _MakeTime()
_DATETIME: Final = _MakeDatetime()
_TIMEDELTA: Final = _MakeTimedelta()
_TIMEZONE: Final = _MakeTimezone()
_ZONE_INFO: Final = _MakeZoneInfo()

# What bytes refer to by number. The places are part of the format: append only.
LEAF_TABLE: Final[tuple[Sealed | dt.timezone, ...]] = (
    dt.UTC,
    _COMPLEX,
    _DECIMAL,
    _UUID,
    _DATE,
    _TIME,
    _DATETIME,
    _TIMEDELTA,
    _TIMEZONE,
    _ZONE_INFO,
)


def _reduce_time(value: dt.time) -> Call:
    if value.tzinfo is None and not value.fold:
        return _TIME, (value.isoformat(),)
    return _TIME, (value.replace(tzinfo=None).isoformat(), value.fold, value.tzinfo)


def _reduce_datetime(value: dt.datetime) -> Call:
    if value.tzinfo is None and not value.fold:
        return _DATETIME, (value.isoformat(),)
    return _DATETIME, (value.replace(tzinfo=None).isoformat(), value.fold, value.tzinfo)


def _reduce_timezone(value: Any) -> Call:
    # Only its initial arguments tell a zone that was given the name "UTC+01:00" from one that shows it by default.
    return _TIMEZONE, value.__getinitargs__()


def _reduce_zone_info(value: ZoneInfo) -> Call:
    if value.key is None:
        raise Unsupported(value, "was made from a file and has no key", "Use ZoneInfo('Area/City').")
    return _ZONE_INFO, (value.key,)


LEAF_REDUCERS: Final[dict[type, Callable[[Any], Call]]] = {
    complex: lambda value: (_COMPLEX, (value.real, value.imag)),
    Decimal: lambda value: (_DECIMAL, (str(value),)),
    UUID: lambda value: (_UUID, (value.int,)),
    dt.date: lambda value: (_DATE, (value.toordinal(),)),
    dt.time: _reduce_time,
    dt.datetime: _reduce_datetime,
    dt.timedelta: lambda value: (_TIMEDELTA, (value.days, value.seconds, value.microseconds)),
    dt.timezone: _reduce_timezone,
    ZoneInfo: _reduce_zone_info,
}
