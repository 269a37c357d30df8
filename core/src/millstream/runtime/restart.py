"""Whether, and after how long, a failed job is started again."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from millstream.config import RestartConfig
    from millstream.ports import Random

SAME_FAILURE_LIMIT: Final = 3
"""The default strategy gives up when one failure repeats so often without a completed checkpoint in between: a bug does not heal."""


class RestartStrategy(Protocol):
    """Decides at each failure."""

    def delay_s(self, now_s: float, failure: str) -> float | None:
        """A failure happened at the monotonic time `now_s`: how long to wait before the restart, None to give up.

        `failure` is equal for equal failures; empty for an outage, which is like no other.
        """

    def checkpoint_completed(self) -> None:
        """The job made durable progress."""


class NoRestart:
    """Gives up at the first failure."""

    def delay_s(self, now_s: float, failure: str) -> float | None:
        return None

    def checkpoint_completed(self) -> None:
        """Makes no difference."""


class FixedDelay:
    """So many attempts, each after the same delay. The count never starts again, as in Flink."""

    def __init__(self, attempts: int, delay_s: float) -> None:
        self._left = attempts
        self._delay_s = delay_s

    def delay_s(self, now_s: float, failure: str) -> float | None:
        self._left -= 1
        return self._delay_s if self._left >= 0 else None

    def checkpoint_completed(self) -> None:
        """Makes no difference."""


class FailureRate:
    """Gives up at the failure that makes more than `rate` within `interval_s`; one exactly `interval_s` ago still counts."""

    def __init__(self, rate: int, interval_s: float, delay_s: float) -> None:
        self._failures: deque[float] = deque(maxlen=rate + 1)
        self._interval_s = interval_s
        self._delay_s = delay_s

    def delay_s(self, now_s: float, failure: str) -> float | None:
        failures = self._failures
        failures.append(now_s)
        if len(failures) == failures.maxlen and now_s - failures[0] <= self._interval_s:
            return None
        return self._delay_s

    def checkpoint_completed(self) -> None:
        """Makes no difference."""


class ExponentialDelay:
    """Waits longer each time, for ever, and starts again at the first delay after a quiet time.

    Args:
        same_failure_limit: gives up when the same failure comes so often in a row without a completed checkpoint; None never does.
    """

    def __init__(
        self,
        initial_s: float,
        multiplier: float,
        max_s: float,
        jitter: float,
        reset_after_s: float,
        random: Random,
        same_failure_limit: int | None = None,
    ) -> None:
        self._initial_s = initial_s
        self._multiplier = multiplier
        self._max_s = max_s
        self._jitter = jitter
        self._reset_after_s = reset_after_s
        self._random = random
        self._limit = same_failure_limit
        self._next_s = initial_s
        self._last_failure_s: float | None = None
        self._failure = ""
        self._times = 0

    def delay_s(self, now_s: float, failure: str) -> float | None:
        self._times = self._times + 1 if failure and failure == self._failure else 1
        self._failure = failure
        if self._limit is not None and self._times >= self._limit:
            return None
        if self._last_failure_s is not None and now_s - self._last_failure_s >= self._reset_after_s:
            self._next_s = self._initial_s
        self._last_failure_s = now_s
        base = self._next_s
        self._next_s = min(self._next_s * self._multiplier, self._max_s)
        return max(0.0, base * (1 + self._jitter * (2 * self._random.random() - 1)))

    def checkpoint_completed(self) -> None:
        self._times = 0
        self._failure = ""


def make_restart_strategy(config: RestartConfig, *, checkpointing: bool, random: Random) -> RestartStrategy:
    """The strategy that the settings ask for; without a word exponential delay with checkpoints, and none without."""
    kind = config.strategy or ("exponential_delay" if checkpointing else "none")
    if kind == "fixed_delay":
        return FixedDelay(config.attempts, config.delay.total_seconds())
    if kind == "failure_rate":
        return FailureRate(config.failure_rate, config.failure_interval.total_seconds(), config.delay.total_seconds())
    if kind == "exponential_delay":
        return ExponentialDelay(
            config.initial.total_seconds(),
            config.multiplier,
            config.max.total_seconds(),
            config.jitter,
            config.reset_after.total_seconds(),
            random,
            same_failure_limit=None if config.strategy else SAME_FAILURE_LIMIT,
        )
    return NoRestart()
