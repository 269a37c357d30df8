"""What a check of the doctor comes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from millstream.errors import MillstreamError

Section: TypeAlias = Literal["environment", "settings", "storage", "plugins", "job"]
Level: TypeAlias = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    Attributes:
        section: what was looked at.
        level: a `problem` stops a job, loses its work, or makes it promise less than it is asked for; a `warning` may, or only some jobs.
        what: one or more sentences.
        fix: what to do; never empty unless all is well.
    """

    section: Section
    level: Level
    what: str
    fix: str = ""


def ok(section: Section, what: str) -> Finding:
    """All is well."""
    return Finding(section, "ok", what)


def warning(section: Section, what: str, fix: str) -> Finding:
    """Something to know."""
    return Finding(section, "warning", what, fix)


def problem(section: Section, what: str, fix: str) -> Finding:
    """Something to repair."""
    return Finding(section, "problem", what, fix)


def problem_of(section: Section, error: MillstreamError) -> Finding:
    """What an error says. Its last sentence is the fix, as in every error of Millstream."""
    what, dot, fix = str(error).rpartition(". ")
    return problem(section, what + dot.rstrip(), fix) if dot else problem(section, str(error), "Repair what is named here.")
