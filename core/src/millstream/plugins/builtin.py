"""What core itself offers, registered like any plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.plugins.entries import ClusterBackendEntry, FormatEntry, MetricsReporterEntry, SinkEntry, SourceEntry
from millstream.plugins.specs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def millstream_sources() -> Iterator[SourceEntry]:
    yield SourceEntry(
        name="collection",
        factory="millstream.api.sources:CollectionSource",
        description="The elements of a list, read again from the stored position after a failure",
        capabilities="millstream.api.sources:COLLECTION_CAPABILITIES",
        guarantees=("exactly_once",),
    )
    yield SourceEntry(
        name="generator",
        factory="millstream.api.sources:GeneratorSource",
        description="Values computed from their index",
        capabilities="millstream.api.sources:GENERATOR_CAPABILITIES",
        guarantees=("exactly_once",),
    )
    yield SourceEntry(
        name="socket",
        factory="millstream.api.sources:SocketSource",
        description="Lines of text from a TCP socket, for trying things",
        capabilities="millstream.api.sources:SOCKET_CAPABILITIES",
        guarantees=("at_most_once",),
    )


@hookimpl
def millstream_sinks() -> Iterator[SinkEntry]:
    yield SinkEntry(
        name="print",
        factory="millstream.api.sinks:PrintSink",
        description="Prints each record on a line of standard output",
        capabilities="millstream.api.sinks:PRINT_CAPABILITIES",
        guarantees=("at_least_once",),
    )
    yield SinkEntry(
        name="discard",
        factory="millstream.api.sinks:DiscardingSink",
        description="Drops each record, for measuring",
        capabilities="millstream.api.sinks:DISCARDING_CAPABILITIES",
        guarantees=("at_least_once",),
    )


@hookimpl
def millstream_cluster_backends() -> Iterator[ClusterBackendEntry]:
    yield ClusterBackendEntry(
        name="embedded",
        factory="millstream.runtime.embedded:EmbeddedClusterBackend",
        description="This machine: all tasks in the caller's process",
    )


@hookimpl
def millstream_metrics_reporters() -> Iterator[MetricsReporterEntry]:
    yield MetricsReporterEntry(
        name="log",
        factory="millstream.runtime.reporting:LogReporter",
        description="Writes every metric to the log",
    )


@hookimpl
def millstream_formats() -> Iterator[FormatEntry]:
    yield FormatEntry(name="json", factory="millstream.formats.json:JsonLinesFormat", description="One JSON value on each line")
    yield FormatEntry(name="csv", factory="millstream.formats.csv:CsvFormat", description="Comma-separated values")
    yield FormatEntry(name="raw", factory="millstream.formats.raw:RawFormat", description="Bytes as they come")
    yield FormatEntry(name="text", factory="millstream.formats.text:TextFormat", description="Lines of text")
