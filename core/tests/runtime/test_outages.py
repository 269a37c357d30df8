"""An outage says nothing about the job: it waits for the outside however often that fails, unless it has never reached it."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from millstream import StreamExecutionEnvironment
from millstream.contracts.source import EnumeratorContext
from millstream.errors import JobFailedError, MillstreamError
from millstream.ports import InlineExecutor, LocalStorage, LocalTransport, ManualClock, SeededRandom
from millstream.runtime.deployment import Ports
from millstream.testing import ScriptedSource, Wait


class Unreachable(MillstreamError):
    """The outside does not answer."""

    outage: ClassVar[bool] = True

    def sentence(self) -> str:
        return "The broker does not answer. See its log."


class Wrong(Unreachable):
    """The same, if it were no outage."""

    outage: ClassVar[bool] = False


class Failing(ScriptedSource):
    """Fails so many times when it connects, after the first connection."""

    def __init__(self, error: type[MillstreamError], times: int, *, at_first: bool = False) -> None:
        super().__init__([1, Wait(1.0), 2, Wait(1.0), 3])
        self.error, self.left, self.at_first, self.connected = error, times, at_first, 0

    def create_enumerator(self, context: EnumeratorContext, state: bytes | None) -> Any:
        if self.left and (self.at_first or self.connected):
            self.left -= 1
            raise self.error()
        self.connected += 1
        return super().create_enumerator(context, state)


def run(source: Failing, fail_at: int = 2) -> tuple[list[int], ManualClock, int]:
    """The job reads 1, 2 and 3, and its function raises the first time it sees one of them."""
    clock = ManualClock(1_000_000)
    env = StreamExecutionEnvironment(ports=Ports(clock, SeededRandom(), LocalTransport(), LocalStorage(), InlineExecutor()))
    # The default strategy, which gives up when one failure comes three times without a checkpoint in between.
    env.configure("checkpoint.storage", "memory").configure("checkpoint.interval", "30d")
    seen: list[int] = []

    def noted(value: int) -> int:
        first = value not in seen
        seen.append(value)
        if value == fail_at and first:
            raise RuntimeError("the first time")
        return value

    env.from_source(source, uid="numbers").map(noted).print()
    result = env.execute("waits")
    return seen, clock, result.restarts


def test_a_job_that_has_run_waits_for_an_outage_however_often_it_comes() -> None:
    seen, _, restarts = run(Failing(Unreachable, times=200))
    assert seen[-1] == 3
    assert restarts == 201


def test_an_error_of_another_kind_ends_the_job_at_the_first() -> None:
    with pytest.raises(JobFailedError) as raised:
        run(Failing(Wrong, times=1))
    assert isinstance(raised.value.__cause__, Wrong)


def test_a_job_that_never_ran_does_not_wait() -> None:
    """The address may be wrong."""
    source = Failing(Unreachable, times=1, at_first=True)
    with pytest.raises(JobFailedError) as raised:
        run(source)
    assert isinstance(raised.value.__cause__, Unreachable)
    assert source.left == 0


def test_outages_do_not_look_alike_to_the_restart_strategy() -> None:
    assert (Unreachable().likeness(), Wrong().likeness()) == ("", "Wrong: The broker does not answer. See its log.")
