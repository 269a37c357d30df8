"""What can be wrong with a service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from millstream.errors import MillstreamError


@dataclass(kw_only=True, eq=False)
class ServiceUnavailable(MillstreamError):
    """A test needs a server, and there is none.

    Attributes:
        service: its name, as in MILLSTREAM_TEST_<NAME>.
        reason: why there is none.
        fix: what to do.
    """

    code: ClassVar[str] = "testkit.service_unavailable"

    service: str
    reason: str
    fix: str

    def sentence(self) -> str:
        return f"There is no {self.service} for the tests: {self.reason}. {self.fix}."
