"""Arguments, names and options that make no sense."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from millstream.errors.base import MillstreamError, did_you_mean


@dataclass(kw_only=True, eq=False)
class InvalidName(MillstreamError):
    """A name that cannot be used."""

    code: ClassVar[str] = "invalid-name"
    what: str
    name: str

    def sentence(self) -> str:
        return f"{self.name} cannot be the name of a {self.what}. Use a non-empty string of printable characters."


@dataclass(kw_only=True, eq=False)
class InvalidArgument(MillstreamError):
    """An argument of the wrong type or out of range."""

    code: ClassVar[str] = "invalid-argument"
    what: str
    value: str
    allowed: str
    hint: str = ""

    def sentence(self) -> str:
        return f"{self.what} is {self.value}, which cannot be used. Give {self.allowed}.{self.hint}"


@dataclass(kw_only=True, eq=False)
class UnknownOption(MillstreamError):
    """A keyword argument that does not exist, of something that passes its arguments on."""

    code: ClassVar[str] = "option-unknown"
    what: str
    option: str
    known: tuple[str, ...]

    def sentence(self) -> str:
        hint = did_you_mean(self.option, self.known) or f" There is {', '.join(self.known)}."
        return f"{self.what} has no option {self.option!r}.{hint}"


@dataclass(kw_only=True, eq=False)
class UnknownCrashPoint(MillstreamError):
    """A fault is to strike at a point that nothing declares, so that it never would."""

    code: ClassVar[str] = "crash-point-unknown"
    point: str
    origin: str
    known: tuple[str, ...] = dataclasses.field(repr=False)

    def sentence(self) -> str:
        hint = did_you_mean(self.point, self.known) or " docs/exactly-once.md lists those of the engine."
        return (
            f"{self.origin} names the crash point {self.point!r}, which nothing declares.{hint} A connector declares its own at the top level of "
            "its module: declare_crash_point(name, state)."
        )
