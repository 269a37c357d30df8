"""Hands messages to the client library, and begins transactions."""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING, Any, Final

from millstream_kafka.client import Client, KafkaException, Producer, log
from millstream_kafka.interruptible import interruptibly
from millstream_kafka.undelivered import NotTaken

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from millstream_kafka.message import OutgoingMessage

_FULL_S: Final = 0.1
_INIT_S: Final = 30.0
_INIT_TRIES: Final = 6


def produce(producer: Producer, messages: Sequence[OutgoingMessage]) -> None:
    """Puts messages into the queue of a producer, and waits while it is full.

    Raises:
        NotTaken: the client does not take one.
    """
    put = producer.produce
    for message in messages:
        while True:
            try:
                # By position, which is faster by a third; the fifth and sixth are two names for the callback, which the producer has already.
                put(
                    message.topic,
                    message.value,
                    message.key,
                    -1 if message.partition is None else message.partition,
                    None,
                    None,
                    message.timestamp or 0,
                    list(message.headers) if message.headers else None,
                )
            except BufferError:
                producer.poll(_FULL_S)
            except KafkaException as error:
                raise NotTaken(error.args[0], message.topic, message.partition) from error
            else:
                break


def produce_values(producer: Producer, topic: str, values: Sequence[bytes], timestamps: Sequence[int] | None) -> None:
    """The same for messages that are a value and a timestamp.

    Raises:
        NotTaken: the client does not take one.
    """
    put = producer.produce
    for value, timestamp in zip(values, timestamps or repeat(0)):
        while True:
            try:
                put(topic, value, None, -1, None, None, timestamp)
            except BufferError:
                producer.poll(_FULL_S)
            except KafkaException as error:
                raise NotTaken(error.args[0], topic, None) from error
            else:
                break


def begin_transactions(client: Client, settings: Mapping[str, Any], name: str, topic: str | None = None) -> Producer:
    """A producer whose transactional id is its own: whoever had it before is fenced, and what was open is decided.

    Args:
        settings: of the producer.
        name: the transactional id, for errors.
        topic: one that is there, if any is known.

    Raises:
        KafkaUnreachable, KafkaRefused, KafkaFailed: it cannot be had.
    """
    producer = client.producer(settings)
    for left in reversed(range(_INIT_TRIES)):
        try:
            # Connects: else the next call waits half a second for a timer of the library. All topics of a cluster are a long answer.
            interruptibly(lambda: producer.list_topics(topic=topic, timeout=_INIT_S))
            interruptibly(lambda: producer.init_transactions(_INIT_S))
        except KafkaException as error:
            if not left or not error.args[0].retriable():
                client.fail(f"begin transactions as {name}", error)
            log.info("transactional id %s: %s; trying again", name, error.args[0].str())
        else:
            break
    return producer
