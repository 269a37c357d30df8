"""One measurement against a broker, in a process of its own: `python kafka_cases.py CASE BOOTSTRAP FEW INPUT OUTPUT RECORDS`.

FEW is a topic with 1,000 records, read once before. Prints JSON: `records`, `wall_s` and `cpu_s` from before the first connection is made to
behind the last record, everything in this process counted.
The bare loops use confluent-kafka with the settings that the connector gives it; what they do with a message stands in each.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import msgspec
from confluent_kafka import Consumer, Producer, TopicPartition

AT_ONCE = 500
FEW = 1_000
"""Records of the run before the one that is measured, after which everything is imported and compiled."""

CONSUMER = {
    "isolation.level": "read_committed",
    "enable.auto.commit": False,
    "auto.offset.reset": "error",
    "fetch.queue.backoff.ms": 5,
    "group.id": "bare",
}
PRODUCER = {"enable.idempotence": True, "linger.ms": 5}
CHECKPOINT_INTERVAL = "1s"


class Reading(msgspec.Struct):
    """The value of a message."""

    id: str
    timestamp: int
    temperature: float


# --- by hand


def bare_consumer(bootstrap: str, topic: str) -> Consumer:
    """At the beginning of all partitions, connected."""
    consumer = Consumer({"bootstrap.servers": bootstrap, **CONSUMER})
    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    return consumer


def bare_source(bootstrap: str, topic: str, output: str, records: int) -> int:
    """Looks at error, partition, offset and value of each message."""
    consumer, seen = bare_consumer(bootstrap, topic), 0
    while seen < records:
        for message in consumer.consume(AT_ONCE, 1.0):
            if message.error() is not None:
                raise RuntimeError(message.error())
            message.partition(), message.offset(), message.value()
            seen += 1
    consumer.close()
    return seen


def bare_json(bootstrap: str, topic: str, output: str, records: int) -> int:
    """The same, and decodes the value."""
    consumer, seen, decode = bare_consumer(bootstrap, topic), 0, msgspec.json.Decoder(Reading).decode
    while seen < records:
        for message in consumer.consume(AT_ONCE, 1.0):
            if message.error() is not None:
                raise RuntimeError(message.error())
            message.partition(), message.offset()
            decode(message.value() or b"")
            seen += 1
    consumer.close()
    return seen


def longer(value: bytes) -> bytes:
    """The map of the jobs from topic to topic."""
    return value + b"!"


def bare_pipe(bootstrap: str, topic: str, output: str, records: int) -> int:
    """Consumes, maps, produces; at the end everything is delivered."""
    consumer, seen, failed = bare_consumer(bootstrap, topic), 0, []
    settings = {"bootstrap.servers": bootstrap, **PRODUCER, "delivery.report.only.error": True, "on_delivery": lambda error, _: failed.append(error)}
    producer = Producer(settings)
    while seen < records:
        for message in consumer.consume(AT_ONCE, 1.0):
            if message.error() is not None:
                raise RuntimeError(message.error())
            message.partition(), message.offset()
            while True:
                try:
                    producer.produce(output, longer(message.value() or b""))
                    break
                except BufferError:
                    producer.poll(0.1)
            seen += 1
        producer.poll(0)
    while producer.flush(1.0):
        pass
    consumer.close()
    if failed:
        raise RuntimeError(failed[0])
    return seen


# --- Millstream


def environment() -> Any:
    from millstream import StreamExecutionEnvironment

    env = StreamExecutionEnvironment()
    return env.configure("checkpoint.storage", tempfile.mkdtemp(prefix="millstream-bench-")).configure("checkpoint.interval", CHECKPOINT_INTERVAL)


def null_sink() -> Any:
    """Takes everything and does nothing with it."""
    from millstream.contracts.guarantee import SinkCapabilities
    from millstream.contracts.sink import Sink, SinkContext, SinkWriter

    class Writer(SinkWriter[Any]):
        def write(self, values: Any, timestamps: Any) -> None:
            pass

        def flush(self) -> None:
            pass

    class Null(Sink[Any]):
        capabilities = SinkCapabilities(kind="plain")

        def open(self, context: SinkContext) -> SinkWriter[Any]:
            return Writer()

    return Null()


def source(bootstrap: str, topic: str, records: int, file_format: Any = "raw") -> Any:
    from millstream_kafka import KafkaSource, Offsets

    return KafkaSource(bootstrap, topic, file_format, stop=Offsets.latest())


def millstream_source(bootstrap: str, topic: str, output: str, records: int) -> int:
    """Values as bytes to nowhere."""
    env = environment()
    env.from_source(source(bootstrap, topic, records), uid="in").sink_to(null_sink(), uid="out")
    return taken(env.execute("source"))


def millstream_json(bootstrap: str, topic: str, output: str, records: int) -> int:
    """Typed records to nowhere."""
    from millstream.formats import JsonLinesFormat

    env = environment()
    env.from_source(source(bootstrap, topic, records, JsonLinesFormat(Reading)), uid="in").sink_to(null_sink(), uid="out")
    return taken(env.execute("json"))


def taken(result: Any) -> int:
    """Records that the source read, as the job itself counts them."""
    return int(result.counts["source(KafkaSource).numRecordsOut"])


def pipe(delivery: str) -> Callable[[str, str, str, int], int]:
    """From topic to topic."""

    def run(bootstrap: str, topic: str, output: str, records: int) -> int:
        from millstream_kafka import KafkaSink

        env = environment()
        sink = KafkaSink(bootstrap, output, delivery=delivery, transactional_id_prefix=output, client={"linger.ms": 5})  # type: ignore[arg-type, var-annotated]  # a str here, a Literal there
        env.from_source(source(bootstrap, topic, records), uid="in").map(longer).sink_to(sink, uid="out")
        return taken(env.execute("pipe"))

    return run


# --- a peer


def quix_pipe(bootstrap: str, topic: str, output: str, records: int) -> int:
    """The same with quixstreams, at least once: it commits every second."""
    from quixstreams import Application  # type: ignore[import-not-found,unused-ignore]  # not everybody has it

    app = Application(
        broker_address=bootstrap,
        consumer_group=f"quix-{output}",
        auto_offset_reset="earliest",
        commit_interval=1.0,
        loglevel="ERROR",
        consumer_extra_config={"isolation.level": "read_committed"},
        producer_extra_config={"linger.ms": 5},
    )
    frame = app.dataframe(app.topic(topic, value_deserializer="bytes", key_deserializer="bytes"))
    frame.apply(longer).to_topic(app.topic(output, value_serializer="bytes", key_serializer="bytes"))
    app.run(count=records, timeout=20.0)
    return records


CASES: dict[str, Callable[[str, str, str, int], int]] = {
    "bare_source": bare_source,
    "millstream_source": millstream_source,
    "bare_json": bare_json,
    "millstream_json": millstream_json,
    "bare_pipe": bare_pipe,
    "millstream_at_least_once": pipe("at_least_once"),
    "millstream_exactly_once": pipe("exactly_once"),
    "millstream_exactly_once_2pc": pipe("exactly_once_2pc"),
    "quix_pipe": quix_pipe,
}


def main() -> None:
    case, bootstrap, few, topic, output, records = sys.argv[1:7]
    if case == "quix_pipe":
        import quixstreams  # noqa: F401 - its import is not measured
    if case != "quix_pipe":  # which would leave a group behind
        CASES[case](bootstrap, few, output, FEW)
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    seen = CASES[case](bootstrap, topic, output, int(records))
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    print(json.dumps({"records": seen, "wall_s": wall_s, "cpu_s": cpu_s}))


if __name__ == "__main__":
    main()
