"""The reporter: what the JobManager last told, served over HTTP on this machine."""

from __future__ import annotations

import errno
import logging
import time
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import Metric as Family

from millstream.contracts.metrics_reporter import MetricsReporter
from millstream_prometheus.errors import PortsInUse
from millstream_prometheus.families import Families
from millstream_prometheus.ports import DEFAULT, read_ports

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from threading import Thread
    from wsgiref.simple_server import WSGIServer

    from millstream.contracts.metrics_reporter import Metric

log = logging.getLogger(__name__)

ADDRESS: Final = "127.0.0.1"


class PrometheusReporter(MetricsReporter):
    """Reads all metrics every `metrics.report_interval`, on the JobManager's thread, and serves what it has read to whoever fetches it, from a
    thread of its own.

    Args:
        ports: `PORT` or `FIRST-LAST`, of which the first that is free is taken; 0 is any free one.

    Attributes:
        port: the port that is listened to.

    Raises:
        InvalidArgument: `ports` is none of these.
        PortsInUse: none of the ports can be listened to.
    """

    def __init__(self, ports: str = DEFAULT) -> None:
        self._families = Families()
        self._latest: list[Family] = []
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Latest(self))
        self._server, self._thread = _listen(read_ports(ports), registry)
        self.port: int = self._server.server_port
        log.info("metrics are served to Prometheus at http://%s:%d/metrics", ADDRESS, self.port)

    def report(self, metrics: Iterable[tuple[tuple[str, ...], Metric]]) -> None:
        reported = Family("millstream_reported_timestamp_seconds", "When the metrics were read", "gauge")
        reported.add_sample(reported.name, {}, time.time())
        self._latest = [*self._families.of(metrics), reported]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def latest(self) -> list[Family]:
        """What was read last. Safe from any thread: the list is never changed."""
        return self._latest


class _Latest:
    """What prometheus_client asks at each fetch."""

    def __init__(self, reporter: PrometheusReporter) -> None:
        self._reporter = reporter

    def collect(self) -> Iterator[Family]:
        yield from self._reporter.latest()


def _listen(ports: range, registry: CollectorRegistry) -> tuple[WSGIServer, Thread]:
    reason = ""
    for port in ports:
        try:
            return start_http_server(port, ADDRESS, registry)
        except OSError as error:
            reason = error.strerror or str(error)
            if error.errno != errno.EADDRINUSE:
                break  # the next one would not be better
    raise PortsInUse(first=ports[0], last=ports[-1], reason=reason)
