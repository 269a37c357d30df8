"""One connection to a running job: a request, and what is answered to it until the asker goes or the job is over."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from millstream.errors import ControlRequestInvalid
from millstream.runtime.control.lines import LineReader
from millstream.runtime.control.messages import (
    MOST_REQUEST_BYTES,
    Accepted,
    Cancel,
    Follow,
    Look,
    Refused,
    Reported,
    Request,
    Savepoint,
    SavepointTaken,
    Stop,
    Waiting,
    decode_request,
    encode,
)
from millstream.runtime.control.peer import peer_uid
from millstream.runtime.job_status import JobStatus

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from millstream.checkpoint.savepoint import Done
    from millstream.runtime.control.controlled import ControlledJob
    from millstream.runtime.control.messages import Answer
    from millstream.runtime.job_report import JobReport

REQUEST_S: Final = 5.0
"""Who has connected and not asked by then is let go."""

TAKE_S: Final = 5.0
"""Who does not take an answer for so long is let go."""

WAITING_S: Final = 1.0
"""While the JobManager does not come to a request, the asker hears that somebody is there so often."""

_FINAL: Final = frozenset(status.value for status in JobStatus if status.is_final)


class _Outcome:
    """What came of something that takes time."""

    path: str | None = None
    error: Exception | None = None
    known = False


class Conversation:
    """Runs on a thread of its own.

    Args:
        connection: with the asker; closed at the end.
        job: whom it is about.
    """

    def __init__(self, connection: socket.socket, job: ControlledJob) -> None:
        self._connection = connection
        self._job = job
        self._news = threading.Event()
        self._last: JobReport | None = None

    def end(self, last: JobReport) -> None:
        """The job is over: the JobManager takes no mail any more. Safe from any thread."""
        self._last = last
        self._news.set()

    def abandon(self) -> None:
        """Lets the connection go, in a process that has come about by a fork."""
        self._connection.close()

    def hold(self) -> None:
        """Reads the request and answers it."""
        with self._connection, suppress(OSError):  # the asker has gone, or is too slow
            self._hold()

    def _hold(self) -> None:
        uid = peer_uid(self._connection)
        try:
            # Also of somebody who is refused: a connection that is closed before all was read takes the answer with it.
            line = LineReader(self._connection, MOST_REQUEST_BYTES).read(REQUEST_S)
            if uid is not None and uid != os.geteuid():
                self._send(Refused(reason=f"user {uid} is not user {os.geteuid()}, whose job this is"))
            elif line is not None:
                self._answer(decode_request(line))
        except ControlRequestInvalid as error:
            self._send(Refused(reason=error.reason))

    def _answer(self, request: Request) -> None:
        if isinstance(request, Look):
            self._send_look(subtasks=request.subtasks)
        elif isinstance(request, Follow):
            self._follow(request.every_s, subtasks=request.subtasks)
        elif isinstance(request, Cancel):
            self._cancel()
        elif isinstance(request, Stop):
            self._stop(request)
        elif isinstance(request, Savepoint):
            self._savepoint(request)

    def _follow(self, every_s: float, *, subtasks: bool) -> None:
        while not self._send_look(subtasks=subtasks):
            self._news.wait(every_s)
            self._news.clear()

    def _cancel(self) -> None:
        self._job.post(self._job.cancel)
        self._send(Accepted())
        self._await_end()

    def _stop(self, request: Stop) -> None:
        outcome = self._begin(lambda done: self._job.stop(drain=request.drain, savepoint=request.savepoint, done=done))
        if not self._refuse(outcome):
            if request.savepoint and outcome.path is not None:
                self._send(SavepointTaken(outcome.path))
            self._await_end()

    def _savepoint(self, request: Savepoint) -> None:
        outcome = self._begin(lambda done: self._job.savepoint(request.target, done))
        if self._refuse(outcome):
            return
        if outcome.path is not None:
            self._send(SavepointTaken(outcome.path))
        elif self._last is not None:
            self._send(Reported(self._last))

    def _begin(self, action: Callable[[Done], None]) -> _Outcome:
        """Has the JobManager do something that takes time, and waits until it is done or the job is over."""
        outcome = _Outcome()

        def done(path: str | None, error: Exception | None) -> None:
            outcome.path, outcome.error, outcome.known = path, error, True
            self._news.set()

        def begin() -> None:
            try:
                action(done)
            except Exception as error:  # noqa: BLE001 - an error of what was asked, not of the job: raised here it would end the job
                done(None, error)

        self._job.post(begin)
        self._send(Accepted())
        self._await(lambda: outcome.known or self._last is not None)
        return outcome

    def _refuse(self, outcome: _Outcome) -> bool:
        """Says why it is not done, if it is not."""
        if outcome.error is not None:
            self._send(Refused(reason=str(outcome.error)))
        return outcome.error is not None

    def _await_end(self) -> None:
        self._await(lambda: self._last is not None)
        if self._last is not None:
            self._send(Reported(self._last))

    def _await(self, condition: Callable[[], bool]) -> None:
        """Returns when it holds; meanwhile the asker hears that somebody is there."""
        since_s = time.monotonic()
        while not condition():
            if not self._news.wait(WAITING_S):
                self._send(Waiting(for_s=time.monotonic() - since_s))
            self._news.clear()

    def _send_look(self, *, subtasks: bool) -> bool:
        """Sends how the job is as soon as the JobManager says so. Whether nothing will follow."""
        looked: list[JobReport | Exception] = []

        def look() -> None:
            try:
                looked.append(self._job.look(subtasks=subtasks))
            except Exception as error:  # noqa: BLE001 - a gauge of a user or a storage; raised on the JobManager's thread it would end the job
                looked.append(error)
            self._news.set()

        self._job.post(look)
        self._await(lambda: bool(looked) or self._last is not None)
        found = self._last or looked[0]
        if isinstance(found, Exception):
            self._send(Refused(reason=f"the job could not be looked at: {type(found).__name__}: {found}"))
            return True
        self._send(Reported(found))
        return found.status in _FINAL

    def _send(self, answer: Answer) -> None:
        self._connection.settimeout(TAKE_S)
        self._connection.sendall(encode(answer))
