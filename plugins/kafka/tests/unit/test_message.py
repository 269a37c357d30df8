"""Messages of records: key, headers, timestamp, and the limit of their size."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millstream.contracts.format import Encoder
from millstream.formats import JsonLinesFormat, RawFormat, TextFormat
from millstream_kafka.message import MessageMaker, OutgoingMessage
from millstream_kafka.topic_encoders import TopicEncoders


def maker(**options: Any) -> MessageMaker[Any]:
    chosen = {
        "topic": "out",
        "encoders": TopicEncoders(RawFormat(), "value"),
        "key": None,
        "headers": None,
        "partition": None,
        "limit_bytes": 1_000_000,
    }
    return MessageMaker(**{**chosen, **options})


def test_a_message_has_what_the_functions_say_of_its_record() -> None:
    made = maker(
        topic=lambda record: f"out-{record['kind']}",
        encoders=TopicEncoders(JsonLinesFormat[Any](), "value"),
        key=lambda record: record["id"],
        headers=lambda record: {"trace": b"\x00", "none": None, "text": "é"},
        partition=lambda record: 3,
    ).message({"kind": "a", "id": "k"}, 17)
    headers = (("trace", b"\x00"), ("none", None), ("text", "é".encode()))
    assert made == OutgoingMessage("out-a", b'{"kind":"a","id":"k"}', b"k", 17, 3, headers)


def test_none_is_a_tombstone() -> None:
    assert maker(key=lambda record: b"k").message(None, None) == OutgoingMessage("out", None, b"k")


class Careless(Encoder[Any]):
    """Gives text where bytes belong."""

    def encode(self, value: Any) -> bytes:
        return "text"  # type: ignore[return-value]


class CarelessFormat(RawFormat):
    def encoder(self) -> Any:
        return Careless()


@pytest.mark.parametrize(
    "wrong",
    [
        {"key": lambda record: 5},
        {"headers": lambda record: {"a": 1.5}},
        {"headers": lambda record: [(1, b"a")]},
        {"topic": lambda record: 7},
        {"partition": lambda record: "0"},
        {"partition": lambda record: -1},
        {"partition": lambda record: True},
        {"partition": lambda record: 2**31},
        {"headers": lambda record: ["ab"]},
        {"headers": lambda record: [("a", b"b", b"c")]},
        {"encoders": TopicEncoders(TextFormat(), "value")},
        {"encoders": TopicEncoders(CarelessFormat(), "value")},
        {"key": lambda record: b"k", "key_encoders": TopicEncoders(CarelessFormat(), "key")},
    ],
)
def test_what_has_no_form_as_a_message_is_the_records_fault(wrong: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        maker(**wrong).message(b"x", None)
    with pytest.raises(TypeError):
        maker(**wrong).messages([b"x"], None)


@pytest.mark.parametrize("topic", ["", ".", "..", "a/b", "a" * 250, "é", "markers"])
def test_a_topic_that_cannot_be_is_the_records_fault(topic: str) -> None:
    """In a checkpoint it would be sent, and refused, at every start."""
    for record in (b"x", None):
        with pytest.raises(ValueError, match=re.escape(f"the topic is {topic!r}")):
            maker(topic=lambda record: topic, marker_topic="markers").message(record, None)


def test_a_tombstone_has_a_limit_too() -> None:
    with pytest.raises(ValueError, match="2,000 are allowed"):
        maker(key=lambda record: b"k" * 2000, limit_bytes=2000).message(None, None)


def test_names_of_headers_count_as_bytes() -> None:
    assert OutgoingMessage("out", b"", headers=(("é" * 100, None),)).size_bytes() >= 200


def test_records_without_a_message_are_rejected_and_the_others_pass_in_order() -> None:
    rejected: list[tuple[object, Exception]] = []
    made = maker(limit_bytes=2000).valid_messages([b"a", "b", b"c" * 3000, b"d"], [1, 2, 3, 4], lambda *one: rejected.append(one))
    assert [(message.value, message.timestamp) for message in made] == [(b"a", 1), (b"d", 4)]
    assert [type(error) for _, error in rejected] == [TypeError, ValueError]
    assert "2,000 are allowed" in str(rejected[1][1])


@given(st.binary(max_size=3000), st.one_of(st.none(), st.binary(max_size=3000)), st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=500))))
def test_no_message_over_the_limit_passes(value: bytes, key: bytes | None, headers: list[tuple[str, bytes]]) -> None:
    made = OutgoingMessage("out", value, key, headers=tuple(headers))
    limited = maker(limit_bytes=3000, key=lambda record: key, headers=lambda record: headers)
    if made.size_bytes() > 3000:
        with pytest.raises(ValueError, match="3,000 are allowed"):
            limited.message(value, None)
    else:
        assert limited.message(value, None) == made


@given(
    st.binary(),
    st.one_of(st.none(), st.binary()),
    st.one_of(st.none(), st.integers(0, 2**62)),
    st.lists(st.tuples(st.text(), st.none() | st.binary())),
)
def test_a_message_comes_out_of_the_log_as_it_went_in(value: bytes, key: bytes | None, timestamp: int | None, headers: Any) -> None:
    made = OutgoingMessage("out", value, key, timestamp, None, tuple(headers))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(made), type=OutgoingMessage) == made


@given(st.lists(st.binary(max_size=60), max_size=8), st.booleans())
def test_a_batch_of_plain_records_is_made_as_each_by_itself(values: list[bytes], stamped: bool) -> None:
    stamps = list(range(len(values))) if stamped else None
    made = maker(limit_bytes=1_200)
    assert made.messages(values, stamps) == [made.message(value, stamps[number] if stamps else None) for number, value in enumerate(values)]
