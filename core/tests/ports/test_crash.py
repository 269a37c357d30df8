"""What `MILLSTREAM_CRASH` arms."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from millstream.errors import UnknownCrashPoint
from millstream.ports import crash
from millstream.ports.crash import (
    CrashPointReached,
    arm_from_environment,
    check_armed,
    crash_point,
    declare_crash_point,
    declare_crash_points,
    disarm,
)


@pytest.fixture(autouse=True)
def _nothing_armed() -> Iterator[None]:
    yield
    disarm()


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the process slept, without the waiting."""
    durations: list[float] = []
    monkeypatch.setattr(crash.time, "sleep", durations.append)
    return durations


@pytest.mark.parametrize(("duration", "seconds"), [("1s", 1.0), ("500ms", 0.5), ("1min 30s", 90.0), ("2", 2.0)])
def test_sleep_keeps_the_thread_for_its_duration_and_goes_on(slept: list[float], duration: str, seconds: float) -> None:
    arm_from_environment(f"sink.commit.before#2=sleep({duration})")
    crash_point("sink.commit.before")
    assert slept == []
    crash_point("sink.commit.before")
    crash_point("sink.commit.before")
    assert slept == [seconds]


def test_several_points_are_armed_each_with_its_action(slept: list[float]) -> None:
    arm_from_environment("job.cleanup=raise, sink.write.mid_epoch=sleep(1s),")
    crash_point("sink.write.mid_epoch")
    with pytest.raises(CrashPointReached, match="job.cleanup"):
        crash_point("job.cleanup")
    assert slept == [1.0]


@pytest.mark.parametrize("action", ["kil", "sleep", "sleep()", "sleep(soon)", "sleep(-1s)", "stop(5s)"])
def test_what_is_no_action_is_refused_with_the_form_and_arms_nothing(action: str) -> None:
    with pytest.raises(ValueError, match=r"is not name\[#occurrence\]\[=kill\|stop\|raise\|sleep\(DURATION\)\]"):
        arm_from_environment(f"job.cleanup=raise,sink.commit.before={action}")
    crash_point("job.cleanup")


@pytest.mark.parametrize("occurrence", ["x", "1.5", "0", "-1"])
def test_an_occurrence_is_a_number(occurrence: str) -> None:
    with pytest.raises(ValueError, match="is not name"):
        arm_from_environment(f"job.cleanup#{occurrence}=raise")


@pytest.mark.faults
def test_the_variable_kills_at_the_point_unless_it_says_otherwise() -> None:
    program = "from millstream.ports import crash_point; crash_point('job.cleanup'); print('survived')"
    killed = subprocess.run([sys.executable, "-c", program], env=os.environ | {"MILLSTREAM_CRASH": "job.cleanup"}, capture_output=True, timeout=30)
    assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, b"")
    slow = os.environ | {"MILLSTREAM_CRASH": "job.cleanup=sleep(1ms)"}
    assert subprocess.run([sys.executable, "-c", program], env=slow, capture_output=True, timeout=30).stdout == b"survived\n"


def test_a_name_that_nobody_has_declared_is_refused_with_the_nearest_one() -> None:
    arm_from_environment("sink.commit.before=raise,sink.comit.after=raise")
    with pytest.raises(
        UnknownCrashPoint,
        match=r"MILLSTREAM_CRASH names the crash point 'sink\.comit\.after', which nothing declares\. Did you mean 'sink\.commit\.after'\?",
    ):
        check_armed()


def test_a_connector_declares_points_of_its_own_and_families_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crash, "CRASH_POINTS", dict(crash.CRASH_POINTS))
    monkeypatch.setattr(crash, "_families", {})
    arm_from_environment("mine.sent=raise,mine.part.17=raise")
    with pytest.raises(UnknownCrashPoint, match="mine.part.17"):
        check_armed()
    declare_crash_point("mine.sent", "it is sent")
    declare_crash_points("mine.part.", "so many parts are sent")
    check_armed()


def test_a_job_does_not_start_with_a_misspelled_point(tmp_path: Path) -> None:
    program = (
        "from millstream import StreamExecutionEnvironment as Environment\n"
        f"environment = Environment.get_execution_environment(); environment.from_collection([1]).map(open({str(tmp_path / 'opened')!r}, 'w').write)\n"
        "environment.execute('job')"
    )
    misspelled = os.environ | {"MILLSTREAM_CRASH": "job.clean_up"}
    ended = subprocess.run([sys.executable, "-c", program], env=misspelled, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 1
    assert (
        "UnknownCrashPoint: MILLSTREAM_CRASH names the crash point 'job.clean_up', which nothing declares. Did you mean 'job.cleanup'?"
        in ended.stderr
    )
