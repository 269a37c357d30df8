"""Ctrl-C while no broker answers."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.one_python

SCRIPTS = {
    "source": 'env.from_source(KafkaSource(address, "in"), uid="in").sink_to(DiscardingSink(), uid="out")',
    "pattern": 'env.from_source(KafkaSource(address, topic_pattern="in.*"), uid="in").sink_to(DiscardingSink(), uid="out")',
    "sink": 'env.from_collection([b"a"], uid="in").sink_to(KafkaSink(address, "out", delivery="exactly_once"), uid="out")',
}


@pytest.fixture
def silent() -> Any:
    """A server that takes connections and answers nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        yield server


@pytest.mark.parametrize("kind", SCRIPTS)
def test_ctrl_c_again_and_again_ends_a_job_that_waits_for_its_first_answer(silent: socket.socket, tmp_path: Path, kind: str) -> None:
    """While the client library waits, the interpreter hears nothing: that took 15 s."""
    script = tmp_path / "job.py"
    script.write_text(
        textwrap.dedent(f"""
            import time
            from millstream import DiscardingSink, StreamExecutionEnvironment
            from millstream_kafka import KafkaSink, KafkaSource

            address = "127.0.0.1:{silent.getsockname()[1]}"
            env = StreamExecutionEnvironment().configure("checkpoint.storage", {str(tmp_path)!r}).configure("checkpoint.interval", "1s")
            {SCRIPTS[kind]}
            begun_s = time.monotonic()
            try:
                env.execute("waits")
            finally:
                print(f"ended after {{time.monotonic() - begun_s:.1f}} s")
            """)
    )
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as job:
        connection, _ = silent.accept()  # it has asked, and waits
        with connection:
            shown = interrupted(job)
        job.kill()
    assert "ended after" in shown


def interrupted(job: subprocess.Popen[str]) -> str:
    """What a program has shown when it ends, while somebody presses Ctrl-C; empty when it does not for six seconds."""
    for _ in range(20):
        job.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return job.communicate(timeout=0.3)[0]
    return ""
