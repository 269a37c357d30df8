"""Reports of messages that did not arrive. Knows nothing of whom they are for, so that a producer is released with its last user."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from millstream_kafka.client import KafkaException

if TYPE_CHECKING:
    from millstream_kafka.client import KafkaError, Message, Producer


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

    def take_from(self, producer: Producer) -> list[tuple[KafkaError, Message]]:
        """What failed since the last call, after this producer has failed at something else: its reports may still be on their way to here."""
        with suppress(KafkaException, SystemError):  # said once already, by what failed
            producer.poll(0)
        return self.take()

    def take(self) -> list[tuple[KafkaError, Message]]:
        """What failed since the last call."""
        failed, self.failed = self.failed, []
        return failed
