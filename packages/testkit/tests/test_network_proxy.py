"""The proxy with faults, seen from both sides of it: a plain client, and a server that sends back what it is told."""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from millstream_testkit.services import KafkaService, NetworkProxy, ServiceUnavailable
from millstream_testkit.services.network import Ways

WAIT_S = 10.0
NOTHING_S = 0.2
"""So long a client looks whether something comes that must not; a slow machine makes such a look pass, never fail."""


class EchoServer:
    """Sends back what each connection says, and keeps it."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.heard: list[bytearray] = []
        self.ends: list[str] = []
        self.changed = threading.Condition()
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(client)
            self.heard.append(bytearray())
            self._threads.append(threading.Thread(target=self._echo, args=(client, self.heard[-1])))
            self._threads[-1].start()

    def _echo(self, client: socket.socket, heard: bytearray) -> None:
        end = "closed"
        with client:
            try:
                while data := client.recv(65536):
                    with self.changed:
                        heard += data
                        self.changed.notify_all()
                    client.sendall(data)
            except ConnectionError:
                end = "reset"
        with self.changed:
            self.ends.append(end)
            self.changed.notify_all()

    def wait_for(self, said: bytes) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: said in map(bytes, self.heard), WAIT_S), self.heard

    def wait_for_end(self) -> str:
        with self.changed:
            assert self.changed.wait_for(lambda: self.ends, WAIT_S), "the connection has not ended"
            return self.ends[-1]

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(WAIT_S)
        for client in self._open:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(WAIT_S)
            assert not thread.is_alive()


@pytest.fixture
def server() -> Iterator[EchoServer]:
    made = EchoServer()
    yield made
    made.close()


@pytest.fixture
def proxy(server: EchoServer) -> Iterator[NetworkProxy]:
    with NetworkProxy(server.address, jitter=random.Random(7)) as made:
        yield made


@pytest.fixture
def connect(proxy: NetworkProxy) -> Iterator[object]:
    with ExitStack() as stack:
        yield lambda: stack.enter_context(connected(proxy))


def connected(proxy: NetworkProxy) -> socket.socket:
    host, _, port = proxy.address.partition(":")
    return socket.create_connection((host, int(port)), WAIT_S)


def said(client: socket.socket, size: int) -> bytes:
    """So many bytes, or fewer if the connection ends before."""
    found = b""
    while len(found) < size and (data := client.recv(size - len(found))):
        found += data
    return found


def echoed(client: socket.socket, data: bytes) -> bytes:
    client.sendall(data)
    return said(client, len(data))


def assert_silent(client: socket.socket) -> None:
    client.settimeout(NOTHING_S)
    with pytest.raises(TimeoutError):
        client.recv(1)
    client.settimeout(WAIT_S)


def test_without_faults_everything_passes_both_ways_and_is_counted(proxy, connect) -> None:
    first, second = connect(), connect()
    data = random.Random(1).randbytes(3_000_000)
    sender = threading.Thread(target=first.sendall, args=(data,))
    sender.start()
    assert said(first, len(data)) == data
    sender.join(WAIT_S)
    assert echoed(second, b"hello") == b"hello"
    traffic = proxy.wait_for(lambda traffic: traffic.downstream.passed_bytes == 3_000_005)
    assert (traffic.accepted, traffic.open) == (2, 2)
    assert (traffic.upstream.passed_bytes, traffic.upstream.waiting_bytes, traffic.upstream.lost_bytes) == (3_000_005, 0, 0)
    first.close()
    assert proxy.wait_for(lambda traffic: traffic.open == 1).accepted == 2
    assert echoed(second, b"again") == b"again"


def test_one_side_may_end_and_still_be_answered(proxy, connect, server) -> None:
    client = connect()
    client.sendall(b"last words")
    client.shutdown(socket.SHUT_WR)
    assert said(client, 100) == b"last words"
    assert server.wait_for_end() == "closed"
    proxy.wait_for(lambda traffic: traffic.open == 0)


def test_behind_a_cut_downstream_requests_arrive_and_answers_come_when_it_is_healed(proxy, connect, server) -> None:
    client = connect()
    with proxy.cut("downstream") as cut:
        client.sendall(b"request")
        server.wait_for(b"request")
        proxy.wait_for(lambda traffic: traffic.downstream.waiting_bytes == 7)
        assert_silent(client)
        assert cut.stopped_bytes == 7
    assert said(client, 7) == b"request"
    assert proxy.traffic().downstream.lost_bytes == 0


@pytest.mark.parametrize("ways", ["upstream", "both"])
def test_behind_a_cut_upstream_nothing_arrives_until_it_is_healed(proxy, connect, server, ways: Ways) -> None:
    client = connect()
    assert echoed(client, b"a") == b"a"
    cut = proxy.cut(ways)
    client.sendall(b"b")
    proxy.wait_for(lambda traffic: cut.stopped_bytes == 1)
    assert_silent(client)
    assert server.heard == [b"a"]
    cut.heal()
    cut.heal()  # once is enough
    assert said(client, 1) == b"b"


def test_a_cut_swallows_if_asked_and_resets_only_what_has_lost_something_when_it_is_healed(proxy, connect, server) -> None:
    torn, whole = connect(), connect()
    assert (echoed(torn, b"a"), echoed(whole, b"b")) == (b"a", b"b")
    with proxy.cut("upstream", swallow=True):
        torn.sendall(b"lost")
        proxy.wait_for(lambda traffic: traffic.upstream.lost_bytes == 4)
        assert_silent(torn)
    with pytest.raises(ConnectionResetError):
        torn.recv(1)
    assert server.wait_for_end() == "reset"
    assert echoed(whole, b"c") == b"c"
    assert sorted(map(bytes, server.heard)) == [b"a", b"bc"]


def test_nobody_learns_behind_a_cut_that_the_other_side_has_ended(proxy, connect, server) -> None:
    client = connect()
    assert echoed(client, b"a") == b"a"
    with proxy.cut():
        client.close()
        with server.changed:
            assert not server.changed.wait_for(lambda: server.ends, NOTHING_S)
        assert proxy.traffic().open == 1
    assert server.wait_for_end() == "closed"


def test_a_cut_that_waits_for_a_request_lets_it_arrive_and_loses_its_answer(proxy, connect, server) -> None:
    client = connect()
    with proxy.cut("downstream", after=lambda piece: piece == b"commit") as cut:
        assert echoed(client, b"write") == b"write"
        assert not cut.begun
        client.sendall(b"commit")
        server.wait_for(b"writecommit")
        proxy.wait_for(lambda traffic: cut.stopped_bytes == 6)
        assert cut.begun
        assert_silent(client)


def test_a_fault_of_new_connections_leaves_those_that_are_open_alone(proxy, connect) -> None:
    old = connect()
    assert echoed(old, b"a") == b"a"
    with proxy.cut(connections="new") as cut:
        new = connect()
        new.sendall(b"b")
        proxy.wait_for(lambda traffic: cut.stopped_bytes == 1)
        assert_silent(new)
        assert echoed(old, b"c") == b"c"
    assert said(new, 1) == b"b"


def test_latency_comes_each_way_and_keeps_the_order(proxy, connect) -> None:
    client = connect()
    assert echoed(client, b"a") == b"a"
    with proxy.latency(0.1):
        begun = time.monotonic()
        assert echoed(client, b"b") == b"b"
        assert time.monotonic() - begun >= 0.2
    with proxy.latency(0.02, jitter_s=0.02, ways="upstream"):
        data = bytes(range(100))
        for number in data:
            client.sendall(bytes([number]))
        assert said(client, len(data)) == data


def test_jitter_is_drawn_from_the_given_random_numbers(server) -> None:
    class Drawn(random.Random):
        def uniform(self, a: float, b: float) -> float:
            drawn.append((a, b))
            return 0.0

    drawn: list[tuple[float, float]] = []
    with NetworkProxy(server.address, jitter=Drawn()) as proxy, connected(proxy) as client, proxy.latency(0.001, jitter_s=0.5, ways="upstream"):
        assert echoed(client, b"a") == b"a"
    assert drawn[0] == (-0.5, 0.5)


def test_a_reset_is_one_for_both_sides_and_the_next_connection_works(proxy, connect, server) -> None:
    client = connect()
    assert echoed(client, b"a") == b"a"
    assert proxy.reset() == 1
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert server.wait_for_end() == "reset"
    assert proxy.traffic().open == 0
    assert echoed(connect(), b"b") == b"b"


def test_a_reset_by_one_side_is_passed_on_as_one(proxy, connect, server) -> None:
    client = connect()
    assert echoed(client, b"a") == b"a"
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    assert server.wait_for_end() == "reset"


def test_new_connections_are_refused_and_old_ones_stay(proxy, connect) -> None:
    old = connect()
    assert echoed(old, b"a") == b"a"
    for _ in range(3):  # the port stays ours
        with proxy.refuse():
            with pytest.raises(ConnectionRefusedError):
                connected(proxy)
            assert echoed(old, b"b") == b"b"
        assert echoed(connect(), b"c") == b"c"


def test_a_server_that_is_not_there_is_a_reset_and_may_come_later() -> None:
    with socket.socket() as late:
        late.bind(("127.0.0.1", 0))  # and does not listen
        with NetworkProxy(f"127.0.0.1:{late.getsockname()[1]}") as proxy:
            with pytest.raises(ConnectionResetError), connected(proxy) as client:
                client.recv(1)
            late.listen()
            with connected(proxy) as client:
                behind, _ = late.accept()
                with behind:
                    behind.sendall(b"here")
                    assert said(client, 4) == b"here"


def test_bandwidth_is_limited_while_it_is(proxy, connect) -> None:
    client = connect()
    data = bytes(20_000)
    with proxy.bandwidth(100_000, ways="downstream"):
        begun = time.monotonic()
        assert echoed(client, data) == data
        took_s = time.monotonic() - begun
    assert took_s >= 0.17  # but for the first slice, which waits for nothing
    with proxy.bandwidth(1, ways="downstream") as crawl:
        client.sendall(data)
        proxy.wait_for(lambda traffic: traffic.upstream.passed_bytes == 40_000)
        assert said(client, 1) == b"\0"
        crawl.heal()  # wakes up who waits for the next byte
        assert said(client, len(data) - 1) == data[1:]


def test_the_end_of_a_connection_comes_late(proxy, connect, server) -> None:
    client = connect()
    with proxy.slow_close(0.2, ways="upstream"):
        begun = time.monotonic()
        client.sendall(b"a")
        client.shutdown(socket.SHUT_WR)
        assert said(client, 1) == b"a"
        assert server.wait_for_end() == "closed"
        assert time.monotonic() - begun >= 0.2


def test_half_a_message_arrives_and_then_the_end(proxy, connect, server) -> None:
    old = connect()
    assert echoed(old, b"12345678") == b"12345678"  # what has passed before does not count
    with proxy.limit_data(5, ways="downstream"):
        for client in (old, connect()):
            client.sendall(b"a whole message")
            assert said(client, 100) == b"a who"
            assert server.wait_for_end() == "closed"
            server.ends.clear()
            client.close()
        proxy.wait_for(lambda traffic: traffic.open == 0)
    assert proxy.traffic().downstream.lost_bytes == 20
    assert echoed(connect(), b"a whole message") == b"a whole message"


def test_several_faults_at_once_and_all_healed(proxy, connect) -> None:
    client = connect()
    proxy.refuse()
    proxy.latency(0.01)
    cut, other = proxy.cut("upstream"), proxy.cut("upstream")
    client.sendall(b"a")
    proxy.wait_for(lambda traffic: cut.stopped_bytes == other.stopped_bytes == 1)
    cut.heal()
    assert_silent(client)
    proxy.heal()
    assert said(client, 1) == b"a"
    assert echoed(connect(), b"b") == b"b"


def test_a_sender_has_to_wait_when_the_proxy_has_taken_enough_behind_a_cut(proxy, connect) -> None:
    client = connect()
    data = bytes(32 * 1024 * 1024)
    sender = threading.Thread(target=client.sendall, args=(data,))
    with proxy.cut("upstream"):
        sender.start()
        proxy.wait_for(lambda traffic: traffic.upstream.waiting_bytes > 4 * 1024 * 1024)
        sender.join(NOTHING_S)
        assert sender.is_alive()
        assert proxy.traffic().upstream.waiting_bytes < 5 * 1024 * 1024
    assert said(client, len(data)) == data
    sender.join(WAIT_S)


def test_closing_ends_all_connections_the_thread_and_the_port_whatever_is_on(server) -> None:
    before = set(threading.enumerate())
    proxy = NetworkProxy(server.address)
    (thread,) = (one for one in set(threading.enumerate()) - before if one.name.startswith("network-proxy"))
    port = int(proxy.address.partition(":")[2])
    with connected(proxy) as client:
        cut = proxy.cut()
        client.sendall(bytes(100))
        proxy.wait_for(lambda traffic: cut.stopped_bytes == 100)
        proxy.close()
        with pytest.raises(ConnectionResetError):  # or an orderly end, where nothing was unread
            raise ConnectionResetError(client.recv(1))
    proxy.close()
    cut.heal()  # too late, and no harm
    assert not thread.is_alive()
    assert proxy.traffic().open == 0
    with NetworkProxy(server.address, port=port) as again, connected(again) as client:
        assert echoed(client, b"a") == b"a"


def test_a_mistake_in_the_condition_of_a_cut_is_told_at_the_end(server) -> None:
    proxy = NetworkProxy(server.address)
    with connected(proxy) as client:
        proxy.cut(after=lambda piece: 1 / 0 > 0)
        client.sendall(b"a")
        proxy.wait_for(lambda traffic: traffic.open == 0)
    with pytest.raises(BaseExceptionGroup, match="has failed") as raised:
        proxy.close()
    assert raised.value.subgroup(ZeroDivisionError) is not None


def test_what_makes_no_sense_is_refused_with_what_is_allowed(proxy) -> None:
    with pytest.raises(ValueError, match="'nowhere', and should be host:port"):
        NetworkProxy("nowhere")
    with pytest.raises(ValueError, match="above 0"):
        proxy.bandwidth(0)
    with pytest.raises(TimeoutError, match="within 0.01 s: Traffic"):
        proxy.wait_for(lambda traffic: False, 0.01)


def test_a_broker_that_was_given_from_outside_has_no_proxy_and_says_how_to_get_one() -> None:
    service = KafkaService("127.0.0.1:9092")
    for ask in (lambda: service.proxy, lambda: service.proxied):
        with pytest.raises(ServiceUnavailable, match=r"127\.0\.0\.1:9092 was given from outside.*running_kafka\(proxied=True\)"):
            ask()
