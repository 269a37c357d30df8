"""What can go wrong here and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from millstream.errors import MillstreamError


@dataclass(kw_only=True, eq=False)
class PortsInUse(MillstreamError):
    """None of the ports could be listened to."""

    code: ClassVar[str] = "prometheus-ports-in-use"
    first: int
    last: int
    reason: str

    def sentence(self) -> str:
        which = f"port {self.first}" if self.first == self.last else f"ports {self.first} to {self.last}"
        return (
            f"The metrics reporter prometheus cannot listen on {which} of 127.0.0.1: {self.reason}. Name another port or a range, for example "
            f"metrics.reporters = prometheus:{self.first}-{max(self.last, self.first) + 10}, or prometheus:0 for any free port."
        )
