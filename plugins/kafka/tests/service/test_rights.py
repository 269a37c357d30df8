"""A user who lacks a right: which one is told before a record flows, and how to give it."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, TopicCollection, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from millstream import StreamExecutionEnvironment
from millstream.errors import JobFailedError
from millstream_kafka import KafkaSink, KafkaSource, Offsets
from millstream_kafka.errors import KafkaRefused
from millstream_kafka.second_client import Transactions
from millstream_kafka.settings import Connection
from millstream_testkit.services import KafkaService, messages_of

pytestmark = [pytest.mark.timeout(120), pytest.mark.one_python, pytest.mark.xdist_group("guarded_broker")]

DELIVERIES = ["at_least_once", "exactly_once", "exactly_once_2pc"]
TRANSACTIONAL = DELIVERIES[1:]
WAIT_S = 30.0


def wait_until(true: Callable[[], bool], what: str) -> None:
    over_s, moment = time.monotonic() + WAIT_S, threading.Event()
    while not true():
        assert time.monotonic() < over_s, what
        moment.wait(0.02)


class Desk:
    """Gives topics and rights to the user of the guarded listener, as the super user of the other one."""

    def __init__(self, service: KafkaService) -> None:
        assert service.login is not None
        self._login = service.login
        self.plain = service.bootstrap
        self.bootstrap = service.login.bootstrap
        self.name = f"r-{uuid.uuid4().hex}"
        self._admin = AdminClient({"bootstrap.servers": service.bootstrap, "log_level": 0})
        self.client = {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-256",
            "sasl.username": service.login.username,
            "sasl.password": service.login.password,
            "ssl.ca.pem": service.login.ca_pem,
        }
        self._as_user = AdminClient({"bootstrap.servers": self.bootstrap, **self.client, "log_level": 0})

    def topic(self, kind: str, *rights: str, **config: str) -> str:
        name = f"{kind}-{self.name}"
        settings = {"retention.ms": "-1", **config}
        self._admin.create_topics([NewTopic(name, 1, 1, config=settings)])[name].result()
        self.allow("TOPIC", name, *rights)
        if rights:
            wait_until(lambda: self._topic_rights(name) >= set(rights), f"the rights to topic {name} never came")
        return name

    def _topic_rights(self, topic: str) -> set[str]:
        (future,) = self._as_user.describe_topics(TopicCollection([topic]), include_authorized_operations=True).values()
        if future.exception() is not None:
            return set()
        return {one.name for one in future.result().authorized_operations or ()}

    def allow(self, kind: str, name: str, *rights: str, pattern: str = "LITERAL") -> None:
        user, yes = f"User:{self._login.username}", AclPermissionType.ALLOW
        bindings = [AclBinding(ResourceType[kind], name, ResourcePatternType[pattern], user, "*", AclOperation[one], yes) for one in rights]
        for future in (self._admin.create_acls(bindings) if bindings else {}).values():
            future.result()

    def allow_transactions(self, *rights: str) -> None:
        self.allow("TRANSACTIONAL_ID", self.name, *rights, pattern="PREFIXED")
        # Rights are told in the order in which they were given: who may describe an id that is not there, may do the rest as well.
        self.allow("TRANSACTIONAL_ID", f"told-{self.name}", "DESCRIBE")
        transactions = Transactions(Connection(self.bootstrap, self.client))
        wait_until(lambda: not _is_refused(transactions, f"told-{self.name}"), "the rights to transactional ids never came")
        transactions.close()

    def allow_group(self, *rights: str) -> None:
        self.allow("GROUP", self.name, *rights)

        def told() -> bool:
            error = self._as_user.describe_consumer_groups([self.name])[self.name].exception()
            return error is None or error.args[0].code() != KafkaError.GROUP_AUTHORIZATION_FAILED

        wait_until(told, "the right to the group never came")

    def values(self, topic: str) -> list[Any]:
        return [message.value() for message in messages_of(self.plain, topic)]

    def sink(self, topic: str, delivery: Any) -> KafkaSink[bytes]:
        apart = {"transactional_id_prefix": self.name, "marker_topic": f"markers-{self.name}"}
        return KafkaSink(self.bootstrap, topic, delivery=delivery, client=self.client, **apart)


def _is_refused(transactions: Transactions, name: str) -> bool:
    try:
        transactions.describe(name)
    except KafkaRefused:
        return True
    except Exception:  # noqa: BLE001 - it is not there, which may be known
        return False
    return False


@pytest.fixture
def desk(guarded: KafkaService) -> Desk:
    return Desk(guarded)


def refused(desk: Desk, sink: KafkaSink[bytes], folder: Path) -> str:
    """What a job that writes is told. No record has come to the sink."""
    came: list[bytes] = []
    env = StreamExecutionEnvironment().configure("checkpoint.storage", str(folder)).configure("checkpoint.interval", "50ms")
    env.from_collection([b"a", b"b"], uid="in").map(lambda value: came.append(value) or value).sink_to(sink, uid="out")  # type: ignore[func-returns-value]
    with pytest.raises(JobFailedError) as raised:
        env.execute("refused")
    cause = raised.value.__cause__
    assert isinstance(cause, KafkaRefused), repr(cause)
    assert cause.permanent
    assert raised.value.restarts == 0
    assert came == []
    return str(cause)


@pytest.mark.parametrize("rights", [[], ["DESCRIBE"], ["WRITE"]], ids=str)
def test_a_source_topic_that_may_not_be_read(desk: Desk, rights: list[str]) -> None:
    topic = desk.topic("in", *rights)
    env = StreamExecutionEnvironment()
    env.from_source(KafkaSource[bytes](desk.bootstrap, topic, stop=Offsets.latest(), client=desk.client), uid="in").print()
    with pytest.raises(JobFailedError) as raised:
        env.execute("refused")
    cause = raised.value.__cause__
    assert isinstance(cause, KafkaRefused), repr(cause)
    assert topic in str(cause)
    assert ("--operation Read" if rights else "Give its user the right to read") in str(cause)


@pytest.mark.parametrize("delivery", DELIVERIES)
@pytest.mark.parametrize("rights", [[], ["READ"]], ids=str)
def test_a_sink_topic_that_may_not_be_written(desk: Desk, tmp_path: Path, delivery: Any, rights: list[str]) -> None:
    topic = desk.topic("out", *rights)
    told = refused(desk, desk.sink(topic, delivery), tmp_path)
    assert topic in told
    assert ("--operation Write" if rights else "Give its user the right to read, or to write and describe, the topic") in told


@pytest.mark.parametrize("delivery", TRANSACTIONAL)
@pytest.mark.parametrize("rights", [[], ["READ"], ["WRITE"]], ids=str)
def test_a_topic_of_markers_that_may_not_be_used(desk: Desk, tmp_path: Path, delivery: Any, rights: list[str]) -> None:
    topic = desk.topic("out", "WRITE")
    markers = desk.topic("markers", *rights, **{"cleanup.policy": "compact"})
    told = refused(desk, desk.sink(topic, delivery), tmp_path)
    assert markers in told
    missing = {"READ": "--operation Write", "WRITE": "--operation Read", "": "Give its user the right to read, or to write"}
    assert missing["".join(rights)] in told


@pytest.mark.parametrize("delivery", TRANSACTIONAL)
def test_a_topic_of_markers_that_may_not_be_made(desk: Desk, tmp_path: Path, delivery: Any) -> None:
    desk.allow("TOPIC", f"markers-{desk.name}", "READ", "WRITE", "DESCRIBE")
    topic = desk.topic("out", "WRITE")
    told = refused(desk, desk.sink(topic, delivery), tmp_path)
    assert f"refuses to create the topic of markers 'markers-{desk.name}'" in told
    assert "Give its user the right to create it, or make it yourself with cleanup.policy=compact" in told


@pytest.mark.parametrize("delivery", TRANSACTIONAL)
@pytest.mark.parametrize("rights", [[], ["DESCRIBE"]], ids=str)
def test_transactional_ids_that_may_not_be_used(desk: Desk, tmp_path: Path, delivery: Any, rights: list[str]) -> None:
    topic = desk.topic("out", "WRITE")
    desk.topic("markers", "READ", "WRITE", **{"cleanup.policy": "compact"})
    if rights:
        desk.allow_transactions(*rights)
    told = refused(desk, desk.sink(topic, delivery), tmp_path)
    assert f"refuses to begin transactions as {desk.name}-" in told
    assert "Give its user the right to write and describe transactional ids with the sink's prefix" in told
    assert desk.values(topic) == []


@pytest.mark.parametrize("delivery", DELIVERIES)
def test_the_rights_that_errors_name_are_enough(desk: Desk, tmp_path: Path, delivery: Any) -> None:
    topic = desk.topic("out", "WRITE")
    if delivery != "at_least_once":
        desk.topic("markers", "READ", "WRITE", **{"cleanup.policy": "compact"})
        desk.allow_transactions("WRITE", "DESCRIBE")
    env = StreamExecutionEnvironment().configure("checkpoint.storage", str(tmp_path)).configure("checkpoint.interval", "50ms")
    env.from_collection([b"a", b"b"], uid="in").sink_to(desk.sink(topic, delivery), uid="out")
    env.execute("allowed")
    assert desk.values(topic) == [b"a", b"b"]


@pytest.mark.parametrize("rights", [[], ["DESCRIBE"]], ids=str)
def test_a_group_that_may_not_be_read(desk: Desk, rights: list[str]) -> None:
    topic = desk.topic("in", "READ")
    if rights:
        desk.allow_group(*rights)
    env = StreamExecutionEnvironment()
    came: list[bytes] = []
    source = KafkaSource[bytes](desk.bootstrap, topic, group_id=desk.name, stop=Offsets.latest(), client=desk.client)
    env.from_source(source, uid="in").map(lambda value: came.append(value) or value).print()  # type: ignore[func-returns-value]
    with pytest.raises(JobFailedError) as raised:
        env.execute("refused")
    cause = raised.value.__cause__
    assert isinstance(cause, KafkaRefused), repr(cause)
    assert f"refuses to commit offsets to group '{desk.name}'" in str(cause)
    assert "Give its user the right to read the group, or leave group_id out." in str(cause)
    assert came == []


@pytest.mark.parametrize("made", [False, True], ids=["a new group", "a group that is there"])
def test_a_group_that_may_be_read(desk: Desk, made: bool) -> None:
    topic = desk.topic("in", "READ")
    if made:
        consumer = Consumer({"bootstrap.servers": desk.plain, "group.id": desk.name, "log_level": 0})
        consumer.commit(offsets=[TopicPartition(topic, 0, 0)], asynchronous=False)
        consumer.close()
    desk.allow_group("READ")
    env = StreamExecutionEnvironment()
    source = KafkaSource[bytes](desk.bootstrap, topic, group_id=desk.name, stop=Offsets.latest(), client=desk.client)
    env.from_source(source, uid="in").print()
    env.execute("allowed")
