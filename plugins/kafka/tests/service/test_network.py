"""The Kafka source and sink over a network that fails: what is read and written all the same, and what is told of it."""

from __future__ import annotations

import struct
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from millstream import JobStatus, StreamExecutionEnvironment
from millstream.api.job_client import JobClient
from millstream.errors import JobFailedError
from millstream_kafka import KafkaSink, KafkaSource, Offsets
from millstream_kafka.errors import KafkaUnreachable
from millstream_kafka.second_client import Transactions
from millstream_kafka.settings import connection
from millstream_testkit.services import KafkaService, NetworkProxy
from millstream_testkit.suites.attempts import rows

pytestmark = pytest.mark.one_python

PRODUCE, END_TXN = 0, 26
"""Numbers of requests in Kafka's protocol."""

WAIT_S = 30.0
MANY_BYTES = 2_000
"""More than fetches that nobody answers come to: commits of offsets are among them."""


@pytest.fixture
def proxy(millstream_proxied_kafka: KafkaService) -> NetworkProxy:
    return millstream_proxied_kafka.proxy


@pytest.fixture
def own(broker: Any, millstream_proxied_kafka: KafkaService) -> Any:
    """The broker behind the proxy, as a stranger uses it who is not behind it."""
    bootstrap = millstream_proxied_kafka.bootstrap
    return type(broker)(bootstrap, AdminClient({"bootstrap.servers": bootstrap}))


def requests_in(piece: bytes) -> Iterator[int]:
    """Numbers of the requests in a piece of a stream that begins with one."""
    while len(piece) >= 6:
        size, number = struct.unpack(">ih", piece[:6])
        yield number
        piece = piece[4 + size :]


def has(request: int) -> Callable[[bytes], bool]:
    return lambda piece: request in requests_in(piece)


def numbers(start: int, stop: int) -> list[bytes]:
    return [b"%d" % number for number in range(start, stop)]


def wait_until_someone_comes_again(proxy: NetworkProxy) -> None:
    before = proxy.traffic().accepted
    proxy.wait_for(lambda traffic: traffic.accepted > before)


def a_cut_that_heals(proxy: NetworkProxy, write: Callable[[], None]) -> None:
    with proxy.cut() as cut:
        write()
        proxy.wait_for(lambda traffic: cut.stopped_bytes > 0)


def a_cut_longer_than_the_client_waits(proxy: NetworkProxy, write: Callable[[], None]) -> None:
    with proxy.cut():
        write()
        wait_until_someone_comes_again(proxy)


def a_cut_downstream(proxy: NetworkProxy, write: Callable[[], None]) -> None:
    with proxy.cut("downstream") as cut:
        write()
        proxy.wait_for(lambda traffic: cut.stopped_bytes > 0)


def a_cut_that_loses_what_was_sent(proxy: NetworkProxy, write: Callable[[], None]) -> None:
    before = proxy.traffic().downstream.lost_bytes
    with proxy.cut("downstream", swallow=True):
        write()
        proxy.wait_for(lambda traffic: traffic.downstream.lost_bytes > before)


def a_reset(proxy: NetworkProxy, write: Callable[[], None]) -> None:
    assert proxy.reset() > 0
    write()


def half_an_answer_and_no_server_for_a_while(proxy: NetworkProxy, write: Callable[[], None]) -> None:
    with proxy.refuse():
        open_before = proxy.traffic().open
        with proxy.limit_data(50, ways="downstream"):
            write()
            proxy.wait_for(lambda traffic: traffic.open < open_before)


FAULTS = [
    a_cut_that_heals,
    a_cut_longer_than_the_client_waits,
    a_cut_downstream,
    a_cut_that_loses_what_was_sent,
    a_reset,
    half_an_answer_and_no_server_for_a_while,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_source_behind_a_network_that_fails_loses_and_doubles_nothing_and_goes_on_when_it_is_healed(
    own: Any, proxy: NetworkProxy, fault: Callable[[NetworkProxy, Callable[[], None]], None], running: Any
) -> None:
    topic = own.topic()
    own.write(topic, numbers(0, 100))
    quick = {"socket.timeout.ms": 1_000, "fetch.wait.max.ms": 100, "reconnect.backoff.max.ms": 200}
    reading = running(KafkaSource(proxy.address, topic, client=quick))
    reading.wait_for(100)
    fault(proxy, lambda: own.write(topic, numbers(100, 200)))
    reading.wait_for(200)
    own.write(topic, [b"last"])
    assert reading.wait_for(201) == [*numbers(0, 200), b"last"]
    assert reading.stop() == 0


def written(sink: KafkaSink[Any], folder: Path) -> JobClient:
    """A job that writes three records in one checkpoint."""
    env = StreamExecutionEnvironment().configure("checkpoint.storage", str(folder)).configure("checkpoint.interval", "4m")
    env.from_collection([b"a", b"b", b"c"], uid="in").sink_to(sink, uid="out")
    return env.execute_async(f"writing {uuid.uuid4().hex}")


def transactional(proxy: NetworkProxy, topic: str, delivery: Any, **client: Any) -> KafkaSink[Any]:
    apart = {"marker_topic": f"markers-{topic}", "transactional_id_prefix": topic}
    return KafkaSink(proxy.address, topic, delivery=delivery, client=client, **apart)


def wait_until_it_restarts(job: JobClient) -> None:
    over_s, moment = time.monotonic() + WAIT_S, threading.Event()
    while job.status() is not JobStatus.RESTARTING:
        assert time.monotonic() < over_s, job.status()
        moment.wait(0.01)


@pytest.mark.parametrize(
    ("ways", "after"), [("downstream", END_TXN), ("upstream", PRODUCE)], ids=["the answer to the commit is lost", "the commit itself comes late"]
)
def test_an_exactly_once_sink_that_cannot_know_whether_it_has_committed_writes_each_record_once(
    own: Any, proxy: NetworkProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ways: Any, after: int
) -> None:
    monkeypatch.setattr("millstream_kafka.exactly_once._COMMIT_S", 1.0)
    topic = own.topic()
    with proxy.cut(ways, after=has(after)) as cut:
        job = written(transactional(proxy, topic, "exactly_once"), tmp_path)
        wait_until_it_restarts(job)
        assert cut.stopped_bytes > 0
    assert job.result(WAIT_S).restarts >= 1
    assert [message.value() for message in own.read(topic)] == [b"a", b"b", b"c"]


def test_a_two_phase_sink_whose_commit_is_not_answered_asks_again_and_writes_each_record_once(
    own: Any, proxy: NetworkProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millstream_kafka.two_phase._COMMIT_S", 1.0)
    asked_again = threading.Event()
    end = Transactions.end

    def watched(transactions: Transactions, *arguments: Any, **more: Any) -> int:
        asked_again.set()
        return end(transactions, *arguments, **more)

    monkeypatch.setattr(Transactions, "end", watched)
    topic = own.topic()
    with proxy.cut("downstream", after=has(END_TXN)) as cut:
        job = written(transactional(proxy, topic, "exactly_once_2pc"), tmp_path)
        assert asked_again.wait(WAIT_S), job.status()
        assert cut.stopped_bytes > 0
    job.result(WAIT_S)
    assert [message.value() for message in own.read(topic)] == [b"a", b"b", b"c"]


@pytest.mark.parametrize("delivery", ["exactly_once", "exactly_once_2pc"])
def test_a_connection_that_is_reset_in_a_commit_costs_no_restart(own: Any, proxy: NetworkProxy, tmp_path: Path, delivery: Any) -> None:
    topic = own.topic()
    with proxy.cut("downstream", swallow=True, after=has(END_TXN)) as cut:
        job = written(transactional(proxy, topic, delivery), tmp_path)
        proxy.wait_for(lambda traffic: cut.stopped_bytes > 0)
    assert job.result(WAIT_S).restarts == 0
    assert [message.value() for message in own.read(topic)] == [b"a", b"b", b"c"]


def test_a_broker_that_does_not_answer_when_a_job_starts_is_an_outage_that_names_its_address(
    own: Any, proxy: NetworkProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millstream_kafka.topics.REQUEST_S", 1.0)
    topic = own.topic()
    env = StreamExecutionEnvironment()
    env.from_source(KafkaSource[bytes](proxy.address, topic, stop=Offsets.latest()), uid="in").print()
    with proxy.cut() as cut, pytest.raises(JobFailedError) as raised:
        env.execute("unreachable")
    assert cut.stopped_bytes > 0
    assert_outage(raised.value.__cause__, proxy)


def test_a_broker_that_is_away_longer_than_a_sink_waits_is_an_outage_that_names_its_address(own: Any, proxy: NetworkProxy) -> None:
    source, topic = own.topic(), own.topic()
    own.write(source, [b"a"])
    env = StreamExecutionEnvironment().configure("checkpoint.storage", "memory").configure("checkpoint.interval", "50ms")
    env.configure("restart.strategy", "none")
    sink = KafkaSink[bytes](proxy.address, topic, client={"delivery.timeout.ms": 1_000})
    env.from_source(KafkaSource[bytes](own.bootstrap, source), uid="in").sink_to(sink, uid="out")
    job = env.execute_async("away")
    over_s = time.monotonic() + WAIT_S
    while not own.read(topic):
        assert time.monotonic() < over_s, job.status()
    with proxy.cut() as cut:
        own.write(source, [b"b"])
        proxy.wait_for(lambda traffic: cut.stopped_bytes > 0)
        with pytest.raises(JobFailedError) as raised:
            job.result(WAIT_S)
    assert_outage(raised.value.__cause__, proxy)


def test_a_broker_that_is_gone_when_the_second_client_asks_is_an_outage_that_names_its_address(proxy: NetworkProxy) -> None:
    transactions = Transactions(connection("KafkaSink", proxy.address, {}, {}))
    assert transactions.listed("of nobody") == []
    with proxy.limit_data(0), pytest.raises(KafkaUnreachable) as raised:  # each connection ends at the first byte
        transactions.listed("of nobody")
    assert_outage(raised.value, proxy)
    transactions.close()


def test_a_two_phase_sink_is_closed_at_once_while_no_broker_answers_whom_it_has_asked_for_its_next_producer(
    own: Any, proxy: NetworkProxy, attempts_of: Any
) -> None:
    topic = own.topic()
    sink = KafkaSink[Any](proxy.address, topic, "json", delivery="exactly_once_2pc", transactional_id_prefix=topic, marker_topic=f"markers-{topic}")
    attempt = attempts_of(sink).open()
    with proxy.cut() as cut:
        attempt.write(rows(0, 1))  # takes the producer that was made ahead
        proxy.wait_for(lambda traffic: cut.stopped_bytes > 0)
        begun_s = time.monotonic()
        attempt.close()
        assert time.monotonic() - begun_s < 10


def test_a_job_is_canceled_while_a_source_waits_for_the_answer_to_a_commit_of_offsets(own: Any, proxy: NetworkProxy, running: Any) -> None:
    topic = own.topic()
    own.write(topic, [b"a"])
    job = running(KafkaSource[bytes](proxy.address, topic, group_id=topic))
    job.wait_for(1)
    with proxy.cut() as cut:
        proxy.wait_for(lambda traffic: cut.stopped_bytes > MANY_BYTES)
        begun_s = time.monotonic()
        job.stop()
        assert time.monotonic() - begun_s < 15


def assert_outage(cause: BaseException | None, proxy: NetworkProxy) -> None:
    assert isinstance(cause, KafkaUnreachable), repr(cause)
    assert cause.outage
    assert f"Kafka at {proxy.address} cannot be reached to " in str(cause)
