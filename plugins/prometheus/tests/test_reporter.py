"""What a Prometheus server fetches from a running job."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from prometheus_client.parser import text_string_to_metric_families

import millstream_memory.plugin
from millstream import DiscardingSink, StreamExecutionEnvironment
from millstream.contracts.metrics import Counter
from millstream.errors import InvalidArgument
from millstream.plugins import PluginManager
from millstream_prometheus import PortsInUse, PrometheusReporter, plugin
from millstream_prometheus.ports import read_ports


def fetched(port: int) -> dict[tuple[str, ...], float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return {(s.name, *(v for _, v in sorted(s.labels.items()))): s.value for family in text_string_to_metric_families(text) for s in family.samples}


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_the_plugin_offers_the_reporter_as_prometheus() -> None:
    (entry,) = plugin.millstream_metrics_reporters()
    assert (entry.label, entry.load()) == ("metrics reporter 'prometheus'", PrometheusReporter)


@pytest.mark.parametrize(
    ("text", "ports"), [("1", range(1, 2)), ("65535", range(65_535, 65_536)), ("9250-9260", range(9_250, 9_261)), ("0", range(1))]
)
def test_ports_are_read(text: str, ports: range) -> None:
    assert read_ports(text) == ports


@pytest.mark.parametrize("text", ["", "x", "-1", "65536", "9260-9250", "0-5", "9250-", "9250-9260-9270", "٩٢٥٠", "9249 ", "127.0.0.1:9249"])
def test_what_is_no_port_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"metrics reporter prometheus .*for example prometheus:9250-9260"):
        PrometheusReporter(text)


def test_what_was_reported_last_is_served_and_nothing_else_changes_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        reporter = PrometheusReporter("0")
    try:
        assert f"metrics are served to Prometheus at http://127.0.0.1:{reporter.port}/metrics" in caplog.text
        assert fetched(reporter.port) == {}
        counter = Counter()
        counter.inc(3)
        reporter.report([(("orders", "map", "0", "n"), counter)])
        counter.inc(4)
        found = fetched(reporter.port)
        assert found.pop(("millstream_reported_timestamp_seconds",)) == pytest.approx(time.time(), abs=60)
        assert found == {("millstream_operator_n_total", "orders", "map", "0"): 3}
        reporter.report([(("orders", "map", "0", "n"), counter)])
        assert fetched(reporter.port)["millstream_operator_n_total", "orders", "map", "0"] == 7
    finally:
        reporter.close()
    with pytest.raises(OSError, match="refused"):
        fetched(reporter.port)


def test_it_listens_on_this_machine_only() -> None:
    reporter = PrometheusReporter("0")
    try:
        assert reporter._server.server_address[0] == "127.0.0.1"
    finally:
        reporter.close()


def test_of_a_range_the_first_free_port_is_taken(taken: int) -> None:
    reporter = PrometheusReporter(f"{taken}-{min(taken + 20, 65_535)}")
    try:
        assert reporter.port > taken
    finally:
        reporter.close()


def test_a_port_in_use_is_an_error_that_names_it_and_the_fix(taken: int) -> None:
    with pytest.raises(PortsInUse, match=rf"cannot listen on port {taken} of 127\.0\.0\.1: .*prometheus:0 for any free port"):
        PrometheusReporter(str(taken))


def test_a_job_whose_port_is_in_use_does_not_start(taken: int) -> None:
    plugins = PluginManager.with_plugins([plugin, millstream_memory.plugin])
    env = StreamExecutionEnvironment({"metrics.reporters": [f"prometheus:{taken}"]}, plugins=plugins)
    env.from_collection([1]).map(lambda n: pytest.fail("a record was processed")).sink_to(DiscardingSink())
    with pytest.raises(PortsInUse):
        env.execute("orders")


def test_a_running_job_is_served(caplog: pytest.LogCaptureFixture) -> None:
    plugins = PluginManager.with_plugins([plugin, millstream_memory.plugin])
    settings = {"metrics.reporters": ["prometheus:0"], "metrics.report_interval": "20ms"}
    env = StreamExecutionEnvironment(settings, plugins=plugins)
    env.generate(lambda n: n, rate_per_s=1_000, uid="in").map(lambda n: n, name='say "map"').sink_to(DiscardingSink())
    before = threading.active_count()
    with caplog.at_level(logging.INFO):
        client = env.execute_async("orders")
    try:
        port = int(caplog.text.partition("http://127.0.0.1:")[2].partition("/")[0])
        name = ("millstream_operator_numRecordsIn_total", "orders", 'say "map"', "0")
        until_s = time.monotonic() + 5
        while not (found := fetched(port)).get(name):
            assert time.monotonic() < until_s, found
        assert found["millstream_job_numRestarts", "orders"] == 0
        assert found["millstream_job_uptime", "orders"] > 0
    finally:
        client.cancel()
        client.result(5)
    assert threading.active_count() == before


@pytest.mark.faults
def test_the_metrics_of_all_processes_are_in_one_place(tmp_path: Path) -> None:
    program = dedent("""
        from millstream import DiscardingSink, StreamExecutionEnvironment

        def same(n):
            return n

        if __name__ == "__main__":
            env = StreamExecutionEnvironment.get_execution_environment().set_parallelism(2)
            env.generate(same, rate_per_s=1_000, uid="in").key_by(lambda n: n % 1_000).map(same, name="same").sink_to(DiscardingSink())
            env.execute("orders")
        """)
    (tmp_path / "job.py").write_text(program)
    settings = {"EXECUTION__PROCESSES": "2", "METRICS__REPORTERS": "prometheus:0", "METRICS__REPORT_INTERVAL": "50ms", "CONTROL__ENABLED": "false"}
    environ = {**os.environ, **{f"MILLSTREAM__{key}": value for key, value in settings.items()}}
    command = [sys.executable, "-m", "millstream.cli.entry", "run", "job.py"]
    with subprocess.Popen(command, cwd=tmp_path, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            line = next(line for line in process.stderr if "/metrics" in line)
            port = int(line.partition("http://127.0.0.1:")[2].partition("/")[0])
            wanted = {("millstream_operator_numRecordsIn_total", "orders", "same", subtask) for subtask in ("0", "1")}
            until_s = time.monotonic() + 20
            while not all((found := fetched(port)).get(name) for name in wanted):
                assert time.monotonic() < until_s, found
                time.sleep(0.02)
        finally:
            process.kill()
