"""A job's end that somebody asked for and waits for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from millstream.errors import StopFailed

if TYPE_CHECKING:
    from millstream.checkpoint.savepoint import Done


@dataclass
class Stop:
    """A wish to stop.

    Attributes:
        drain: event time ends first.
        done: takes where the savepoint, or the last checkpoint, is; or why the job was not stopped. To be called once.
        savepoint: where its savepoint is; None before there is one.
    """

    job_name: str
    drain: bool
    done: Done
    savepoint: str | None = None

    def refuse(self, reason: str) -> None:
        """It will not come to that end."""
        fix = "Look at its status, and ask again if it runs."
        if self.savepoint is not None:
            fix = f"The savepoint at {self.savepoint} is complete all the same. {fix}"
        self.done(None, StopFailed(job_name=self.job_name, reason=reason, fix=fix))
