"""TLS and SASL/SCRAM: source, sinks and the second client log in with the same settings; who cannot is told."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from millstream import StreamExecutionEnvironment
from millstream.config import Secret
from millstream.errors import JobFailedError
from millstream_kafka import KafkaSink, KafkaSource, Offsets
from millstream_kafka.errors import KafkaRefused, KafkaUnreachable
from millstream_testkit.services import KafkaLogin, KafkaService, running_kafka

pytestmark = [
    pytest.mark.usefixtures("millstream_kafka"),
    pytest.mark.timeout(180),
    pytest.mark.one_python,
    pytest.mark.xdist_group("secured_broker"),
]


@pytest.fixture(scope="module")
def secured(millstream_kafka: KafkaService) -> Iterator[KafkaService]:
    with running_kafka(login=True) as service:
        yield service


@pytest.fixture
def topics(secured: KafkaService) -> tuple[str, str]:
    names = f"in-{uuid.uuid4().hex}", f"out-{uuid.uuid4().hex}"
    admin = AdminClient({"bootstrap.servers": secured.bootstrap})
    for future in admin.create_topics([NewTopic(name, 1, 1, config={"retention.ms": "-1"}) for name in names]).values():
        future.result()
    return names


def settings_of(login: KafkaLogin, reference: str = "${env:KAFKA_PASSWORD}") -> dict[str, Any]:
    return {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-256",
        "sasl.username": login.username,
        "sasl.password": Secret(reference),
        "ssl.ca.pem": login.ca_pem,
    }


@pytest.mark.parametrize("delivery", ["at_least_once", "exactly_once", "exactly_once_2pc"])
def test_a_job_reads_and_writes_over_tls_with_a_password(
    secured: KafkaService, topics: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delivery: Any
) -> None:
    login = secured.login
    assert login is not None
    monkeypatch.setenv("KAFKA_PASSWORD", login.password)
    client = settings_of(login)
    for values, topic, into in (([b"a", b"b"], None, topics[0]), (None, topics[0], topics[1])):
        env = StreamExecutionEnvironment().configure("checkpoint.storage", str(tmp_path / into)).configure("checkpoint.interval", "100ms")
        source = KafkaSource[bytes](login.bootstrap, topic, stop=Offsets.latest(), client=client) if topic else None
        stream = env.from_source(source, uid="in") if source else env.from_collection(values or [], uid="in")
        stream.sink_to(KafkaSink(login.bootstrap, into, delivery=delivery, client=client), uid="out")
        env.execute("secured")
    found = StreamExecutionEnvironment().from_source(KafkaSource[bytes](secured.bootstrap, topics[1], stop=Offsets.latest()), uid="in")
    assert list(found.execute_and_collect("read")) == [b"a", b"b"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sasl.password": "wrong"}, "uthentication"),
        ({"ssl.ca.pem": None}, "certificate"),
        ({"security.protocol": "PLAINTEXT"}, ""),
    ],
    ids=["wrong password", "unknown authority", "no TLS"],
)
def test_a_login_that_is_refused_ends_the_job_with_its_reason(
    secured: KafkaService, topics: tuple[str, str], change: dict[str, Any], said: str
) -> None:
    login = secured.login
    assert login is not None
    client = {name: value for name, value in {**settings_of(login, login.password), **change}.items() if value is not None}
    env = StreamExecutionEnvironment()
    env.from_source(KafkaSource[bytes](login.bootstrap, topics[0], stop=Offsets.latest(), client=client), uid="in").print()
    with pytest.raises(JobFailedError) as raised:
        env.execute("refused")
    cause = raised.value.__cause__
    assert isinstance(cause, KafkaRefused if said else KafkaRefused | KafkaUnreachable)
    assert said in str(cause)
    assert login.password not in str(cause)
