"""What is remembered of one dict from the barrier of a snapshot until its entries are encoded."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

Encode = Callable[[Any, Any], bytes]
"""Encodes one value ahead of its turn, given its key first."""

_UNCHANGEABLE: Final = frozenset({int, float, str, bytes, bool, complex, type(None), date, datetime, time, timedelta, Decimal, UUID})


class Touched:
    """The entries of one dict that somebody came to before the snapshot did.

    Args:
        encode: of the table that the dict belongs to.

    Attributes:
        early: encoded values as they were at the barrier, of keys whose values were handed out and may have been changed since.
        written: keys that hold another value than at the barrier, with that former value.
    """

    __slots__ = ("early", "encode", "written")

    def __init__(self, encode: Encode) -> None:
        self.early: dict[Any, bytes] = {}
        self.encode = encode
        self.written: dict[Any, Any] = {}

    def secure(self, key: Any, value: Any) -> None:
        """To be called before the value of a key is handed out to somebody who may change it in place."""
        if key in self.early or key in self.written:
            return
        kind = type(value)
        if kind in _UNCHANGEABLE or (kind is tuple and _UNCHANGEABLE.issuperset(map(type, value))):
            return  # the snapshot refers to it, and will find it as it is
        self.early[key] = self.encode(key, value)
