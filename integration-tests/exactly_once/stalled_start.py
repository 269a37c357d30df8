"""The kit's job, in a process that stops itself while it takes the job over from whoever ran it before.

Environment: STALL_AT is `before` (it has decided where to begin, but is not the leader yet) or `behind` (it is the leader and has decided,
but has started nothing yet).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from millstream.checkpoint.store import CompletedCheckpoints
from millstream.runtime.job_manager import JobManager
from millstream_testkit.crash_job import main


def stopping_first(function: Callable[..., Any]) -> Callable[..., Any]:
    def stop_and_call(*arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGSTOP)
        return function(*arguments)

    return stop_and_call


if __name__ == "__main__":
    if os.environ["STALL_AT"] == "before":
        CompletedCheckpoints.acquire_leadership = stopping_first(CompletedCheckpoints.acquire_leadership)  # type: ignore[method-assign]
    else:
        JobManager.start = stopping_first(JobManager.start)  # type: ignore[method-assign]
    main()
