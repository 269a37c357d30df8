"""A state backend together with a checkpoint storage: what the state of a job survives with both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from millstream_testkit.harness import Harness

if TYPE_CHECKING:
    from millstream_testkit.state_harness import StateBackendHarness
    from millstream_testkit.storage_harness import CheckpointStorageHarness


@dataclass(frozen=True)
class PairingDeclaration:
    """What a pairing declares.

    Attributes:
        state_backend: name of its harness.
        checkpoint_storage: name of its harness.
        durable: as the storage.
    """

    state_backend: str
    checkpoint_storage: str
    durable: bool


class PairingHarness(Harness):
    """Two harnesses that are there already.

    Attributes:
        state_backend: harness of the backend.
        checkpoint_storage: harness of the storage.
    """

    state_backend: ClassVar[type[StateBackendHarness]]
    checkpoint_storage: ClassVar[type[CheckpointStorageHarness]]

    def declared(self) -> PairingDeclaration:
        """What both declare."""
        storage = self.checkpoint_storage()
        return PairingDeclaration(self.state_backend.name, storage.name, storage.declared().durable)

    def connector(self) -> type:
        return self.state_backend().connector()

    def guarantee(self) -> str:
        return self.checkpoint_storage().guarantee()
