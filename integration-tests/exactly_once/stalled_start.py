"""The kit's job, in a process that stops itself when it is about to take the job over from whoever ran it before."""

from __future__ import annotations

import os
import signal

from millstream.checkpoint.store import CompletedCheckpoints
from millstream_testkit.crash_job import main

_acquire_leadership = CompletedCheckpoints.acquire_leadership


def stop_first(self: CompletedCheckpoints) -> int:
    os.kill(os.getpid(), signal.SIGSTOP)
    return _acquire_leadership(self)


if __name__ == "__main__":
    CompletedCheckpoints.acquire_leadership = stop_first  # type: ignore[method-assign]
    main()
