"""Source and sinks with a schema registry against a real broker: round trips, poison, and a registry that is away for a while."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from millstream import DeadLetterRecord, JobStatus, StreamExecutionEnvironment, dead_letter
from millstream.api.sinks import CollectSink
from millstream.errors import JobFailedError, MalformedRecord, RecordRefused
from millstream_kafka import AvroFormat, KafkaRecord, KafkaSink, KafkaSource, Offsets, ProtobufFormat, SchemaRegistry
from millstream_kafka.registry.errors import RegistryRefused, RegistryUnreachable, SchemaIncompatible

pytestmark = pytest.mark.one_python

DELIVERIES = ["at_least_once", "exactly_once", "exactly_once_2pc"]
ORDER = {"type": "record", "name": "Order", "namespace": "shop", "fields": [{"name": "id", "type": "int"}, {"name": "to", "type": "string"}]}
ORDER_2 = {**ORDER, "fields": [*ORDER["fields"], {"name": "gift", "type": "boolean", "default": False}]}  # type: ignore[misc]


@dataclass
class Order:
    id: int
    to: str
    gift: bool = False


def of(registry: Any) -> SchemaRegistry:
    return SchemaRegistry(registry.url, client={"max.retries": 0})


def avro(registry: Any, schema: Any = None, **options: Any) -> AvroFormat[Any]:
    return AvroFormat(of(registry), schema=None if schema is None else json.dumps(schema), **options)


def environment(folder: Path, **settings: str) -> StreamExecutionEnvironment:
    env = StreamExecutionEnvironment().configure("checkpoint.storage", str(folder)).configure("checkpoint.interval", "50ms")
    for name, value in settings.items():
        env.configure(name.replace("__", "."), value)
    return env


def serialized(registry: Any, topic: str, schema: Any, *values: Any) -> list[bytes]:
    """As a producer of Confluent's writes them."""
    with SchemaRegistryClient({"url": registry.url}) as client:
        serializer = AvroSerializer(client, json.dumps(schema))
        return [serializer(value, SerializationContext(topic, MessageField.VALUE)) for value in values]  # type: ignore[misc]


def wait_until(condition: Callable[[], bool]) -> None:
    waited = threading.Event()
    for _ in range(600):
        if condition():
            return
        waited.wait(0.05)
    raise AssertionError("it has not come to that")


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_avro_goes_from_confluents_producer_through_a_job_to_confluents_consumer(broker: Any, registry: Any, tmp_path: Path, delivery: Any) -> None:
    into, out = broker.topic(), broker.topic()
    broker.write(into, serialized(registry, into, ORDER, *({"id": number, "to": "Ada"} for number in range(1200))))
    broker.write(into, serialized(registry, into, ORDER_2, {"id": 1200, "to": "Bo", "gift": True}))
    env = environment(tmp_path)
    orders = env.from_source(KafkaSource[Order](broker.bootstrap, into, avro(registry, record_type=Order), stop=Offsets.latest()), uid="in")
    keys = avro(registry, "string")
    orders.map(lambda order: Order(order.id + 1, order.to, order.gift)).sink_to(
        KafkaSink(broker.bootstrap, out, avro(registry, ORDER_2), delivery, key=lambda order: order.to, key_format=keys), uid="out"
    )
    env.execute("avro")
    with SchemaRegistryClient({"url": registry.url}) as client:
        read = AvroDeserializer(client)
        found = [
            (read(m.key(), SerializationContext(out, MessageField.KEY)), read(m.value(), SerializationContext(out, MessageField.VALUE)))
            for m in broker.read(out)
        ]
    expected: list[Any] = [("Ada", {"id": number + 1, "to": "Ada", "gift": False}) for number in range(1200)]
    assert found == [*expected, ("Bo", {"id": 1201, "to": "Bo", "gift": True})]
    assert {f"{out}-value", f"{out}-key"} <= set(registry.subjects)


def test_protobuf_goes_through_a_job_to_confluents_consumer(broker: Any, registry: Any, shop: Any, tmp_path: Path) -> None:
    topic, out = broker.topic(2), broker.topic()
    env = environment(tmp_path / "write")
    made = env.from_collection(range(20), uid="in").map(lambda number: shop.Order(id=number, total=shop.Money(cents=number)))
    made.sink_to(
        KafkaSink(broker.bootstrap, topic, ProtobufFormat(of(registry), shop.Order), "exactly_once", partition=lambda o: o.id % 2), uid="out"
    )
    env.execute("write")
    env = environment(tmp_path / "copy")
    orders = env.from_source(KafkaSource[Any](broker.bootstrap, topic, ProtobufFormat(of(registry), shop.Order), stop=Offsets.latest()), uid="in")
    refunds = orders.map(lambda order: shop.Refund(order_id=order.total.cents))
    refunds.sink_to(KafkaSink(broker.bootstrap, out, ProtobufFormat(of(registry), shop.Refund), "exactly_once"), uid="out")
    env.execute("copy")
    with SchemaRegistryClient({"url": registry.url}) as client:
        read = ProtobufDeserializer(shop.Refund, {"use.deprecated.format": False}, client)
        found: list[Any] = [read(m.value(), SerializationContext(out, MessageField.VALUE)) for m in broker.read(out)]
    assert sorted(refund.order_id for refund in found) == list(range(20))


def test_what_is_no_record_goes_to_the_dead_letters_with_its_place_and_the_rest_passes(broker: Any, registry: Any, shop: Any) -> None:
    topic = broker.topic()
    first, last = serialized(registry, topic, ORDER, {"id": 1, "to": "Ada"}, {"id": 2, "to": "Bo"})
    other = ProtobufFormat(of(registry), shop.Order).encoder_for("other", "value").encode(shop.Order(id=3))
    wrong = [b'{"id": 3}', b"\0\0\0\x03\xe7\x02", other, first[:-1], None]
    broker.write(topic, [first, *wrong, last])
    letters: list[DeadLetterRecord] = []
    env = StreamExecutionEnvironment()
    source = KafkaSource[Order](broker.bootstrap, topic, avro(registry, record_type=Order), stop=Offsets.latest())
    orders = env.from_source(source, uid="in", on_error=dead_letter(CollectSink(letters)))
    assert list(orders.execute_and_collect("poison")) == [Order(1, "Ada"), Order(2, "Bo")]
    assert [letter.position for letter in letters] == [f"topic {topic!r}, partition 0, offset {number}" for number in range(1, 6)]
    for letter, said in zip(letters, ["byte 0x7b", "schema id is 999", "type PROTOBUF", "cannot be read as schema 1", "tombstone"]):
        assert said in letter.error
    assert registry.requests.count("GET /schemas/ids/999") == 1


def test_what_is_no_record_ends_the_job_with_its_place_unless_told_otherwise(broker: Any, registry: Any) -> None:
    topic = broker.topic()
    broker.write(topic, [*serialized(registry, topic, ORDER, {"id": 1, "to": "Ada"}), b"no record"])
    source = KafkaSource[Any](broker.bootstrap, topic, avro(registry), stop=Offsets.latest())
    with pytest.raises(JobFailedError, match=rf"topic '{topic}', partition 0, offset 1.*was not written with a schema registry") as raised:
        list(StreamExecutionEnvironment().from_source(source, uid="in").execute_and_collect("poison"))
    assert isinstance(raised.value.__cause__, MalformedRecord)


def test_a_field_of_another_type_is_named_with_its_place(broker: Any, registry: Any) -> None:
    @dataclass
    class Typed:
        id: str

    topic = broker.topic()
    broker.write(topic, serialized(registry, topic, ORDER, {"id": 1, "to": "Ada"}))
    source = KafkaSource[Any](broker.bootstrap, topic, avro(registry, record_type=Typed), stop=Offsets.latest())
    with pytest.raises(JobFailedError, match=r"offset 0, field id.*Expected `str`, got `int`"):
        list(StreamExecutionEnvironment().from_source(source, uid="in").execute_and_collect("typed"))


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_a_record_that_does_not_fit_the_schema_is_named_and_skipped_if_asked(broker: Any, registry: Any, tmp_path: Path, delivery: Any) -> None:
    topic = broker.topic()
    values = [{"id": 1, "to": "Ada"}, {"id": "two", "to": "Bo"}, {"id": 3, "to": "Cy"}]
    for on_error in ("fail", "skip"):
        env = environment(tmp_path / on_error)
        sink = KafkaSink[Any](broker.bootstrap, topic, avro(registry, ORDER), delivery)
        env.from_collection(values, uid="in").sink_to(sink, uid="out", on_error=on_error)  # type: ignore[arg-type]
        if on_error == "fail":
            with pytest.raises(JobFailedError, match=rf"schema 1 \(shop\.Order\) of subject '{topic}-value'") as raised:
                env.execute("misfit")
            assert isinstance(raised.value.__cause__, RecordRefused)
            topic = broker.topic()
        else:
            env.execute("misfit")
    found = avro(registry).decoder_for(topic, "value").decode_many([message.value() for message in broker.read(topic)])
    assert [order["id"] for order in found] == [1, 3]


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_an_incompatible_schema_ends_the_job_before_data_flows(broker: Any, registry: Any, tmp_path: Path, delivery: Any) -> None:
    topic = broker.topic()
    registry.register(f"{topic}-value", '"string"')
    env = environment(tmp_path)
    sink = KafkaSink[Any](broker.bootstrap, topic, avro(registry, ORDER), delivery)
    env.from_collection([{"id": 1, "to": "Ada"}], uid="in").sink_to(sink, uid="out", on_error="skip")
    with pytest.raises(JobFailedError, match=rf"not compatible.*subject '{topic}-value'") as raised:
        env.execute("incompatible")
    assert isinstance(raised.value.__cause__, SchemaIncompatible)
    assert broker.read(topic) == []


def test_a_job_that_has_never_run_does_not_wait_for_a_registry_and_names_the_message(broker: Any, registry: Any) -> None:
    topic = broker.topic()
    broker.write(topic, serialized(registry, topic, ORDER, {"id": 1, "to": "Ada"}))
    registry.login = ("app", "secret")
    source = KafkaSource[Any](broker.bootstrap, topic, avro(registry), stop=Offsets.latest())
    with pytest.raises(JobFailedError, match=r"Unauthorized") as raised:
        list(StreamExecutionEnvironment().from_source(source, uid="in", on_error="skip").execute_and_collect("login"))
    assert isinstance(raised.value.__cause__, RegistryRefused)
    assert raised.value.__cause__.place == f"topic {topic!r}, partition 0, offset 0"
    sink = KafkaSink[Any](broker.bootstrap, topic, AvroFormat(SchemaRegistry("http://127.0.0.1:1", client={"max.retries": 0}), schema='"int"'))
    env = StreamExecutionEnvironment()
    env.from_collection([1], uid="in").sink_to(sink, uid="out")
    with pytest.raises(JobFailedError) as raised:
        env.execute("away")
    assert isinstance(raised.value.__cause__, RegistryUnreachable)


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_while_the_registry_is_away_a_job_waits_and_skips_nothing(broker: Any, registry: Any, tmp_path: Path, delivery: Any) -> None:
    into, out = broker.topic(), [broker.topic(), broker.topic()]
    old, new = serialized(registry, into, ORDER, {"id": 0, "to": "Ada"}, {"id": 1, "to": "Bo"})
    (changed,) = serialized(registry, into, ORDER_2, {"id": 2, "to": "Cy", "gift": True})
    env = environment(tmp_path, restart__initial="50ms")
    source = KafkaSource[Order](broker.bootstrap, into, avro(registry, record_type=Order))
    sink = KafkaSink[Order](broker.bootstrap, lambda order: out[order.id % 2], avro(registry, ORDER_2), delivery)
    env.from_source(source, uid="in", on_error="skip").sink_to(sink, uid="out", on_error="skip")
    broker.write(into, [old])
    job = env.execute_async(f"waits {uuid.uuid4().hex}")
    wait_until(lambda: len(broker.read(out[0])) == 1)
    for message in (new, changed):  # for the sink another topic, then for the source another schema
        registry.broken = 503, '{"error_code": 50003, "message": "no leader"}'
        registry.requests.clear()
        broker.write(into, [message])
        wait_until(lambda: len(registry.requests) >= 2)
        registry.broken = None
        last = out[1] if message is new else out[0]
        known = 1 if message is new else 2
        wait_until(lambda: len(broker.read(last)) >= known)  # noqa: B023
    job.cancel()
    assert job.result(30).status is JobStatus.CANCELED
    decoder = avro(registry, record_type=Order).decoder_for(out[0], "value")
    found = {order.id for topic in out for order in decoder.decode_many([message.value() for message in broker.read(topic)])}
    assert found == {0, 1, 2}
    if delivery != "at_least_once":
        assert [len(broker.read(topic)) for topic in out] == [2, 1]


def test_a_function_of_the_whole_message_may_read_keys_with_a_registry(broker: Any, registry: Any) -> None:
    topic = broker.topic()
    (key,) = serialized(registry, "keys", "string", "Ada")
    broker.write(topic, [(key, b"1", None), (b"no key", b"2", None)])
    decoder = avro(registry).decoder()

    def read(record: KafkaRecord) -> Any:
        return decoder.decode(record.key or b""), record.value

    env = StreamExecutionEnvironment()
    source = KafkaSource[Any](broker.bootstrap, topic, deserializer=read, stop=Offsets.latest())
    assert list(env.from_source(source, uid="in", on_error="skip").execute_and_collect("keys")) == [("Ada", b"1")]
    registry.broken = 503, "{}"
    decoder = avro(registry).decoder()
    with pytest.raises(JobFailedError) as raised:
        list(StreamExecutionEnvironment().from_source(source, uid="in", on_error="skip").execute_and_collect("keys"))
    assert isinstance(raised.value.__cause__, RegistryUnreachable)
