"""Every setting: its section, kind, default and rules."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Annotated, ClassVar, Final, Literal

from millstream.config.kinds import Choice, Duration, Flag, JobName, Maybe, Names, Real, Text, Whole
from millstream.config.section import Section

GuaranteeName = Literal["exactly_once", "at_least_once", "at_most_once"]
CheckpointMode = Literal["exactly_once", "at_least_once"]
Retention = Literal["delete_on_cancellation", "retain_on_cancellation"]
RestartStrategy = Literal["none", "fixed_delay", "failure_rate", "exponential_delay"]
LogLevel = Literal["debug", "info", "warning", "error", "critical"]

MOST_SUBTASKS: Final = 32_768
"""Upper bound of parallelism and of the number of key groups, as in Flink."""

MOST_PROCESSES: Final = 32
"""Upper bound of processes of a job: each has a connection with each other one, and all are opened by one process."""

_MILLISECOND: Final = timedelta(milliseconds=1)
_MANY: Final = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class JobConfig(Section):
    """What the job is and how it starts."""

    section: ClassVar[str] = "job"

    name: Annotated[str | None, Maybe(JobName(), "unset"), "Identity of the job within its checkpoint storage"] = None
    parallelism: Annotated[int, Whole(1, MOST_SUBTASKS), "Subtasks of each operator that does not say otherwise"] = 1
    max_parallelism: Annotated[
        int | None, Maybe(Whole(1, MOST_SUBTASKS), "auto"), "Number of key groups; fixed once the job has taken its first checkpoint"
    ] = None
    resume: Annotated[
        str,
        Text("the path of a checkpoint or savepoint", ("ask", "auto", "never")),
        "What to do with retained checkpoints of an unfinished run: refuse to start (ask), use the newest, ignore them, or use this one",
    ] = "ask"
    rewind: Annotated[bool, Flag(), "Allow restoring a checkpoint older than what the sinks have already committed"] = False
    allow_non_restored_state: Annotated[
        bool, Flag(), "Leave state behind that the checkpoint holds and no operator takes over, instead of refusing to start"
    ] = False
    guarantee: Annotated[
        GuaranteeName | None,
        Maybe(Choice(("exactly_once", "at_least_once", "at_most_once")), "unset"),
        "Refuse to run a job whose sources, state and sinks give less than this",
    ] = None

    def _check(self) -> None:
        if self.max_parallelism is not None and self.parallelism > self.max_parallelism:
            raise self._conflict(
                "parallelism",
                "max_parallelism",
                reason="a subtask owns at least one key group, so there cannot be more subtasks than key groups",
                fix=f"Lower job.parallelism to {self.max_parallelism}, or raise job.max_parallelism if there are no checkpoints yet",
            )


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig(Section):
    """When checkpoints are taken, how, and which are kept."""

    section: ClassVar[str] = "checkpoint"

    interval: Annotated[timedelta | None, Maybe(Duration(_MILLISECOND), "off"), "Time between the starts of two checkpoints"] = None
    mode: Annotated[
        CheckpointMode, Choice(("exactly_once", "at_least_once")), "Whether barriers are aligned, or records pass them (less latency)"
    ] = "exactly_once"
    timeout: Annotated[timedelta, Duration(_MILLISECOND), "From the trigger to the last acknowledgement"] = timedelta(minutes=10)
    max_concurrent: Annotated[int, Whole(1, _MANY), "Checkpoints under way at the same time; savepoints are not counted"] = 1
    min_pause: Annotated[timedelta, Duration(), "Least time from the completion of a checkpoint to the next start"] = timedelta(0)
    tolerable_failures: Annotated[int, Whole(0, _MANY), "Failed checkpoints in a row that do not yet fail the job"] = 0
    retention: Annotated[
        Retention,
        Choice(("delete_on_cancellation", "retain_on_cancellation")),
        "What happens to the checkpoints of a cancelled job; those of a failed job always stay",
    ] = "delete_on_cancellation"
    retained: Annotated[int, Whole(1, _MANY), "Completed checkpoints kept while the job runs"] = 1
    storage: Annotated[
        str | None,
        Maybe(Text("a folder or URL", ("memory",)), "none"),
        "Where checkpoints are kept; a relative folder is below the working folder",
    ] = None
    savepoint_dir: Annotated[
        str | None, Maybe(Text("a folder or URL"), "none"), "Below which folder savepoints go when nobody says where; each has its own inside"
    ] = None
    keep_on_finish: Annotated[bool, Flag(), "Keep the checkpoints of a job that came to its end"] = False
    incremental: Annotated[bool, Flag(), "Store only what changed of keyed state, and refer to earlier checkpoints for the rest"] = True
    incremental_from: Annotated[int, Whole(0, _MANY), "Keyed state of a subtask below so many bytes is stored whole every time"] = 1_048_576

    def _check(self) -> None:
        if self.max_concurrent > 1 and self.min_pause:
            raise self._conflict(
                "min_pause",
                "max_concurrent",
                reason="the pause runs from the completion of a checkpoint to the start of the next, so only one can be under way",
                fix="Set checkpoint.max_concurrent to 1, or checkpoint.min_pause to 0s",
            )


@dataclass(frozen=True, kw_only=True)
class StateConfig(Section):
    """Where working state lives, and how closely it is watched."""

    section: ClassVar[str] = "state"

    backend: Annotated[str, Text("name of a state backend (`millstream plugins` lists them)"), "State backend of the job"] = "memory"
    strict: Annotated[bool, Flag(), "Fail when a function changes what it read from state without writing it back; for tests, as it is slow"] = False


@dataclass(frozen=True, kw_only=True)
class ExecutionConfig(Section):
    """How the engine runs the job."""

    section: ClassVar[str] = "execution"

    batch_size: Annotated[int, Whole(1, 1_000_000), "Most records of a batch"] = 1_000
    watermark_interval: Annotated[timedelta, Duration(_MILLISECOND), "Time between watermarks while a source is quiet"] = timedelta(milliseconds=200)
    gc_freeze: Annotated[bool, Flag(), "Freeze the cyclic garbage collector after set-up and restore; it is costly with much state"] = True
    seed: Annotated[int | None, Maybe(Whole(0, 2**64 - 1), "random"), "Seed of every random choice of the engine"] = None
    processes: Annotated[
        int | None,
        Maybe(Whole(1, MOST_PROCESSES), "none"),
        "TaskManager processes that the subtasks are divided among; none runs all of them in the process of the program",
    ] = None
    job_manager: Annotated[
        Literal["client", "process"],
        Choice(("client", "process")),
        "Where the JobManager of a job with `processes` is: in the process of the program, or in one of its own, which is replaced when it dies",
    ] = "client"
    heartbeat_timeout: Annotated[
        timedelta, Duration(timedelta(milliseconds=100)), "A TaskManager process that gives no sign of life for so long is given up"
    ] = timedelta(seconds=50)


_RESTART_OPTIONS: Final[dict[str, tuple[str, ...]]] = {
    "none": (),
    "fixed_delay": ("attempts", "delay"),
    "failure_rate": ("failure_rate", "failure_interval", "delay"),
    "exponential_delay": ("initial", "multiplier", "max", "jitter", "reset_after"),
}


@dataclass(frozen=True, kw_only=True)
class RestartConfig(Section):
    """What happens after a failure."""

    section: ClassVar[str] = "restart"

    strategy: Annotated[
        RestartStrategy | None,
        Maybe(Choice(tuple(_RESTART_OPTIONS)), "auto"),
        "How to restart; auto is exponential_delay with checkpoints and none without",
    ] = None
    failover: Annotated[
        Literal["region", "full"],
        Choice(("region", "full")),
        "What is restarted: the tasks that channels connect with the failed one, or all",
    ] = "region"
    attempts: Annotated[int, Whole(0, _MANY), "fixed_delay: restarts before the job fails"] = 1
    delay: Annotated[timedelta, Duration(), "fixed_delay and failure_rate: wait before a restart"] = timedelta(seconds=1)
    failure_rate: Annotated[int, Whole(1, _MANY), "failure_rate: failures within failure_interval that are still restarted"] = 1
    failure_interval: Annotated[timedelta, Duration(_MILLISECOND), "failure_rate: the sliding interval"] = timedelta(minutes=1)
    initial: Annotated[timedelta, Duration(_MILLISECOND), "exponential_delay: wait before the first restart"] = timedelta(seconds=1)
    multiplier: Annotated[float, Real(1, 1_000), "exponential_delay: growth of the wait from one restart to the next"] = 1.5
    max: Annotated[timedelta, Duration(_MILLISECOND), "exponential_delay: longest wait"] = timedelta(minutes=1)
    jitter: Annotated[float, Real(0, 1), "exponential_delay: random part of the wait, as a share of it, up and down"] = 0.1
    reset_after: Annotated[timedelta, Duration(_MILLISECOND), "exponential_delay: time without a failure after which the wait is `initial` again"] = (
        timedelta(minutes=5)
    )

    def _check(self) -> None:
        if self.initial > self.max:
            raise self._conflict(
                "initial", "max", reason="the first wait is longer than the longest", fix="Raise restart.max, or lower restart.initial"
            )
        if self.strategy is None:
            self._refuse_unused_options()

    def _refuse_unused_options(self) -> None:
        # Only while no strategy is named. A file may hold the options of several, for the command line to choose from.
        for field in fields(self):
            users = [strategy for strategy, options in _RESTART_OPTIONS.items() if field.name in options]
            if "exponential_delay" not in users and users and getattr(self, field.name) != field.default:
                raise self._conflict(
                    field.name,
                    "strategy",
                    reason=f"restart.{field.name} has no effect on the default strategy, exponential_delay",
                    fix=f"Set restart.strategy to {' or '.join(users)}, or leave restart.{field.name} out",
                )


@dataclass(frozen=True, kw_only=True)
class MetricsConfig(Section):
    """Who is told the numbers."""

    section: ClassVar[str] = "metrics"

    report_interval: Annotated[timedelta, Duration(_MILLISECOND), "Time between two reports"] = timedelta(seconds=10)
    reporters: Annotated[tuple[str, ...], Names(), "Names of metrics reporters (`millstream plugins` lists them), each as NAME or NAME:ARGUMENT"] = ()


@dataclass(frozen=True, kw_only=True)
class ControlConfig(Section):
    """How commands of another terminal reach a running job."""

    section: ClassVar[str] = "control"

    enabled: Annotated[bool, Flag(), "Listen for `millstream status`, `stop` and the like, of the same user on this machine"] = True
    folder: Annotated[
        str | None,
        Maybe(Text("a folder of its own, for nobody but the user"), "auto"),
        "Where running jobs have their sockets; auto is `millstream` in $XDG_RUNTIME_DIR, or `millstream-UID` in the temporary folder",
    ] = None


@dataclass(frozen=True, kw_only=True)
class LoggingConfig(Section):
    """What is logged."""

    section: ClassVar[str] = "logging"

    level: Annotated[LogLevel, Choice(("debug", "info", "warning", "error", "critical")), "Least level that is logged"] = "info"
