"""`millstream demo kafka`, and its job as a user starts it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from millstream.cli.app import app
from millstream_kafka.demo import command
from millstream_kafka.demo.readings import lowest

pytestmark = [pytest.mark.timeout(120), pytest.mark.one_python]


def millstream(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "millstream", *arguments], capture_output=True, text=True, check=False)


def test_the_demonstration_ends_with_a_verdict_and_leaves_no_topic(broker: Any) -> None:
    done = millstream("demo", "kafka", "--bootstrap-servers", broker.bootstrap, "--readings", "10000", "--rate", "50000")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Exactly once: " in done.stdout
    assert "finished after" in done.stderr
    named = [word.strip(",.") for word in done.stdout.split() if word.startswith("millstream-demo-")]
    assert len(named) == 2
    left = set(broker.admin.list_topics(timeout=30).topics)
    assert left.isdisjoint(named)


def test_the_job_runs_as_a_script_of_its_own(broker: Any, tmp_path: Path) -> None:
    source, target = broker.topic(), broker.topic()
    broker.write(source, ["a,1000,5.5", "a,2000,4.5", "b,1500,7.0", "a,16000,1.0"])
    arguments = ["--bootstrap-servers", broker.bootstrap, "--input", source, "--output", target, "--checkpoints", str(tmp_path), "--until", "4"]
    done = millstream("run", str(command.SCRIPT), "--", *arguments)
    assert done.returncode == 0, done.stderr
    assert sorted(message.value() for message in broker.read(target)) == [b"a,0,4.5", b"a,15000,1.0", b"b,0,7.0"]


def test_a_wrong_result_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    expected = lowest(2_000, 7)
    results = [f"{sensor},{start},{temperature}" for (sensor, start), temperature in expected.items()]
    command._judge(results, expected)
    assert "Exactly once" in capsys.readouterr().out
    first, *rest = results
    for wrong in (rest, [*results, first], [f"{first}1", *rest], ["sensor-99,0,1.5", *results]):
        with pytest.raises(click.exceptions.Exit):
            command._judge(wrong, expected)


def test_an_unreachable_broker_is_a_sentence() -> None:
    result = CliRunner().invoke(app, ["demo", "kafka", "--bootstrap-servers", "127.0.0.1:1"])
    assert result.exit_code == 1
    assert "127.0.0.1:1" in result.stderr
