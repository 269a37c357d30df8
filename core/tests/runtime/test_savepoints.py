"""Savepoints of jobs that run: where they are, what they hold, who deletes them, and what a stop leaves."""

from __future__ import annotations

import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from click.testing import CliRunner

from millstream import (
    JobStatus,
    KeyedProcessFunction,
    StreamExecutionEnvironment,
    TumblingEventTimeWindows,
    ValueStateDescriptor,
    WatermarkStrategy,
)
from millstream.api.job_client import JobClient
from millstream.cli.app import app
from millstream.errors import (
    JobFailedError,
    NoCheckpointToResume,
    NoSavepointTarget,
    RewoundTarget,
    SavepointFailed,
    SavepointPending,
    SavepointsUnsupported,
    StopFailed,
)
from millstream.plugins import default_manager
from millstream.ports import LocalStorage
from millstream.runtime.savepoints import dispose_savepoint
from millstream_filesystem import FileSink

IN_TIME: WatermarkStrategy[Any] = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(lambda n: n)
WAIT_S = 20.0


class Tap:
    """Lets a source that is asked for more wait at a number until somebody opens it."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.reached = threading.Event()
        self.opened = threading.Event()

    def number(self, n: int) -> int:
        if n == self.at:
            self.reached.set()
            self.opened.wait(WAIT_S)
        return n


class Sum(KeyedProcessFunction[int, int, tuple[int, int]]):
    """Emits (key, sum so far)."""

    def open(self, context: Any) -> None:
        self.total = context.get_state(ValueStateDescriptor("total", int, 0))

    def process_element(self, value: int, ctx: Any, out: Any) -> None:
        self.total.update(self.total.value() + value)
        out.collect((ctx.get_current_key(), self.total.value()))


COUNT = 400
EXPECTED = sorted((key, sum(n for n in range(key, last + 1, 3))) for key in range(3) for last in range(key, COUNT, 3))


class Place:
    """Folders of a test, and its job."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.checkpoints, self.savepoints, self.out = root / "checkpoints", root / "savepoints", root / "out"
        self.tap = Tap(150)

    def environment(self, **settings: Any) -> StreamExecutionEnvironment:
        env = StreamExecutionEnvironment({"job.name": "sums", "job.max_parallelism": 8, "execution.batch_size": 10, "execution.gc_freeze": False})
        env.configure("checkpoint.interval", timedelta(hours=1)).configure("checkpoint.storage", self.checkpoints)
        for key, value in settings.items():
            env.configure(key.replace("__", "."), value)
        return env

    def start(self, **settings: Any) -> JobClient:
        env = self.environment(**settings)
        sums = env.generate(self.tap.number, COUNT, uid="in").key_by(lambda n: n % 3).process(Sum(), uid="sum")
        sums.map(lambda pair: f"{pair[0]},{pair[1]}").sink_to(FileSink(self.out, delivery="exactly_once"), uid="out")
        return env.execute_async("sums")

    def visible(self) -> list[tuple[int, int]]:
        lines = [line for file in self.out.glob("part-*") for line in file.read_text().splitlines()]
        return sorted((int(key), int(total)) for key, _, total in (line.partition(",") for line in lines))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.tap.opened.set()


T = TypeVar("T")


def again(place: Place) -> None:
    """Nothing has been yet."""
    place.tap = Tap(place.tap.at)
    shutil.rmtree(place.out)


def while_running(place: Place, client: JobClient, ask: Callable[[], T]) -> T:
    """Asks the job in the midst of its input, which goes on only when it has been asked."""
    assert place.tap.reached.wait(WAIT_S)
    manager = client._execution.job.job_manager
    assert manager is not None
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask)
        until_s = time.monotonic() + WAIT_S
        while not manager._mail and time.monotonic() < until_s and not answer.done():
            time.sleep(0.001)  # the job's thread stands at the tap: the mail stays until it is opened
        place.tap.opened.set()
        return answer.result(WAIT_S)


def take(place: Place, client: JobClient) -> str:
    """A savepoint from the middle of the input."""
    return while_running(place, client, lambda: client.savepoint(place.savepoints, WAIT_S))


def stop(place: Place, client: JobClient, *, drain: bool = False) -> str:
    """A stop with a savepoint, there."""
    path = while_running(place, client, lambda: client.stop(drain=drain, savepoint=place.savepoints, timeout_s=WAIT_S))
    assert path is not None
    return path


def test_a_savepoint_of_a_running_job_has_a_folder_of_its_own_commits_nothing_and_outlives_the_job(place: Place) -> None:
    client = place.start()
    path = take(place, client)
    result = client.result(WAIT_S)
    assert (result.status, result.savepoint, result.checkpoints) == (JobStatus.FINISHED, path, 1)
    assert Path(path).parent == place.savepoints
    assert Path(path).name.startswith("savepoint-sums-1-")
    assert place.visible() == EXPECTED
    listed = CliRunner().invoke(app, ["checkpoints", "list", path]).output
    assert "savepoint" in listed
    assert path in listed
    for command in (["inspect", path], ["verify", path], ["diff", path, path]):
        assert CliRunner().invoke(app, ["checkpoints", *command]).exit_code == 0
    assert "savepoint" in CliRunner().invoke(app, ["checkpoints", "list", str(place.savepoints)]).output


def test_a_job_goes_on_from_a_savepoint_that_was_moved_and_renamed_at_another_parallelism(place: Place) -> None:
    client = place.start()
    path = stop(place, client)
    assert client.result(WAIT_S).status is JobStatus.SUSPENDED
    assert 0 < len(place.visible()) < len(EXPECTED)
    moved = place.root / "kept" / "before the upgrade"
    moved.parent.mkdir()
    shutil.move(path, moved)
    shutil.rmtree(place.checkpoints)
    result = place.start(job__resume=str(moved), job__parallelism=2).result(WAIT_S)
    assert result.status is JobStatus.FINISHED
    assert place.visible() == EXPECTED
    assert moved.exists()


def test_ids_go_on_behind_that_of_the_savepoint_although_the_folder_of_checkpoints_is_empty(place: Place) -> None:
    client = place.start(checkpoint__interval=timedelta(milliseconds=20))
    path = stop(place, client)
    client.result(WAIT_S)
    shutil.rmtree(place.checkpoints)
    number = int(Path(path).name.split("-")[2])
    result = place.start(job__resume=path, checkpoint__keep_on_finish=True).result(WAIT_S)
    assert int(str(result.last_checkpoint).rpartition("-")[2]) > number


def test_a_savepoint_older_than_what_the_sink_has_committed_is_refused_unless_the_run_is_rewound(place: Place) -> None:
    client = place.start(checkpoint__keep_on_finish=True)
    path = take(place, client)
    client.result(WAIT_S)
    with pytest.raises(JobFailedError) as caught:
        place.start(job__resume=path).result(WAIT_S)
    assert isinstance(caught.value.__cause__, RewoundTarget)
    result = place.start(job__resume=path, job__rewind=True).result(WAIT_S)
    assert result.status is JobStatus.FINISHED
    again = Counter(place.visible()) - Counter(EXPECTED)
    assert set(place.visible()) == set(EXPECTED)
    assert set(again.values()) == {1}  # what came behind the savepoint is there a second time
    assert len(again) < len(EXPECTED) - 100


def test_a_drained_job_fires_its_windows_before_its_savepoint_and_is_finished(place: Place) -> None:
    env = place.environment()
    keyed = env.generate(place.tap.number, 10**9, watermark_strategy=IN_TIME, uid="in").key_by(lambda n: n % 3)
    sums = keyed.window(TumblingEventTimeWindows.of(timedelta(hours=1))).reduce(lambda a, b: a + b, uid="hourly")
    sums.map(str).sink_to(FileSink(place.out, delivery="exactly_once"), uid="out")
    client = env.execute_async("sums")
    stop(place, client, drain=True)
    assert client.result(WAIT_S).status is JobStatus.FINISHED
    totals = sum(int(line) for file in place.out.glob("part-*") for line in file.read_text().splitlines())
    read = next(n for n in range(150, 10**7) if n * (n - 1) // 2 >= totals)
    assert totals == read * (read - 1) // 2  # all that was read, and each record once


def test_without_a_savepoint_a_drained_job_is_finished_as_well(place: Place) -> None:
    env = place.environment()
    keyed = env.generate(place.tap.number, 10**9, watermark_strategy=IN_TIME, uid="in").key_by(lambda n: 0)
    keyed.window(TumblingEventTimeWindows.of(timedelta(days=30_000))).reduce(max, uid="most").map(str).sink_to(FileSink(place.out), uid="out")
    client = env.execute_async("sums")
    assert place.tap.reached.wait(WAIT_S)
    place.tap.opened.set()
    client.stop(drain=True)
    assert client.result(WAIT_S).status is JobStatus.FINISHED
    (line,) = [line for file in place.out.glob("part-*") for line in file.read_text().splitlines()]
    assert int(line) >= 149


def test_targets_that_cannot_be_are_refused_and_the_job_runs_on(place: Place) -> None:
    client = place.start()
    with pytest.raises(NoSavepointTarget, match=r"checkpoint\.savepoint_dir"):
        while_running(place, client, lambda: client.savepoint(timeout_s=WAIT_S))
    client.result(WAIT_S)
    again(place)
    client = place.start()
    with pytest.raises(SavepointsUnsupported, match="memory"):
        while_running(place, client, lambda: client.stop(savepoint="memory", timeout_s=WAIT_S))
    client.result(WAIT_S)
    again(place)
    client = place.start()
    file = place.root / "file"
    file.touch()
    with pytest.raises(SavepointFailed, match="could not be stored"):
        while_running(place, client, lambda: client.savepoint(file, WAIT_S))
    result = client.result(WAIT_S)
    assert (result.status, result.savepoint) == (JobStatus.FINISHED, None)
    assert place.visible() == EXPECTED
    with pytest.raises(SavepointFailed, match="the job has ended"):
        client.savepoint(place.savepoints)


def test_who_waits_for_a_savepoint_waits_no_longer_than_asked(place: Place) -> None:
    client = place.start(checkpoint__savepoint_dir=place.savepoints)
    assert place.tap.reached.wait(WAIT_S)
    with pytest.raises(SavepointPending):
        client.savepoint(timeout_s=0.05)
    place.tap.opened.set()
    client.result(WAIT_S)


def test_a_savepoint_is_deleted_by_dispose_and_nothing_else_is(place: Place) -> None:
    client = place.start(checkpoint__keep_on_finish=True)
    path = take(place, client)
    last = client.result(WAIT_S).last_checkpoint
    assert last is not None
    with pytest.raises(NoCheckpointToResume):
        dispose_savepoint(last, default_manager(), LocalStorage())
    assert Path(last).exists()
    dispose_savepoint(path, default_manager(), LocalStorage())
    assert list(place.savepoints.iterdir()) == []
    with pytest.raises(NoCheckpointToResume):
        dispose_savepoint(path, default_manager(), LocalStorage())


def test_a_run_that_went_on_from_a_savepoint_and_died_early_does_not_go_on_from_a_later_checkpoint(place: Place) -> None:
    """Whoever took up that savepoint did not want what came behind it."""

    def endless(**settings: Any) -> JobClient:
        env = place.environment(**settings)
        env.generate(place.tap.number, 10**9, uid="in").key_by(lambda n: n % 3).process(Sum(), uid="sum").filter(lambda pair: False).print()
        return env.execute_async("sums")

    client = endless()
    path = take(place, client)
    client.stop()
    assert client.result(WAIT_S).last_checkpoint is not None
    client = endless(job__resume=path, checkpoint__retention="retain_on_cancellation")
    client.cancel()
    client.result(WAIT_S)
    with pytest.raises(NoCheckpointToResume, match="give its path again"):
        endless(job__resume="auto")


def test_a_stop_is_refused_while_another_is_under_way_and_behind_the_end(place: Place) -> None:
    client = place.start(checkpoint__savepoint_dir=place.savepoints)
    assert place.tap.reached.wait(WAIT_S)
    client.stop()
    with pytest.raises(StopFailed, match="it is being stopped already"):
        while_running(place, client, lambda: client.stop(savepoint=True, timeout_s=WAIT_S))
    assert client.result(WAIT_S).status is JobStatus.SUSPENDED
    assert not place.savepoints.exists()
