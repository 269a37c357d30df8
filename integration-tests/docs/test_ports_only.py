"""The engine and its plugins reach clocks, chance, threads, processes and files only through `millstream.ports`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
OUTSIDE = {
    "asyncio", "concurrent", "glob", "io", "multiprocessing", "pathlib", "queue", "random", "secrets", "select", "selectors", "shutil",
    "signal", "socket", "subprocess", "tempfile", "threading", "time",
}  # fmt: skip
NOT_THE_ENGINE = ("ports", "cli", "testing", "config")
"""Ports are the way outside; commands, tools for tests and settings are not part of a running job."""

ALLOWED = {
    ("api/environment.py", "pathlib"): "finds millstream.toml from the working folder",
    ("api/execution.py", "signal"): "the first Ctrl-C stops the job",
    ("api/execution.py", "threading"): "signals belong to the main thread",
    ("api/dispatcher.py", "multiprocessing"): "the connection with a JobManager in another process",
    ("api/dispatcher.py", "signal"): "handed on to the JobManager's process",
    ("api/dispatcher.py", "socket"): "the same connection",
    ("api/dispatcher.py", "subprocess"): "the same process",
    ("api/dispatcher.py", "threading"): "signals belong to the main thread",
    ("api/dispatcher.py", "time"): "outside the job: how long to wait before another JobManager is started",
    ("api/job_manager_process.py", "multiprocessing"): "the connection with the program's process",
    ("api/job_manager_process.py", "threading"): "a thread that listens to the program's process",
    ("api/job_client.py", "threading"): "execute_async runs a whole job on a thread of the caller's process",
    ("api/sources/connection.py", "select"): "likewise",
    ("api/sources/connection.py", "socket"): "a socket source reads a socket; it waits on the executor",
    ("api/sources/connection.py", "threading"): "a lock between the task and the executor",
    ("checkpoint/commit.py", "threading"): "an Event for Clock.wait",
    ("contracts/serializer.py", "pathlib"): "PurePath, for the script's name",
    ("formats/csv_encoder.py", "io"): "StringIO",
    ("runtime/driver.py", "threading"): "an Event for Clock.wait",
    ("runtime/launch.py", "threading"): "an Event for Clock.wait",
    ("runtime/log.py", "threading"): "which task a log line belongs to",
    ("runtime/processes/connection.py", "socket"): "the processes driver: what goes between processes",
    ("runtime/processes/control.py", "socket"): "the processes driver",
    ("runtime/processes/control.py", "threading"): "the processes driver: a thread that listens to the JobManager",
    ("runtime/processes/group.py", "socket"): "the processes driver",
    ("runtime/processes/hub.py", "signal"): "the processes driver: names of signals",
    ("runtime/processes/hub.py", "subprocess"): "the processes driver",
    ("runtime/processes/hub.py", "threading"): "the processes driver: a thread that listens to the TaskManagers",
    ("runtime/processes/start.py", "signal"): "the processes driver: Ctrl-C is for the first process",
    ("runtime/processes/start.py", "subprocess"): "the processes driver: starts processes",
    ("runtime/processes/wakeup.py", "select"): "the processes driver: waits for sockets",
    ("runtime/processes/wakeup.py", "socket"): "the processes driver",
    ("runtime/processes/worker.py", "socket"): "the processes driver",
    ("runtime/user_code.py", "io"): "BytesIO",
    ("runtime/user_code.py", "multiprocessing"): "how a process imports the script of another",
    ("state/data_codec_pickle.py", "io"): "BytesIO",
    ("millstream_kafka/interruptible.py", "threading"): "a thread, since the library's calls hear no signals",
    ("millstream_kafka/patience.py", "threading"): "an Event that nobody sets, for a pause by the clock",
    ("millstream_kafka/reader.py", "threading"): "an Event, for the client that another thread closes",
    ("millstream_kafka/second_client_settings.py", "pathlib"): "certificates for a library that reads them from files only",
    ("millstream_kafka/second_client_settings.py", "tempfile"): "likewise",
    ("millstream_kafka/two_phase.py", "threading"): "an Event, for the producer that the executor makes ahead",
    ("millstream_prometheus/reporter.py", "threading"): "the type of the thread that serves",
    ("millstream_prometheus/reporter.py", "time"): "the wall clock, for whoever watches",
    ("runtime/control/client.py", "socket"): "commands of other terminals: outside the job",
    ("runtime/control/conversation.py", "socket"): "the job's control socket, on threads of its own",
    ("runtime/control/conversation.py", "threading"): "likewise",
    ("runtime/control/conversation.py", "time"): "how long somebody waits for an answer",
    ("runtime/control/folder.py", "tempfile"): "where sockets of running jobs are",
    ("runtime/control/lines.py", "socket"): "the job's control socket",
    ("runtime/control/lines.py", "time"): "a time limit on what others send",
    ("runtime/control/peer.py", "socket"): "the job's control socket",
    ("runtime/control/server.py", "selectors"): "the job's control socket",
    ("runtime/control/server.py", "socket"): "the job's control socket",
    ("runtime/control/server.py", "threading"): "the job's control socket: a thread that listens",
    ("runtime/control/server.py", "time"): "a time limit on what others take",
    ("millstream_memory/checkpoint_storage.py", "threading"): "a lock around checkpoints in memory",
}


def uses(file: Path) -> Iterator[str]:
    """Modules of the outside that a file imports, and `open` where it calls the builtin."""
    tree = ast.parse(file.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from {alias.name.split(".")[0] for alias in node.names} & OUTSIDE
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from {node.module.split(".")[0]} & OUTSIDE
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open":
            yield "open"


def test_the_engine_reaches_the_outside_only_through_ports() -> None:
    core = ROOT / "core/src/millstream"
    engine = {str(file.relative_to(core)): file for file in core.rglob("*.py") if file.relative_to(core).parts[0] not in NOT_THE_ENGINE}
    plugins = {str(file.relative_to(file.parents[1])): file for file in ROOT.glob("plugins/*/src/*/*.py")}
    assert len(engine) > 50
    assert len(plugins) > 10
    found = {(name, module) for name, file in {**engine, **plugins}.items() for module in uses(file)}
    assert found - set(ALLOWED) == set(), "use millstream.ports, or say here why not"
    assert set(ALLOWED) - found == set(), "no longer needed"
