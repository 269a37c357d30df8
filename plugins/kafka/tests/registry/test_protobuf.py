"""Protobuf through a registry: against Confluent's own serializers, and what is no message of the class."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf.timestamp_pb2 import Timestamp

from millstream.contracts.format import DecodeError
from millstream.errors import InvalidArgument
from millstream_kafka import ProtobufFormat, SchemaRegistry
from millstream_kafka.registry.errors import RegistryRefused
from millstream_kafka.registry.framing import message_path_head, message_path_of

CONTEXT = SerializationContext("in", MessageField.VALUE)


def protobuf(registry: Any, message_type: Any, **options: Any) -> ProtobufFormat[Any]:
    return ProtobufFormat(SchemaRegistry(registry.url), message_type, **options)


def messages(shop: Any) -> list[Any]:
    return [shop.Order(id=7, customer="Ada", total=shop.Money(currency="EUR", cents=250)), shop.Refund(order_id=7), shop.Item(sku="x")]


@pytest.mark.parametrize("which", [0, 1, 2], ids=["first", "second", "nested"])
def test_confluents_client_reads_what_is_written_and_the_other_way_round(registry: Any, shop: Any, which: int) -> None:
    message = messages(shop)[which]
    raw = protobuf(registry, type(message)).encoder_for("in", "value").encode(message)
    with SchemaRegistryClient({"url": registry.url}) as client:
        assert ProtobufDeserializer(type(message), {"use.deprecated.format": False}, client)(raw, CONTEXT) == message
        theirs = ProtobufSerializer(type(message), client, {"use.deprecated.format": False})(message, CONTEXT)
    assert theirs == raw
    decoder = protobuf(registry, type(message)).decoder_for("in", "value")
    assert decoder.decode_many([theirs, raw]) == [message, message]
    assert sorted(registry.subjects) == ["in-value", "shop/money.proto"]


def test_files_that_every_registry_has_are_not_registered(registry: Any) -> None:
    raw = protobuf(registry, Timestamp).encoder_for("in", "value").encode(Timestamp(seconds=5))
    assert protobuf(registry, Timestamp).decoder_for("in", "value").decode(raw) == Timestamp(seconds=5)
    assert list(registry.subjects) == ["in-value"]


def test_without_auto_register_the_file_has_to_be_there(registry: Any, shop: Any) -> None:
    given = protobuf(registry, shop.Order, auto_register=False)
    with pytest.raises(RegistryRefused, match=r"under subject 'in-value': Subject 'shop/money\.proto' not found.*auto_register=True"):
        given.encoder_for("in", "value")
    assert registry.schemas == []
    first = protobuf(registry, shop.Order).encoder_for("in", "value")
    assert given.encoder_for("in", "value").encode(shop.Order(id=1)) == first.encode(shop.Order(id=1))


def test_the_latest_version_is_written_with_if_the_message_is_in_it(registry: Any, shop: Any) -> None:
    moved = type(shop.file)()
    moved.CopyFrom(shop.file)
    moved.message_type.insert(0, type(moved.message_type[0])(name="Hello"))
    moved.dependency.pop()
    del moved.message_type[1].field[2]
    registry.register("in-value", base64.b64encode(moved.SerializeToString()).decode(), "PROTOBUF")
    raw = protobuf(registry, shop.Order, latest=True).encoder_for("in", "value").encode(shop.Order(id=1))
    assert raw[:7] == b"\0\0\0\0\x01" + message_path_head([1])[:2]
    assert protobuf(registry, shop.Order).decoder_for("in", "value").decode(raw) == shop.Order(id=1)
    with pytest.raises(RegistryRefused, match=r"write shop\.Money with: that message is not in it"):
        protobuf(registry, shop.Money, latest=True).encoder_for("in", "value")
    registry.register("avro-value", '"string"')
    with pytest.raises(RegistryRefused, match="type AVRO"):
        protobuf(registry, shop.Order, latest=True).encoder_for("avro", "value")


def test_another_message_of_the_same_file_is_not_taken_for_the_class(registry: Any, shop: Any) -> None:
    raw = protobuf(registry, shop.Refund).encoder_for("in", "value").encode(shop.Refund(order_id=7))
    assert shop.Order.FromString(raw[7:]) == shop.Order(id=7)  # as which it could be read
    with pytest.raises(DecodeError, match=r"a shop\.Refund by schema 2, and shop\.Order is read"):
        protobuf(registry, shop.Order).decoder_for("in", "value").decode(raw)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"\0\0\0\0", "too few"),
        (b"\x08\x01", "too few"),
        (b"\x08\x01" * 4, "begins with byte 0x08"),
        (b"\0\0\0\0\x02", "ends inside the indexes"),
        (b"\0\0\0\0\x02\x02", "ends inside the indexes"),
        (b"\0\0\0\0\x02\x01", "-1 indexes"),
        (b"\0\0\0\0\x02\xff\xff\xff\xff\x0f", "indexes"),
        (b"\0\0\0\0\x02\x02\x12", r"message \[9\] of schema 2, which has none"),
        (b"\0\0\0\0\x02\x00\x08", r"no shop\.Order"),
        (b"\0\0\0\0\x63\x00", "schema id is 99"),
        (b"\0\0\0\0\x03\x00", "type AVRO, and ProtobufFormat reads PROTOBUF"),
    ],
    ids=str,
)
def test_what_is_no_message_is_told_with_its_reason(registry: Any, shop: Any, raw: bytes, said: str) -> None:
    good = protobuf(registry, shop.Order).encoder_for("in", "value").encode(shop.Order(id=1))
    registry.register("avro", '"string"')
    decoder = protobuf(registry, shop.Order).decoder_for("in", "value")
    with pytest.raises(DecodeError, match=said):
        decoder.decode(raw)
    with pytest.raises(DecodeError):
        decoder.decode_many([good, raw])
    assert decoder.decode(good) == shop.Order(id=1)


def test_a_registry_that_gives_no_descriptor_is_trusted(registry: Any, shop: Any, caplog: pytest.LogCaptureFixture) -> None:
    registry.register("in-value", "message Order {}", "PROTOBUF")
    assert protobuf(registry, shop.Order).decoder_for("in", "value").decode(b"\0\0\0\0\x01\x00\x08\x05") == shop.Order(id=5)
    assert "taken for shop.Order" in caplog.text


def test_a_record_of_another_class_is_refused(registry: Any, shop: Any) -> None:
    with pytest.raises(TypeError, match="it is Refund, and this sink writes Order"):
        protobuf(registry, shop.Order).encoder_for("in", "value").encode(shop.Refund())


def test_each_schema_is_asked_for_once(registry: Any, shop: Any) -> None:
    raw = protobuf(registry, shop.Refund).encoder_for("in", "value").encode(shop.Refund(order_id=7))
    registry.requests.clear()
    decoder = protobuf(registry, shop.Refund).decoder_for("in", "value")
    assert decoder.unresolved([raw, raw]) == {raw[:7]: 0}
    for _ in range(3):
        decoder.decode_many([raw] * 100)
    assert set(registry.requests) == {"GET /schemas/ids/2", "GET /subjects/shop%2Fmoney.proto/versions/1"}
    assert len(registry.requests) == 3


@pytest.mark.parametrize("path", [[0], [1], [5, 0], [300, 2, 70_000]], ids=str)
def test_indexes_come_back(path: list[int]) -> None:
    raw = b"\0\0\0\0\x01" + message_path_head(path)
    assert message_path_of(raw + b"rest") == (path, len(raw))


@pytest.mark.parametrize("wrong", [dict, "Order", Timestamp()], ids=str)
def test_a_class_that_is_none_of_messages_is_refused(wrong: Any) -> None:
    with pytest.raises(InvalidArgument, match="message_type"):
        ProtobufFormat(SchemaRegistry("http://127.0.0.1:1"), wrong)
