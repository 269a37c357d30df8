"""Where a registry is, how to log in, and what it means when it does not answer."""

from __future__ import annotations

import json
import pickle
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme
from google.protobuf.timestamp_pb2 import Timestamp

from millstream.config import Secret
from millstream.errors import InvalidArgument, SecretUnavailable
from millstream_kafka import AvroFormat, KafkaSink, KafkaSource, ProtobufFormat, SchemaRegistry
from millstream_kafka.errors import SettingRefused
from millstream_kafka.registry.client import RegistryClient
from millstream_kafka.registry.errors import RegistryRefused, RegistryUnreachable

ONCE = {"max.retries": 0}


def client(registry: Any, **options: Any) -> RegistryClient:
    return RegistryClient(SchemaRegistry(registry.url, **{"client": ONCE, **options}))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"url": "registry:8081"}, "url"),
        ({"url": "ftp://registry"}, "url"),
        ({"url": "http://"}, "url"),
        ({"url": "http://registry:port"}, "url"),
        ({"url": "http://a,,http://b"}, "url"),
        ({"url": "http://app:hunter2@registry"}, r"app:\*\*\*@registry.*username"),
        ({"username": "app"}, "username"),
        ({"password": "hunter2"}, "username"),
        ({"username": "a:b", "password": "hunter2"}, "username"),
        ({"client": {"timeout": [1]}}, "timeout"),
    ],
    ids=str,
)
def test_an_option_that_makes_no_sense_is_refused_by_name(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidArgument, match=said) as raised:
        SchemaRegistry(**{"url": "http://registry:8081", **arguments})
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("name", ["url", "basic.auth.user.info"])
def test_a_setting_with_an_argument_of_its_own_is_refused(name: str) -> None:
    with pytest.raises(SettingRefused, match=rf"sets '{name}'"):
        SchemaRegistry("http://registry:8081", client={name: "app:hunter2"})


@pytest.mark.parametrize("wrong", [{"time.out": 5}, {"ssl.ca.location": "/no/such/file"}, {"max.retries": "many"}], ids=str)
def test_a_setting_that_the_client_does_not_take_is_told(registry: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingRefused, match=r"SchemaRegistry\(client=\.\.\.\): "):
        client(registry, client=wrong).schema(1)


def test_passwords_are_shown_nowhere_and_followed_where_they_are_needed(registry: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.login = ("app", "hunter2")
    number = registry.register("users", '"string"')
    described = SchemaRegistry(registry.url, "app", Secret("${env:REGISTRY_PASSWORD}"), {"ssl.key.password": "s3cret"})
    source = KafkaSource[Any]("127.0.0.1:9092", "in", AvroFormat[Any](described))
    sink = KafkaSink[Any](
        "127.0.0.1:9092", "out", AvroFormat[Any](described, schema='"string"'), key=str, key_format=AvroFormat(described, latest=True)
    )
    for made in (described, source, sink, sink.resolve()):
        for shown in (repr(made), repr(made.__dict__), repr(pickle.loads(pickle.dumps(made)))):
            assert "hunter2" not in shown
            assert "s3cret" not in shown
    with pytest.raises(SecretUnavailable, match="REGISTRY_PASSWORD"):
        RegistryClient(described).schema(number)
    monkeypatch.setenv("REGISTRY_PASSWORD", "hunter2")
    asking = RegistryClient(SchemaRegistry(registry.url, "app", Secret("${env:REGISTRY_PASSWORD}")))
    found = asking.schema(number)
    assert found is not None
    assert found.text == '"string"'
    monkeypatch.setenv("REGISTRY_PASSWORD", "wrong")  # read again each time
    with pytest.raises(RegistryRefused, match=r"Unauthorized \(HTTP 401\)\. Check username and password") as raised:
        asking.schema(number)
    assert "wrong" not in str(raised.value)


def test_formats_travel_to_other_processes() -> None:
    described = SchemaRegistry("http://registry:8081", "app", Secret("${env:PASSWORD}"))
    made: Any
    for made in (AvroFormat[Any](described, schema='"string"'), ProtobufFormat(described, Timestamp)):
        assert pickle.loads(pickle.dumps(made)) == made


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429, 408])
def test_a_registry_that_cannot_answer_now_is_an_outage(registry: Any, status: int) -> None:
    registry.broken = status, '{"error_code": 50003, "message": "no leader"}'
    for ask in (lambda: client(registry).schema(1), lambda: client(registry).latest("users")):
        with pytest.raises(RegistryUnreachable, match=rf"no leader \(HTTP {status}\)") as raised:
            ask()
        assert raised.value.outage


def test_a_registry_that_is_not_there_is_an_outage(registry: Any) -> None:
    number = registry.register("users", '"string"')
    registry.stop()
    try:
        with pytest.raises(RegistryUnreachable, match=rf"{registry.url} cannot be reached to read schema {number}: .*efused") as raised:
            client(registry).schema(number)
        assert (raised.value.outage, raised.value.permanent) == (True, False)
    finally:
        registry.start()
    assert client(registry).schema(number) is not None


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ((404, "<html>not here</html>"), "nothing there answers as a registry does"),
        ((404, '{"error_code": 404, "message": "HTTP 404 Not Found"}'), "nothing there answers as a registry does"),
        ((200, "<html>hello</html>"), "is not the answer of a registry"),
        ((200, "[1]"), "is not the answer of a registry"),
        ((403, '{"error_code": 40301, "message": "User is denied"}'), "User is denied"),
    ],
    ids=str,
)
def test_what_is_no_registry_or_lets_nobody_in_is_not_waited_for(registry: Any, broken: Any, said: str) -> None:
    registry.broken = broken
    with pytest.raises(RegistryRefused, match=said) as raised:
        client(registry).schema(1)
    assert (raised.value.outage, raised.value.permanent) == (False, True)


def test_over_tls_a_certificate_of_an_unknown_authority_is_refused_and_that_of_a_known_one_is_not(registry: Any, tmp_path: Path) -> None:
    registry.stop()
    authority = trustme.CA()
    registry.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(registry.tls)
    registry.start()
    number = registry.register("users", '"string"')
    with pytest.raises(RegistryRefused, match=r"certificate.*ssl\.ca\.location"):
        client(registry).schema(number)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    assert client(registry, client={"ssl.ca.location": str(tmp_path / "ca.pem")}).schema(number) is not None


def test_an_invalid_schema_is_refused_with_the_registrys_reason(registry: Any) -> None:
    valid_here_only = json.dumps({"type": "enum", "name": "E", "symbols": ["not-a-name"]})
    with pytest.raises((RegistryRefused, InvalidArgument), match=r"not-a-name|Invalid schema"):
        AvroFormat[Any](SchemaRegistry(registry.url), schema=valid_here_only).encoder_for("in", "value")


def test_a_format_of_keys_needs_a_key() -> None:
    with pytest.raises(InvalidArgument, match="key_format"):
        KafkaSink[Any]("127.0.0.1:9092", "out", key_format="json")
