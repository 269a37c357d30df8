"""Options of a command that say where the brokers are, and the connection that they describe."""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from millstream.config import Secret
from millstream.errors import InvalidArgument
from millstream_kafka.asker import Asker
from millstream_kafka.client import REQUEST_S, Client, KafkaException
from millstream_kafka.errors import SettingRefused
from millstream_kafka.second_client import Transactions
from millstream_kafka.settings import SECRETS, Connection, connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# What the library tells of connections is in the error that is raised; without logging set up it would stand on stderr as well.
logging.getLogger("millstream.kafka").addHandler(logging.NullHandler())

F = TypeVar("F", bound="Callable[..., Any]")

COMMAND: Final = Asker(
    what="`millstream kafka transactions`",
    purpose="look up transactions and end those of other processes",
    settings="--setting",
    otherwise="",
    instead="Log in with SASL PLAIN or SCRAM, or with a certificate in PEM files",
)
_REFUSED: Final = {
    "bootstrap.servers": ("the address has an option of its own", "Give --bootstrap-servers"),
    "transactional.id": ("the id is an argument of the command", "Leave it out"),
    "transaction.timeout.ms": ("the transaction keeps the one it has", "Leave it out"),
}
_WHOLE_REFERENCE: Final = re.compile(r"\$\{(env|file):[^{}]+\}")


@dataclass(frozen=True)
class Connected:
    """Both clients of a command, connected to the same brokers.

    Attributes:
        client: makes producers.
        transactions: looks them up and ends them.
        timeout_s: how long an answer may take.
    """

    client: Client
    transactions: Transactions
    timeout_s: float


def connection_options(command: F) -> F:
    """Adds the options of `connected` to a command: servers, settings and timeout_s."""
    options = [
        click.option("--bootstrap-servers", "servers", required=True, metavar="HOST:PORT", help="Brokers to ask first; several with commas."),
        click.option(
            "--setting",
            "settings",
            multiple=True,
            metavar="NAME=VALUE",
            help="A setting of librdkafka, for TLS and SASL. Repeatable. Passwords as a reference: sasl.password='${env:NAME}' or '${file:/path}'.",
        ),
        click.option(
            "--timeout",
            "timeout_s",
            type=click.FloatRange(0.1, 600),
            default=REQUEST_S,
            show_default=True,
            metavar="SECONDS",
            help="How long the brokers may take for an answer.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@contextmanager
def connected(servers: str, settings: tuple[str, ...], timeout_s: float) -> Iterator[Connected]:
    """Connects both clients, and releases them.

    Raises:
        click.UsageError: a setting has no `=`, or shows a password.
        InvalidArgument: the address makes no sense.
        SettingRefused: a setting is unknown or not for the user to choose, or the second client is not installed.
        KafkaUnreachable, KafkaRefused: the brokers do not answer, or refuse the login.
    """
    described = described_connection(servers, settings)
    client = Client(described, COMMAND.what)
    try:
        # The first library explains an outage or a refused login; the second one only says that it has waited in vain.
        client.admin().list_topics(timeout=timeout_s)
    except KafkaException as error:
        client.fail("look up transactions", error)
    transactions = Transactions(described, COMMAND, timeout_s)
    try:
        yield Connected(client, transactions, timeout_s)
    finally:
        transactions.close()
        client.close()


def described_connection(servers: str, settings: tuple[str, ...]) -> Connection:
    """The connection that the options describe; nothing is connected, only looked at.

    Raises:
        As `connected`, of options only.
    """
    given = dict(_parsed(setting) for setting in settings)
    try:
        described = connection("", servers, given, _REFUSED)
        Client(Connection("", described.settings), "").admin()  # knows which settings there are, and asks no broker
    except InvalidArgument:
        allowed = 'addresses of brokers such as "kafka-1:9092,kafka-2:9092"'
        raise InvalidArgument(what="--bootstrap-servers", value=repr(servers), allowed=allowed) from None
    except SettingRefused as error:  # it names an option of a source or sink
        raise SettingRefused(what=COMMAND.settings, name=error.name, reason=error.reason.strip(), fix=error.fix) from None
    return described


def _parsed(setting: str) -> tuple[str, str | Secret[str]]:
    name, equals, value = setting.partition("=")
    if not name or not equals:
        shown = name if name not in SECRETS else ""
        raise click.BadParameter(f"{shown!r} has no '='. Give NAME=VALUE, such as security.protocol=SASL_SSL.", param_hint="--setting")
    if name in SECRETS and not _WHOLE_REFERENCE.fullmatch(value):
        raise click.BadParameter(
            f"{name} is a secret, and whoever lists processes or reads the shell's history would see it here. Refer to it: "
            f"--setting {name}='${{env:NAME}}', or '${{file:/path}}', in single quotes.",
            param_hint="--setting",
        )
    return name, Secret(value) if "${" in value else value
