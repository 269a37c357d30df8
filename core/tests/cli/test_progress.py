"""What is seen of a job while it runs: lines in a log, a block in a terminal."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from millstream import DiscardingSink, RestartStrategies, StreamExecutionEnvironment, WatermarkStrategy
from millstream.api.execution import Execution
from millstream.cli.figures import Figures
from millstream.cli.plain_progress import PlainProgress
from millstream.cli.terminal import Terminal
from millstream.cli.texts import duration_text, rate_text, size_text, time_text
from millstream.errors import JobFailedError
from millstream.records import MAX_TIMESTAMP


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What an observer writes that looks at the job a hundred times a second."""
    file = io.StringIO()
    Execution.observer = PlainProgress(file, interval_s=0.01)
    yield file
    Execution.observer = None


def test_lines_tell_records_checkpoints_and_watermark(log: io.StringIO) -> None:
    env = StreamExecutionEnvironment.get_execution_environment().enable_checkpointing(timedelta(milliseconds=20))
    env.checkpoint_config.set_checkpoint_storage("memory")
    in_order = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(lambda n: 60_000 + n)
    numbers = env.generate(lambda n: n, count=300, rate_per_s=1_000, watermark_strategy=in_order, uid="in")
    numbers.filter(lambda n: n % 2).sink_to(DiscardingSink(), uid="out")
    env.execute("halves")
    first, *lines = log.getvalue().splitlines()
    assert re.fullmatch(r"Job 'halves' runs: 3 operators in 1 task \(run [0-9a-f]{32}\)\.", first)
    number = r"[\d,]+ \([\d,.]+/s\)"
    assert any(re.match(rf"halves: running .* \| in {number} \| out {number} \| checkpoints \d", line) for line in lines)
    assert any("| watermark 1970-01-01 00:01:0" in line and "(lag " in line for line in lines)
    end = lines.index(next(line for line in lines if line.startswith("Job 'halves' finished after")))
    assert re.fullmatch(r"  records      300 in \(.*/s\), 150 out \(.*/s\)", lines[end + 1])
    assert re.fullmatch(r"  checkpoints  \d+ \(last .*, .*B\)", lines[end + 2])


def test_a_restart_is_told_with_its_reason(log: io.StringIO) -> None:
    failures = iter([True])

    def fail_once(n: int) -> int:
        if next(failures, False):
            raise ConnectionError("the lookup service is gone")
        return n

    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_restart_strategy(RestartStrategies.fixed_delay(1, timedelta(milliseconds=50)))
    env.generate(lambda n: n, count=100, rate_per_s=1_000, uid="in").map(fail_once).sink_to(DiscardingSink(), uid="out")
    env.execute("lookups")
    assert "| restarts 1 (last: ConnectionError: the lookup service is gone)" in log.getvalue()
    assert "  restarts     1\n" in log.getvalue()


def test_figures_that_are_not_known_are_left_out() -> None:
    assert Figures("job", "running").watermark_text == ""
    assert Figures("job", "running", watermark=MAX_TIMESTAMP).watermark_text == "end of input"
    assert Figures("job", "running", checkpoints=0, failed_checkpoints=2).checkpoints_text == "0, 2 failed"
    assert Figures("job", "running", elapsed_s=0.0, records_in=7).rates(Figures("job", "running")) == ("7,000/s", "0.0/s")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (size_text(0), "0 B"),
        (size_text(999_600), "1.0 MB"),
        (size_text(5e18), "5000 PB"),
        (duration_text(0), "0 ms"),
        (duration_text(-3), "-3.0 s"),
        (duration_text(0.9999), "1.0 s"),
        (duration_text(3_599.9), "1 h 0 min"),
        (duration_text(86_400 * 2), "2 d 0 h"),
        (rate_text(99.6), "100/s"),
        (time_text(-1), "1969-12-31 23:59:59.999Z"),
        (time_text(2**62), "4611686018427387904 ms"),
    ],
)
def test_numbers_are_written_for_people(text: str, expected: str) -> None:
    assert text == expected


class Screen(io.StringIO):
    """A terminal that remembers."""

    def isatty(self) -> bool:
        return True


def test_the_block_is_taken_away_while_somebody_writes_and_never_cuts_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    terminal = Terminal(screen)
    with terminal.shared():
        terminal.draw("first look")
        assert "first look" in screen.getvalue()
        sys.stdout.write("half a ")
        written = screen.getvalue()
        terminal.draw("second look")
        assert screen.getvalue() == written  # not in the middle of a line
        sys.stdout.write("line\n")
        terminal.draw("third look")
    assert sys.stdout is screen
    assert "half a line\n" in screen.getvalue()
    assert screen.getvalue().index("line\n") < screen.getvalue().index("third look")
    assert screen.getvalue().endswith("\x1b[2K")  # nothing of the block is left


def test_in_a_terminal_figures_stay_below_the_records(script: Any, folder: Path) -> None:
    path = script('env.generate(lambda n: f"record {n}", count=60, rate_per_s=100, uid="in").print()\nenv.execute("records")')
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "millstream.cli.entry", "run", path]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm", "COLUMNS": "100"}) as process:
        os.close(theirs)
        output = b""
        while True:
            try:
                part = os.read(ours, 65_536)
            except OSError:  # how Linux tells that the other side has closed
                break
            if not part:
                break
            output += part
    os.close(ours)
    assert process.returncode == 0, output
    text = output.decode().replace("\r", "")
    assert "\x1b[?25l" in text  # it was drawn
    assert "records in" in text
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    assert re.findall(r"record \d+\n", plain) == [f"record {n}\n" for n in range(60)]
    assert "Job 'records' finished after" in plain[plain.rindex("record 59") :]


def test_a_long_reason_is_cut_in_the_lines_of_progress_and_whole_at_the_end(log: io.StringIO) -> None:
    def fail(n: int) -> int:
        raise ConnectionError("the lookup service is gone " + "and gone " * 100 + "for ever")

    env = StreamExecutionEnvironment.get_execution_environment()
    env.set_restart_strategy(RestartStrategies.fixed_delay(1, timedelta(milliseconds=50)))
    env.generate(lambda n: n, count=100, rate_per_s=1_000, uid="in").map(fail).sink_to(DiscardingSink(), uid="out")
    with pytest.raises(JobFailedError, match="for ever"):
        env.execute("lookups")
    lines = [line for line in log.getvalue().splitlines() if "(last: " in line]
    assert lines
    for line in lines:
        assert len(line.partition("(last: ")[2]) <= 161
        assert line.endswith("…)")
