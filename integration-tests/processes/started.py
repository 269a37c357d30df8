"""A job's program as a process, and the TaskManager processes below it, as the system lists them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

WITHIN_S = 40.0


def until(holds: Callable[[], Any], within_s: float = WITHIN_S) -> Any:
    """Waits for a condition; fails when it does not come to hold in time."""
    end = time.monotonic() + within_s
    while not (found := holds()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return found


def listed() -> list[tuple[int, int, str, str]]:
    """Process, parent, state and command line of everything that runs."""
    lines = subprocess.run(["ps", "-wweo", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=True).stdout.splitlines()
    entries = [line.split(None, 3) for line in lines]
    return [(int(pid), int(parent), state, rest[0] if rest else "") for pid, parent, state, *rest in entries]


def workers_of(parent: int) -> list[int]:
    """TaskManager processes of a program."""
    return sorted(pid for pid, above, state, line in listed() if above == parent and state[0] != "Z" and " millstream-worker-" in line)


def job_managers_of(parent: int) -> list[int]:
    """JobManager processes of a program."""
    return sorted(pid for pid, above, state, line in listed() if above == parent and state[0] != "Z" and " millstream-job-manager" in line)


def alive(pids: list[int]) -> list[int]:
    """Those that still run."""
    return [pid for pid, _, state, _ in listed() if pid in pids and state[0] != "Z"]


class Started:
    """A program that is running.

    Args:
        command: the script and its arguments.
        log: where its output goes.
        crash: where its processes die, see MILLSTREAM_CRASH.
    """

    def __init__(self, command: list[str], log: Path, crash: str = "") -> None:
        self._log = log
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MILLSTREAM_")}
        if crash:
            environment["MILLSTREAM_CRASH"] = crash
        with log.open("ab") as file:
            self.process = subprocess.Popen([sys.executable, *command], env=environment, stdout=file, stderr=file, start_new_session=True)

    def workers(self, count: int) -> list[int]:
        """Its TaskManagers, once there are so many."""

        def enough() -> list[int]:
            assert self.process.poll() is None, self.output()
            found = workers_of(self.process.pid)
            return found if len(found) == count else []

        found: list[int] = until(enough)
        return found

    def job_manager(self, instead_of: int = 0) -> tuple[int, list[int]]:
        """The process with its JobManager, another one than that, and its two TaskManagers, once they are there."""

        def there() -> tuple[int, list[int]] | None:
            assert self.process.poll() is None, self.output()
            (found, *_) = [*job_managers_of(self.process.pid), 0]
            workers = workers_of(found) if found and found != instead_of else []
            return (found, workers) if len(workers) == 2 else None

        pair: tuple[int, list[int]] = until(there)
        return pair

    def ends(self, within_s: float = 90.0) -> int:
        """Its exit code, once it has ended."""
        try:
            return self.process.wait(within_s)
        finally:
            self.kill()

    def interrupt(self) -> None:
        """Ctrl-C: for all processes of its group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def output(self) -> str:
        return self._log.read_text()


def newest_checkpoint(folder: Path) -> int:
    return max((int(path.parent.name.removeprefix("chk-")) for path in folder.glob("*/chk-*/_metadata")), default=0)


def lines_of(folder: Path) -> Counter[tuple[Any, ...]]:
    """What a reader finds in a folder, and how often."""
    files = [path for path in folder.iterdir() if path.name[0] not in "._"]
    return Counter(tuple(json.loads(line)) for path in files for line in path.read_text().splitlines())


def expected(count: int, key: Callable[[int], str], window_ms: int) -> tuple[Counter[Any], Counter[Any]]:
    """Counts and sums by plain Python."""
    counts: Counter[str] = Counter()
    sums: dict[tuple[str, int], int] = {}
    shown: Counter[Any] = Counter()
    for number in range(count):
        counts[key(number)] += 1
        shown[key(number), counts[key(number)]] += 1
        window = key(number), number // window_ms
        sums[window] = sums.get(window, 0) + number
    return shown, Counter((*window, total) for window, total in sums.items())
