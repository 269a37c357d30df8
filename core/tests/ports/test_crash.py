"""What `MILLSTREAM_CRASH` arms."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from millstream.ports import crash
from millstream.ports.crash import CrashPointReached, arm_from_environment, crash_point, disarm


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
