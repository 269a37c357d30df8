"""What the plugin makes of the client libraries' ways."""

from __future__ import annotations

import logging
import ssl
from typing import Any

import pytest
from confluent_kafka import KafkaError

from millstream_kafka.client import Client
from millstream_kafka.errors import KafkaFailed, KafkaRefused, KafkaUnreachable, SettingRefused
from millstream_kafka.repeats import AGAIN_S, NoRepeats
from millstream_kafka.second_client_settings import translated
from millstream_kafka.settings import connection


def record(text: str, created: float, level: int = logging.ERROR) -> logging.LogRecord:
    made = logging.LogRecord("client", level, "client.py", 1, text, None, None)
    made.created = created
    return made


def test_a_message_of_the_client_is_not_repeated_for_a_while_and_is_a_warning_at_most() -> None:
    no_repeats = NoRepeats()
    first = record("127.0.0.1:9092 failed (after 3ms)", 0.0)
    assert no_repeats.filter(first)
    assert first.levelno == logging.WARNING
    assert not no_repeats.filter(record("127.0.0.1:9092 failed (after 5ms)", AGAIN_S - 0.1))
    assert no_repeats.filter(record("another", AGAIN_S - 0.1))
    assert no_repeats.filter(record("127.0.0.1:9092 failed (after 7ms)", AGAIN_S))


def test_a_coordinator_that_loads_is_no_warning() -> None:
    passing = record("GETPID: Failed to acquire PID from broker TxnCoordinator/1: Broker: Coordinator load in progress: retrying", 0.0)
    assert NoRepeats().filter(passing)
    assert passing.levelno == logging.INFO


@pytest.mark.parametrize(
    ("code", "kind", "outage"),
    [
        (KafkaError._TRANSPORT, KafkaUnreachable, True),
        (KafkaError._TIMED_OUT, KafkaUnreachable, True),
        (KafkaError._MSG_TIMED_OUT, KafkaUnreachable, True),
        (KafkaError._AUTHENTICATION, KafkaRefused, False),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaRefused, False),
        (KafkaError.INVALID_TRANSACTION_TIMEOUT, KafkaRefused, False),
        (KafkaError.UNKNOWN, KafkaFailed, False),
    ],
)
def test_an_error_of_the_client_becomes_one_with_a_fix(code: int, kind: Any, outage: bool) -> None:
    made = Client(connection("KafkaSource", "127.0.0.1:1", {}, {}), "KafkaSource").explained("read topic 'a'", KafkaError(code))
    assert (type(made), made.outage, made.permanent) == (kind, outage, kind is KafkaRefused)
    assert "127.0.0.1:1" in str(made)
    assert "read topic 'a'" in str(made)
    assert made.likeness() == ("" if outage else f"{kind.__name__}: {made}")


def test_a_timeout_that_hides_a_refused_login_is_told_as_what_it_is() -> None:
    client = Client(connection("KafkaSource", "127.0.0.1:1", {}, {}), "KafkaSource")
    client._watch.note(KafkaError(KafkaError._AUTHENTICATION, "bad password"))
    client._watch.note(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    made = client.explained("list its topics", KafkaError(KafkaError._TIMED_OUT))
    assert isinstance(made, KafkaRefused)
    assert "bad password" in str(made)


@pytest.mark.parametrize(("name", "value"), [("fetch.max.byte", 1), ("fetch.max.bytes", "many")])
def test_a_setting_that_the_library_does_not_take_is_named(name: str, value: Any) -> None:
    client = Client(connection("KafkaSource", "127.0.0.1:1", {name: value}, {}), "KafkaSource")
    with pytest.raises(SettingRefused, match=rf"sets '{name}'.*CONFIGURATION\.md"):
        client.consumer({"group.id": "g"})


def test_settings_of_security_are_translated_for_the_second_client() -> None:
    settings = {"security.protocol": "sasl_ssl", "sasl.mechanism": "SCRAM-SHA-256", "sasl.username": "u", "sasl.password": "p", "linger.ms": 5}
    found = translated(connection("KafkaSink", "127.0.0.1:1", settings, {}))
    context = found.pop("ssl_context")
    assert isinstance(context, ssl.SSLContext)
    assert context.check_hostname
    assert found == {"security_protocol": "SASL_SSL", "sasl_mechanism": "SCRAM-SHA-256", "sasl_plain_username": "u", "sasl_plain_password": "p"}


@pytest.mark.parametrize("name", ["sasl.kerberos.keytab", "sasl.oauthbearer.client.id", "ssl.keystore.location"])
def test_a_setting_of_security_without_a_counterpart_is_refused(name: str) -> None:
    with pytest.raises(SettingRefused, match=rf"'{name}'.*exactly_once_2pc.*delivery=\"exactly_once\""):
        translated(connection("KafkaSink", "127.0.0.1:1", {name: "x"}, {}))
