"""Reports of messages that did not arrive. Knows nothing of whom they are for, so that a producer is released with its last user."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from millstream_kafka.client import KafkaError, Message


class Deliveries:
    """Collects them.

    Attributes:
        failed: since they were last taken.
    """

    def __init__(self) -> None:
        self.failed: list[tuple[KafkaError, Message]] = []

    def report(self, error: KafkaError | None, message: Message) -> None:
        """The library's callback."""
        if error is not None:
            self.failed.append((error, message))

    def take(self) -> list[tuple[KafkaError, Message]]:
        """What failed since the last call."""
        failed, self.failed = self.failed, []
        return failed
