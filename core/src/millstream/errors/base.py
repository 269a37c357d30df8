"""The base of all errors, and what their sentences are made with."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from collections.abc import Iterable


def did_you_mean(wanted: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the nearest known name, or nothing when none is near."""
    near = get_close_matches(wanted, list(known), n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""


def shorten(value: object, limit: int = 200) -> str:
    """repr of a value, cut in the middle when it is long; never raises."""
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 - a record's own __repr__ must not hide the real error
        text = f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
    return text if len(text) <= limit else f"{text[: limit * 2 // 3]}…{text[-limit // 3 :]}"


@dataclass(kw_only=True, eq=False)
class MillstreamError(Exception):
    """Base of every error that Millstream raises on purpose.

    Goes from process to process by its fields, which are plain data; `__cause__` and traceback stay behind.

    Attributes:
        code: stable across releases.
        permanent: starting the job again would meet the same error, so the restart strategy is not asked.
        outage: something outside of the job does not answer, which says nothing about the job, however often it happens.
    """

    code: ClassVar[str] = "millstream"
    permanent: ClassVar[bool] = True
    outage: ClassVar[bool] = False

    def sentence(self) -> str:
        """What happened, with which values, where, and the fix."""
        raise NotImplementedError

    def likeness(self) -> str:
        """Equal for failures that have the same cause: what the restart strategy compares. Empty for an outage."""
        return "" if self.outage else f"{type(self).__name__}: {self}"

    def __str__(self) -> str:
        return self.sentence()

    def __reduce__(self) -> tuple[Any, ...]:
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return _rebuild, (type(self), fields)

    @classmethod
    def rebuild(cls, fields: dict[str, Any]) -> Self:
        """The same error in another process."""
        return cls(**fields)


def _rebuild(cls: type[MillstreamError], fields: dict[str, Any]) -> MillstreamError:
    return cls.rebuild(fields)
