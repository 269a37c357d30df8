"""The Executor port of a simulated process: work is done in seeded order, at seeded times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from millstream.ports.crash import CrashPointReached

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.testing.world import World

T = TypeVar("T")

_QUICK_S: Final = 0.005
_SLOW_S: Final = 0.3


class SimulatedExecutor:
    """Does a piece of work at once when its time has come, and reports it some time later still."""

    def __init__(self, world: World, process: str) -> None:
        self._world = world
        self._random = world.random(f"executor/{process}")
        self._waiting: list[tuple[float, str, Callable[[], None]]] = []
        self._closed = False

    def submit(self, work: Callable[[], T], done: Callable[[T | None, BaseException | None], None]) -> None:
        if self._closed:
            msg = "the executor is closed"
            raise RuntimeError(msg)
        self._later("work", lambda: self._work(work, done))

    def _later(self, what: str, action: Callable[[], None]) -> None:
        delay_s = self._random.random() * (_SLOW_S if self._random.below(10) == 0 else _QUICK_S)
        self._waiting.append((self._world.clock.now_s + delay_s, what, action))

    def _work(self, work: Callable[[], Any], done: Callable[[Any, BaseException | None], None]) -> None:
        result, failure = None, None
        try:
            result = work()
        except CrashPointReached:
            raise
        except Exception as error:  # noqa: BLE001 - the outcome belongs to whoever asked for the work
            failure = error
        self._later("report", lambda: done(result, failure))

    def close(self) -> None:
        self._closed = True
        self._waiting.clear()

    # --- driven by the simulation

    def next_due_s(self) -> float | None:
        """When the next piece has its time; None when there is none."""
        return min((due_s for due_s, _, _ in self._waiting), default=None)

    def run_once(self) -> bool:
        """Does one piece of work, or reports one. False when there was nothing to do."""
        now_s = self._world.clock.now_s
        due = [number for number, (due_s, _, _) in enumerate(self._waiting) if due_s <= now_s]
        if not due:
            return False
        _, what, action = self._waiting.pop(due[self._random.below(len(due))])
        self._world.note(f"executor {what}")
        action()
        return True
