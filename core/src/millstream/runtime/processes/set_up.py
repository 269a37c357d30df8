"""What a TaskManager process is told when it starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millstream.config import ExecutionConfig
    from millstream.contracts.checkpoint_storage import CheckpointStorage


@dataclass(frozen=True)
class SetUp:
    """The same for all processes of a job.

    Attributes:
        job_name: what it works for.
        options: settings of the engine.
        storage: where checkpoints are kept; None when they are in the memory of the JobManager's process, which is asked then.
        restored: storage and location of the checkpoint that the run was resumed from by its path.
        log_level: lines of at least this level go to stderr, with their task; None to leave logging alone.
    """

    job_name: str
    options: ExecutionConfig
    storage: CheckpointStorage | None = None
    restored: tuple[CheckpointStorage, str] | None = None
    log_level: str | None = None


@dataclass(frozen=True)
class Program:
    """The first message to a process.

    Attributes:
        main: how to import the script of the job.
        set_up: a SetUp, readable once that is imported.
    """

    job_name: str
    main: dict[str, Any] = field(repr=False)
    set_up: bytes = field(repr=False)
