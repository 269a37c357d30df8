from __future__ import annotations

import threading
import time

from millstream.ports import ThreadExecutor


def test_close_waits_no_longer_than_it_is_told_for_work_that_hangs() -> None:
    executor, begun, go_on = ThreadExecutor(1), threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        go_on.wait(60)

    executor.submit(hang, lambda result, error: None)
    assert begun.wait(20)
    begun_s = time.monotonic()
    executor.close(0.1)
    assert time.monotonic() - begun_s < 10
    go_on.set()
