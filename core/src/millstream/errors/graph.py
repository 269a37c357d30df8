"""Programs that are no job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from millstream.errors.base import MillstreamError


@dataclass(kw_only=True, eq=False)
class EmptyJob(MillstreamError):
    """Nothing to execute."""

    code: ClassVar[str] = "empty-job"

    def sentence(self) -> str:
        return "The environment holds no stream that is consumed: there is nothing to execute. Add a source, and sink_to(...) or print()."


@dataclass(kw_only=True, eq=False)
class MissingUid(MillstreamError):
    """Something that is kept in checkpoints has no uid."""

    code: ClassVar[str] = "missing-uid"
    operator: str

    def sentence(self) -> str:
        return (
            f"Operator {self.operator!r} keeps something in checkpoints and has no uid, so a later version of the job could not find it again. "
            "Give it one: uid='...'."
        )


@dataclass(kw_only=True, eq=False)
class DuplicateUid(MillstreamError):
    """Two operators with one uid."""

    code: ClassVar[str] = "duplicate-uid"
    uid: str
    first: str
    second: str

    def sentence(self) -> str:
        return f"Operators {self.first!r} and {self.second!r} both have uid {self.uid!r}. Give each its own."


@dataclass(kw_only=True, eq=False)
class InvalidParallelism(MillstreamError):
    """A parallelism that cannot be."""

    code: ClassVar[str] = "invalid-parallelism"
    operator: str
    what: str
    fix: str

    def sentence(self) -> str:
        return f"Operator {self.operator} {self.what}. {self.fix}"


@dataclass(kw_only=True, eq=False)
class NoProgram(MillstreamError):
    """A script was to be shown or checked, and executed no job."""

    code: ClassVar[str] = "no-program"
    script: str
    built: str

    def sentence(self) -> str:
        what = f"It built a program ({self.built}), but never called env.execute()" if self.built else "It built no program"
        return f"{self.script} executed no job. {what}. If it needs arguments to do so, give them behind `--`."
