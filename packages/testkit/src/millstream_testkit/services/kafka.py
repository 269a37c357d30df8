"""A Kafka broker for tests."""

from __future__ import annotations

import atexit
import base64
import os
import socket
import time
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from millstream_testkit.services.containers import Container
from millstream_testkit.services.errors import ServiceUnavailable
from millstream_testkit.services.network import NetworkProxy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VERSION: Final = "4.1.0"
"""Of the broker in the container; MILLSTREAM_TEST_KAFKA_VERSION names another."""

READY_S: Final = 90.0
_DATA: Final = "/var/lib/kafka/data"
_COMMAND: Final = (
    'printf "%s" "$PROPERTIES" | sed "s/@LISTENS_ON@/$LISTENS_ON/g" > /tmp/server.properties'
    " && /opt/kafka/bin/kafka-storage.sh format --ignore-formatted -t $CLUSTER_ID $SCRAM -c /tmp/server.properties"
    " && exec /opt/kafka/bin/kafka-server-start.sh /tmp/server.properties"
)
_FRUGAL: Final = "-Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1"
"""A broker that lives for a minute does not earn back what its best compiler takes."""

_QUICK: Final = {
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    # After a crash the old registration stands in the way of the new one until its session ends.
    "broker.session.timeout.ms": "1500",
    "broker.heartbeat.interval.ms": "300",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
}
"""A single broker that starts fast, and fast again."""

_REPLICATED: Final = {
    "default.replication.factor": "3",
    "min.insync.replicas": "2",
    "offsets.topic.replication.factor": "3",
    "transaction.state.log.replication.factor": "3",
    "transaction.state.log.min.isr": "2",
    "share.coordinator.state.topic.replication.factor": "3",
    "share.coordinator.state.topic.min.isr": "2",
}
"""Three brokers of which any one may be away."""


@dataclass(frozen=True)
class KafkaLogin:
    """A listener with TLS and SASL/SCRAM-SHA-256.

    Attributes:
        bootstrap: its address.
        username: of the only user.
        password: of that user.
        ca_pem: the certificate of the authority that vouches for the broker.
    """

    bootstrap: str
    username: str
    password: str
    ca_pem: str = field(repr=False)


@dataclass(frozen=True)
class KafkaService:
    """A broker that can be reached, and crashed where it is ours.

    Attributes:
        bootstrap: its address, for `bootstrap.servers`.
        login: another listener of the same broker; None where it has none.
        container: what it runs in; None for a broker that was given from outside.
        network: in front of a listener of the broker that names it as its address; None where it has none.
    """

    bootstrap: str
    login: KafkaLogin | None = None
    container: Container | None = field(default=None, repr=False)
    network: NetworkProxy | None = field(default=None, repr=False)

    @property
    def proxy(self) -> NetworkProxy:
        """The network between the broker and who reaches it at `proxied`, with faults to switch on and off.

        Raises:
            ServiceUnavailable: the broker has no listener behind a proxy.
        """
        if self.network is None:
            given = self.container is None
            raise ServiceUnavailable(
                service="kafka behind a network proxy",
                reason=f"the broker at {self.bootstrap} "
                + ("was given from outside: it tells clients its own address, and they leave the proxy out" if given else "was started without one"),
                fix="Unset MILLSTREAM_TEST_KAFKA, or use running_kafka(proxied=True)" if given else "Use running_kafka(proxied=True)",
            )
        return self.network

    @property
    def proxied(self) -> str:
        """Its address through the proxy, for `bootstrap.servers`. All that clients then learn of the broker leads through it, too.

        Raises:
            ServiceUnavailable: likewise.
        """
        return self.proxy.address

    def owned(self) -> Container:
        """What it runs in.

        Raises:
            ServiceUnavailable: the broker was given from outside: it is not for us to crash.
        """
        if self.container is None:
            raise ServiceUnavailable(
                service="kafka",
                reason=f"the broker at {self.bootstrap} was given from outside, and this test crashes it",
                fix="Unset MILLSTREAM_TEST_KAFKA, so that one is started in a container",
            )
        return self.container

    def kill(self) -> None:
        """Ends the broker with SIGKILL; nothing listens any more when this returns."""
        self.owned().kill()
        assert not answers(self.bootstrap), f"{self.bootstrap} answers after its broker was killed"

    def start(self) -> None:
        """Starts it again with its data, and waits until it answers."""
        self.owned().start()
        self.wait_until_ready()

    def wait_until_ready(self, timeout_s: float = READY_S) -> None:
        """Returns when the broker leads its cluster and tells its topics.

        Raises:
            ServiceUnavailable: it did not within the time.
        """
        over_s = time.monotonic() + timeout_s
        client: Any = None
        while time.monotonic() < over_s:
            if self.container is not None and not self.container.is_running():
                break
            if client is None and answers(self.bootstrap):
                client = _admin(self.bootstrap)
            if client is not None and _is_ready(client):
                return
            time.sleep(0.05)
        said = f" Its last words:\n{self.container.log()}" if self.container is not None else ""
        raise ServiceUnavailable(service="kafka", reason=f"the broker at {self.bootstrap} does not answer", fix=f"See its log.{said}")


@contextmanager
def running_kafka(
    *, version: str | None = None, settings: Mapping[str, str] | None = None, login: bool = False, proxied: bool = False, frugal: bool = True
) -> Iterator[KafkaService]:
    """A broker that answers: the one at MILLSTREAM_TEST_KAFKA, else one of its own in a container, removed afterwards.

    Args:
        version: of Kafka, for a container; None for MILLSTREAM_TEST_KAFKA_VERSION or a recent one.
        settings: of the broker, in addition; they ask for a container whatever address is given.
        login: with a second listener that asks for TLS and a password; likewise.
        proxied: with another listener behind a network that fails when told to; likewise.
        frugal: takes little for its start and itself, at the cost of its top speed, which only a benchmark asks for.

    Raises:
        ServiceUnavailable: there is none.
    """
    given = os.environ.get("MILLSTREAM_TEST_KAFKA", "")
    if given and not settings and not login and not proxied and version is None:
        service = KafkaService(given)
        service.wait_until_ready()
        yield service
        return
    chosen = version or os.environ.get("MILLSTREAM_TEST_KAFKA_VERSION") or VERSION
    behind, at = free_ports(2)
    with ExitStack() as stack:
        network = stack.enter_context(NetworkProxy(f"127.0.0.1:{behind}", port=at)) if proxied else None
        service = _start(chosen, settings or {}, network, _Member.alone(), with_login=login, frugal=frugal)
        stack.callback(service.owned().remove)
        service.wait_until_ready()
        yield service


@contextmanager
def running_kafka_cluster(*, version: str | None = None, settings: Mapping[str, str] | None = None) -> Iterator[tuple[KafkaService, ...]]:
    """Three brokers of one cluster, each in a container of its own, removed afterwards: any one of them may be killed and started again.

    Topics are replicated three times unless they are made otherwise, and a record counts once two brokers have it.

    Args:
        version: of Kafka; None for MILLSTREAM_TEST_KAFKA_VERSION or a recent one.
        settings: of each broker, in addition.

    Raises:
        ServiceUnavailable: there is no container engine or no image.
    """
    chosen = version or os.environ.get("MILLSTREAM_TEST_KAFKA_VERSION") or VERSION
    cluster_id, ports = _cluster_id(), free_ports(3)
    voters = dict(enumerate(ports, 1))
    with ExitStack() as stack:
        brokers = []
        for number in voters:
            member = _Member(number, voters, cluster_id)
            service = _start(chosen, {**_REPLICATED, **(settings or {})}, None, member, with_login=False, frugal=True)
            stack.callback(service.owned().remove)
            brokers.append(service)
        for service in brokers:
            service.wait_until_ready()
        yield tuple(brokers)


@dataclass(frozen=True)
class _Member:
    """A broker among those of its cluster: its number, and the port of each one's controller."""

    number: int
    voters: Mapping[int, int]
    cluster_id: str

    @classmethod
    def alone(cls) -> _Member:
        return cls(1, {1: free_ports(1)[0]}, _cluster_id())


def _start(
    version: str, settings: Mapping[str, str], network: NetworkProxy | None, member: _Member, *, with_login: bool, frugal: bool
) -> KafkaService:
    broker, secure = free_ports(2)
    controller = member.voters[member.number]
    listeners = {"PLAINTEXT": broker, "CONTROLLER": controller}
    advertised = {"PLAINTEXT": f"127.0.0.1:{broker}"}
    more: dict[str, str] = {}
    scram, login = "", None
    if with_login:
        listeners["SASL_SSL"] = secure
        advertised["SASL_SSL"] = f"127.0.0.1:{secure}"
        login, more = _login(secure)
        scram = f"--add-scram SCRAM-SHA-256=[name={login.username},password={login.password}]"
    if network is not None:
        # A client asks the broker for addresses and goes on with those. The ones of this listener are the proxy's.
        listeners["PROXIED"] = int(network.target.rpartition(":")[2])
        advertised["PROXIED"] = network.address
    properties = {
        "process.roles": "broker,controller",
        "node.id": str(member.number),
        "controller.quorum.voters": ",".join(f"{number}@127.0.0.1:{port}" for number, port in member.voters.items()),
        "listeners": ",".join(f"{name}://{'127.0.0.1' if name == 'CONTROLLER' else '@LISTENS_ON@'}:{port}" for name, port in listeners.items()),
        "advertised.listeners": ",".join(f"{name}://{address}" for name, address in advertised.items()),
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": ",".join(f"{name}:{'SASL_SSL' if name == 'SASL_SSL' else 'PLAINTEXT'}" for name in listeners),
        "log.dirs": _DATA,
        **_QUICK,
        **more,
        **settings,
    }
    environment = {
        "PROPERTIES": "".join(f"{name}={value}\n" for name, value in properties.items()),
        "CLUSTER_ID": member.cluster_id,
        "SCRAM": scram,
        "KAFKA_HEAP_OPTS": _FRUGAL if frugal else "-Xmx512m",
    }
    ports = [port for name, port in listeners.items() if name != "CONTROLLER"]
    container = Container("kafka", (f"millstream-it/kafka:{version}", f"apache/kafka:{version}"), _COMMAND, environment, ports)
    return KafkaService(f"127.0.0.1:{broker}", login, container, network)


def _login(port: int) -> tuple[KafkaLogin, dict[str, str]]:
    """A user with a password, a certificate for 127.0.0.1, and the settings of the broker for both."""
    import trustme

    authority = trustme.CA(key_type=trustme.KeyType.RSA)
    certificate = authority.issue_cert("127.0.0.1", "localhost", key_type=trustme.KeyType.RSA)
    chain = "".join(blob.bytes().decode() for blob in certificate.cert_chain_pems)
    key = _pkcs8(certificate.private_key_pem.bytes())
    login = KafkaLogin(f"127.0.0.1:{port}", "millstream", uuid.uuid4().hex, authority.cert_pem.bytes().decode())
    return login, {
        "listener.name.sasl_ssl.ssl.keystore.type": "PEM",
        "listener.name.sasl_ssl.ssl.keystore.certificate.chain": _one_line(chain),
        "listener.name.sasl_ssl.ssl.keystore.key": _one_line(key),
        "listener.name.sasl_ssl.sasl.enabled.mechanisms": "SCRAM-SHA-256",
        "listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
    }


def _pkcs8(pem: bytes) -> str:
    """A private key in the only form that Kafka reads."""
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(pem, None)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*form).decode()


def _one_line(pem: str) -> str:
    """PEM as the value of a property: a backslash at the end of a line goes on in the next one."""
    return pem.strip().replace("\n", "\\n")


def _cluster_id() -> str:
    """A random one that no command takes for an option."""
    return "M" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listened on just now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def answers(address: str) -> bool:
    """Whether somebody listens there."""
    host, _, port = address.split(",")[0].rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def _admin(bootstrap: str) -> Any:
    try:
        from confluent_kafka.admin import AdminClient
    except ImportError as error:
        raise ServiceUnavailable(
            service="kafka", reason="the package confluent-kafka is not installed", fix="Install millstream-testkit[kafka]"
        ) from error
    return AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})


def _is_ready(admin: Any) -> bool:
    from confluent_kafka import KafkaException

    try:
        return bool(admin.list_topics(timeout=2).brokers)
    except KafkaException:
        return False


@cache
def shared_kafka() -> KafkaService:
    """The broker that all tests of this process share: started when it is first asked for, removed at the end of the process.

    Raises:
        ServiceUnavailable: there is none.
    """
    return _shared() if os.environ.get("MILLSTREAM_TEST_KAFKA", "") else shared_proxied_kafka()


@cache
def shared_proxied_kafka() -> KafkaService:
    """The same with a listener behind a proxy: another broker only where one was given from outside. Whoever switches a fault on heals it.

    Raises:
        ServiceUnavailable: there is none.
    """
    return _shared(proxied=True)


def _shared(*, proxied: bool = False) -> KafkaService:
    stack = ExitStack()
    service = stack.enter_context(running_kafka(proxied=proxied))
    atexit.register(stack.close)
    return service
