"""Keys and keyed streams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from millstream.errors.base import MillstreamError


@dataclass(kw_only=True, eq=False)
class NotKeyed(MillstreamError):
    """Keyed state or timers outside a keyed operator."""

    code: ClassVar[str] = "not-keyed"
    operator: str
    what: str
    fix: str = "Put key_by(...) in front of it."

    def sentence(self) -> str:
        return f"Operator {self.operator!r} asked for {self.what}, which needs a key. {self.fix}"


@dataclass(kw_only=True, eq=False)
class KeyedStreamFixed(MillstreamError):
    """Something that a keyed stream does not have: another way of dealing out, or what operators have."""

    code: ClassVar[str] = "keyed-stream-fixed"
    what: str
    fix: str

    def sentence(self) -> str:
        return f"A keyed stream {self.what}. {self.fix}"


@dataclass(kw_only=True, eq=False)
class NoCurrentKey(NotKeyed):
    """Keyed state of a keyed operator, used while no record and no timer is being processed."""

    code: ClassVar[str] = "no-current-key"
    operator: str = ""
    what: str = "keyed state"

    def sentence(self) -> str:
        return (
            f"{self.what.capitalize()} was used while no record and no timer was being processed (in open(), in close() or from a thread), "
            "so it belongs to no key. Use it while a record is processed or in on_timer()."
        )


@dataclass(kw_only=True, eq=False)
class UnsupportedKey(MillstreamError):
    """A key that has no canonical bytes, or would not have the same ones each time."""

    code: ClassVar[str] = "unsupported-key"
    key: str
    type_name: str
    why: str
    fix: str
    operator: str | None = None

    def sentence(self) -> str:
        where = f" of operator {self.operator!r}" if self.operator else ""
        return f"The key {self.key}{where} cannot be used: {self.type_name} {self.why}. {self.fix}"
