"""Who in a process gets the signals that end a job."""

from __future__ import annotations

import signal
from typing import Final

ENDING: Final = (signal.SIGINT, signal.SIGTERM)
"""Those of Ctrl-C and of supervisors."""


def leave_signals_to_the_main_thread() -> None:
    """To be called first in each thread of the engine's own, and inherited by the threads it starts.

    Python handles signals in the main thread. One that the system gives to another thread does not wake the main thread up where that waits
    inside of a user function, and so is lost.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
