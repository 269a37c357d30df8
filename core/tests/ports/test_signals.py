"""Signals that end a job are for the main thread."""

from __future__ import annotations

import signal
import threading

from millstream.ports import ThreadExecutor


def test_a_thread_of_the_executor_leaves_signals_to_the_main_thread() -> None:
    executor, seen, over = ThreadExecutor(), [], threading.Event()

    def done(mask: set[signal.Signals] | None, error: BaseException | None) -> None:
        seen.append(mask)
        over.set()

    executor.submit(lambda: signal.pthread_sigmask(signal.SIG_BLOCK, ()), done)
    assert over.wait(20)
    executor.close()
    assert seen[0] is not None
    assert {signal.SIGINT, signal.SIGTERM} <= seen[0]
