"""What the author of a state backend writes to have it proved."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from millstream_testkit.errors import HarnessUnusable
from millstream_testkit.harness import Harness

if TYPE_CHECKING:
    from millstream.contracts.state_backend import StateBackend


@dataclass(frozen=True)
class StateBackendDeclaration:
    """What a state backend declares.

    Attributes:
        sliced: it encodes snapshots a slice at a time, between batches. Without it all is encoded in one call, which stops the task.
        incremental: a key group in which nothing has changed gives the same bytes in the next snapshot, so that a checkpoint refers to
            what an earlier one stored. Without it every checkpoint stores everything.
    """

    sliced: bool = True
    incremental: bool = True


class StateBackendHarness(Harness):
    """A state backend under test.

    Attributes:
        declares: its capabilities.
        slice_entries: how many entries may be encoded, or looked at, in a call of `advance` whose time is up already.
        snapshot_limit_s: how long a snapshot of a few thousand entries may take.
        example_folder: that `backend` takes for a folder, to ask the backend what it is; nothing is opened.
    """

    declares: ClassVar[StateBackendDeclaration] = StateBackendDeclaration()
    slice_entries: ClassVar[int] = 4_096
    snapshot_limit_s: ClassVar[float] = 30.0
    example_folder: ClassVar[str] = "/tmp/millstream-testkit-example"  # noqa: S108 - never opened

    @abstractmethod
    def backend(self, folder: Path) -> StateBackend:
        """The backend.

        Args:
            folder: for backends that keep files; what attempts that closed nothing have left there is still in it.
        """

    def declared(self) -> StateBackendDeclaration:
        """The backend's capabilities.

        Raises:
            HarnessUnusable: `declares` is something else.
        """
        declared: object = self.declares
        if not isinstance(declared, StateBackendDeclaration):
            raise HarnessUnusable(
                harness=type(self).__name__,
                reason=f"its declares is {declared!r}",
                fix="Give the harness `declares = StateBackendDeclaration(sliced=..., incremental=...)`",
            )
        return declared

    def connector(self) -> type:
        try:
            return type(self.backend(Path(self.example_folder)))
        except Exception as error:
            raise HarnessUnusable(
                harness=type(self).__name__,
                reason=f"backend({self.example_folder!r}) raised {type(error).__name__}: {error}",
                fix="A state backend is a description that makes files in open(); if it needs a folder of another form, set example_folder to one",
            ) from error

    def guarantee(self) -> str:
        return "exactly_once"
