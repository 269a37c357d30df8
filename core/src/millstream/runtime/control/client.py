"""Finding the running jobs of this user, and asking them."""

from __future__ import annotations

import logging
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from millstream.errors import AmbiguousJob, ControlFolderUnusable, JobUnreachable, RequestRefused, UnknownJob
from millstream.runtime.control.entry import entries, is_alive
from millstream.runtime.control.folder import check_folder, control_folders
from millstream.runtime.control.lines import LineReader
from millstream.runtime.control.messages import MOST_ANSWER_BYTES, Refused, decode_answer, encode
from millstream.runtime.control.peer import peer_uid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from millstream.runtime.control.entry import Entry, Note
    from millstream.runtime.control.messages import Answer, Request

log = logging.getLogger(__name__)

CONNECT_S: Final = 2.0

SILENCE_S: Final = 10.0
"""A process that says nothing for so long stands still: one that is only busy says so each second."""


@dataclass(frozen=True)
class RunningJob:
    """A job that was found.

    Attributes:
        entry: where its socket is.
        note: whose it is.
    """

    entry: Entry
    note: Note

    @property
    def label(self) -> str:
        """Name and process."""
        return f"{self.note.job_name}#{self.note.pid}"

    def ask(self, request: Request, *, silence_s: float = SILENCE_S) -> Iterator[Answer]:
        """Sends a request and gives the answers, until the other side ends the connection.

        Args:
            request: what to ask.
            silence_s: how long the other side may say nothing.

        Raises:
            JobUnreachable: nobody is there, or says anything.
            RequestRefused: the job does not do it.
            ControlRequestInvalid: the other side is of another version.
        """
        connection = self._connect()
        if connection is None:
            raise self._unreachable("has ended")
        with connection:
            try:
                connection.settimeout(CONNECT_S)
                with suppress(BrokenPipeError):  # then there may be an answer that says why
                    connection.sendall(encode(request))
                reader = LineReader(connection, MOST_ANSWER_BYTES)
                while (line := reader.read(silence_s)) is not None:
                    answer = decode_answer(line)
                    if isinstance(answer, Refused):
                        raise RequestRefused(job=self.note.job_name, reason=answer.reason)
                    yield answer
            except TimeoutError:
                raise self._silent(silence_s) from None
            except OSError as error:
                raise self._unreachable(f"has broken off the connection ({error.strerror or error})") from error

    def is_there(self) -> bool:
        """Whether somebody listens. What a process left that was killed is taken away."""
        try:
            connection = self._connect()
        except JobUnreachable:
            return True
        if connection is None:
            return False
        connection.close()
        return True

    def _connect(self) -> socket.socket | None:
        """A connection; None when nobody listens any more, and then nothing of it is left."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(CONNECT_S)
            connection.connect(self.entry.socket)
            uid = peer_uid(connection)
        except (ConnectionRefusedError, FileNotFoundError):
            connection.close()
            self.entry.remove()
            return None
        except OSError as error:
            connection.close()
            raise self._silent(CONNECT_S) from error
        if uid is not None and uid != os.geteuid():
            connection.close()
            raise self._unreachable(f"has a socket that user {uid} listens to")
        return connection

    def _silent(self, after_s: float) -> JobUnreachable:
        if is_alive(self.note.pid):
            return self._unreachable(f"has not answered for {after_s:g} s; it may have been stopped with SIGSTOP or by a debugger")
        self.entry.remove()  # a process that it had forked keeps its socket
        return self._unreachable("has ended")

    def _unreachable(self, reason: str) -> JobUnreachable:
        return JobUnreachable(job=self.note.job_name, pid=self.note.pid, reason=reason)


def running_jobs(folder: str | None, environ: Mapping[str, str]) -> list[RunningJob]:
    """The running jobs of this user, by name and start.

    Args:
        folder: the setting `control.folder`.
        environ: environment variables.

    Raises:
        ControlFolderUnusable: the folder that is named cannot be used.
    """
    found: list[RunningJob] = []
    for place in control_folders(folder, environ):
        try:
            if check_folder(place):
                notes = [(entry, entry.read()) for entry in entries(place)]
                found += [RunningJob(entry, note) for entry, note in notes if note is not None]
        except ControlFolderUnusable as error:
            if folder is not None:
                raise
            log.warning("%s", error)
        except OSError as error:
            log.warning("running jobs in %s cannot be listed: %s", place, error)
    found.sort(key=lambda job: (job.note.job_name, job.note.started_ms, job.note.pid))
    return [job for job in found if job.is_there()]


def find_job(wanted: str, jobs: Sequence[RunningJob]) -> RunningJob:
    """The job of that name, `name#pid` or run id.

    Raises:
        UnknownJob: there is none.
        AmbiguousJob: there are several.
    """
    matching = [job for job in jobs if job.note.job_name == wanted] or [job for job in jobs if wanted in (job.label, job.note.run_id)]
    if not matching:
        raise UnknownJob(wanted=wanted, running=list(dict.fromkeys(job.note.job_name for job in jobs)))
    if len(matching) > 1:
        labels = [job.label for job in matching]
        raise AmbiguousJob(wanted=wanted, running=[job.note.run_id if labels.count(job.label) > 1 else job.label for job in matching])
    return matching[0]
