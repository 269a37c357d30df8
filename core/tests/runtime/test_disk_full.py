"""No room for checkpoints: they decline, the job goes on as long as it tolerates that, and the old checkpoint stays whole."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from millstream import KeyedProcessFunction, RestartStrategies, RuntimeContext, StreamExecutionEnvironment, ValueStateDescriptor
from millstream.api.restart_strategies import RestartOptions
from millstream.errors import CheckpointFailed, CheckpointStorageFailed, JobFailedError
from millstream.ports import InlineExecutor, LocalStorage, LocalTransport, ManualClock, SeededRandom
from millstream.runtime.deployment import Ports

COUNT = 200
NO_RESTART = RestartStrategies.no_restart()


class Disk(LocalStorage):
    """A disk that is full while `full(path)` says so: files can be made, but not a byte written, or only half of it.

    Attributes:
        refused: paths that were to be written in vain.
    """

    def __init__(self, full: Callable[[str], bool], half: bool = False) -> None:
        self.full = full
        self.half = half
        self.refused: list[str] = []

    def open_write(self, path: str) -> BinaryIO:
        file = super().open_write(path)
        if self.full(path):
            self.refused.append(path)
            return NoRoom(file, self.half)  # type: ignore[return-value]
        return file

    def sync_file(self, file: BinaryIO) -> None:
        file.flush()

    def sync_folder(self, path: str) -> None:
        pass


class NoRoom:
    def __init__(self, file: BinaryIO, half: bool) -> None:
        self.file = file
        self.half = half

    def write(self, data: bytes) -> int:
        if self.half:
            self.file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    def __enter__(self) -> NoRoom:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


class Count(KeyedProcessFunction[int, int, Any]):
    def open(self, context: RuntimeContext) -> None:
        self.n = context.get_state(ValueStateDescriptor("n", int, 0))

    def process_element(self, value: int, ctx: Any, out: Any) -> None:
        self.n.update((self.n.value() or 0) + 1)
        out.collect((ctx.get_current_key(), self.n.value()))


class Job:
    """Counts numbers by key: one number each ms, a checkpoint every 10 ms, in virtual time."""

    def __init__(self, folder: Path, disk: Disk, tolerated: int = 0, strategy: RestartOptions | None = NO_RESTART) -> None:
        self.disk = disk
        self.clock = ManualClock(0)
        ports = Ports(self.clock, SeededRandom(), LocalTransport(), disk, InlineExecutor())
        self.env = StreamExecutionEnvironment(ports=ports).enable_checkpointing(timedelta(milliseconds=10))
        if strategy is not None:
            self.env.set_restart_strategy(strategy)
        self.env.checkpoint_config.set_checkpoint_storage(folder).set_tolerable_checkpoint_failures(tolerated)

    def rows(self, **settings: Any) -> Any:
        for key, value in settings.items():
            self.env.configure(key.replace("__", "."), value)
        stream = self.env.generate(lambda index: index, count=COUNT, rate_per_s=1000.0, uid="numbers")
        return stream.key_by(lambda n: n % 5).process(Count(), uid="count").execute_and_collect("full")


COMPLETE = dict.fromkeys(range(5), COUNT // 5)


def between(clock: Callable[[], float], start_s: float, end_s: float, what: str = "") -> Callable[[str], bool]:
    """Full in a stretch of virtual time, for files of checkpoints whose path holds `what`."""
    return lambda path: "chk-" in path and what in path and start_s <= clock() < end_s


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("what", ["task-", "_metadata"])
def test_tolerated_failures_leave_the_job_running_and_the_next_checkpoint_counts(tmp_path: Path, what: str, half: bool) -> None:
    disk = Disk(lambda path: False, half)
    job = Job(tmp_path, disk, tolerated=3)
    disk.full = between(job.clock.monotonic_s, 0.05, 0.075, what)
    rows = job.rows()
    assert dict(rows) == COMPLETE
    assert 2 <= len(disk.refused) <= 6
    assert rows.result().restarts == 0
    assert rows.result().checkpoints >= 10


def test_more_failures_in_a_row_than_tolerated_end_the_job_and_say_what_to_do(tmp_path: Path) -> None:
    disk = Disk(lambda path: False)
    job = Job(tmp_path, disk, tolerated=2)
    disk.full = between(job.clock.monotonic_s, 0.05, 1e9)
    with pytest.raises(
        JobFailedError,
        match=rf"No space left on device: '{re.escape(str(tmp_path))}/full/chk-\d+'.*The last completed checkpoint is intact.*checkpoint\.tolerable_failures",
    ) as raised:
        list(job.rows())
    failure = raised.value.__cause__
    assert isinstance(failure, CheckpointFailed)
    assert failure.tolerated == 2


@pytest.mark.parametrize("half", [False, True])
def test_the_last_checkpoint_from_before_is_intact_and_is_resumed_from(tmp_path: Path, half: bool) -> None:
    disk = Disk(lambda path: False, half)
    job = Job(tmp_path, disk)
    disk.full = between(job.clock.monotonic_s, 0.105, 1e9)
    with pytest.raises(JobFailedError) as raised:
        list(job.rows())
    assert Path(raised.value.last_checkpoint or "", "_metadata").exists()
    assert [path.name for path in tmp_path.rglob("*.tmp")] == []
    resumed = list(Job(tmp_path, Disk(lambda path: False)).rows(job__resume="auto"))
    assert dict(resumed) == COMPLETE
    assert len(resumed) < COUNT - 80


def test_failures_that_are_not_in_a_row_are_not_added_up(tmp_path: Path) -> None:
    disk = Disk(lambda path: False)
    job = Job(tmp_path, disk, tolerated=1)

    def every_second(path: str) -> bool:
        return "task-" in path and int(path.rpartition("chk-")[2].partition("/")[0]) % 2 == 0

    disk.full = every_second
    rows = job.rows()
    assert dict(rows) == COMPLETE
    assert len(disk.refused) >= 5
    assert rows.result().restarts == 0


def test_the_restart_strategy_is_asked_and_a_job_started_again_may_have_room(tmp_path: Path) -> None:
    disk = Disk(lambda path: False)
    job = Job(tmp_path, disk)
    job.env.set_restart_strategy(RestartStrategies.fixed_delay(5, timedelta(milliseconds=100)))
    disk.full = between(job.clock.monotonic_s, 0.1, 0.25)
    rows = job.rows()
    assert dict(rows) == COMPLETE
    assert 1 <= rows.result().restarts <= 3


@pytest.mark.parametrize("document", ["run", "leader"])
def test_a_disk_that_is_full_from_the_start_ends_the_job_with_an_error(tmp_path: Path, document: str) -> None:
    job = Job(tmp_path, Disk(lambda path: f"/.{document}" in path))
    with pytest.raises((JobFailedError, CheckpointStorageFailed)) as raised:
        list(job.rows())
    message = str(raised.value)
    assert message.startswith(f"The checkpoint storage of job 'full' at {tmp_path}/full cannot be used: [Errno 28] No space left on device")
    assert "set checkpoint.storage to another place" in message


def test_a_folder_that_may_not_be_written_ends_the_job_before_it_begins(tmp_path: Path) -> None:
    class Locked(Disk):
        def make_folder(self, path: str) -> None:
            raise PermissionError(errno.EACCES, "Permission denied", path)

    with pytest.raises(CheckpointStorageFailed, match=r"job 'full' at .*/full cannot be used: .*Permission denied.*may write there"):
        list(Job(tmp_path, Locked(lambda path: False)).rows())


def test_the_default_strategy_gives_up_a_job_whose_checkpoints_fail_again_and_again(tmp_path: Path) -> None:
    """Every failed checkpoint has another id, and its files other names: it is the same failure all the same."""
    disk = Disk(lambda path: False)
    job = Job(tmp_path, disk, strategy=None)
    disk.full = between(job.clock.monotonic_s, 0.05, 1e9)
    with pytest.raises(JobFailedError, match="No space left on device") as raised:
        list(job.rows())
    assert raised.value.restarts == 2
    assert Path(raised.value.last_checkpoint or "", "_metadata").exists()


def test_a_disk_that_fills_up_while_the_job_is_down_is_waited_for_by_the_strategy(tmp_path: Path) -> None:
    """The note of a new attempt cannot be written at first."""
    disk = Disk(lambda path: False)
    job = Job(tmp_path, disk)
    job.env.set_restart_strategy(RestartStrategies.fixed_delay(10, timedelta(milliseconds=100)))
    disk.full = lambda path: 0.1 <= job.clock.monotonic_s() < 0.45
    rows = job.rows()
    assert dict(rows) == COMPLETE
    assert rows.result().restarts >= 3


def test_no_room_for_the_last_checkpoint_is_no_silent_success(tmp_path: Path) -> None:
    disk = Disk(lambda path: False)
    job = Job(tmp_path, disk)
    disk.full = between(job.clock.monotonic_s, 0.195, 1e9)
    with pytest.raises(JobFailedError, match="No space left on device"):
        list(job.rows())
    assert dict(Job(tmp_path, Disk(lambda path: False)).rows(job__resume="auto")) == COMPLETE
    assert not list(tmp_path.rglob("_metadata"))
