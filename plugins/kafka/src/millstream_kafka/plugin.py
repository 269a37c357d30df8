"""What this plugin offers; see `millstream.plugins`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.plugins import CliCommandEntry, SinkEntry, SourceEntry, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def millstream_sources() -> Iterator[SourceEntry]:
    yield SourceEntry(
        name="kafka",
        factory="millstream_kafka.source:KafkaSource",
        description="Messages of Kafka topics, by name or by pattern",
        options="millstream_kafka.source:KafkaSource",
        capabilities="millstream_kafka.source:CAPABILITIES",
        guarantees=("exactly_once",),
    )


@hookimpl
def millstream_sinks() -> Iterator[SinkEntry]:
    yield SinkEntry(
        name="kafka",
        factory="millstream_kafka.sink:KafkaSink",
        description="Messages to Kafka topics, in transactions behind complete checkpoints if asked",
        options="millstream_kafka.sink:KafkaSink",
        capabilities="millstream_kafka.capabilities:WRITE_AHEAD",
        guarantees=("exactly_once", "at_least_once"),
    )


@hookimpl
def millstream_cli_commands() -> Iterator[CliCommandEntry]:
    yield CliCommandEntry(
        name="kafka",
        factory="millstream_kafka.commands.kafka:kafka",
        description="Look up and end transactions of Kafka",
    )
    yield CliCommandEntry(
        name="demo-kafka",
        factory="millstream_kafka.demo.command:demo",
        description="Readings of sensors through a Kafka broker, exactly once",
    )
