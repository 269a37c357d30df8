"""`millstream kafka transactions` against a real broker: what it shows, and what readers see of what it has ended."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import KafkaError, KafkaException, Producer

from millstream.cli.app import app
from millstream.contracts.sink import SinkContext
from millstream.contracts.two_phase_commit import Committed
from millstream.errors import LostEpoch
from millstream.ports import InlineExecutor, LocalStorage, SeededRandom, SystemClock
from millstream.runtime.metrics import MetricRegistry
from millstream_kafka import KafkaSink
from millstream_kafka.second_client import Transactions
from millstream_kafka.settings import Connection
from millstream_testkit.services import KafkaService

pytestmark = [pytest.mark.one_python, pytest.mark.xdist_group("guarded_broker")]

TIMEOUT_MS = 300_000


class Command:
    """`millstream kafka transactions`, at one broker."""

    def __init__(self, bootstrap: str, *options: str) -> None:
        self.bootstrap = bootstrap
        self.options = options

    def __call__(self, *arguments: str, typed: str = "") -> Result:
        words = ["kafka", "transactions", *arguments, "--bootstrap-servers", self.bootstrap, *self.options]
        return CliRunner().invoke(app, words, input=typed)

    def json(self, *arguments: str) -> Any:
        result = self(*arguments, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest.fixture
def command(broker: Any) -> Command:
    return Command(broker.bootstrap)


@pytest.fixture
def name() -> str:
    return f"tx-{uuid.uuid4().hex}"


@contextmanager
def opened(bootstrap: str, name: str, topic: str, values: list[bytes], **settings: Any) -> Iterator[Producer]:
    """An open transaction; its producer is alive."""
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": name, "transaction.timeout.ms": TIMEOUT_MS, "log_level": 0, **settings})
    producer.init_transactions(30)
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value, partition=0)
    assert producer.flush(30) == 0
    try:
        yield producer
    finally:
        producer.purge()


@pytest.fixture
def topic(broker: Any) -> str:
    made: str = broker.topic()
    return made


def values_in(broker: Any, topic: str) -> list[bytes]:
    return [message.value() for message in broker.read(topic)]


def test_an_open_transaction_is_listed_with_its_producer(broker: Any, command: Command, topic: str, name: str) -> None:
    with opened(broker.bootstrap, f"{name}-b", topic, [b"b"]), opened(broker.bootstrap, f"{name}-a", topic, [b"a"]) as done:
        done.commit_transaction(30)
        headings, first, second = command("list", "--prefix", name).stdout.splitlines()
        assert headings.split() == ["transactional", "id", "producer", "id", "state"]
        assert (first.split()[0], second.split()[0]) == (f"{name}-a", f"{name}-b")
        assert second.split()[2] == "Ongoing"
        assert command("list", "--prefix", f"{name}-b").stdout.splitlines()[1:] == [line.strip() for line in (second,)]


def test_a_list_for_programs_can_be_narrowed_by_state(broker: Any, command: Command, topic: str, name: str) -> None:
    with opened(broker.bootstrap, f"{name}-b", topic, [b"b"]), opened(broker.bootstrap, f"{name}-a", topic, [b"a"]) as done:
        done.commit_transaction(30)
        described = command.json("describe", f"{name}-b")
        assert command.json("list", "--prefix", name, "--state", "ongoing") == [
            {"transactional_id": f"{name}-b", "producer_id": described["producer_id"], "state": "Ongoing"}
        ]
        both = command.json("list", "--prefix", name, "--state", "Ongoing", "--state", "CompleteCommit", "--state", "PrepareCommit")
        assert [one["transactional_id"] for one in both] == [f"{name}-a", f"{name}-b"]
        assert command.json("list", "--prefix", name, "--state", "CompleteAbort") == []


def test_a_prefix_that_nobody_has_lists_nothing(command: Command, name: str) -> None:
    result = command("list", "--prefix", name)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "The brokers know no such transactional id.\n")


def test_an_open_transaction_is_described(broker: Any, command: Command, topic: str, name: str) -> None:
    before_ms = time.time_ns() // 1_000_000
    with opened(broker.bootstrap, name, topic, [b"a"]):
        found = command.json("describe", name)
        assert before_ms - 60_000 < found["started_ms"] < before_ms + 60_000
        assert 0 <= found["age_ms"] < 60_000
        assert found == {
            "transactional_id": name,
            "state": "Ongoing",
            "producer_id": found["producer_id"],
            "producer_epoch": 0,
            "timeout_ms": TIMEOUT_MS,
            "started_ms": found["started_ms"],
            "coordinator_id": 1,
            "partitions": [{"topic": topic, "partition": 0}],
            "age_ms": found["age_ms"],
        }
        shown = dict(line.split("  ", 1) for line in command("describe", name).stdout.splitlines())
        facts = {what: value.strip() for what, value in shown.items()}
        assert facts["state"] == "Ongoing"
        assert facts["producer"] == f"{found['producer_id']}, epoch 0"
        assert facts["timeout"] == "5 min 0 s"
        assert facts["began"].endswith(" ago")
        assert facts["writes to"] == f"{topic} (partition 0)"


@pytest.mark.parametrize("verb", ["describe", "commit", "abort"])
def test_an_unknown_id_is_told(command: Command, name: str, verb: str) -> None:
    result = command(verb, name)
    assert (result.exit_code, f"knows no transactional id '{name}'" in result.stderr) == (1, True), result.output
    assert "millstream kafka transactions list" in result.stderr


@pytest.mark.parametrize(("verb", "state", "visible"), [("commit", "CompleteCommit", [b"a", b"b"]), ("abort", "CompleteAbort", [])])
def test_what_is_ended_is_visible_or_not_and_its_producer_is_fenced(
    broker: Any, command: Command, topic: str, name: str, verb: str, state: str, visible: list[bytes]
) -> None:
    with opened(broker.bootstrap, name, topic, [b"a", b"b"]) as producer:
        broker.write(topic, [b"behind it"])
        assert values_in(broker, topic) == []
        result = command(verb, name, typed=f"{verb}\n")
        assert result.exit_code == 0, result.output
        assert f'Type "{verb}" to {verb} it' in result.stderr
        assert f"writes to  {topic} (partition 0)" in result.stderr
        assert f"it is {state}." in result.stderr
        assert "epoch 1" in result.stdout
        assert values_in(broker, topic) == [*visible, b"behind it"]

        producer.produce(topic, b"of a zombie", partition=0)
        with pytest.raises(KafkaException) as raised:
            producer.commit_transaction(30)
        assert raised.value.args[0].code() in (KafkaError._FENCED, KafkaError._PURGE_QUEUE)
        assert values_in(broker, topic) == [*visible, b"behind it"]


@pytest.mark.parametrize("verb", ["commit", "abort"])
def test_the_result_for_programs_has_the_decision_and_what_is_now(broker: Any, command: Command, topic: str, name: str, verb: str) -> None:
    with opened(broker.bootstrap, name, topic, [b"a"]):
        was = command.json("describe", name)
        found = command.json(verb, name, "--yes")
    assert (found["transactional_id"], found["asked"]) == (name, verb)
    assert found["decided"]["state"] == {"commit": "CompleteCommit", "abort": "CompleteAbort"}[verb]
    assert (found["decided"]["producer_id"], found["decided"]["producer_epoch"]) == (was["producer_id"], 0)
    assert (found["now"]["state"], found["now"]["producer_epoch"], found["now"]["timeout_ms"]) == ("Empty", 1, TIMEOUT_MS)


@pytest.mark.parametrize("typed", ["", "\n", "yes\n", "abort\n"], ids=["end of input", "return", "yes", "the other verb"])
def test_without_the_word_nothing_is_changed(broker: Any, command: Command, topic: str, name: str, typed: str) -> None:
    with opened(broker.bootstrap, name, topic, [b"a"]):
        result = command("commit", name, typed=typed)
        assert (result.exit_code, result.stdout) == (1, "")
        assert "Nothing was changed." in result.stderr
        assert ("--yes" in result.stderr) == (typed == "")
        assert command.json("describe", name)["state"] == "Ongoing"


@pytest.mark.parametrize("verb", ["commit", "abort"])
@pytest.mark.parametrize("ended", ["commit", "abort"])
def test_a_finished_transaction_is_refused(broker: Any, command: Command, topic: str, name: str, verb: str, ended: str) -> None:
    with opened(broker.bootstrap, name, topic, [b"a"]) as producer:
        if ended == "commit":
            producer.commit_transaction(30)
        else:
            producer.abort_transaction(30)
        state = {"commit": "CompleteCommit", "abort": "CompleteAbort"}[ended]
        wait_for_state(command, name, state)
        result = command(verb, name, "--yes")
        assert (result.exit_code, f"Cannot {verb} transaction '{name}', which is {state}" in result.stderr) == (1, True), result.output
        assert values_in(broker, topic) == ([b"a"] if ended == "commit" else [])


def wait_for_state(command: Command, name: str, state: str) -> None:
    over_s = time.monotonic() + 30
    while command.json("describe", name)["state"] != state:
        assert time.monotonic() < over_s, f"{name} never became {state}"


def test_only_the_transaction_of_the_given_producer_and_epoch_is_ended(broker: Any, command: Command, topic: str, name: str) -> None:
    with opened(broker.bootstrap, name, topic, [b"a"]):
        producer_id = command.json("describe", name)["producer_id"]
        wrong = command("commit", name, "--yes", "--producer-id", str(producer_id), "--producer-epoch", "1")
        assert (wrong.exit_code, f"of producer {producer_id} and epoch 1" in wrong.stderr) == (1, True), wrong.output
        assert values_in(broker, topic) == []
        right = command("commit", name, "--yes", "--producer-id", str(producer_id), "--producer-epoch", "0")
        assert right.exit_code == 0, right.output
        assert values_in(broker, topic) == [b"a"]


# --- what a job makes of it


@pytest.fixture
def attempts(broker: Any, topic: str, name: str) -> Iterator[Any]:
    """Writers of a two-phase sink, one attempt after the other."""
    sink = KafkaSink[bytes](
        broker.bootstrap, topic, delivery="exactly_once_2pc", transactional_id_prefix=name, marker_topic=f"markers-{name}"
    ).resolve()
    writers = []

    def attempt(number: int) -> Any:
        clock = SystemClock()
        context = SinkContext(
            job_name="job",
            run_id="0" * 32,
            sink_uid="out",
            subtask=0,
            parallelism=1,
            attempt=number,
            lane=0,
            owned_lanes=(0,),
            clock=clock,
            random=SeededRandom(0),
            storage=LocalStorage(),
            executor=InlineExecutor(),
            metrics=MetricRegistry(clock).group("job", "out", "0"),
        )
        writers.append(sink.open(context))
        return writers[-1]

    yield attempt
    for writer in writers:
        writer.close()


def test_a_job_finds_its_epoch_committed_by_hand(broker: Any, command: Command, topic: str, name: str, attempts: Any) -> None:
    first = attempts(1)
    first.write([b"a", b"b"], None)
    committable = first.prepare(1)
    (prepared,) = command.json("list", "--prefix", name, "--state", "Ongoing")
    assert command("commit", prepared["transactional_id"], "--yes").exit_code == 0
    assert attempts(2).commit(0, 1, committable) == Committed(already=True)
    assert values_in(broker, topic) == [b"a", b"b"]


def test_a_job_whose_epoch_was_aborted_by_hand_ends_with_lost_epoch(broker: Any, command: Command, topic: str, name: str, attempts: Any) -> None:
    first = attempts(1)
    first.write([b"a", b"b"], None)
    committable = first.prepare(1)
    (prepared,) = command.json("list", "--prefix", name, "--state", "Ongoing")
    assert command("abort", prepared["transactional_id"], "--yes").exit_code == 0
    with pytest.raises(LostEpoch, match=prepared["transactional_id"]):
        attempts(2).commit(0, 1, committable)
    assert values_in(broker, topic) == []


# --- private names of the second client


def test_a_coordinator_that_has_moved_is_looked_for_again(broker: Any, topic: str, name: str) -> None:
    transactions = Transactions(Connection(broker.bootstrap))
    try:
        with opened(broker.bootstrap, name, topic, [b"a"]):
            found = transactions.describe(name)
            known = transactions._admin._manager.cluster._coordinators
            assert len(known) == 1
            transactions._forget_coordinator(name)
            assert known == {}
            assert transactions.describe(name) == found
    finally:
        transactions.close()


# --- rights and logins


@pytest.fixture
def unprivileged(guarded: KafkaService, monkeypatch: pytest.MonkeyPatch) -> Command:
    login = guarded.login
    assert login is not None
    monkeypatch.setenv("KAFKA_PASSWORD", login.password)
    monkeypatch.setenv("KAFKA_CA", login.ca_pem)
    settings = [
        "security.protocol=SASL_SSL",
        "sasl.mechanism=SCRAM-SHA-256",
        f"sasl.username={login.username}",
        "sasl.password=${env:KAFKA_PASSWORD}",
        "ssl.ca.pem=${env:KAFKA_CA}",
    ]
    return Command(login.bootstrap, *(word for setting in settings for word in ("--setting", setting)))


@pytest.mark.timeout(180)
def test_a_user_without_rights_is_told_which_one_is_missing(guarded: KafkaService, unprivileged: Command, name: str) -> None:
    topic = made_topic(guarded)
    with opened(guarded.bootstrap, name, topic, [b"a"]):
        for verb in ("describe", "commit"):
            result = unprivileged(verb, name)
            assert (result.exit_code, "Error: Kafka at" in result.stderr) == (1, True), result.output
            assert "refuses to describe transaction" in result.stderr
            assert "Give its user the rights to describe and, to end transactions, to write this transactional id." in result.stderr
        assert unprivileged.json("list", "--prefix", name) == []

        allow(guarded, name, "DESCRIBE")
        wait_until_allowed(unprivileged, name)
        result = unprivileged("abort", name, "--yes")
        assert (result.exit_code, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED" in result.stderr) == (1, True), result.output
        assert "Give its user the right to write this transactional id." in result.stderr

        allow(guarded, name, "WRITE")
        over_s = time.monotonic() + 30
        while unprivileged("abort", name, "--yes").exit_code:
            assert time.monotonic() < over_s
        assert unprivileged.json("describe", name)["state"] == "Empty"


def made_topic(service: KafkaService) -> str:
    from confluent_kafka.admin import AdminClient, NewTopic

    admin, topic = AdminClient({"bootstrap.servers": service.bootstrap}), f"t-{uuid.uuid4().hex}"
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result()
    return topic


def allow(service: KafkaService, name: str, operation: str) -> None:
    from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, AdminClient, ResourcePatternType, ResourceType

    assert service.login is not None
    user = f"User:{service.login.username}"
    binding = AclBinding(
        ResourceType.TRANSACTIONAL_ID, name, ResourcePatternType.LITERAL, user, "*", AclOperation[operation], AclPermissionType.ALLOW
    )
    admin = AdminClient({"bootstrap.servers": service.bootstrap})
    for future in admin.create_acls([binding]).values():
        future.result()


def wait_until_allowed(command: Command, name: str) -> None:
    over_s = time.monotonic() + 30
    while command("describe", name).exit_code:
        assert time.monotonic() < over_s, "the right to describe never came"


@pytest.mark.timeout(180)
def test_a_wrong_password_is_told_and_shown_nowhere(unprivileged: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_PASSWORD", "hunter2-is-wrong")
    result = unprivileged("list", "--timeout", "5")
    assert (result.exit_code, "uthentication" in result.stderr) == (1, True), result.output
    assert "Check security.protocol" in result.stderr
    assert "hunter2" not in result.output


@pytest.mark.timeout(180)
def test_a_login_of_a_kind_that_the_second_client_lacks_is_refused(guarded: KafkaService) -> None:
    result = Command(guarded.bootstrap, "--setting", "sasl.kerberos.principal=p")("list")
    assert result.exit_code == 1
    assert (
        "--setting sets 'sasl.kerberos.principal': kafka-python, the second client library of `millstream kafka transactions`, has no"
        in result.stderr
    )
