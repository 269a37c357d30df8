"""Asking again while a coordinator is busy."""

from __future__ import annotations

from threading import Event
from typing import TYPE_CHECKING, Final, TypeVar

from millstream.ports import SystemClock
from millstream_kafka.transaction_errors import CoordinatorBusy

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_AGAIN_S: Final = 0.1


def patiently(ask: Callable[[], T], timeout_s: float) -> T:
    """What `ask` returns, asked again while a coordinator is busy: it loads, or is gone and the brokers choose another.

    Raises:
        CoordinatorBusy: it was for the whole of the time.
    """
    clock = SystemClock()
    over_s = clock.monotonic_s() + timeout_s
    while True:
        try:
            return ask()
        except CoordinatorBusy:
            if clock.monotonic_s() > over_s:
                raise
        clock.wait(Event(), _AGAIN_S)
