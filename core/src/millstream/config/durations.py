"""Durations as people write them: `10s`, `500ms`, `1h 30min`."""

from __future__ import annotations

import re
from datetime import timedelta
from fractions import Fraction
from typing import Final

LONGEST: Final = timedelta(days=36_500)
"""No setting needs more than a century, and waits of more than 292 years overflow in the standard library."""

_UNITS_US: Final[dict[str, int]] = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "sec": 1_000_000,
    "second": 1_000_000,
    "seconds": 1_000_000,
    "m": 60_000_000,
    "min": 60_000_000,
    "minute": 60_000_000,
    "minutes": 60_000_000,
    "h": 3_600_000_000,
    "hour": 3_600_000_000,
    "hours": 3_600_000_000,
    "d": 86_400_000_000,
    "day": 86_400_000_000,
    "days": 86_400_000_000,
}
_PART: Final = re.compile(r"\s*([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*([a-z]+)\s*", re.ASCII)
_NUMBER: Final = re.compile(r"\s*([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*", re.ASCII)


def parse_duration(text: str) -> timedelta:
    """Reads a duration.

    Args:
        text: numbers with units (us, ms, s, min, h, d and their long forms; `m` is minutes), added up; or one number without a
            unit, which means seconds.

    Raises:
        ValueError: the text has another form, or is longer than a century.

    >>> parse_duration("500ms"), parse_duration("1h 30min"), parse_duration("2.5")
    (datetime.timedelta(microseconds=500000), datetime.timedelta(seconds=5400), datetime.timedelta(seconds=2, microseconds=500000))
    """
    if number := _NUMBER.fullmatch(text):
        return _from_microseconds(Fraction(number[1]) * 1_000_000)
    total_us = Fraction(0)
    position = 0
    while position < len(text):
        part = _PART.match(text, position)
        if part is None or part[2] not in _UNITS_US:
            break
        total_us += Fraction(part[1]) * _UNITS_US[part[2]]
        position = part.end()
    if not text or position < len(text):
        msg = "not a duration"
        raise ValueError(msg)
    return _from_microseconds(total_us)


def _from_microseconds(total_us: Fraction) -> timedelta:
    whole_us = round(total_us)
    if whole_us > LONGEST // timedelta(microseconds=1):
        msg = "longer than a century"
        raise ValueError(msg)
    return timedelta(microseconds=whole_us)


def format_duration(duration: timedelta) -> str:
    """Writes a duration >= 0 so that `parse_duration` reads the same one back.

    >>> format_duration(timedelta(seconds=90)), format_duration(timedelta(0))
    ('1min 30s', '0s')
    """
    left_us = duration // timedelta(microseconds=1)
    parts: list[str] = []
    for unit in ("d", "h", "min", "s", "ms", "us"):
        count, left_us = divmod(left_us, _UNITS_US[unit])
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts) or "0s"


def milliseconds(duration: timedelta) -> int:
    """Whole milliseconds, rounded up: a duration above zero never becomes zero."""
    return -(-duration // timedelta(milliseconds=1))
