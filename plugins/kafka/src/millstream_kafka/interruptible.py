"""Calls of the client library that wait for brokers, while the interpreter hears signals."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

from millstream.ports.executor import run_and_report
from millstream.ports.signals import leave_signals_to_the_main_thread

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def interruptibly(call: Callable[[], T]) -> T:
    """What a call returns that may wait for a long time inside the library.

    Only the main thread handles signals, and only between two steps of Python: inside the library it would hear Ctrl-C when the call is over. So
    another thread makes the call meanwhile. Broken off, the call comes to its end there, and nobody takes what it returns.
    """
    if threading.current_thread() is not threading.main_thread():
        return call()
    over = threading.Event()
    outcomes: list[tuple[T | None, BaseException | None]] = []

    def done(result: T | None, error: BaseException | None) -> None:
        outcomes.append((result, error))
        over.set()

    def run() -> None:
        leave_signals_to_the_main_thread()
        run_and_report(call, done)

    threading.Thread(target=run, name="millstream-kafka-call", daemon=True).start()
    over.wait()
    result, error = outcomes[0]
    if error is not None:
        raise error
    return result  # type: ignore[return-value]  # without an error it is what the call returned
