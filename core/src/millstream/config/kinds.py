"""The kinds of values that settings have: how each is read, written, and described to people.

A kind reads what code gives strictly and what text gives (command line, environment, file) leniently. What a kind has read it
reads again unchanged, and `read(write(value))` is the value.
"""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING, Generic, TypeVar

from millstream.config.durations import LONGEST, format_duration, parse_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")


class Refused(ValueError):
    """The value is not of the kind. Whoever asked knows the setting and where the value is from, and says so."""


class Kind(ABC, Generic[T]):
    """A set of values."""

    @property
    @abstractmethod
    def allowed(self) -> str:
        """The values as an error names them, without a full stop."""

    @abstractmethod
    def read(self, value: object, *, in_code: bool) -> T:
        """The setting's value.

        Raises:
            Refused: it is not an allowed one.
        """

    def write(self, value: T) -> str:
        """The value as text, which reads back as the same value."""
        return str(value)


@dataclass(frozen=True)
class Maybe(Kind[T | None], Generic[T]):
    """A kind with one more value: None, which text calls `absent`."""

    kind: Kind[T]
    absent: str

    @property
    def allowed(self) -> str:
        return f"{self.kind.allowed}, or {self.absent!r} (None in code)"

    def read(self, value: object, *, in_code: bool) -> T | None:
        if value is None or (not in_code and isinstance(value, str) and value.strip().lower() == self.absent):
            return None
        return self.kind.read(value, in_code=in_code)

    def write(self, value: T | None) -> str:
        return self.absent if value is None else self.kind.write(value)


@dataclass(frozen=True)
class Choice(Kind[str]):
    """One of a few words. Text may use capitals and hyphens."""

    words: tuple[str, ...]

    @property
    def allowed(self) -> str:
        return ", ".join(self.words)

    def read(self, value: object, *, in_code: bool) -> str:
        word = value if in_code or not isinstance(value, str) else value.strip().lower().replace("-", "_")
        if not isinstance(word, str) or word not in self.words:
            raise Refused
        return word


@dataclass(frozen=True)
class Flag(Kind[bool]):
    """True or false; text may also say yes, no, on, off, 1 and 0."""

    @property
    def allowed(self) -> str:
        return "true, false"

    def read(self, value: object, *, in_code: bool) -> bool:
        if isinstance(value, bool):
            return value
        if not in_code and isinstance(value, str):
            word = value.strip().lower()
            if word in ("true", "yes", "on", "1"):
                return True
            if word in ("false", "no", "off", "0"):
                return False
        raise Refused

    def write(self, value: bool) -> str:
        return "true" if value else "false"


_WHOLE = re.compile(r"\s*[+-]?[0-9]{1,30}\s*", re.ASCII)
_REAL = re.compile(r"\s*[+-]?[0-9]{1,30}(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?\s*", re.ASCII)


@dataclass(frozen=True)
class Whole(Kind[int]):
    """A whole number of a range, both ends included."""

    least: int
    most: int

    @property
    def allowed(self) -> str:
        return f"a whole number from {self.least} to {self.most}"

    def read(self, value: object, *, in_code: bool) -> int:
        if not in_code and isinstance(value, str) and _WHOLE.fullmatch(value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not self.least <= value <= self.most:
            raise Refused
        return value


@dataclass(frozen=True)
class Real(Kind[float]):
    """A number of a range, both ends included."""

    least: float
    most: float

    @property
    def allowed(self) -> str:
        return f"a number from {self.least:g} to {self.most:g}"

    def read(self, value: object, *, in_code: bool) -> float:
        if not in_code and isinstance(value, str) and _REAL.fullmatch(value):
            value = float(value)
        # The bounds are finite, so they keep out infinities and, because comparisons with it are false, NaN.
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.least <= value <= self.most:
            raise Refused
        return float(value)


@dataclass(frozen=True)
class Duration(Kind[timedelta]):
    """A span of time. A bare number is seconds in text, and refused in code, where it might as well mean milliseconds."""

    least: timedelta = timedelta(0)

    @property
    def allowed(self) -> str:
        bound = f" of at least {format_duration(self.least)}" if self.least else ""
        return f"a duration{bound} such as '10s', '500ms', '5 min', '1h' (a number is seconds; in code: a timedelta or a text with a unit)"

    def read(self, value: object, *, in_code: bool) -> timedelta:
        duration = self._parse(value, in_code=in_code)
        if not self.least <= duration <= LONGEST:
            raise Refused
        return duration

    @staticmethod
    def _parse(value: object, *, in_code: bool) -> timedelta:
        if isinstance(value, timedelta):
            return value
        try:
            if isinstance(value, str):
                if not in_code or not value.strip()[-1:].isdigit():
                    return parse_duration(value)
            elif isinstance(value, int | float) and not isinstance(value, bool) and not in_code:
                return timedelta(seconds=value)
        except (ValueError, OverflowError) as error:
            raise Refused from error
        raise Refused

    def write(self, value: timedelta) -> str:
        return format_duration(value)


@dataclass(frozen=True)
class Text(Kind[str]):
    """A non-empty text; in code also a path. `words` are values with a meaning of their own, and `what` describes all others."""

    what: str
    words: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        if not self.words:
            return self.what
        return f"{', '.join(self.words)}, or {self.what} (written ./name where its name resembles one of these words)"

    def read(self, value: object, *, in_code: bool) -> str:
        if isinstance(value, os.PathLike):
            value = os.fspath(value)
        if not isinstance(value, str) or not value.strip() or "\0" in value:
            raise Refused
        # A misspelled word would pass as a path, and be missed much later.
        if "/" not in value and value not in self.words and get_close_matches(value, self.words, n=1, cutoff=0.7):
            raise Refused
        return value


@dataclass(frozen=True)
class JobName(Kind[str]):
    """A name that can also be a folder's."""

    @property
    def allowed(self) -> str:
        return "1 to 128 printable characters, without / and \\, not beginning with a full stop or a space, nor ending with a space"

    def read(self, value: object, *, in_code: bool) -> str:
        if not isinstance(value, str) or not 1 <= len(value) <= 128 or not value.isprintable():
            raise Refused
        if value.strip() != value or value.startswith(".") or "/" in value or "\\" in value:
            raise Refused
        return value


@dataclass(frozen=True)
class Names(Kind[tuple[str, ...]]):
    """Several names: a list, or in text one string with commas."""

    @property
    def allowed(self) -> str:
        return "a list of names, each once, or one text with commas between them"

    def read(self, value: object, *, in_code: bool) -> tuple[str, ...]:
        parts: Sequence[object] | None = None
        if isinstance(value, str):
            if not in_code:
                parts = [part.strip() for part in value.split(",")] if value.strip() else []
        elif isinstance(value, list | tuple):
            parts = value
        if parts is None:
            raise Refused
        names = tuple(part for part in parts if isinstance(part, str) and part and part == part.strip() and "," not in part)
        if len(names) != len(parts) or len(set(names)) != len(names):
            raise Refused
        return names

    def write(self, value: tuple[str, ...]) -> str:
        return ",".join(value)
