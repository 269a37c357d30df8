"""The outside world as five small interfaces, and the points at which a test may crash the process.

Everything above this layer reads no wall clock, draws no random number, starts no thread and opens no file but through these.
That is what lets one runtime run for real and in a seeded simulation.
"""

from __future__ import annotations

from millstream.ports.clock import Clock, ManualClock, SystemClock
from millstream.ports.crash import (
    CRASH_POINTS,
    arm,
    check_armed,
    check_crash_points,
    crash_point,
    declare_crash_point,
    declare_crash_points,
    disarm,
)
from millstream.ports.executor import Executor, InlineExecutor, ThreadExecutor
from millstream.ports.random import Random, SeededRandom
from millstream.ports.storage import LocalStorage, Storage
from millstream.ports.transport import LocalTransport, Transport

__all__ = [
    "CRASH_POINTS",
    "Clock",
    "Executor",
    "InlineExecutor",
    "LocalStorage",
    "LocalTransport",
    "ManualClock",
    "Random",
    "SeededRandom",
    "Storage",
    "SystemClock",
    "ThreadExecutor",
    "Transport",
    "arm",
    "check_armed",
    "check_crash_points",
    "crash_point",
    "declare_crash_point",
    "declare_crash_points",
    "disarm",
]
