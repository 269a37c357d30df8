"""The folder in which the processes of a job note what was done to them: the one who makes a fault's note is the one it strikes."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from millstream_testkit.processes.fault import ProcessFault

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Role: TypeAlias = Literal["program", "worker"]

_PLAN: Final = "faults.json"


@dataclass(frozen=True)
class Strike:
    """A fault that struck.

    Attributes:
        fault: its number in the plan.
        role: of the process at the point.
        pid: of that process.
        victim: process that was killed or stopped, or in which the exception was raised.
    """

    fault: int
    role: Role
    pid: int
    victim: int


class Strikes:
    """The notes.

    Args:
        folder: exists.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def plan(self, faults: Sequence[ProcessFault]) -> None:
        """Says what is to be done, in order."""
        (self.folder / _PLAN).write_text(json.dumps([asdict(fault) for fault in faults]))

    def planned(self) -> list[ProcessFault]:
        """What is to be done."""
        return [ProcessFault(**fields) for fields in json.loads((self.folder / _PLAN).read_text())]

    def has_struck(self, fault: int) -> bool:
        """Whether it was done."""
        return self._note(fault).exists()

    def claim(self, strike: Strike) -> bool:
        """True for one process only: it is to do it."""
        whole = self.folder / f".{strike.fault}-{strike.pid}"
        whole.write_text(json.dumps(asdict(strike)))
        try:
            os.link(whole, self._note(strike.fault))  # whole at once, and for one only
        except FileExistsError:
            return False
        finally:
            whole.unlink()
        return True

    def struck(self) -> list[Strike]:
        """What was done so far, in order."""
        notes = sorted(self.folder.glob("struck-*"), key=lambda path: int(path.name.removeprefix("struck-")))
        return [Strike(**json.loads(note.read_text())) for note in notes]

    def worker_started(self) -> None:
        """A TaskManager begins; all faults that have struck so far did so before."""
        (self.folder / f"began-behind-{len(self.struck())}-{os.getpid()}").touch()

    def most_behind_workers(self) -> int:
        """The number of faults that had struck when the newest TaskManager began."""
        return max((int(path.name.split("-")[2]) for path in self.folder.glob("began-behind-*")), default=0)

    def survived(self, fault: int) -> None:
        """The process goes on behind a kill or a stop."""
        (self.folder / f"survived-{fault}").touch()

    def has_survived(self, fault: int) -> bool:
        """Whether the process went on."""
        return (self.folder / f"survived-{fault}").exists()

    def passed(self, role: Role, point: str) -> None:
        """A process of that role came by the point."""
        (self.folder / f"passed-{role}-{point}").touch()

    def passers(self) -> dict[str, set[str]]:
        """Who came by which point."""
        found: dict[str, set[str]] = {}
        for note in self.folder.glob("passed-*"):
            _, role, point = note.name.split("-", 2)
            found.setdefault(point, set()).add(role)
        return found

    def _note(self, fault: int) -> Path:
        return self.folder / f"struck-{fault}"
