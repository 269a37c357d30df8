"""Processes as the system lists them."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import suppress


def listed() -> list[tuple[int, int, str, str]]:
    """Process, parent, state and command line of everything that runs."""
    lines = subprocess.run(["ps", "-wweo", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=True).stdout.splitlines()  # noqa: S607 - of the system
    entries = [line.split(None, 3) for line in lines]
    return [(int(pid), int(parent), state, rest[0] if rest else "") for pid, parent, state, *rest in entries]


def workers_of(program: int) -> list[int]:
    """The TaskManager processes of a program."""
    return sorted(pid for pid, parent, state, line in listed() if parent == program and state[0] != "Z" and " millstream-worker-" in line)


def state_of(pid: int) -> str:
    """`T` for a process that is stopped, and so on, as ps has it; empty when there is none, or only its remains."""
    found = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout.strip()  # noqa: S607 - of the system
    return "" if found[:1] == "Z" else found[:1]


def gone(pid: int, within_s: float) -> bool:
    """Waits until a process has ended. False when it has not in time."""
    end_s = time.monotonic() + within_s
    while state_of(pid):
        if time.monotonic() > end_s:
            return False
        time.sleep(0.02)
    return True


def send(pid: int, number: int) -> None:
    """Sends a signal to a process that may have ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)
