"""Writes the input topic at a steady pace, as another program would, however often the broker is away meanwhile."""

from __future__ import annotations

import argparse
import time

from confluent_kafka import KafkaError, Message, Producer
from readings import Plan

BURST_S = 0.02


def feed(bootstrap: str, topic: str, plan: Plan, per_s: float) -> None:
    """Writes all readings, in order within each partition, each once.

    Raises:
        RuntimeError: a message was not delivered.
    """
    failed: list[KafkaError] = []

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            failed.append(error)

    settings = {"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 20, "message.timeout.ms": 0, "log_level": 0}
    producer = Producer({**settings, "queue.buffering.max.messages": 1_000_000})
    begun_s = time.monotonic()
    for number, (partition, value) in enumerate(plan.messages()):
        while True:
            try:
                producer.produce(topic, value, partition=partition, on_delivery=delivered)
                break
            except BufferError:
                producer.poll(0.1)
        if number % 200 == 0:
            producer.poll(0)
            ahead_s = number / per_s - (time.monotonic() - begun_s)
            if ahead_s > BURST_S:
                time.sleep(ahead_s)  # the pace
    left = producer.flush(120)
    if left or failed:
        raise RuntimeError(f"{left} messages were not delivered; errors: {failed[:3]}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bootstrap")
    parser.add_argument("topic")
    parser.add_argument("records", type=int)
    parser.add_argument("per_s", type=float)
    options = parser.parse_args()
    feed(options.bootstrap, options.topic, Plan(options.records), options.per_s)
