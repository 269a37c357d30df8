"""How a client is set up: settings that are passed through, those that the guarantee depends on, and secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from millstream.config import Secret
from millstream.errors import InvalidArgument
from millstream_kafka.errors import SettingRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

SECRETS: Final = frozenset(
    {
        "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.config",
        "sasl.password",
        "ssl.key.password",
        "ssl.key.pem",
        "ssl.keystore.password",
    }
)
"""Settings whose values are shown nowhere."""

_ADDRESS: Final = re.compile(
    r"((plaintext|ssl|sasl_plaintext|sasl_ssl)://)?(\[[0-9a-f:.]+\]|[^\s:,/\[\]]+):(?P<port>[0-9]{1,5})", re.ASCII | re.IGNORECASE
)
_CALLBACKS: Final = "functions cannot go to another process with the job"

REFUSED: Final = {
    "bootstrap.servers": ("the address has an argument of its own", "Give bootstrap_servers=..."),
    "error_cb": (_CALLBACKS, "Leave it out; errors of the client are logged by `millstream.kafka`"),
    "log_cb": (_CALLBACKS, "Leave it out; the client's messages are logged by `millstream.kafka`"),
    "logger": (_CALLBACKS, "Leave it out; the client's messages are logged by `millstream.kafka`"),
    "stats_cb": (_CALLBACKS, "Leave it out"),
    "throttle_cb": (_CALLBACKS, "Leave it out"),
    "oauth_cb": (_CALLBACKS, "Use sasl.oauthbearer.method=oidc"),
}
"""For every client: why, and what to do instead."""

REFUSED_BY_SOURCE: Final = {
    "auto.offset.reset": (
        "a position that is gone must stop the job, never move silently",
        "Give start=Offsets.earliest() or another for where to begin",
    ),
    "enable.auto.commit": (
        "offsets are committed behind complete checkpoints, for information only",
        "Leave it out; group_id=... has them committed",
    ),
    "enable.auto.offset.store": ("offsets are committed behind complete checkpoints, for information only", "Leave it out"),
    "enable.partition.eof": ("the source needs it to find the end of a bounded read", "Leave it out; stop=Offsets.latest() reads to the end"),
    "group.id": ("the group has an argument of its own", "Give group_id=..."),
    "group.instance.id": ("partitions are assigned by the job, not by the group", "Leave it out"),
    "group.protocol": ("partitions are assigned by the job, not by the group", "Leave it out"),
    "isolation.level": ("whether open transactions are read has an argument of its own", "Give isolation_level=..."),
    "on_commit": (_CALLBACKS, "Leave it out"),
    "partition.assignment.strategy": ("partitions are assigned by the job, not by the group", "Leave it out"),
}
REFUSED_BY_SINK: Final = {
    "acks": ("a record that one broker only has is lost with it", "Leave it out; every replica in sync has to have it"),
    "request.required.acks": ("a record that one broker only has is lost with it", "Leave it out; every replica in sync has to have it"),
    "enable.idempotence": ("without it a repeated request doubles and reorders records", "Leave it out; it is on"),
    "enable.gapless.guarantee": ("an error must fail the checkpoint, not the whole client", "Leave it out"),
    "dr_cb": (_CALLBACKS, "Leave it out"),
    "on_delivery": (_CALLBACKS, "Leave it out"),
    "delivery.report.only.error": ("the sink decides which reports it needs", "Leave it out"),
    "transactional.id": ("it belongs to a lane of the job, which no other may have", "Give transactional_id_prefix=..."),
    "transaction.timeout.ms": ("it has an argument of its own", "Give transaction_timeout=timedelta(...)"),
}


@dataclass(frozen=True)
class Connection:
    """Where the brokers are and how to talk to them.

    Attributes:
        bootstrap_servers: `host:port`, several of them with commas.
        settings: of librdkafka, by name; values that are secrets as Secret.
    """

    bootstrap_servers: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def revealed(self, fixed: Mapping[str, Any]) -> dict[str, Any]:
        """Settings for a client, secrets in the clear. Keep them nowhere.

        Args:
            fixed: settings that are not the user's to choose.

        Raises:
            SecretUnavailable: a reference leads nowhere.
        """
        settings = {name: value.reveal() if isinstance(value, Secret) else value for name, value in self.settings.items()}
        return {**settings, **fixed, "bootstrap.servers": self.bootstrap_servers}


def connection(what: str, bootstrap_servers: str | Sequence[str], settings: Mapping[str, Any], refused: Mapping[str, tuple[str, str]]) -> Connection:
    """The connection that options describe.

    Args:
        what: whose options, for errors: `KafkaSource`.
        refused: names that this kind of client does not take, with reason and fix.

    Raises:
        InvalidArgument: the address or a value makes no sense.
        SettingRefused: the guarantee depends on a setting.
    """
    addresses = texts(bootstrap_servers, separator=",")
    if not addresses or not all(map(_is_address, addresses)):
        allowed = 'addresses of brokers such as "kafka-1:9092,kafka-2:9092"'
        raise InvalidArgument(what=f"{what}(bootstrap_servers=...)", value=repr(bootstrap_servers), allowed=allowed)
    given: object = settings
    if not isinstance(given, Mapping):
        raise InvalidArgument(what=f"{what}(client=...)", value=type(given).__name__, allowed="a mapping of settings of librdkafka, by name")
    checked: dict[str, Any] = {}
    for name, value in settings.items():
        if not isinstance(name, str):
            raise InvalidArgument(what=f"{what}(client=...)", value=f"the name {name!r}", allowed="names of settings of librdkafka, which are texts")
        found = refused.get(name) or REFUSED.get(name)
        if found is not None:
            raise SettingRefused(what=f"{what}(client=...)", name=name, reason=found[0], fix=found[1])
        if name in SECRETS and not isinstance(value, Secret):
            value = Secret(str(value))
        if not isinstance(value, str | int | float | bool | Secret):
            allowed = "a text, a number, True, False or a Secret"
            shown = f"{name!r}: {type(value).__name__}"
            raise InvalidArgument(what=f"{what}(client=...)", value=shown, allowed=allowed)
        checked[name] = value
    return Connection(",".join(addresses), checked)


def _is_address(text: str) -> bool:
    match = _ADDRESS.fullmatch(text)
    return match is not None and 0 < int(match["port"]) < 65_536


def texts(given: Any, separator: str | None = None) -> tuple[str, ...] | None:
    """An option that is a text or several: all of them; None where it is neither.

    Args:
        separator: stands between several in one text, if any may.
    """
    if isinstance(given, str):
        return tuple(text.strip() for text in given.split(separator)) if separator else (given,)
    if not isinstance(given, Iterable) or isinstance(given, bytes | bytearray):
        return None
    found = tuple(given)
    return tuple(text.strip() if separator else text for text in found) if all(isinstance(text, str) for text in found) else None


def check_function(what: str, value: object, signature: str) -> None:
    """Looks whether an option is a function.

    Args:
        what: the option, for errors.
        signature: what it takes, for errors: `the record`.

    Raises:
        InvalidArgument: it is something else, and not None.
    """
    if value is not None and not callable(value):
        raise InvalidArgument(what=what, value=repr(value), allowed=f"a function of {signature}")
