"""Running jobs as another terminal sees them."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from millstream import DiscardingSink, StreamExecutionEnvironment
from millstream.api.job_client import JobClient
from millstream.cli import completed
from millstream.errors import JobFailedError, NoSavepointTarget
from millstream.runtime.job_manager import JobManager
from millstream.runtime.job_status import JobStatus

ENDLESS = """
if __name__ == "__main__":
    env.enable_checkpointing(timedelta(milliseconds=50)).set_parallelism(2)
    env.generate(lambda n: n, rate_per_s=1_000, uid="in").key_by(lambda n: n % 3).reduce(max, uid="highest").sink_to(DiscardingSink(), uid="out")
    env.execute("orders")
"""


@pytest.fixture(autouse=True)
def sockets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where this test's jobs can be reached: others run on this machine."""
    path = Path(tempfile.mkdtemp(prefix="ms-", dir="/tmp"))
    monkeypatch.setenv("MILLSTREAM__CONTROL__FOLDER", str(path))
    yield path
    shutil.rmtree(path)


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    until_s = time.monotonic() + 10
    while not (found := condition()):
        assert time.monotonic() < until_s, f"not within 10 s: {what}"
        time.sleep(0.005)
    return found


class Terminal:
    """Another terminal, where a job runs."""

    def __init__(self, script: str, *arguments: str) -> None:
        command = [sys.executable, "-m", "millstream.cli.entry", "run", script, "--checkpoint-dir", "chk", "--resume", "auto", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def end(self) -> str:
        output, _ = self.process.communicate(timeout=20)
        return output


@pytest.fixture
def terminal(script: Any, sockets: Path) -> Iterator[Callable[..., Terminal]]:
    """Starts a script there and waits until its job can be reached."""
    started: list[Terminal] = []

    def start(body: str = ENDLESS, *arguments: str) -> Terminal:
        one = Terminal(script(body), *arguments)
        started.append(one)
        wait_for(lambda: one.process.poll() is not None or list(sockets.glob(f"{one.process.pid}-*.json")), "the job listens")
        return one

    yield start
    for one in started:
        one.process.kill()
        one.process.communicate()


@pytest.fixture
def here(sockets: Path) -> Iterator[Callable[..., JobClient]]:
    """Runs a job on a thread of this process."""
    clients: list[JobClient] = []

    def start(name: str = "orders", *, checkpoints: bool = True, function: Callable[[int], int] = lambda n: n, reachable: bool = True) -> JobClient:
        env = StreamExecutionEnvironment.get_execution_environment()
        if checkpoints:
            env.enable_checkpointing(timedelta(milliseconds=20))
            env.checkpoint_config.set_checkpoint_storage("memory")
            env.configure("job.resume", "never")  # that of an earlier test is of no interest
        env.generate(lambda n: n, rate_per_s=1_000, uid="in").map(function, uid="map").sink_to(DiscardingSink(), uid="out")
        before = list(sockets.glob("*.json"))
        client = env.execute_async(name)
        clients.append(client)
        if reachable:
            wait_for(lambda: len(list(sockets.glob("*.json"))) > len(before), "the job listens")
        return client

    yield start
    for client in clients:
        client.cancel()
        with suppress(JobFailedError):
            client.result(5)


def listed(invoke: Any) -> list[dict[str, Any]]:
    result = invoke("jobs", "--json")
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)
    return found


# --- two processes


def test_a_job_is_listed_looked_at_and_stopped_from_another_terminal(invoke: Any, terminal: Any, sockets: Path) -> None:
    one = terminal()
    (job,) = wait_for(lambda: [job for job in listed(invoke) if job["checkpoints"]["completed"]], "a checkpoint")
    assert (job["job_name"], job["status"], job["pid"]) == ("orders", "running", one.process.pid)

    shown = invoke("status", "orders")
    assert shown.exit_code == 0
    assert re.match(r"orders: running .* \| in [\d,]+ \([\d,.]+/s\) \| out .* \| checkpoints \d", shown.stdout)
    assert re.search(r"^newest checkpoint: /.*/chk/orders/chk-\d+$", shown.stdout, re.MULTILINE)
    assert re.search(r"^operator +subtask +state +attempt +where +in +out +busy +idle +backpressured$", shown.stdout, re.MULTILINE)
    assert re.search(r"^reduce\(max\) +2/2 +running +1 +\S+ +[\d,]+ +[\d,]+ +\d+ % +\d+ % +\d+ %$", shown.stdout, re.MULTILINE)

    stopped = invoke("stop", "orders")
    assert stopped.exit_code == 0, stopped.output
    assert f"Job 'orders' (process {one.process.pid}) was told to stop." in stopped.stderr
    assert re.search(r"Job 'orders' stopped after .*\n.*records", stopped.stdout)
    (kept,) = re.findall(r"^  kept +(/.*/chk/orders/chk-\d+)$", stopped.stdout, re.MULTILINE)
    assert "Go on from there: the same command with --resume auto" in stopped.stdout
    output = one.end()
    assert one.process.returncode == 0
    assert f"  kept         {kept}\n" in output
    assert list(sockets.iterdir()) == []


def test_a_job_on_several_processes_says_where_each_subtask_is(invoke: Any, terminal: Any) -> None:
    terminal(ENDLESS, "--processes", "2")

    def subtasks() -> Any:
        report = json.loads(invoke("status", "orders", "--json").stdout)
        found = [one for one in report["subtasks"] if one["uid"] == "out" and one["records_in"]]
        return report["subtasks"] if found else None

    found = wait_for(subtasks, "records at a sink")
    assert len({one["where"] for one in found}) == 2
    assert {one["state"] for one in found} == {"running"}
    assert invoke("stop", "orders").exit_code == 0


def test_a_savepoint_of_a_running_job_is_taken_and_deleted_from_another_terminal(invoke: Any, terminal: Any, folder: Path) -> None:
    one = terminal()
    wait_for(lambda: [job for job in listed(invoke) if job["checkpoints"]["completed"]], "a checkpoint")
    taken = invoke("savepoint", "orders", "backups")
    assert taken.exit_code == 0, taken.output
    path = Path(taken.stdout.strip())
    assert path.parent == folder / "backups"
    assert (path / "_savepoint").exists()
    (job,) = listed(invoke)
    assert (job["status"], job["checkpoints"]["last_savepoint"]) == ("running", str(path))

    stopped = invoke("stop", "orders", "--drain", "--savepoint-dir", "ends")
    assert stopped.exit_code == 0, stopped.output
    (at_the_end,) = re.findall(r"^Savepoint: (/.*)$", stopped.stdout, re.MULTILINE)
    assert Path(at_the_end).parent == folder / "ends"
    assert "Job 'orders' finished after" in stopped.stdout
    assert f"  savepoint    {at_the_end}" in stopped.stdout
    one.end()

    deleted = invoke("savepoint", "--dispose", str(path))
    assert (deleted.exit_code, deleted.stderr) == (0, f"Deleted the savepoint at {path}.\n")
    assert not path.exists()
    again = invoke("savepoint", "--dispose", str(path))
    assert again.exit_code == 1
    assert str(path) in again.stderr


def test_what_is_no_savepoint_is_not_deleted(invoke: Any, checkpoints: Path) -> None:
    newest = max(checkpoints.glob("readings/chk-*"))
    refused = invoke("savepoint", "--dispose", str(newest))
    assert refused.exit_code == 1
    assert "it is not the folder of a savepoint" in refused.stderr
    assert (newest / "_metadata").exists()


@pytest.mark.parametrize("arguments", [(), ("orders", "--dispose", "x")])
def test_a_job_or_a_savepoint_is_named_and_not_both(invoke: Any, arguments: tuple[str, ...]) -> None:
    assert invoke("savepoint", *arguments).exit_code == 2


@pytest.mark.faults
def test_a_killed_job_leaves_nothing_that_breaks_a_later_command(invoke: Any, terminal: Any, sockets: Path) -> None:
    one = terminal()
    wait_for(lambda: [job for job in listed(invoke) if job["checkpoints"]["completed"]], "a checkpoint")
    one.process.kill()
    one.end()
    assert len(list(sockets.iterdir())) == 2
    unknown = invoke("status", "orders")
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert "There is no running job 'orders'. No job of this user runs on this machine." in unknown.stderr
    assert list(sockets.iterdir()) == []
    assert listed(invoke) == []
    again = terminal()
    (job,) = listed(invoke)
    assert (job["pid"], job["checkpoints"]["last_id"] is not None) == (again.process.pid, True)  # it goes on from a checkpoint
    cancelled = invoke("cancel", f"orders#{again.process.pid}")
    assert cancelled.exit_code == 0, cancelled.output
    assert "Job 'orders' was cancelled after" in cancelled.stdout
    assert "No checkpoint was kept" in cancelled.stdout


@pytest.mark.faults
def test_who_waits_for_the_end_of_a_job_that_is_killed_meanwhile_hears_that_it_is_gone(invoke: Any, terminal: Any, sockets: Path) -> None:
    one = terminal("env.generate(lambda n: __import__('time').sleep(60), uid='in').sink_to(DiscardingSink(), uid='out')\nenv.execute('stuck')\n")
    threading.Timer(0.3, one.process.kill).start()
    result = invoke("cancel", "stuck")
    assert result.exit_code == 1
    assert re.search(r"Job 'stuck' \(process \d+\) (has broken off the connection|ended before it could say how)", result.stderr)


@pytest.mark.faults
def test_a_job_whose_process_stands_still_is_listed_as_one_that_gives_no_answer(invoke: Any, terminal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millstream.cli.jobs._SILENCE_S", 0.2)
    one = terminal()
    os.kill(one.process.pid, signal.SIGSTOP)
    try:
        (job,) = listed(invoke)
        table = invoke("jobs").stdout
    finally:
        os.kill(one.process.pid, signal.SIGCONT)
    assert (job["job_name"], job["pid"], job["status"]) == ("orders", one.process.pid, "no answer")
    assert re.search(rf"^orders +{one.process.pid} +no answer +\d", table, re.MULTILINE)


def test_in_a_terminal_the_figures_and_the_subtasks_are_drawn_until_the_job_is_over(invoke: Any, here: Any) -> None:
    client = here()
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "millstream.cli.entry", "status", "orders", "--watch"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm", "COLUMNS": "120"}) as process:
        os.close(theirs)
        output = b""
        while True:
            try:
                part = os.read(ours, 65_536)
            except OSError:  # how Linux tells that the other side has closed
                break
            if not part:
                break
            output += part
            if output.count(b"records in") == 2:
                client.stop()
    os.close(ours)
    assert process.returncode == 0, output
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", output.decode().replace("\r", ""))
    assert "running" in text
    assert "sink(DiscardingSink)" in text
    assert "Job 'orders' stopped after" in text


# --- one process is enough


def test_jobs_of_one_name_are_told_apart(invoke: Any, here: Any) -> None:
    here("twice", checkpoints=False)
    here("twice", checkpoints=False)
    assert [job["job_name"] for job in listed(invoke)] == ["twice", "twice"]
    refused = invoke("cancel", "twice")
    assert refused.exit_code == 1
    first, second = (job["run_id"] for job in listed(invoke))
    assert re.search(r"2 running jobs are called 'twice'\. Name one of them: ", refused.stderr)
    assert {first, second} <= set(re.findall(r"[0-9a-f]{32}", refused.stderr))
    assert invoke("cancel", first).exit_code == 0
    assert [job["run_id"] for job in listed(invoke)] == [second]


def test_an_unknown_job_is_refused_with_the_nearest_name(invoke: Any, here: Any) -> None:
    here()
    for command in ("status", "stop", "cancel"):
        refused = invoke(command, "order")
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert "There is no running job 'order'. Did you mean 'orders'? Running: orders." in refused.stderr


def test_without_waiting_a_command_returns_when_the_job_was_told(invoke: Any, here: Any) -> None:
    client = here()
    result = invoke("stop", "orders", "--no-wait")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "was told to stop" in result.stderr
    assert client.result(5).status is JobStatus.SUSPENDED


def test_a_savepoint_goes_below_the_folder_as_the_terminal_sees_it_and_its_path_is_all_that_is_printed(
    invoke: Any, here: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the JobManager makes of it is proved where it is built; here it says where it was told to go."""
    monkeypatch.setattr(JobManager, "savepoint", lambda self, target, done: done(f"{target}/savepoint-1", None))
    here()
    for given, path in (("backups", f"{folder}/backups"), ("/abs", "/abs"), ("s3://bucket/x", "s3://bucket/x")):
        result = invoke("savepoint", "orders", given)
        assert (result.exit_code, result.stdout) == (0, f"{path}/savepoint-1\n")
    assert invoke("savepoint", "orders").stdout == "None/savepoint-1\n"  # where the job's settings say


def test_a_savepoint_that_cannot_be_taken_is_an_error_of_the_command_and_not_of_the_job(
    invoke: Any, here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(JobManager, "savepoint", lambda self, target, done: done(None, NoSavepointTarget(job_name="orders")))
    client = here()
    result = invoke("savepoint", "orders")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "Job 'orders' refused: It is not known where the savepoint of job 'orders' goes. Give a folder" in result.stderr
    assert client.status() is JobStatus.RUNNING


@pytest.mark.parametrize(
    ("options", "drain", "savepoint"),
    [
        ((), False, False),
        (("--suspend",), False, False),
        (("--drain",), True, False),
        (("--savepoint",), False, True),
        (("--drain", "--savepoint-dir", "/backups"), True, "/backups"),
        (("--savepoint", "--savepoint-dir", "/backups"), False, "/backups"),
    ],
)
def test_the_options_of_stop_reach_the_job(
    invoke: Any, here: Any, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], drain: bool, savepoint: bool | str
) -> None:
    told = []

    def stop(self: JobManager, *, drain: bool, savepoint: bool | str, done: Any) -> None:
        told.append((drain, savepoint))
        self.suspend()
        done("/backups/savepoint-1", None)

    monkeypatch.setattr(JobManager, "stop", stop)
    here()
    result = invoke("stop", "orders", *options)
    assert result.exit_code == 0, result.output
    assert told == [(drain, savepoint)]
    assert ("Savepoint: /backups/savepoint-1\n" in result.stdout) is bool(savepoint)
    assert "Job 'orders' stopped after" in result.stdout


def test_a_job_that_fails_while_its_stop_is_waited_for_is_a_failure_of_the_command(invoke: Any, here: Any) -> None:
    inside, release = threading.Event(), threading.Event()

    def fail_late(n: int) -> int:
        inside.set()
        release.wait(10)
        raise ValueError("bad record")

    here(function=fail_late)
    assert inside.wait(5)
    threading.Timer(0.1, release.set).start()
    result = invoke("stop", "orders")
    assert result.exit_code == 1
    assert re.search(r"Job 'orders' refused: Job 'orders' was not stopped: it failed, or was ended in another way, meanwhile", result.stderr)


def test_watching_in_a_pipe_gives_lines_and_the_summary(invoke: Any, here: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millstream.cli.status._LINES_EVERY_S", 0.05)
    client = here()
    threading.Timer(0.4, client.stop).start()
    result = invoke("status", "orders", "--watch")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert sum(line.startswith("orders: running ") for line in lines) > 2
    assert any(line.startswith("Job 'orders' stopped after") for line in lines)


def test_as_json_a_watch_is_a_report_a_line_and_the_last_says_how_it_ended(invoke: Any, here: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millstream.cli.status._JSON_EVERY_S", 0.05)
    client = here()
    threading.Timer(0.4, client.cancel).start()
    reports = [json.loads(line) for line in invoke("status", "orders", "--watch", "--json").stdout.splitlines()]
    assert len(reports) > 2
    assert [report["status"] for report in reports][-1] == "canceled"
    assert {len(report["subtasks"]) for report in reports} == {3}


def test_a_job_inside_a_user_function_is_busy_and_can_still_be_cancelled(invoke: Any, here: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millstream.cli.status._MOST_WAITING_S", 0.05)
    monkeypatch.setattr("millstream.runtime.control.conversation.WAITING_S", 0.05)
    inside, release = threading.Event(), threading.Event()

    def stand_still(n: int) -> int:
        inside.set()
        release.wait(10)
        return n

    here(function=stand_still)
    assert inside.wait(5)
    assert [job["status"] for job in listed(invoke)] == ["busy"]
    refused = invoke("status", "orders")
    assert refused.exit_code == 1
    assert "has been inside a user function for" in refused.stderr
    threading.Timer(0.1, release.set).start()
    assert invoke("cancel", "orders").exit_code == 0


def test_who_is_interrupted_while_waiting_leaves_the_job_to_its_end(here: Any) -> None:
    inside, release = threading.Event(), threading.Event()

    def stand_still(n: int) -> int:
        inside.set()
        release.wait(10)
        return n

    client = here(function=stand_still)
    assert inside.wait(5)
    # Whoever started the tests may ignore SIGINT, as shells have their background jobs do, and that is inherited.
    interruptible = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from millstream.cli.entry import main; main()"
    command = [sys.executable, "-c", interruptible, "cancel", "orders"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert f"Job 'orders' (process {os.getpid()}) was told to end." in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 130
        assert "was told to end, and is left to it." in process.stderr.read()
    assert client.status() is JobStatus.RUNNING
    release.set()
    assert client.result(5).status is JobStatus.CANCELED


def test_names_of_running_jobs_are_completed(here: Any, sockets: Path) -> None:
    here("orders")
    here("clicks", checkpoints=False)
    here("clicks", checkpoints=False)

    def words(begun: str) -> list[str]:
        return [item.value for item in completed.running(None, None, begun)]  # type: ignore[arg-type]

    assert words("") == [f"clicks#{os.getpid()}"] * 2 + ["orders"]
    assert words("or") == ["orders"]
    sockets.chmod(0o755)
    assert words("") == []  # a Tab is not the time for errors
    sockets.chmod(0o700)


def test_a_job_that_is_not_to_be_reached_has_no_socket(invoke: Any, here: Any, sockets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLSTREAM__CONTROL__ENABLED", "false")
    client = here(reachable=False)
    wait_for(lambda: client.status() is JobStatus.RUNNING, "the job runs")
    assert list(sockets.iterdir()) == []


def test_a_program_that_ends_beside_its_running_job_leaves_no_socket(script: Any, sockets: Path) -> None:
    body = """
        import os, time
        env.generate(lambda n: n, rate_per_s=1_000, uid="in").sink_to(DiscardingSink(), uid="out")
        env.execute_async("orders")
        while not any(name.endswith(".json") for name in os.listdir(os.environ["MILLSTREAM__CONTROL__FOLDER"])):
            time.sleep(0.005)
        """
    subprocess.run([sys.executable, script(body)], timeout=20, check=True)
    assert list(sockets.iterdir()) == []


def test_a_job_that_cannot_have_a_socket_says_so_and_runs(invoke: Any, script: Any, sockets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLSTREAM__CONTROL__FOLDER", str(sockets / ("x" * 90)))
    result = invoke("run", script('env.from_collection([1, 2]).print()\nenv.execute("two")'))
    assert (result.exit_code, result.stdout) == (0, "1\n2\n")
    assert "commands of another terminal cannot reach job two: The folder" in result.stderr
    assert "its path has more than" in result.stderr


def test_no_running_job_is_no_error(invoke: Any) -> None:
    result = invoke("jobs")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "No job of this user runs on this machine.\n")
