"""The processes of a job, as the system lists them."""

from __future__ import annotations

import subprocess


def children(parent: int, name: str) -> list[int]:
    """Processes below another one that have a word of that beginning in their command line; dead ones are left out."""
    lines = subprocess.run(["ps", "-wweo", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=True).stdout.splitlines()
    found = [line.split(None, 3) for line in lines]
    return sorted(
        int(pid) for pid, above, state, *rest in found if int(above) == parent and state[0] != "Z" and rest and f" millstream-{name}" in rest[0]
    )


def job_manager_of(program: int) -> int | None:
    """The JobManager of a program that gives it a process of its own; None when there is none just now."""
    return next(iter(children(program, "job-manager")), None)


def task_managers_of(job_manager: int) -> list[int]:
    """The TaskManagers that a JobManager has started."""
    return children(job_manager, "worker-")
