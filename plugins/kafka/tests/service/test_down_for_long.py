"""A job that is down for longer than the brokers keep a transaction: what is written ahead is safe, and what was prepared is lost with a word."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from millstream_testkit.services import KafkaInput, KafkaOutput, KafkaService

pytestmark = [pytest.mark.faults, pytest.mark.timeout(150)]

LINES = [f"line {number}" for number in range(200)]
PATIENCE_S = 60.0
JOB = """
import sys
from datetime import timedelta
from millstream import StreamExecutionEnvironment
from millstream_kafka import KafkaSink, KafkaSource, Offsets

source, sink, delivery, checkpoints = sys.argv[1:]
(bootstrap, origin), (_, target) = source.split("/"), sink.split("/")
env = StreamExecutionEnvironment.get_execution_environment().configure("job.resume", "auto")
env.enable_checkpointing(timedelta(milliseconds=50))
env.checkpoint_config.set_checkpoint_storage(checkpoints).set_checkpoint_timeout(timedelta(seconds=1))
lines = env.from_source(KafkaSource(bootstrap, origin, "text", stop=Offsets.latest()), uid="lines")
written = KafkaSink(bootstrap, target, "text", delivery=delivery, transactional_id_prefix=target, transaction_timeout=timedelta(seconds=2))
lines.sink_to(written, uid="out")
env.execute("down-for-long")
"""


class Job:
    """A job that is started, killed and started again."""

    def __init__(self, kafka: KafkaService, delivery: str, folder: Path) -> None:
        self.output = KafkaOutput(kafka)
        self.target = self.output.create_target(folder)
        self._script = folder / "job.py"
        self._script.write_text(JOB)
        self._arguments = [KafkaInput(kafka, LINES)(folder), self.target, delivery, str(folder / "checkpoints")]

    def run(self, crash: str = "") -> subprocess.CompletedProcess[str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MILLSTREAM_")}
        command = [sys.executable, str(self._script), *self._arguments]
        environment = {**inherited, **({"MILLSTREAM_CRASH": crash} if crash else {})}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)

    def wait_until_nothing_is_open(self) -> None:
        """The brokers have ended every transaction in the topic."""
        over_s = time.monotonic() + PATIENCE_S
        while self.output.leftovers(self.target):
            assert time.monotonic() < over_s, self.output.leftovers(self.target)
            time.sleep(0.1)

    def values(self) -> list[str]:
        return sorted(value.decode() for _, value in self.output.read(self.target) if value is not None)


@pytest.mark.parametrize("point", ["sink.commit.before", "sink.commit.mid"])
def test_what_is_written_ahead_is_not_lost(millstream_kafka: KafkaService, tmp_path: Path, point: str) -> None:
    job = Job(millstream_kafka, "exactly_once", tmp_path)
    assert job.run(crash=f"{point}#1=kill").returncode == -9
    job.wait_until_nothing_is_open()
    again = job.run()
    assert again.returncode == 0, again.stderr
    assert job.values() == sorted(LINES)


def test_what_was_prepared_is_lost_and_the_job_says_so(millstream_kafka: KafkaService, tmp_path: Path) -> None:
    job = Job(millstream_kafka, "exactly_once_2pc", tmp_path)
    assert job.run(crash="sink.commit.before#1=kill").returncode == -9
    assert job.output.leftovers(job.target)
    job.wait_until_nothing_is_open()
    again: Any = job.run()
    assert again.returncode == 1
    transactional_id = job.target.rpartition("/")[2]
    assert f"transaction '{transactional_id}-" in again.stderr
    assert "LostEpoch" in again.stderr
    assert job.values() == []


def test_within_the_time_what_was_prepared_is_committed(millstream_kafka: KafkaService, tmp_path: Path) -> None:
    """The other case, so that the one above cannot pass for another reason."""
    job = Job(millstream_kafka, "exactly_once_2pc", tmp_path)
    job._script.write_text(JOB.replace("timedelta(seconds=2)", "timedelta(minutes=5)"))
    assert job.run(crash="sink.commit.before#1=kill").returncode == -9
    again = job.run()
    assert again.returncode == 0, again.stderr
    assert job.values() == sorted(LINES)
