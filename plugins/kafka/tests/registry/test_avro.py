"""Avro through a registry: against Confluent's own serializers, from one version of a schema to another, and what is no record."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypedDict
from uuid import UUID

import msgspec
import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream.contracts.format import DecodeError
from millstream.errors import InvalidArgument
from millstream_kafka import AvroFormat, SchemaRegistry
from millstream_kafka.registry.errors import RegistryRefused, SchemaIncompatible

USER = {"type": "record", "name": "User", "namespace": "shop", "fields": [{"name": "name", "type": "string"}, {"name": "age", "type": "int"}]}
USER_2 = {**USER, "fields": [*USER["fields"], {"name": "city", "type": "string", "default": "?"}]}  # type: ignore[misc]


@dataclass
class User:
    name: str
    age: int


class UserDict(TypedDict):
    name: str
    age: int


class UserStruct(msgspec.Struct):
    name: str
    age: int


def avro(registry: Any, schema: Any = None, **options: Any) -> AvroFormat[Any]:
    return AvroFormat(SchemaRegistry(registry.url), schema=None if schema is None else json.dumps(schema), **options)


def written(registry: Any, schema: Any, value: Any, **options: Any) -> bytes:
    return avro(registry, schema, **options).encoder_for("in", "value").encode(value)


CONTEXT = SerializationContext("in", MessageField.VALUE)


def test_confluents_deserializer_reads_what_is_written(registry: Any) -> None:
    raw = written(registry, USER, {"name": "Ada", "age": 36})
    with SchemaRegistryClient({"url": registry.url}) as client:
        assert AvroDeserializer(client)(raw, CONTEXT) == {"name": "Ada", "age": 36}
    assert list(registry.subjects) == ["in-value"]


def test_what_confluents_serializer_writes_is_read(registry: Any) -> None:
    with SchemaRegistryClient({"url": registry.url}) as client:
        raw = AvroSerializer(client, json.dumps(USER))({"name": "Ada", "age": 36}, CONTEXT)
    assert avro(registry).decoder_for("in", "value").decode(raw) == {"name": "Ada", "age": 36}


@pytest.mark.parametrize(
    ("record_type", "expected"),
    [
        (None, {"name": "Ada", "age": 36}),
        (dict, {"name": "Ada", "age": 36}),
        (User, User("Ada", 36)),
        (UserDict, {"name": "Ada", "age": 36}),
        (UserStruct, UserStruct("Ada", 36)),
    ],
)
def test_values_are_typed_and_written_from_their_types(registry: Any, record_type: Any, expected: Any) -> None:
    raw = written(registry, USER, expected)
    values = avro(registry, record_type=record_type).decoder_for("in", "value").decode_many([raw, raw])
    assert values == [expected, expected]
    assert {type(value) for value in values} == {type(expected)}


def test_a_field_of_another_type_than_asked_for_is_named(registry: Any) -> None:
    @dataclass
    class Aged:
        name: str
        age: str

    raw = written(registry, USER, {"name": "Ada", "age": 36})
    with pytest.raises(DecodeError, match="Expected `str`, got `int`") as raised:
        avro(registry, record_type=Aged).decoder_for("in", "value").decode(raw)
    assert raised.value.field == "age"


def test_logical_types_come_back_as_they_were(registry: Any) -> None:
    kinds = [
        ({"type": "long", "logicalType": "timestamp-millis"}, datetime(2026, 1, 2, 3, 4, 5, 6000, UTC), datetime),
        ({"type": "int", "logicalType": "date"}, date(2026, 1, 2), date),
        ({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}, Decimal("12.34"), Decimal),
        ({"type": "string", "logicalType": "uuid"}, UUID(int=7), UUID),
        (["null", "bytes"], b"\0\xff", bytes),
        ({"type": "map", "values": {"type": "array", "items": "double"}}, {"a": [1.5, float("inf")]}, dict[str, list[float]]),
        ({"type": "enum", "name": "E", "symbols": ["A", "B"]}, "B", str),
    ]
    fields = [{"name": f"f{number}", "type": kind} for number, (kind, _, _) in enumerate(kinds)]
    record_type: Any = msgspec.defstruct("All", [(f"f{number}", kind) for number, (_, _, kind) in enumerate(kinds)])
    value = record_type(*(value for _, value, _ in kinds))
    raw = written(registry, {"type": "record", "name": "All", "fields": fields}, value)
    assert avro(registry, record_type=record_type).decoder_for("in", "value").decode(raw) == value


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ("string", "é"),
        ("bytes", b"\x02ab"),
        ({"type": "bytes"}, b""),
        ("long", -(2**63)),
        (["null", "int"], None),
        ({"type": "array", "items": "int"}, []),
    ],
)
def test_values_that_are_no_records_are_read_and_written_as_confluent_does(registry: Any, schema: Any, value: Any) -> None:
    raw = written(registry, schema, value)
    assert avro(registry).decoder_for("in", "value").decode(raw) == value
    if value is not None:  # which their client takes for a tombstone
        with SchemaRegistryClient({"url": registry.url}) as client:
            theirs = AvroSerializer(client, json.dumps(schema))(value, CONTEXT)
        assert theirs is not None
        assert theirs[5:] == raw[5:]


def test_a_reader_schema_fills_in_what_old_messages_lack_and_drops_what_new_ones_have_more(registry: Any) -> None:
    old, new = written(registry, USER, {"name": "Ada", "age": 36}), written(registry, USER_2, {"name": "Bo", "age": 7, "city": "Oslo"})
    read = [{"name": "Ada", "age": 36, "city": "?"}, {"name": "Bo", "age": 7, "city": "Oslo"}]
    assert avro(registry, USER_2).decoder_for("in", "value").decode_many([old, new]) == read
    assert avro(registry, latest=True).decoder_for("in", "value").decode_many([old, new]) == read
    cut = [{"name": "Ada", "age": 36}, {"name": "Bo", "age": 7}]
    assert avro(registry, USER).decoder_for("in", "value").decode_many([old, new]) == cut
    assert avro(registry).decoder_for("in", "value").decode_many([old, new]) == [cut[0], read[1]]


def test_a_reader_schema_that_the_writers_does_not_fit_makes_the_message_no_record(registry: Any) -> None:
    raw = written(registry, USER, {"name": "Ada", "age": 36})
    other = {**USER, "fields": [{"name": "email", "type": "string"}]}
    with pytest.raises(DecodeError, match=r"schema 1 \(shop\.User\).*email"):
        avro(registry, other).decoder_for("in", "value").decode(raw)


def test_schemas_that_others_refer_to_are_found(registry: Any) -> None:
    registry.register("city", json.dumps({"type": "record", "name": "City", "namespace": "geo", "fields": [{"name": "zip", "type": "string"}]}))
    home = {"type": "record", "name": "Home", "fields": [{"name": "city", "type": "geo.City"}]}
    reference = {"name": "geo.City", "subject": "city", "version": 1}
    registry.register("home", json.dumps(home), references=[reference])
    pair = [{"name": "one", "type": "Home"}, {"name": "other", "type": "geo.City"}]
    both = [{"name": "Home", "subject": "home", "version": 1}, reference]
    registry.register("in-value", json.dumps({"type": "record", "name": "Pair", "fields": pair}), references=both)
    value = {"one": {"city": {"zip": "1"}}, "other": {"zip": "2"}}
    raw = avro(registry, latest=True).encoder_for("in", "value").encode(value)
    assert avro(registry).decoder_for("in", "value").decode(raw) == value
    with SchemaRegistryClient({"url": registry.url}) as client:
        assert AvroDeserializer(client)(raw, CONTEXT) == value


@pytest.mark.parametrize(
    ("subject", "part", "expected"),
    [
        ("{topic}-{part}", "value", "in-value"),
        ("{topic}-{part}", "key", "in-key"),
        ("{record}", "value", "shop.User"),
        ("{topic}-{record}", "value", "in-shop.User"),
        ("users", "value", "users"),
    ],
)
def test_subjects_are_named_as_the_strategies_of_confluent_do(registry: Any, subject: str, part: Any, expected: str) -> None:
    raw = avro(registry, USER, subject=subject).encoder_for("in", part).encode({"name": "Ada", "age": 36})
    assert list(registry.subjects) == [expected]
    if part == "value":
        assert avro(registry, latest=True, subject=subject).decoder_for("in", part).decode(raw) == {"name": "Ada", "age": 36}


def test_without_a_topic_a_subject_that_names_none_is_needed(registry: Any) -> None:
    assert avro(registry).decoder().decode(avro(registry, USER, subject="users").encoder().encode({"name": "Ada", "age": 36}))
    with pytest.raises(InvalidArgument, match="without {topic}"):
        avro(registry, USER).encoder()
    with pytest.raises(InvalidArgument, match="without {record}"):
        avro(registry, latest=True, subject="{record}").encoder()


def test_a_sink_without_a_schema_is_told_so(registry: Any) -> None:
    with pytest.raises(InvalidArgument, match="latest=True"):
        avro(registry).encoder_for("out", "value")


def test_without_auto_register_the_schema_has_to_be_there(registry: Any) -> None:
    with pytest.raises(
        RegistryRefused, match=r"find the schema of the sink under subject 'in-value': Subject 'in-value' not found.*auto_register=True"
    ):
        avro(registry, USER, auto_register=False).encoder_for("in", "value")
    assert registry.schemas == []
    number = registry.register("in-value", json.dumps(USER))
    raw = avro(registry, USER, auto_register=False).encoder_for("in", "value").encode({"name": "Ada", "age": 36})
    assert raw[:5] == b"\0" + number.to_bytes(4, "big")
    with pytest.raises(RegistryRefused, match="Schema not found"):
        avro(registry, USER_2, auto_register=False).encoder_for("in", "value")


def test_an_incompatible_schema_is_refused_with_the_reason(registry: Any) -> None:
    avro(registry, USER).encoder_for("in", "value")
    changed = {**USER, "fields": [*USER["fields"], {"name": "city", "type": "string"}]}  # type: ignore[misc]
    with pytest.raises(SchemaIncompatible, match=r"subject 'in-value': .*city.*needs a default") as raised:
        avro(registry, changed).encoder_for("in", "value")
    assert (raised.value.subject, raised.value.outage, raised.value.permanent) == ("in-value", False, True)
    assert len(registry.schemas) == 1


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"name": "Ada"}, "age"),
        ({"name": "Ada", "age": 36, "city": "Oslo"}, "city"),
        ({"name": "Ada", "age": "old"}, "age"),
        ({"name": "Ada", "age": 2**40}, "age"),
        (["Ada", 36], ""),
        (None, ""),
    ],
    ids=str,
)
def test_a_value_that_does_not_fit_is_refused_with_field_and_schema(registry: Any, value: Any, said: str) -> None:
    with pytest.raises(ValueError, match=rf"schema 1 \(shop\.User\) of subject 'in-value'.*{said}"):
        written(registry, USER, value)


def test_a_field_with_a_default_may_be_left_out(registry: Any) -> None:
    raw = written(registry, USER_2, {"name": "Ada", "age": 36})
    assert avro(registry).decoder_for("in", "value").decode(raw)["city"] == "?"


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "0 bytes, too few"),
        (b"\0\0\0\0", "4 bytes, too few"),
        (b'{"name": "Ada"}', "begins with byte 0x7b"),
        (b"\x01" + bytes(20), "begins with byte 0x01"),
        (b"\0\0\0\0\x63\x02", "schema id is 99, which the schema registry at http://127.0.0.1:.* does not know"),
        (b"\0\0\0\0\x02\x02", "schema 2 at http.* is of type PROTOBUF, and AvroFormat reads AVRO"),
        (b"\0\0\0\0\x03\x02", "schema 3 cannot be understood"),
        (b"\0\0\0\0\x01\x08Ad", r"cannot be read as schema 1 \(shop\.User\)"),
        (b"\0\0\0\0\x01\x04Ad\x48x", "1 bytes are left"),
    ],
    ids=str,
)
def test_what_is_no_record_is_told_with_its_reason(registry: Any, raw: bytes, said: str) -> None:
    registry.register("in-value", json.dumps(USER))
    registry.register("other", "proto", "PROTOBUF")
    registry.schemas.append({"schema": '{"type": "nonsense"}', "schemaType": "AVRO", "references": []})
    decoder = avro(registry).decoder_for("in", "value")
    with pytest.raises(DecodeError, match=said):
        decoder.decode(raw)
    with pytest.raises(DecodeError):
        decoder.decode_many([b"\0\0\0\0\x01\x04Ad\x48", raw])
    assert decoder.decode(b"\0\0\0\0\x01\x04Ad\x48") == {"name": "Ad", "age": 36}


def test_the_latest_version_to_read_with_has_to_be_avro(registry: Any) -> None:
    raw = written(registry, USER, {"name": "Ada", "age": 36}, subject="avro")
    registry.register("proto", "proto", "PROTOBUF")
    for format, part in ((avro(registry, latest=True, subject="proto"), "in"), (avro(registry, latest=True, subject="none"), "in")):
        with pytest.raises(RegistryRefused, match=r"type PROTOBUF|Subject 'none' not found"):
            format.decoder_for(part, "value").decode(raw)
    with pytest.raises(RegistryRefused, match="type PROTOBUF"):
        avro(registry, latest=True, subject="proto").encoder_for("in", "value")


def test_each_schema_is_asked_for_once(registry: Any) -> None:
    one, other = written(registry, USER, {"name": "Ada", "age": 36}), written(registry, USER_2, {"name": "Bo", "age": 7, "city": "Oslo"})
    registry.requests.clear()
    decoder = avro(registry).decoder_for("in", "value")
    for _ in range(3):
        decoder.decode_many([one, other] * 100)
    assert registry.requests == ["GET /schemas/ids/1", "GET /schemas/ids/2"]


def test_what_was_looked_up_ahead_is_not_asked_for_again_but_what_was_not_found_is_in_the_next_batch(registry: Any) -> None:
    known = written(registry, USER, {"name": "Ada", "age": 36})
    unknown = b"\0\0\0\0\x02" + known[5:]
    decoder = avro(registry).decoder_for("in", "value")
    missing = decoder.unresolved([b"no record", known, None, unknown, known])
    assert missing == {known[:5]: 1, unknown[:5]: 3}
    for head in missing:
        decoder.resolve(head)
    registry.requests.clear()
    assert decoder.unresolved([known, unknown]) == {}
    assert decoder.decode(known)
    with pytest.raises(DecodeError, match="schema id is 2"):
        decoder.decode(unknown)
    assert registry.requests == []
    decoder.forget_unknown()
    registry.register("late", json.dumps(USER_2))  # of another field more: the message still lacks it
    with pytest.raises(DecodeError, match="cannot be read as schema 2"):
        decoder.decode(unknown)


@pytest.mark.parametrize(
    "options",
    [
        {"schema": "{"},
        {"schema": '{"type": "record", "name": "R", "fields": [{"name": "a", "type": "Elsewhere"}]}'},
        {"schema": '"nonsense"'},
        {"schema": 5},
        {"schema": '"string"', "latest": True},
        {"subject": "{topic"},
        {"subject": "{table}"},
        {"subject": ""},
        {"record_type": 5},
        {"registry": "http://registry:8081"},
    ],
    ids=str,
)
def test_an_option_that_makes_no_sense_is_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=rf"AvroFormat\(({'|'.join(options)})="):
        AvroFormat(**{"registry": SchemaRegistry("http://127.0.0.1:1"), **options})


INT_UNIONS = ["null", {"type": "record", "name": "A", "fields": [{"name": "n", "type": "int"}]}, {"type": "map", "values": "int"}]
TREE = {"type": "record", "name": "T", "fields": [{"name": "n", "type": "int"}, {"name": "next", "type": ["null", "T"], "default": None}]}


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ("int", 2**31 - 1, 2**31),
        ({"type": "array", "items": "int"}, [1, -(2**31)], [1, -(2**31) - 1]),
        ({"type": "map", "values": ["null", "int"]}, {"a": None, "b": 5}, {"a": None, "b": 2**40}),
        (["null", "int", "long"], 2**40, None),
        (["int", "string"], "x", 2**40),
        (INT_UNIONS, {"n": 5}, {"n": 2**40}),
        (TREE, {"n": 1, "next": {"n": 2, "next": None}}, {"n": 1, "next": {"n": 2, "next": {"n": 2**31}}}),
        ("long", 2**63 - 1, 2**63),
    ],
    ids=str,
)
def test_a_number_that_no_other_client_could_read_is_refused(registry: Any, schema: Any, good: Any, bad: Any) -> None:
    encoder = avro(registry, schema).encoder_for("in", "value")
    assert avro(registry).decoder_for("in", "value").decode(encoder.encode(good)) == good
    if bad is not None:
        with pytest.raises(ValueError, match="does not fit"):
            encoder.encode(bad)


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(st.lists(st.builds(User, NAMES, st.integers(-(2**31), 2**31 - 1)), min_size=1, max_size=20))
def test_records_come_back_equal(registry: Any, users: list[User]) -> None:
    format = avro(registry, USER, record_type=User)
    encoder, decoder = format.encoder_for("in", "value"), format.decoder_for("in", "value")
    assert decoder.decode_many([encoder.encode(user) for user in users]) == users


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=timedelta(seconds=5), max_examples=200)
@given(st.integers(0, 40), st.binary(max_size=4), st.integers(0, 4))
def test_damaged_bytes_are_no_record_or_another_but_never_another_error(registry: Any, at: int, put: bytes, cut: int) -> None:
    raw = written(registry, USER_2, {"name": "Ada", "age": 36, "city": "Oslo"})
    decoder = avro(registry).decoder_for("in", "value")
    try:
        found = decoder.decode(raw[:at] + put + raw[at + cut :])
    except DecodeError:
        return
    assert set(found) == {"name", "age", "city"}
