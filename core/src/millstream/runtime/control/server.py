"""The socket of a running job, and the thread that listens to it."""

from __future__ import annotations

import atexit
import logging
import os
import selectors
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from millstream.errors import ControlFolderUnusable
from millstream.ports import SystemClock
from millstream.ports.signals import leave_signals_to_the_main_thread
from millstream.runtime.control.controlled import ControlledLocalJob
from millstream.runtime.control.conversation import Conversation
from millstream.runtime.control.entry import Entry, Note
from millstream.runtime.control.folder import control_folders, make_folder
from millstream.runtime.control.messages import Refused, encode

if TYPE_CHECKING:
    from millstream.config import ControlConfig
    from millstream.runtime.control.controlled import ControlledJob
    from millstream.runtime.job_report import JobReport
    from millstream.runtime.launch import LocalJob

log = logging.getLogger(__name__)

MOST_CONVERSATIONS: Final = 16
GOODBYE_S: Final = 2.0
"""Longest time that the end of a job waits for its last report to be taken."""


class ControlServer:
    """Answers at a job's socket until it is closed.

    Args:
        job: whom it is about.
        folder: a folder that was checked.
        note: what others find.

    Raises:
        OSError: the socket cannot be made.
    """

    def __init__(self, job: ControlledJob, folder: str, note: Note) -> None:
        self._job = job
        self._entry = Entry.new(folder)
        self._conversations: dict[Conversation, threading.Thread] = {}
        self._closed = False
        self._owner = os.getpid()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._wake, self._woken = socket.socketpair()
        try:
            self._listener.bind(self._entry.socket)
            os.chmod(self._entry.socket, 0o600)
            self._listener.listen(MOST_CONVERSATIONS)
            self._listener.setblocking(False)
            self._entry.publish(note)
        except OSError:
            self._release()
            raise
        _servers.add(self)
        self._thread = threading.Thread(target=self._listen, name="millstream-control-socket", daemon=True)
        self._thread.start()

    def close(self, last: JobReport) -> None:
        """The job is over: whoever asks is told how it ended, and nobody finds the socket any more."""
        if self._closed or self._owner != os.getpid():
            return  # likewise in a copy of the process that has the job
        self._entry.remove()
        self._closed = True
        self._wake.send(b"\0")
        self._thread.join()
        until_s = time.monotonic() + GOODBYE_S
        for conversation, thread in list(self._conversations.items()):
            conversation.end(last)
            thread.join(max(0.0, until_s - time.monotonic()))
        self._release()

    def abandon(self) -> None:
        """Lets go of all connections, in a process that has come about by a fork: nobody may wait for an answer of it."""
        self._release(remove=False)
        for conversation in self._conversations:
            conversation.abandon()

    def forget(self) -> None:
        """Takes the entry away; the process is about to end."""
        if self._owner == os.getpid():
            self._entry.remove()

    def _release(self, *, remove: bool = True) -> None:
        for one in (self._listener, self._wake, self._woken):
            one.close()
        if remove:
            self._entry.remove()
        _servers.discard(self)

    def _listen(self) -> None:
        leave_signals_to_the_main_thread()
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while not self._closed:
                selector.select()
                try:
                    connection, _ = self._listener.accept()
                except BlockingIOError:
                    continue
                except OSError as error:  # no descriptor is left, say; the next asker may have more luck
                    log.warning("a request to the job could not be taken: %s", error)
                    time.sleep(0.1)
                    continue
                self._take(connection)

    def _take(self, connection: socket.socket) -> None:
        connection.setblocking(True)
        self._conversations = {one: thread for one, thread in self._conversations.items() if thread.is_alive()}
        if len(self._conversations) >= MOST_CONVERSATIONS:
            with connection:
                connection.settimeout(0.1)
                with suppress(OSError):
                    connection.sendall(encode(Refused(reason=f"{MOST_CONVERSATIONS} others are asking already; try again later")))
            return
        conversation = Conversation(connection, self._job)
        thread = threading.Thread(target=conversation.hold, name="millstream-control-conversation", daemon=True)
        self._conversations[conversation] = thread
        thread.start()


_servers: WeakSet[ControlServer] = WeakSet()


def _let_go() -> None:
    for server in list(_servers):
        server.abandon()


@atexit.register
def _forget() -> None:
    """Of jobs on threads that end with the process, nothing is left to be found."""
    for server in list(_servers):
        server.forget()


os.register_at_fork(after_in_child=_let_go)


def open_control(job: LocalJob, config: ControlConfig) -> ControlServer | None:
    """Lets commands reach a job that was started. None when the settings say no, or there is nothing to reach; a warning where it fails."""
    if not config.enabled or job.job_manager is None or not isinstance(job.ports.clock, SystemClock):
        return None  # in virtual time there is nobody to ask
    note = Note(job_name=job.job_name, run_id=job.job_manager.run_id, pid=os.getpid(), started_ms=job.started_ms)
    reasons = []
    for folder in control_folders(config.folder, os.environ):
        try:
            make_folder(folder)
            return ControlServer(ControlledLocalJob(job, job.job_manager), folder, note)
        except ControlFolderUnusable as error:
            reasons.append(str(error))
        except OSError as error:
            reasons.append(f"{folder}: {error.strerror or error}")
    log.warning("commands of another terminal cannot reach job %s: %s", job.job_name, " ".join(reasons) or "there is no folder for its socket")
    return None
