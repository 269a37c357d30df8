"""Counts, sizes, durations and times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from millstream.contracts.serializer import SerializerDescription

_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def size_text(size_bytes: float) -> str:
    """A size in units of 1,000.

    >>> size_text(999), size_text(1_500_000)
    ('999 B', '1.5 MB')
    """
    steps = 0
    while size_bytes >= 999.5 and steps < len(_UNITS) - 1:
        size_bytes /= 1_000
        steps += 1
    unit = _UNITS[steps]
    return f"{size_bytes:.0f} {unit}" if unit == "B" or size_bytes >= 99.95 else f"{size_bytes:.1f} {unit}"


def duration_text(seconds: float) -> str:
    """A duration with as much precision as anybody wants.

    >>> [duration_text(s) for s in (0.0042, 4.2, 75, 7_500, 200_000)]
    ['4 ms', '4.2 s', '1 min 15 s', '2 h 5 min', '2 d 7 h']
    """
    if seconds < 0:
        return f"-{duration_text(-seconds)}"
    if seconds < 0.9995:
        return f"{seconds * 1_000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3_600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3_600} h {whole % 3_600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3_600} h"


def rate_text(per_second: float) -> str:
    """Records per second.

    >>> rate_text(12345.6), rate_text(3.21)
    ('12,346/s', '3.2/s')
    """
    return f"{per_second:,.0f}/s" if per_second >= 99.5 else f"{per_second:.1f}/s"


def time_text(milliseconds: int) -> str:
    """A point in time, UTC; the bare number where the calendar ends.

    >>> time_text(15_000), time_text(-(2**62))
    ('1970-01-01 00:00:15.000Z', '-4611686018427387904 ms')
    """
    try:
        moment = _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return f"{milliseconds} ms"
    return moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{milliseconds % 1_000:03d}Z"


def serializer_text(description: SerializerDescription) -> str:
    """How values are written: `typed int`, `data codec`, a registered serializer, or in two ways."""
    if description.kind == "typed":
        return f"typed {description.type_name}"
    if description.kind == "data":
        return "data codec"
    if description.kind == "mixed":
        return f"typed {description.type_name} where values matched the annotation, data codec otherwise"
    return f"registered {description.kind!r} ({description.type_name})"


def counted(count: int, what: str) -> str:
    """A number with its noun.

    >>> counted(1, "checkpoint"), counted(1_200, "checkpoint")
    ('1 checkpoint', '1,200 checkpoints')
    """
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
