"""What the author of a checkpoint storage writes to have it proved."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from millstream_testkit.errors import HarnessUnusable
from millstream_testkit.harness import Harness

if TYPE_CHECKING:
    from pathlib import Path

    from millstream.contracts.checkpoint_storage import CheckpointStorage


@dataclass(frozen=True)
class CheckpointStorageDeclaration:
    """What a checkpoint storage declares.

    Attributes:
        durable: checkpoints outlive the process, and other processes find them.
        storage_port: it does everything through the `storage` of its context, so that a disk that forgets and fails can stand in.
    """

    durable: bool
    storage_port: bool = False


class CheckpointStorageHarness(Harness):
    """A checkpoint storage under test.

    Attributes:
        storage_port: see `CheckpointStorageDeclaration`.
        example_location: a text that `storage` takes for a location, to ask the storage what it declares; nothing is opened. With
            `storage_port` it is also a path on the disk that stands in.
    """

    storage_port: ClassVar[bool] = False
    example_location: ClassVar[str] = "/tmp/millstream-testkit-example"  # noqa: S108 - never opened

    def create_location(self, folder: Path) -> str:
        """Makes a place for one test and returns how to find it: a path, a URL, the name of a bucket.

        Args:
            folder: a new, empty folder, for storages that are files.
        """
        return str(folder / "checkpoints")

    def drop_location(self, location: str) -> None:
        """Removes it with everything in it. Files in the folder given to `create_location` are removed without it."""

    @abstractmethod
    def storage(self, location: str) -> CheckpointStorage:
        """The storage. Called in the process that is killed, too."""

    def damage(self, location: str, job_name: str, checkpoint_id: int, name: str | None, change: str) -> bool:
        """Damages what the storage keeps, behind its back.

        Args:
            location: as `create_location` gave it.
            job_name: whose checkpoint.
            checkpoint_id: which.
            name: a file; None for the manifest.
            change: `cut` (half of it is left), `flip` (a bit in its middle) or `lose` (it is gone).

        Returns:
            False where nobody can get there.
        """
        return False

    def declared(self) -> CheckpointStorageDeclaration:
        """The storage's capabilities.

        Raises:
            HarnessUnusable: the storage cannot be made without a location, or does not say whether it is durable.
        """
        storage = self._example()
        durable: object = getattr(storage, "durable", None)
        if not isinstance(durable, bool):
            raise HarnessUnusable(
                harness=type(self).__name__,
                reason=f"its storage {type(storage).__name__} has durable={durable!r}",
                fix="Give the storage's class `durable = True` or False",
            )
        return CheckpointStorageDeclaration(durable, self.storage_port)

    def _example(self) -> CheckpointStorage:
        try:
            return self.storage(self.example_location)
        except Exception as error:
            raise HarnessUnusable(
                harness=type(self).__name__,
                reason=f"storage({self.example_location!r}) raised {type(error).__name__}: {error}",
                fix="A storage is a description that connects in open(); if it needs a location of another form, set example_location to one",
            ) from error

    def connector(self) -> type:
        return type(self._example())

    def guarantee(self) -> str:
        return "exactly_once" if self.declared().durable else "at_most_once"
