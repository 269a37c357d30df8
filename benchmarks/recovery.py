"""How long a job of two TaskManager processes puts out nothing after one of them was killed.

    python recovery.py CHECKPOINTS SIGNS KEYS        the job; started by `recovery`

The job keeps a string of 200 characters for each of many keys, takes a checkpoint each two seconds to a folder, and goes on for ever. A
TaskManager is killed with SIGKILL; the clock stops when the first record leaves the state again, in whichever process. Checkpoints of a
restored state are whole before the next kill, so that each recovery reads all of it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from millstream import RestartStrategies, StreamExecutionEnvironment
from millstream.api.sinks import DiscardingSink

RATE = 40_000
PATIENCE_S = 120.0
STATE_BYTES_PER_KEY = 212
"""The string, and its key and count beside it: as the data codec writes them, measured."""


Entry = tuple[int, str, int]


class Sign:
    """Leaves the moment of this process's first record in a folder."""

    def __init__(self, signs: str) -> None:
        self._signs = signs
        self._given = False

    def __call__(self, entry: Entry) -> Entry:
        if not self._given:
            self._given = True
            path = Path(self._signs) / f"{os.getpid()}.new"
            path.write_text(str(time.monotonic()))
            path.rename(path.with_suffix(".first"))
        return entry


def job(checkpoints: str, signs: str, keys: int) -> None:
    """Runs until it is killed."""
    env = StreamExecutionEnvironment.get_execution_environment().set_parallelism(2)
    env.configure("execution.processes", 2)
    env.enable_checkpointing(timedelta(seconds=2))
    env.checkpoint_config.set_checkpoint_storage(checkpoints)
    env.set_restart_strategy(RestartStrategies.fixed_delay(1_000, timedelta(milliseconds=10)))

    def entry(number: int) -> Entry:
        return number % keys, f"{number:0200d}", 1

    entries = env.generate(entry, 10**12, RATE, uid="in")
    newest = entries.key_by(lambda entry: entry[0]).reduce(lambda a, b: (a[0], b[1], a[2] + b[2]), uid="newest")
    newest.map(Sign(signs)).sink_to(DiscardingSink(), uid="out")
    env.execute("recovery")


def recovery(keys: int, kills: int) -> dict[str, Any]:
    """Seconds from a kill to the first new output, of each of several kills."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoints, signs = Path(folder) / "checkpoints", Path(folder) / "signs"
        signs.mkdir()
        command = [sys.executable, __file__, str(checkpoints), str(signs), str(keys)]
        program = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _until(program, lambda: len(list(signs.glob("*.first"))) >= 2)
            time.sleep(1.2 * keys / RATE)
            taken = [_kill_one(program, checkpoints, signs, number) for number in range(kills)]
            state_bytes = _state_bytes(checkpoints)
        finally:
            workers = workers_of(program.pid)
            program.kill()
            program.wait()
            for worker in workers:  # they end by themselves: with them, nobody writes into the folder any more
                _while(lambda worker=worker: worker in workers_of(program.pid) or worker in workers_of(1))  # type: ignore[misc]
    return {"seconds": taken, "state_mb": state_bytes / 1e6}


def _kill_one(program: subprocess.Popen[bytes], checkpoints: Path, signs: Path, number: int) -> float:
    before = _newest(checkpoints)
    _until(program, lambda: _newest(checkpoints) >= before + 2)
    workers = workers_of(program.pid)
    for old in signs.glob("*"):
        old.unlink()
    killed_s = time.monotonic()
    os.kill(workers[number % len(workers)], signal.SIGKILL)
    first = _until(program, lambda: [float(path.read_text()) for path in signs.glob("*.first")])
    return min(first) - killed_s  # type: ignore[no-any-return]


def workers_of(parent: int) -> list[int]:
    """TaskManager processes of a program that are alive."""
    lines = subprocess.run(["ps", "-wweo", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=True).stdout.splitlines()
    entries = [line.split(None, 3) for line in lines]
    return [
        int(pid) for pid, above, state, *rest in entries if int(above) == parent and state[0] != "Z" and rest and " millstream-worker-" in rest[0]
    ]


def _newest(checkpoints: Path) -> int:
    return max((int(path.parent.name.removeprefix("chk-")) for path in checkpoints.glob("*/chk-*/_metadata")), default=0)


def _state_bytes(checkpoints: Path) -> int:
    """Of the newest checkpoint and what it shares with those before it; a file may go while it is looked at."""
    newest = _newest(checkpoints)
    total = 0
    for path in checkpoints.rglob("*"):
        in_older = any(part.startswith("chk-") and part != f"chk-{newest}" for part in path.parts)
        try:
            total += path.stat().st_size if path.is_file() and not in_older else 0
        except OSError:
            continue
    return total


def _until(program: subprocess.Popen[bytes], holds: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE_S
    while not (found := holds()):
        if time.monotonic() > end or program.poll() is not None:
            message = "the job of the recovery has ended, or does not recover"
            raise RuntimeError(message)
        time.sleep(0.005)
    return found


def _while(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while holds() and time.monotonic() < end:
        time.sleep(0.05)


if __name__ == "__main__":
    job(sys.argv[1], sys.argv[2], int(sys.argv[3]))
