"""What can be wrong with a harness, as opposed to a connector: each sentence ends with the fix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from millstream.errors import MillstreamError


@dataclass(kw_only=True, eq=False)
class HarnessUnusable(MillstreamError):
    """A harness that the kit cannot work with."""

    code: ClassVar[str] = "harness-unusable"
    harness: str
    reason: str
    fix: str

    def sentence(self) -> str:
        return f"The harness {self.harness} cannot be used: {self.reason}. {self.fix}."


@dataclass(kw_only=True, eq=False)
class ReadsFromInside(MillstreamError):
    """A harness whose `read` looks at what the connector says of itself."""

    code: ClassVar[str] = "reads-from-inside"
    harness: str
    evidence: str

    def sentence(self) -> str:
        return (
            f"{self.harness}.read() is not an outside reader: {self.evidence}. What a connector says of itself proves nothing, and is gone "
            "with the process that is killed. Read the target as a stranger would: open a new connection with the target's own client library "
            "(or open its files), at the isolation that its readers use, and close it again."
        )
