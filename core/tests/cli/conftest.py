"""The command line as a person uses it: in a folder of its own, without settings of the machine."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from click.testing import CliRunner, Result

from millstream.cli.app import app

Invoke = Callable[..., Result]
Script = Callable[..., str]

HEAD = """
from dataclasses import dataclass
from datetime import timedelta
from millstream import *
from millstream_filesystem import FileSink

env = StreamExecutionEnvironment.get_execution_environment()
"""

CHECKPOINTED = """
@dataclass(frozen=True)
class Reading:
    sensor: str
    value: int

class Last(KeyedProcessFunction):
    def open(self, context):
        self.last = context.get_state(ValueStateDescriptor("last", Reading))

    def process_element(self, value, ctx, out):
        self.last.update(value)
        out.collect(value)

env.enable_checkpointing(timedelta(milliseconds=20))
env.configure("checkpoint.keep_on_finish", True)
env.configure("checkpoint.retained", 2)
strategy = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(lambda index: 1_000 * index)
readings = env.generate(lambda index: index, count=300, rate_per_s=1_000, watermark_strategy=strategy, uid="readings")
keyed = readings.map(lambda index: Reading(str(index % 5), index)).key_by(lambda reading: reading.sensor, key_type=str)
keyed.process(Last(), uid="last").key_by(lambda reading: reading.sensor).reduce(
    lambda a, b: b, output_type=Reading, uid="newest"
).sink_to(FileSink("out", format="json", delivery="exactly_once"), uid="files")
env.execute("readings")
"""
"""A job of a third of a second that keeps its last two checkpoints in `chk`, where --checkpoint-dir says so."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder; no settings of the machine reach it."""
    monkeypatch.chdir(tmp_path)
    for variable in [name for name in os.environ if name.startswith("MILLSTREAM__")]:
        monkeypatch.delenv(variable)
    return tmp_path


@pytest.fixture(autouse=True)
def untouched_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def invoke() -> Invoke:
    """Runs a command inside this process."""

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="millstream")

    return run


@pytest.fixture
def millstream() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command in a process of its own."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "millstream.cli.entry", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    return run


@pytest.fixture
def script(folder: Path) -> Script:
    """Writes `job.py`, with imports and an environment first; the path."""

    def write(body: str, name: str = "job.py") -> str:
        path = folder / name
        path.write_text(HEAD + dedent(body))
        return str(path)

    return write


@pytest.fixture(scope="session")
def left_by_a_job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("job")
    (folder / "job.py").write_text(HEAD + CHECKPOINTED)
    command = [sys.executable, "-m", "millstream.cli.entry", "run", "job.py", "--checkpoint-dir", "chk"]
    subprocess.run(command, cwd=folder, timeout=30, check=True)
    return folder / "chk"


@pytest.fixture
def checkpoints(left_by_a_job: Path, folder: Path) -> Path:
    """A checkpoint root with two checkpoints of job `readings`."""
    return Path(shutil.copytree(left_by_a_job, folder / "chk"))
