"""A running job's socket, as whoever connects to it finds it, and how jobs are found."""

from __future__ import annotations

import os
import queue
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream.errors import AmbiguousJob, ControlFolderUnusable, ControlRequestInvalid, JobUnreachable, RequestRefused, UnknownJob
from millstream.runtime.control import client, conversation
from millstream.runtime.control.client import RunningJob, find_job, running_jobs
from millstream.runtime.control.entry import Entry, Note, entries
from millstream.runtime.control.messages import (
    Accepted,
    Cancel,
    Follow,
    Look,
    Refused,
    Reported,
    Savepoint,
    SavepointTaken,
    Stop,
    Waiting,
    decode_answer,
    encode,
)
from millstream.runtime.control.peer import peer_uid
from millstream.runtime.control.server import MOST_CONVERSATIONS, ControlServer
from millstream.runtime.job_report import JobReport

NOTE = Note(job_name="orders", run_id="r1", pid=os.getpid(), started_ms=1_000)


def report(status: str = "running", **more: Any) -> JobReport:
    return JobReport(job_name="orders", run_id="r1", status=status, pid=os.getpid(), started_ms=1_000, now_ms=2_000, elapsed_s=1.0, **more)


class Job:
    """Takes its mail on a thread of its own, as a JobManager does."""

    def __init__(self) -> None:
        self.mail: queue.Queue[Callable[[], None]] = queue.Queue()
        self.told: list[str] = []
        self.asked: Any = None
        self.done: Any = None
        self.failing = False
        self.paused = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                action = self.mail.get(timeout=0.005)
            except queue.Empty:
                continue
            while self.paused.is_set() and not self._over.is_set():
                time.sleep(0.001)
            action()

    def post(self, action: Callable[[], None]) -> None:
        self.mail.put(action)

    def look(self, *, subtasks: bool) -> JobReport:
        if self.failing:
            raise ValueError("a gauge that fails")
        return report(records_in=7)

    def cancel(self) -> None:
        self.told.append("cancel")

    def stop(self, *, drain: bool, savepoint: str | bool, done: Any) -> None:
        self.told.append("stop")
        self.asked = (drain, savepoint)
        self.done = done

    def savepoint(self, target: str | None, done: Any) -> None:
        self.told.append("savepoint")
        self.asked = target
        self.done = done
        if target == "/raises":
            raise OSError("no space")

    def end(self) -> None:
        self._over.set()
        self._thread.join()


@pytest.fixture
def job() -> Iterator[Job]:
    one = Job()
    yield one
    one.end()


@pytest.fixture
def server(job: Job, sockets: str) -> Iterator[ControlServer]:
    one = ControlServer(job, sockets, NOTE)
    yield one
    one.close(report("canceled"))


@pytest.fixture
def found(server: ControlServer, sockets: str) -> RunningJob:
    (entry,) = entries(sockets)
    note = entry.read()
    assert note is not None
    return RunningJob(entry, note)


@pytest.fixture
def connection(found: RunningJob) -> Iterator[socket.socket]:
    one = socket.socket(socket.AF_UNIX)
    one.settimeout(5)
    one.connect(found.entry.socket)
    yield one
    one.close()


def wait_for(condition: Callable[[], bool], what: str) -> None:
    until_s = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < until_s, f"not within 5 s: {what}"
        time.sleep(0.002)


def names(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def test_a_look_is_answered_by_a_report(found: RunningJob) -> None:
    assert list(found.ask(Look())) == [Reported(report(records_in=7))]


def test_socket_and_note_are_for_the_owner_alone_and_go_with_the_job(job: Job, sockets: str) -> None:
    server = ControlServer(job, sockets, NOTE)
    (note, sock) = names(sockets)
    assert (note.endswith(".json"), sock.endswith(".sock")) == (True, True)
    for name in (note, sock):
        assert stat.S_IMODE(os.lstat(f"{sockets}/{name}").st_mode) == 0o600
    server.close(report("finished"))
    assert names(sockets) == []


@pytest.mark.parametrize(("request_", "told"), [(Cancel(), "cancel"), (Stop(), "stop")])
def test_who_ends_a_job_hears_at_once_that_it_was_told_and_later_how_it_ended(
    server: ControlServer, job: Job, found: RunningJob, request_: Cancel | Stop, told: str
) -> None:
    answers = found.ask(request_)
    assert next(answers) == Accepted()
    wait_for(lambda: job.told == [told], "the job is told")
    server.close(report("suspended"))
    assert [answer for answer in answers if not isinstance(answer, Waiting)] == [Reported(report("suspended"))]


def without_waiting(answers: Any) -> list[Any]:
    return [answer for answer in answers if not isinstance(answer, Waiting)]


def test_who_stops_a_job_with_a_savepoint_hears_where_it_is_and_how_the_job_ended(server: ControlServer, job: Job, found: RunningJob) -> None:
    answers = found.ask(Stop(drain=True, savepoint="/backups"))
    assert next(answers) == Accepted()
    wait_for(lambda: job.told == ["stop"], "the job is told")
    assert job.asked == (True, "/backups")
    job.post(lambda: job.done("/backups/savepoint-1", None))
    assert next(answers) == SavepointTaken("/backups/savepoint-1")
    server.close(report("finished"))
    assert without_waiting(answers) == [Reported(report("finished"))]


def test_a_stop_that_will_not_happen_is_refused_with_the_reason_and_the_job_runs_on(job: Job, found: RunningJob) -> None:
    answers = found.ask(Stop(savepoint=True))
    assert next(answers) == Accepted()
    wait_for(lambda: job.told == ["stop"], "the job is told")
    job.post(lambda: job.done(None, OSError("the disk is full")))
    with pytest.raises(RequestRefused, match="the disk is full"):
        without_waiting(answers)


def test_who_asks_for_a_savepoint_hears_where_it_is(job: Job, found: RunningJob) -> None:
    answers = found.ask(Savepoint(target="/backups"))
    assert next(answers) == Accepted()
    wait_for(lambda: job.told == ["savepoint"], "the job is told")
    job.post(lambda: job.done("/backups/savepoint-1", None))
    assert without_waiting(answers) == [SavepointTaken("/backups/savepoint-1")]


def test_a_savepoint_of_a_job_that_is_over_meanwhile_is_answered_by_its_end(server: ControlServer, job: Job, found: RunningJob) -> None:
    answers = found.ask(Savepoint())
    assert next(answers) == Accepted()
    wait_for(lambda: job.told == ["savepoint"], "the job is told")
    server.close(report("failed"))
    assert without_waiting(answers) == [Reported(report("failed"))]


def test_what_a_savepoint_raises_is_refused_and_does_not_reach_the_job(found: RunningJob) -> None:
    with pytest.raises(RequestRefused, match="no space"):
        list(found.ask(Savepoint(target="/raises")))
    assert list(found.ask(Look())) == [Reported(report(records_in=7))]


def test_who_follows_a_job_gets_reports_until_the_last(server: ControlServer, job: Job, found: RunningJob) -> None:
    answers = found.ask(Follow(every_s=0.05))
    assert [next(answers), next(answers)] == [Reported(report(records_in=7))] * 2
    server.close(report("finished"))
    *_, last = answers
    assert last == Reported(report("finished"))


def test_while_the_job_does_not_come_to_its_mail_the_asker_hears_that_it_is_busy(
    job: Job, found: RunningJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversation, "WAITING_S", 0.01)
    job.paused.set()
    answers = found.ask(Look())
    first = next(answers)
    assert isinstance(first, Waiting)
    assert first.for_s > 0
    job.paused.clear()
    *_, last = answers
    assert last == Reported(report(records_in=7))


def test_a_look_that_fails_is_refused_and_does_not_reach_the_job(job: Job, found: RunningJob) -> None:
    job.failing = True
    with pytest.raises(RequestRefused, match="Job 'orders' refused: the job could not be looked at: ValueError: a gauge that fails"):
        list(found.ask(Look()))
    job.failing = False
    assert list(found.ask(Look())) == [Reported(report(records_in=7))]


def test_another_user_is_refused(found: RunningJob, connection: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "peer_uid", lambda _: os.geteuid() + 1)
    with pytest.raises(RequestRefused, match=rf"user {os.geteuid() + 1} is not user {os.geteuid()}, whose job this is"):
        list(found.ask(Cancel()))
    monkeypatch.setattr(client, "peer_uid", lambda _: os.geteuid() + 1)
    with pytest.raises(JobUnreachable, match="has a socket that user"):
        list(found.ask(Cancel()))


@pytest.mark.skipif(sys.platform not in ("linux", "darwin"), reason="the kernel does not tell")
def test_the_kernel_says_whose_connection_it_is(server: ControlServer, connection: socket.socket) -> None:
    assert peer_uid(connection) == os.geteuid()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_who_came_through_the_folder_is_refused_by_what_the_kernel_says(server: ControlServer, found: RunningJob, sockets: str) -> None:
    os.chmod(sockets, 0o711)  # noqa: S103 - as if the folder did not keep them out
    os.chmod(found.entry.socket, 0o622)  # noqa: S103
    program = dedent("""
        import os, socket, sys
        os.setuid(65534)
        asker = socket.socket(socket.AF_UNIX)
        asker.connect(sys.argv[1])
        asker.sendall(sys.stdin.buffer.read())
        print(asker.makefile().read())
        """)
    command = [sys.executable, "-c", program, found.entry.socket]
    asked = subprocess.run(command, input=encode(Cancel()), capture_output=True, timeout=20, check=False)
    assert decode_answer(asked.stdout.strip()) == Refused("user 65534 is not user 0, whose job this is"), asked.stderr


def answer_of(connection: socket.socket) -> Refused:
    with connection.makefile("rb") as lines:
        answer = decode_answer(lines.readline())
        assert isinstance(answer, Refused)
        assert lines.readline() == b""  # and no more
        return answer


def test_what_is_no_request_is_refused_with_the_reason(connection: socket.socket) -> None:
    connection.sendall(b"GET / HTTP/1.1\n")
    assert "malformed" in answer_of(connection).reason


def test_a_request_that_is_too_long_is_refused_before_it_is_all_there(connection: socket.socket) -> None:
    connection.sendall(b"x" * 65_537)
    assert answer_of(connection).reason == "a line has more than 65,536 bytes"


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.booleans())
def test_whatever_is_sent_the_next_asker_is_answered(found: RunningJob, sent: bytes, half_closed: bool) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(found.entry.socket)
        connection.sendall(sent)
        if half_closed:
            connection.shutdown(socket.SHUT_WR)
    assert list(found.ask(Look())) == [Reported(report(records_in=7))]


def test_who_connects_and_says_nothing_keeps_nobody_else_away_for_long(found: RunningJob, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "REQUEST_S", 0.1)
    silent = [socket.socket(socket.AF_UNIX) for _ in range(MOST_CONVERSATIONS)]
    try:
        for one in silent:
            one.connect(found.entry.socket)

        def answered() -> bool:
            with suppress(RequestRefused, JobUnreachable):
                return list(found.ask(Look())) == [Reported(report(records_in=7))]
            return False

        wait_for(answered, "an answer")
    finally:
        for one in silent:
            one.close()


def test_who_goes_away_is_forgotten(server: ControlServer, found: RunningJob) -> None:
    answers = found.ask(Follow(every_s=0.05))
    next(answers)
    answers.close()  # type: ignore[attr-defined]
    wait_for(lambda: not [t for t in threading.enumerate() if t.name == "millstream-control-conversation"], "the conversation ends")


def test_an_answer_that_is_none_is_an_error_of_its_own(sockets: str) -> None:
    entry = Entry.new(sockets)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(entry.socket)
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1_000)
                connection.sendall(b'{"answer":"pickle"}\n')

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(ControlRequestInvalid, match="Use the same version of millstream for both"):
            list(RunningJob(entry, NOTE).ask(Look()))
        thread.join()


def test_a_process_that_the_job_has_forked_neither_answers_nor_takes_the_entry_away(sockets: str) -> None:
    program = dedent("""
        import os, socket, sys, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside threads is just what is tested
        from millstream.runtime.control.entry import Note
        from millstream.runtime.control.server import ControlServer
        class Job:
            def post(self, action): pass
            look = cancel = stop = savepoint = None
        note = Note(job_name="orders", run_id="r", pid=os.getpid(), started_ms=0)
        server = ControlServer(Job(), sys.argv[1], note)
        child = os.fork()
        if child == 0:
            from millstream.runtime.job_report import JobReport
            server.close(None)  # what a finally clause of the parent's does in the child
            listening = server._listener.fileno()
            print(sorted(name.rpartition(".")[2] for name in os.listdir(sys.argv[1])), listening, flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        os.kill(os.getpid(), 9)
        """)
    ended = subprocess.run([sys.executable, "-c", program, sockets], capture_output=True, text=True, timeout=20, check=False)
    assert (ended.stdout, ended.returncode) == ("['json', 'sock'] -1\n", -9), ended.stderr
    assert client.running_jobs(sockets, {}) == []
    assert names(sockets) == []


def test_encoded_lines_hold_no_line_end_inside() -> None:
    assert encode(Refused("two\nlines")).count(b"\n") == 1


# --- finding jobs


def job_of(name: str, pid: int, run_id: str) -> RunningJob:
    return RunningJob(Entry("/nowhere", "1-01234567"), Note(job_name=name, run_id=run_id, pid=pid, started_ms=0))


JOBS = [
    job_of("orders", 1, "r1"),
    job_of("orders", 2, "r2"),
    job_of("clicks", 2, "r3"),
    job_of("twice", 3, "r4"),
    job_of("twice", 3, "r5"),
    job_of("a#1", 4, "r6"),
]


@pytest.mark.parametrize(("wanted", "run_id"), [("clicks", "r3"), ("clicks#2", "r3"), ("orders#2", "r2"), ("r1", "r1"), ("r5", "r5"), ("a#1", "r6")])
def test_a_job_is_found_by_its_name_its_process_and_its_run(wanted: str, run_id: str) -> None:
    assert find_job(wanted, JOBS).note.run_id == run_id


def test_a_name_of_several_jobs_is_refused_with_names_that_tell_them_apart() -> None:
    with pytest.raises(AmbiguousJob) as refused:
        find_job("orders", JOBS)
    assert refused.value.running == ["orders#1", "orders#2"]
    with pytest.raises(AmbiguousJob) as refused:
        find_job("twice#3", JOBS)
    assert refused.value.running == ["r4", "r5"]


def test_an_unknown_name_is_refused_with_the_nearest_and_all_that_run() -> None:
    with pytest.raises(UnknownJob, match=r"no running job 'order'\. Did you mean 'orders'\? Running: orders, clicks, twice, a#1\."):
        find_job("order", JOBS)
    with pytest.raises(UnknownJob, match=r"no running job 'orders'\. No job of this user runs on this machine\."):
        find_job("orders", [])


def test_what_a_killed_process_left_is_no_running_job_and_is_taken_away(job: Job, sockets: str, server: ControlServer) -> None:
    dead = Entry(sockets, f"{os.getpid()}-deadbeef")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(dead.socket)
    dead.publish(NOTE)
    without_socket = Entry(sockets, f"{os.getpid()}-deadcafe")
    without_socket.publish(NOTE)
    assert len(names(sockets)) == 5
    assert len(running_jobs(sockets, {})) == 1
    assert len(names(sockets)) == 2


def test_a_process_that_stands_still_is_named_and_one_that_is_gone_is_taken_away(sockets: str, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Entry(sockets, "4194305-deadbeef")
    with socket.socket(socket.AF_UNIX) as listener:  # nobody ever accepts: stopped, or a forked process that keeps the socket of a dead one
        listener.bind(entry.socket)
        listener.listen()
        stands = RunningJob(entry, Note(job_name="orders", run_id="r", pid=os.getpid(), started_ms=0))
        with pytest.raises(JobUnreachable, match=r"has not answered for 0\.01 s; it may have been stopped with SIGSTOP"):
            list(stands.ask(Look(), silence_s=0.01))
        gone = RunningJob(entry, Note(job_name="orders", run_id="r", pid=4_194_305, started_ms=0))
        with pytest.raises(JobUnreachable, match=r"Job 'orders' \(process 4194305\) has ended"):
            list(gone.ask(Look(), silence_s=0.01))
    assert names(sockets) == []


def test_a_folder_that_is_named_and_not_safe_is_an_error_and_others_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(ControlFolderUnusable):
        running_jobs(str(tmp_path), {})
    monkeypatch.setattr(client, "control_folders", lambda folder, environ: [str(tmp_path)])
    assert running_jobs(None, {}) == []


def test_a_job_that_ends_between_the_listing_and_the_question_has_ended(found: RunningJob, server: ControlServer) -> None:
    server.close(report("finished"))
    with pytest.raises(JobUnreachable, match="has ended"):
        list(found.ask(Look()))
