"""The key that keyed state belongs to at the moment."""

from __future__ import annotations

from typing import Any, Final, NoReturn, Protocol

from millstream.errors import NoCurrentKey


class _NoKey:
    """Stands where a key should be. It cannot be hashed, so every table refuses it, at no cost to those who have a key."""

    __slots__ = ()

    def __hash__(self) -> NoReturn:
        raise NoCurrentKey

    def __repr__(self) -> str:
        return "NO_KEY"

    def __reduce__(self) -> str:
        return "NO_KEY"


NO_KEY: Final = _NoKey()


class HasKey(Protocol):
    """Anything that knows the current key, NO_KEY outside of records and timers."""

    key: Any


class KeyContext:
    """Holds the current key of an operator, NO_KEY outside of records and timers."""

    __slots__ = ("key",)

    def __init__(self) -> None:
        self.key: Any = NO_KEY
