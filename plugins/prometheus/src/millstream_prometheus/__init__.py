"""The `prometheus` plugin: a job's metrics, for a Prometheus server to fetch."""

from __future__ import annotations

from millstream_prometheus.errors import PortsInUse
from millstream_prometheus.reporter import PrometheusReporter

__all__ = ["PortsInUse", "PrometheusReporter"]
