"""A commit that stands still between two of its calls, while a newer attempt takes over."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from millstream_testkit.steps import stepping
from millstream_testkit.suites.attempts import rows

if TYPE_CHECKING:
    from millstream_testkit.suites.attempts import Attempt, Attempts, Sealed

_STANDS_STILL_S: Final = 1.0
"""How long the older attempt lets its successor work. One that waits longer waits for a lock that the older one has, so that one goes on first."""
_COMMITS: Final = {"write_ahead": "commit_batch", "two_phase_commit": "commit"}


def overtaken_commit(attempts: Attempts, run_id: str, step: int | None) -> int:
    """Commits an epoch, and the same epoch by a newer attempt behind one step of the first.

    The epoch has ten rows, counted from ten times the step; none when nobody overtakes.

    Args:
        attempts: of a target.
        run_id: not used for this target before.
        step: number of the call of the connector's code, from 1. None lets nobody overtake.

    Returns:
        How many steps the commit has.
    """
    old = attempts.open(0, run_id=run_id)
    old.write(rows((step or 0) * 10, 10))
    sealed, count = old.seal(1), 0
    successor = _Successor(attempts, run_id, sealed)

    def at_step(number: int) -> None:
        nonlocal count
        count = number
        if number == step:
            successor.start()
            successor.join(_STANDS_STILL_S)

    _step_through(old, at_step)
    try:
        old.commit(sealed)
    except Exception:  # noqa: BLE001 - fenced, or not: what a reader finds decides
        assert step is not None, "a commit that nobody disturbed raised"
    if step is not None and successor.ident is not None:
        successor.join()
        if successor.error is not None:  # it could not open while the old one was at it; now it can
            _take_over(attempts, run_id, sealed)
    attempts.release(old)
    return count


def _step_through(attempt: Attempt, at_step: Any) -> None:
    method = _COMMITS[attempt.kind]
    setattr(attempt.client, method, stepping(getattr(attempt.client, method), type(attempt.client), at_step))


def _take_over(attempts: Attempts, run_id: str, sealed: Sealed | None) -> None:
    new = attempts.open(1, run_id=run_id)
    try:
        new.commit(sealed)
        new.abort_lingering()
    finally:
        attempts.release(new)


class _Successor(threading.Thread):
    """The newer attempt, on a thread of its own: it may have to wait for the older one."""

    def __init__(self, attempts: Attempts, run_id: str, sealed: Sealed | None) -> None:
        super().__init__(daemon=True)
        self._arguments = attempts, run_id, sealed
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            _take_over(*self._arguments)
        except Exception as error:  # noqa: BLE001 - the caller tries again
            self.error = error
