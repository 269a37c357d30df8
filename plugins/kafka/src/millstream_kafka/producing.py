"""Hands messages to the client library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from millstream_kafka.client import Client, KafkaException, Producer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millstream_kafka.message import OutgoingMessage

_FULL_S: Final = 0.1


def produce(client: Client, producer: Producer, messages: Sequence[OutgoingMessage]) -> None:
    """Puts messages into the queue of a producer, and waits while it is full.

    Raises:
        KafkaUnreachable, KafkaRefused, KafkaFailed: the client takes no more.
    """
    put = producer.produce
    for message in messages:
        while True:
            try:
                if message.timestamp is None and message.partition is None and not message.headers:
                    put(message.topic, message.value, message.key)
                else:
                    put(
                        message.topic,
                        message.value,
                        message.key,
                        partition=-1 if message.partition is None else message.partition,
                        timestamp=message.timestamp or 0,
                        headers=list(message.headers),
                    )
            except BufferError:
                producer.poll(_FULL_S)
            except KafkaException as error:
                client.fail(f"write to topic {message.topic!r}", error)
            else:
                break
