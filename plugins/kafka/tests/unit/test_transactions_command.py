"""`millstream kafka transactions` as far as no broker is needed: what is refused, what is shown, and in which order a transaction is ended."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from millstream.cli.app import app
from millstream_kafka.commands import connecting, transactions
from millstream_kafka.commands.connecting import Connected, described_connection
from millstream_kafka.commands.ending import check, decide, fence
from millstream_kafka.commands.texts import partitions_text, plain, print_description
from millstream_kafka.patience import patiently
from millstream_kafka.transaction import Description, Handle, TopicPartition
from millstream_kafka.transaction_errors import CoordinatorBusy, EndRefused, TransactionChanged, TransactionNotOpen

NOBODY = "127.0.0.1:1"
OPEN = Description("orders-1", "Ongoing", 12, 3, 60_000, 1_000, 1, (TopicPartition("out", 0), TopicPartition("out", 2)))
LOADS = CoordinatorBusy(bootstrap_servers=NOBODY, doing="list transactions", reason="it loads", error_code=14)


def invoke(*arguments: str, servers: str = NOBODY) -> Result:
    return CliRunner().invoke(app, ["kafka", "transactions", *arguments, "--bootstrap-servers", servers, "--timeout", "0.5"])


def changed(**fields: Any) -> Description:
    return msgspec.structs.replace(OPEN, **fields)


class Coordinator:
    """Says one thing after the other, the last one for ever."""

    def __init__(self, descriptions: Sequence[Description], codes: Sequence[int] = (0,)) -> None:
        self.descriptions = list(descriptions)
        self.codes = list(codes)
        self.told: list[tuple[Handle, bool]] = []

    def describe(self, transactional_id: str) -> Description:
        assert transactional_id == OPEN.transactional_id
        return self.descriptions.pop(0) if len(self.descriptions) > 1 else self.descriptions[0]

    def end(self, handle: Handle, *, commit: bool) -> int:
        self.told.append((handle, commit))
        return self.codes.pop(0) if len(self.codes) > 1 else self.codes[0]


class NoClient:
    """Whoever makes a producer with it has begun an id that was not his to begin."""

    servers = NOBODY


def connected_to(coordinator: Coordinator, timeout_s: float = 30) -> Connected:
    return Connected(NoClient(), coordinator, timeout_s)  # type: ignore[arg-type]


# --- options


@pytest.mark.parametrize("name", ["sasl.password", "ssl.key.password", "ssl.key.pem"])
def test_a_password_on_the_command_line_is_refused_and_not_repeated(name: str) -> None:
    result = invoke("list", "--setting", f"{name}=hunter2")
    assert result.exit_code == 2
    assert f"--setting {name}='${{env:NAME}}'" in " ".join(result.output.split())
    assert "hunter2" not in result.output


def test_a_password_by_reference_is_read_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_PASSWORD", "hunter2")
    settings = ("security.protocol=SASL_PLAINTEXT", "sasl.mechanism=PLAIN", "sasl.username=u", "sasl.password=${env:KAFKA_PASSWORD}")
    described = described_connection(NOBODY, settings)
    assert "hunter2" not in repr(described)
    assert described.revealed({})["sasl.password"] == "hunter2"
    arguments = [word for setting in settings for word in ("--setting", setting)]
    result = invoke("list", *arguments)
    assert (result.exit_code, "cannot be reached" in result.output, "hunter2" in result.output) == (1, True, False), result.output


@pytest.mark.parametrize(
    ("setting", "code", "said"),
    [
        ("security.protocol", 2, r"'security\.protocol' has no '='"),
        ("=x", 2, "has no '='"),
        ("lingr.ms=2", 1, r"--setting sets 'lingr\.ms': No such configuration property"),
        ("security.protocol=TLS", 1, r"--setting sets 'security\.protocol': Invalid value"),
        ("bootstrap.servers=a:1", 1, r"sets 'bootstrap\.servers'.*Give --bootstrap-servers\."),
        ("transactional.id=a", 1, r"sets 'transactional\.id'.*Leave it out\."),
        ("sasl.password=${env:NOT_SET_ANYWHERE}", 1, "NOT_SET_ANYWHERE is not set"),
        ("sasl.kerberos.principal=p", 1, r"cannot be reached"),
    ],
)
def test_a_setting_that_makes_no_sense_is_named(setting: str, code: int, said: str) -> None:
    result = invoke("list", "--setting", setting)
    assert result.exit_code == code
    assert re.search(said, " ".join(result.output.split())), result.output


@pytest.mark.parametrize("servers", ["localhost", "", "a:1,,b:2"])
def test_an_address_that_is_none_is_refused(servers: str) -> None:
    result = invoke("list", servers=servers)
    assert (result.exit_code, "Error: --bootstrap-servers is" in result.output) == (1, True), result.output


def test_the_address_must_be_given() -> None:
    result = CliRunner().invoke(app, ["kafka", "transactions", "list"])
    assert (result.exit_code, "Missing option '--bootstrap-servers'" in result.output) == (2, True), result.output


@pytest.mark.parametrize("verb", ["commit", "abort"])
@pytest.mark.parametrize("option", ["--producer-id", "--producer-epoch"])
def test_half_of_a_producer_is_refused(verb: str, option: str) -> None:
    result = invoke(verb, "orders-1", "--yes", option, "5")
    assert (result.exit_code, "both --producer-id and --producer-epoch" in result.output) == (2, True), result.output


@pytest.mark.parametrize("arguments", [["list"], ["describe", "a"], ["commit", "a", "--yes"], ["abort", "a", "--yes"]], ids=lambda words: words[0])
def test_brokers_that_do_not_answer_are_told_with_the_fix(arguments: list[str]) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert re.fullmatch(rf"Error: Kafka at {NOBODY} cannot be reached.*Check that the brokers run.*\n", result.stderr), result.stderr


def test_without_the_second_client_the_command_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    # The brokers are asked first; whether they answer is of no interest here.
    monkeypatch.setattr(connecting.Client, "admin", lambda self: AnsweringAdmin())
    monkeypatch.setitem(sys.modules, "kafka", None)
    result = invoke("list")
    assert result.exit_code == 1
    assert "pip install 'millstream-kafka[2pc]'." in result.output
    assert "`millstream kafka transactions`: it needs a second client library, kafka-python" in result.output


class AnsweringAdmin:
    def list_topics(self, timeout: float) -> None:
        pass


# --- a coordinator that is busy


def test_a_coordinator_that_loads_is_asked_again() -> None:
    answers: list[Any] = [LOADS, LOADS, [1]]

    def ask() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert patiently(ask, 5) == [1]


def test_a_coordinator_that_never_stops_loading_is_told() -> None:
    def ask() -> Any:
        raise LOADS

    with pytest.raises(CoordinatorBusy, match="it loads"):
        patiently(ask, 0.2)


# --- ending


@pytest.mark.parametrize("state", ["Empty", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort", "Dead", "PrepareEpochFence", "New"])
def test_what_is_not_open_is_not_ended(state: str) -> None:
    with pytest.raises(TransactionNotOpen, match=f"^Cannot abort transaction 'orders-1', which is {state}: .+\\.$"):
        check(changed(state=state), "abort", None)


@pytest.mark.parametrize("given", [(13, 3), (12, 4)])
def test_the_transaction_of_another_producer_is_not_ended(given: tuple[int, int]) -> None:
    with pytest.raises(TransactionChanged, match=f"meant is of producer {given[0]} and epoch {given[1]}.*Ongoing, of producer 12 and epoch 3"):
        check(OPEN, "commit", given)
    check(OPEN, "commit", (12, 3))


@pytest.mark.parametrize("fields", [{"producer_id": 13}, {"producer_epoch": 4}, {"started_ms": 1_001}, {"state": "CompleteAbort"}], ids=str)
def test_a_transaction_that_became_another_while_somebody_thought_about_it_is_left_alone(fields: dict[str, Any]) -> None:
    coordinator = Coordinator([changed(**fields)])
    with pytest.raises(TransactionChanged, match="1970-01-01 00:00:01"):
        decide(connected_to(coordinator), OPEN, "commit")
    assert coordinator.told == []


@pytest.mark.parametrize("verb", ["commit", "abort"])
def test_the_coordinator_is_told_again_while_it_is_busy_and_asked_until_it_is_done(verb: Any) -> None:
    done = changed(state="CompleteCommit")
    coordinator = Coordinator([OPEN, changed(state="PrepareCommit"), done], codes=[14, 51, 0])
    assert decide(connected_to(coordinator), OPEN, verb) == done
    assert coordinator.told == [(Handle(1, "orders-1", 12, 3), verb == "commit")] * 3


@pytest.mark.parametrize(
    ("code", "name"), [(47, "INVALID_PRODUCER_EPOCH"), (48, "INVALID_TXN_STATE"), (49, "INVALID_PRODUCER_ID_MAPPING"), (53, "AUTHOR")]
)
def test_a_coordinator_that_refuses_is_told_with_the_fix(code: int, name: str) -> None:
    with pytest.raises(EndRefused, match=rf"refuses to commit it for producer 12 of epoch 3: .*{name}.*Nothing was changed\. .+\.$"):
        decide(connected_to(Coordinator([OPEN], codes=[code])), OPEN, "commit")


def test_a_job_that_has_begun_the_id_anew_meanwhile_is_not_fenced() -> None:
    anew = changed(state="Empty", producer_epoch=4)
    assert fence(connected_to(Coordinator([anew])), anew, OPEN) == anew


@pytest.fixture
def with_coordinator(monkeypatch: pytest.MonkeyPatch) -> Coordinator:
    coordinator = Coordinator([OPEN])
    monkeypatch.setattr(transactions, "connected", lambda *options: nullcontext(connected_to(coordinator)))
    return coordinator


def interrupted(*arguments: Any) -> Any:
    raise KeyboardInterrupt


def test_an_interruption_at_the_question_changes_nothing(with_coordinator: Coordinator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "sys", SimpleNamespace(stdin=SimpleNamespace(readline=interrupted)))
    result = invoke("abort", OPEN.transactional_id)
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (130, "Nothing was changed.")
    assert with_coordinator.told == []


@pytest.mark.usefixtures("with_coordinator")
def test_an_interruption_later_does_not_say_what_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "decide", interrupted)
    result = invoke("abort", OPEN.transactional_id, "--yes")
    assert (result.exit_code, "describe` says what became of the transaction" in result.stderr) == (130, True), result.output
    assert "Aborted" not in result.output


# --- texts


def test_a_description_shows_what_matters(capsys: pytest.CaptureFixture[str]) -> None:
    print_description(OPEN, now_ms=76_000)
    assert capsys.readouterr().out.splitlines() == [
        "transactional id  orders-1",
        "state             Ongoing",
        "producer          12, epoch 3",
        "timeout           1 min 0 s",
        "began             1970-01-01 00:00:01.000Z, 1 min 15 s ago",
        "coordinator       broker 1",
        "writes to         out (partitions 0, 2)",
    ]


def test_nothing_open_has_no_age_and_a_clock_that_is_behind_makes_none_negative() -> None:
    assert plain(OPEN, now_ms=500)["age_ms"] == 0
    assert plain(changed(state="CompleteCommit"), now_ms=5_000)["age_ms"] is None
    assert plain(changed(state="Empty", started_ms=None), now_ms=5_000)["age_ms"] is None
    assert partitions_text(changed(partitions=())) == "-"
