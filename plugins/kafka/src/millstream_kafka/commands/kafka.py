"""`millstream kafka`."""

from __future__ import annotations

import click

from millstream_kafka.commands.transactions import transactions


@click.group(short_help="Look up and end transactions of Kafka.")
def kafka() -> None:
    """Looks at Kafka as jobs have left it, and helps where they cannot."""


kafka.add_command(transactions)
