"""What options of the Kafka source and sink are refused, and how; nothing is connected for it."""

from __future__ import annotations

import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from millstream.config import Secret
from millstream.contracts.guarantee import Guarantee
from millstream.errors import InvalidArgument, UnknownPlugin
from millstream_kafka import KafkaSink, KafkaSource, Offsets
from millstream_kafka.errors import SettingRefused
from millstream_kafka.settings import REFUSED, REFUSED_BY_SINK, REFUSED_BY_SOURCE

SERVERS = "127.0.0.1:9092"


def source(**options: Any) -> KafkaSource[Any]:
    return KafkaSource(**{"bootstrap_servers": SERVERS, "topics": "in", **options})


def sink(**options: Any) -> KafkaSink[Any]:
    return KafkaSink(**{"bootstrap_servers": SERVERS, "topic": "out", **options})


@pytest.mark.parametrize(
    "options",
    [
        {"bootstrap_servers": "localhost"},
        {"bootstrap_servers": ""},
        {"bootstrap_servers": "a:1,,b:2"},
        {"bootstrap_servers": "localhost:99999"},
        {"bootstrap_servers": None},
        {"bootstrap_servers": 9092},
        {"bootstrap_servers": b"localhost:9092"},
        {"bootstrap_servers": [b"localhost:9092"]},
        {"bootstrap_servers": "http://localhost:9092"},
        {"bootstrap_servers": "localhost:\uff19092"},
        {"topics": ()},
        {"topics": None},
        {"topics": 5},
        {"topics": b"in"},
        {"topics": ["in", 5]},
        {"topics": "."},
        {"topics": ".."},
        {"topics": ["in", "in"]},
        {"deserializer": 3},
        {"deserializer": str, "format": "json"},
        {"client": ["fetch.max.bytes"]},
        {"topics": "in", "topic_pattern": "in.*"},
        {"topics": ["in", "not a topic"]},
        {"topics": (), "topic_pattern": "("},
        {"topics": (), "topic_pattern": b"in.*"},
        {"topics": (), "topic_pattern": 5},
        {"group_id": ""},
        {"group_id": " "},
        {"group_id": 5},
        {"format": None},
        {"client": {5: 5}},
        {"discovery_interval": timedelta.max},
        {"start": "earliest"},
        {"stop": 5},
        {"start": Offsets.committed()},
        {"isolation_level": "committed"},
        {"tombstones": "drop"},
        {"discovery_interval": timedelta(0)},
        {"client": {"fetch.max.bytes": [1]}},
    ],
    ids=str,
)
def test_an_option_of_the_source_that_makes_no_sense_is_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as raised:
        source(**options)
    assert any(name in str(raised.value) for name in (*options, "group_id")), str(raised.value)


@pytest.mark.parametrize(
    "options",
    [
        {"bootstrap_servers": ["a"]},
        {"topic": "not a topic"},
        {"topic": None},
        {"topic": 5},
        {"topic": ".."},
        {"delivery": None},
        {"delivery": ["exactly_once"]},
        {"marker_topic": 5},
        {"transactional_id_prefix": None},
        {"transaction_timeout": timedelta.max},
        {"format": None},
        {"client": {"message.max.bytes": "large"}},
        {"client": {"message.max.bytes": -1}},
        {"client": {"message.max.bytes": True}},
        {"delivery": "exactly-once"},
        {"transactional_id_prefix": ""},
        {"marker_topic": "a/b"},
        {"marker_topic": "out", "delivery": "exactly_once"},
        {"marker_topic": "out", "delivery": "exactly_once_2pc"},
        {"key": "id"},
        {"headers": {}},
        {"partition": 1},
        {"transaction_timeout": timedelta(milliseconds=1)},
    ],
    ids=str,
)
def test_an_option_of_the_sink_that_makes_no_sense_is_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as raised:
        sink(**options)
    assert any(name in str(raised.value) for name in options), str(raised.value)


@pytest.mark.parametrize("name", [*REFUSED, *REFUSED_BY_SOURCE])
def test_a_setting_that_the_sources_guarantee_depends_on_is_refused_with_reason_and_fix(name: str) -> None:
    with pytest.raises(SettingRefused, match=rf"^KafkaSource\(client=\.\.\.\) sets '{name}': .+\. .+\.$"):
        source(client={name: "x"})


@pytest.mark.parametrize("name", [*REFUSED, *REFUSED_BY_SINK])
def test_a_setting_that_the_sinks_guarantee_depends_on_is_refused_with_reason_and_fix(name: str) -> None:
    with pytest.raises(SettingRefused, match=rf"^KafkaSink\(client=\.\.\.\) sets '{name}': .+\. .+\.$"):
        sink(client={name: "x"})


@pytest.mark.parametrize("when", [-1, -5, True, 1.5, datetime(1969, 12, 31, tzinfo=UTC)], ids=str)
def test_a_time_before_1970_or_that_is_none_is_refused(when: Any) -> None:
    """Kafka has other meanings for negative ones: -1 is the end."""
    with pytest.raises(InvalidArgument, match=r"Offsets\.at\(when\) is .*Offsets\.earliest\(\) is the first record"):
        Offsets.at(when)


@pytest.mark.parametrize(
    "offsets", [{"in": 1}, {("in", "0"): 1}, {("in", -1): 1}, {("in", 0): -1}, {("in", 0): True}, {("in", 0): 1.5}, [("in", 0)]], ids=str
)
def test_offsets_that_are_none_are_refused(offsets: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"Offsets\.given\(offsets\) is "):
        Offsets.given(offsets)


@pytest.mark.parametrize(("delivery", "marker_topic"), [("exactly_once", "millstream-markers"), ("exactly_once_2pc", "millstream-markers-2pc")])
def test_each_delivery_has_a_topic_of_markers_of_its_own(delivery: str, marker_topic: str) -> None:
    resolved: Any = sink(delivery=delivery).resolve()
    assert resolved.marker_topic == marker_topic
    resolved = sink(delivery=delivery, marker_topic="mine").resolve()
    assert resolved.marker_topic == "mine"


def test_an_unknown_format_gets_a_suggestion() -> None:
    with pytest.raises(UnknownPlugin, match="Did you mean 'json'"):
        source(format="jsn")


def test_passwords_are_shown_nowhere_and_followed_where_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_PASSWORD", "hunter2")
    for made in (
        source(client={"sasl.password": Secret("${env:KAFKA_PASSWORD}"), "ssl.key.pem": "BEGIN PRIVATE"}),
        sink(client={"sasl.password": Secret("${env:KAFKA_PASSWORD}"), "ssl.key.pem": "BEGIN PRIVATE"}, delivery="exactly_once"),
    ):
        connected = made.connection if isinstance(made, KafkaSource) else made.target.connection
        for shown in (repr(made), repr(connected), str(made.client), repr(made.__dict__)):
            assert "hunter2" not in shown
            assert "PRIVATE" not in shown
        revealed = pickle.loads(pickle.dumps(connected)).revealed({})
        assert (revealed["sasl.password"], revealed["ssl.key.pem"]) == ("hunter2", "BEGIN PRIVATE")


def test_descriptions_travel_to_other_processes() -> None:
    assert pickle.loads(pickle.dumps(source(start=Offsets.at(5)))) == source(start=Offsets.at(5))
    for delivery in ("at_least_once", "exactly_once", "exactly_once_2pc"):
        made = sink(delivery=delivery)
        assert pickle.loads(pickle.dumps(made)) == made
        resolved = made.resolve()
        assert pickle.loads(pickle.dumps(resolved)) == resolved


@pytest.mark.parametrize(
    ("delivery", "strongest"),
    [
        ("at_least_once", Guarantee.AT_LEAST_ONCE),
        ("exactly_once", Guarantee.EXACTLY_ONCE),
        ("exactly_once_2pc", Guarantee.EXACTLY_ONCE),
    ],
)
def test_each_delivery_declares_what_it_gives(delivery: Any, strongest: Guarantee) -> None:
    assert sink(delivery=delivery).capabilities.strongest() is strongest


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("PLAINTEXT://localhost:9092", "PLAINTEXT://localhost:9092"),
        ("sasl_ssl://[::1]:9092", "sasl_ssl://[::1]:9092"),
        ("kafka-1:9092, kafka-2:9092", "kafka-1:9092,kafka-2:9092"),
        (["kafka-1:9092", "kafka-2:9092"], "kafka-1:9092,kafka-2:9092"),
    ],
)
def test_addresses_are_taken_in_the_forms_that_the_library_has(given: Any, used: str) -> None:
    assert sink(bootstrap_servers=given).bootstrap_servers == used
    assert source(bootstrap_servers=given).bootstrap_servers == used


def test_the_source_is_bounded_when_it_has_an_end() -> None:
    assert (source().bounded, source(stop=Offsets.latest()).bounded) == (False, True)


def test_places_are_checked() -> None:
    assert Offsets.at(datetime(2026, 1, 1, tzinfo=UTC)) == Offsets.at(1_767_225_600_000)
    for wrong in (
        lambda: Offsets.at(datetime(2026, 1, 1)),  # noqa: DTZ001 - that is what is refused
        lambda: Offsets.given({("in", 0): -1}),
        lambda: Offsets.given({("in", 0): 2**63}),
        lambda: Offsets.given({("in", 2**31): 0}),
        lambda: Offsets.at(10**20),
        lambda: Offsets.committed(otherwise="newest"),  # type: ignore[arg-type]
    ):
        with pytest.raises(InvalidArgument, match=r"Offsets"):
            wrong()
