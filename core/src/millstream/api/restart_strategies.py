"""Restart strategies, as Flink's RestartStrategies has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import timedelta


@dataclass(frozen=True)
class RestartOptions:
    """A strategy as settings of the section `restart`."""

    settings: dict[str, Any]


class RestartStrategies:
    """What to do when a job fails."""

    @staticmethod
    def no_restart() -> RestartOptions:
        """The first failure ends the job."""
        return RestartOptions({"strategy": "none"})

    @staticmethod
    def fixed_delay(attempts: int, delay: timedelta) -> RestartOptions:
        """So many restarts, each after the same delay."""
        return RestartOptions({"strategy": "fixed_delay", "attempts": attempts, "delay": delay})

    @staticmethod
    def failure_rate(failures: int, interval: timedelta, delay: timedelta) -> RestartOptions:
        """Restarts until there were more than `failures` within `interval`."""
        return RestartOptions({"strategy": "failure_rate", "failure_rate": failures, "failure_interval": interval, "delay": delay})

    @staticmethod
    def exponential_delay(initial: timedelta, max_delay: timedelta, multiplier: float, reset_after: timedelta, jitter: float = 0.1) -> RestartOptions:
        """Restarts for ever, each time after a longer delay; after `reset_after` without a failure it starts again at `initial`."""
        return RestartOptions(
            {
                "strategy": "exponential_delay",
                "initial": initial,
                "max": max_delay,
                "multiplier": multiplier,
                "reset_after": reset_after,
                "jitter": jitter,
            }
        )
