"""What this plugin offers; see `millstream.plugins`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.plugins import MetricsReporterEntry, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def millstream_metrics_reporters() -> Iterator[MetricsReporterEntry]:
    yield MetricsReporterEntry(
        name="prometheus",
        factory="millstream_prometheus.reporter:PrometheusReporter",
        description="Serves all metrics to a Prometheus server on this machine; prometheus:PORT or prometheus:FIRST-LAST",
    )
