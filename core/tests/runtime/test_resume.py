"""A new run of a job that an earlier one left unfinished: auto, never, ask, a path, and what does not fit."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from millstream import (
    AggregateFunction,
    KeyedProcessFunction,
    ListStateDescriptor,
    RestartStrategies,
    RuntimeContext,
    StreamExecutionEnvironment,
    TumblingEventTimeWindows,
    ValueStateDescriptor,
    WatermarkStrategy,
)
from millstream.checkpoint.store import CompletedCheckpoints
from millstream.errors import (
    DamagedCheckpoint,
    JobFailedError,
    MillstreamError,
    NoCheckpointToResume,
    RestoreMismatch,
    ResumeUndecided,
    StateIncompatible,
    UndeclaredState,
)
from millstream.ports import InlineExecutor, LocalStorage, LocalTransport, ManualClock, SeededRandom, arm, disarm
from millstream.records import MAX_TIMESTAMP
from millstream.runtime.deployment import Ports
from millstream_filesystem import FilesystemCheckpointStorage
from millstream_filesystem.checkpoints import FilesystemCheckpointStore

COUNT = 100
JOB = "counting"


class QuickStorage(LocalStorage):
    """Files that need not outlive the machine."""

    def sync_file(self, file: BinaryIO) -> None:
        file.flush()

    def sync_folder(self, path: str) -> None:
        pass


class Count(KeyedProcessFunction[int, int, Any]):
    """Emits (key, count so far)."""

    def __init__(self, descriptor: Any = ValueStateDescriptor("n", int, 0)) -> None:  # noqa: B008 - frozen
        self.descriptor = descriptor

    def open(self, context: RuntimeContext) -> None:
        if isinstance(self.descriptor, ListStateDescriptor):
            self.list = context.get_list_state(self.descriptor)
        else:
            self.n = context.get_state(self.descriptor)

    def process_element(self, value: int, ctx: Any, out: Any) -> None:
        n = (self.n.value() or 0) + 1
        self.n.update(n)
        out.collect((ctx.get_current_key(), n))


class Collect(AggregateFunction[int, list[int], list[int]]):
    """All values of a window."""

    def create_accumulator(self) -> list[int]:
        return []

    def add(self, value: int, accumulator: list[int]) -> list[int]:
        return [*accumulator, value]

    def get_result(self, accumulator: list[int]) -> list[int]:
        return accumulator


class Job:
    """One run of the same job over numbers 0 to 99, one each ms, a checkpoint every 10 ms, in virtual time."""

    def __init__(self, folder: Path, resume: str | None = None, parallelism: int = 1, max_parallelism: int | None = None, **settings: Any) -> None:
        self.folder = folder
        ports = Ports(ManualClock(1_000_000), SeededRandom(), LocalTransport(), QuickStorage(), InlineExecutor())
        self.env = StreamExecutionEnvironment(ports=ports).set_parallelism(parallelism)
        self.env.enable_checkpointing(timedelta(milliseconds=10)).set_restart_strategy(RestartStrategies.no_restart())
        self.env.checkpoint_config.set_checkpoint_storage(folder)
        self.function: Any = Count()
        self.uid = "count"
        if max_parallelism is not None:
            self.env.set_max_parallelism(max_parallelism)
        if resume is not None:
            self.env.configure("job.resume", resume)
        for key, value in settings.items():
            self.env.configure(key.replace("__", "."), value)

    def rows(self, fail_at: int | None = None, count: int = COUNT, name: str = JOB) -> Any:
        def failing(value: int) -> int:
            if value == fail_at:
                raise ValueError("power cut")
            return value

        stream = self.env.generate(lambda index: index, count=count, rate_per_s=1000.0, watermark_strategy=MS, uid="numbers").map(failing)
        return stream.key_by(lambda n: n % 5).process(self.function, uid=self.uid).execute_and_collect(name)

    def crash(self, at: int, **options: Any) -> str:
        """Runs until the failure; where the last checkpoint is."""
        with pytest.raises(JobFailedError, match="power cut") as raised:
            list(self.rows(at, **options))
        assert raised.value.last_checkpoint is not None
        return raised.value.last_checkpoint


MS: WatermarkStrategy[Any] = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(lambda n: n)
COMPLETE = dict.fromkeys(range(5), COUNT // 5)


def test_auto_goes_on_from_the_last_checkpoint_and_keeps_the_run_id(tmp_path: Path) -> None:
    Job(tmp_path).crash(73)
    first = runs(tmp_path)
    rows = Job(tmp_path, "auto").rows()
    results = list(rows)
    assert dict(results) == COMPLETE
    assert 27 <= len(results) <= 45
    assert rows.result().run_id == first


def test_auto_may_be_needed_more_than_once(tmp_path: Path) -> None:
    Job(tmp_path).crash(33)
    for at in (50, 51, 80):
        Job(tmp_path, "auto").crash(at)
    assert dict(Job(tmp_path, "auto").rows()) == COMPLETE


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1), (2, 4), (4, 3)])
def test_auto_at_another_parallelism(tmp_path: Path, before: int, after: int) -> None:
    Job(tmp_path, parallelism=before, max_parallelism=128).crash(73)
    last: dict[int, int] = {}
    for key, n in Job(tmp_path, "auto", parallelism=after, max_parallelism=128).rows():
        last[key] = max(n, last.get(key, 0))
    assert last == COMPLETE


def test_auto_without_anything_left_starts_afresh(tmp_path: Path) -> None:
    results = list(Job(tmp_path, "auto").rows())
    assert len(results) == COUNT
    assert dict(results) == COMPLETE


def test_never_starts_afresh_under_a_new_run_id(tmp_path: Path) -> None:
    Job(tmp_path).crash(73)
    first = runs(tmp_path)
    rows = Job(tmp_path, "never").rows()
    assert len(list(rows)) == COUNT
    assert rows.result().run_id != first


def test_never_then_a_crash_and_a_restart_uses_nothing_of_the_old_run(tmp_path: Path) -> None:
    """The restart finds the old run's checkpoints in the same folder, and must not take them."""
    Job(tmp_path).crash(73)
    job = Job(tmp_path, "never")
    job.env.set_restart_strategy(RestartStrategies.fixed_delay(1, timedelta(0)))
    failed: list[int] = []

    def fail_early(value: int) -> int:
        if value == 3 and not failed:
            failed.append(value)
            raise ValueError("before the first checkpoint")
        return value

    stream = job.env.generate(lambda index: index, count=COUNT, rate_per_s=1000.0, uid="numbers").map(fail_early)
    results = list(stream.key_by(lambda n: n % 5).process(Count(), uid="count").execute_and_collect(JOB))
    assert dict(results) == COMPLETE
    assert len(results) == COUNT + 3


def test_never_then_a_crash_before_the_first_checkpoint_then_auto_uses_nothing_of_the_old_run(tmp_path: Path) -> None:
    Job(tmp_path).crash(73)
    with pytest.raises(JobFailedError, match="power cut"):
        list(Job(tmp_path, "never").rows(fail_at=3))
    second = runs(tmp_path)
    rows = Job(tmp_path, "auto").rows()
    assert len(list(rows)) == COUNT
    assert rows.result().run_id == second


def test_a_rewound_run_that_died_before_its_first_checkpoint_begins_at_the_same_place_again(tmp_path: Path) -> None:
    Job(tmp_path).crash(73)
    with pytest.raises(JobFailedError, match="power cut"):
        list(Job(tmp_path, "auto", job__rewind=True).rows(fail_at=73))
    second = runs(tmp_path)
    rows = Job(tmp_path, "auto").rows()
    results = list(rows)
    assert dict(results) == COMPLETE
    assert len(results) < COUNT
    assert rows.result().run_id == second


def test_by_default_an_unfinished_run_is_asked_about(tmp_path: Path) -> None:
    where = Job(tmp_path).crash(73)
    with pytest.raises(
        ResumeUndecided, match=r"An unfinished run of job 'counting' left checkpoint \d+ at .*--resume auto .*--resume never .*--resume PATH"
    ) as raised:
        list(Job(tmp_path).rows())
    assert where == f"{raised.value.location}/chk-{raised.value.checkpoint_id}"


def test_a_finished_run_leaves_nothing_to_ask_about(tmp_path: Path) -> None:
    assert dict(Job(tmp_path).rows()) == COMPLETE
    assert not list(tmp_path.rglob("_metadata"))
    assert dict(Job(tmp_path).rows()) == COMPLETE


def test_a_kept_checkpoint_of_a_finished_run_is_not_asked_about(tmp_path: Path) -> None:
    list(Job(tmp_path, checkpoint__keep_on_finish=True).rows())
    assert list(tmp_path.rglob("_metadata"))
    assert len(list(Job(tmp_path).rows())) == COUNT


@pytest.mark.parametrize("resume", ["ask", "auto"])
def test_a_finished_run_whose_checkpoints_could_not_be_removed_is_followed_by_a_fresh_one_that_removes_them(
    tmp_path: Path, resume: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stayed noted as not cleaned up, and with `auto` the next start did that instead of its work."""

    def refuse(store: Any, checkpoint_id: int) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(FilesystemCheckpointStore, "delete", refuse)
        assert len(list(Job(tmp_path, resume).rows())) == COUNT
    assert list(tmp_path.rglob("_metadata"))
    assert len(list(Job(tmp_path, resume).rows())) == COUNT
    assert not list(tmp_path.rglob("_metadata"))


def test_a_process_that_stood_still_while_it_cleaned_up_deletes_nothing_of_the_run_that_came_after(tmp_path: Path) -> None:
    where: list[str] = []

    def others() -> None:
        disarm("job.cleanup")
        assert list(Job(tmp_path).rows()) == []  # does the cleaning up in its place
        where.append(Job(tmp_path).crash(73))

    arm("job.cleanup", others)
    try:
        with pytest.raises(JobFailedError, match="has been replaced by leader 3"):
            list(Job(tmp_path).rows())
    finally:
        disarm("job.cleanup")
    assert Path(where[0], "_metadata").exists()
    results = list(Job(tmp_path, "auto").rows())
    assert dict(results) == COMPLETE
    assert len(results) < COUNT


def test_who_was_replaced_and_finds_its_checkpoint_deleted_says_that_it_was_replaced(tmp_path: Path) -> None:
    Job(tmp_path).crash(73)

    def others() -> None:
        disarm("job.deploy.half")
        assert dict(Job(tmp_path, "auto").rows()) == COMPLETE

    arm("job.deploy.half", others)
    try:
        with pytest.raises(JobFailedError, match=f"Leader 2 of job '{JOB}' has been replaced by leader 3"):
            list(Job(tmp_path, "auto").rows())
    finally:
        disarm("job.deploy.half")


@pytest.mark.parametrize("retention", ["retain_on_cancellation", "delete_on_cancellation"])
def test_a_cancelled_run_is_asked_about_only_if_its_checkpoints_were_retained(tmp_path: Path, retention: str) -> None:
    with Job(tmp_path, checkpoint__retention=retention).rows() as rows:
        while next(rows)[1] < 10:
            pass
    if retention == "retain_on_cancellation":
        with pytest.raises(ResumeUndecided):
            list(Job(tmp_path).rows())
        assert dict(Job(tmp_path, "auto").rows()) == COMPLETE
    else:
        assert len(list(Job(tmp_path).rows())) == COUNT


def test_another_job_in_the_same_folder_is_not_concerned(tmp_path: Path) -> None:
    Job(tmp_path).crash(73)
    assert len(list(Job(tmp_path).rows(name="another"))) == COUNT


def test_a_path_takes_that_checkpoint(tmp_path: Path) -> None:
    Job(tmp_path, checkpoint__retained=5).crash(73)
    kept = sorted(tmp_path.rglob("_metadata"), key=lambda path: int(path.parent.name.removeprefix("chk-")))
    assert len(kept) == 5
    oldest, newest = (len(list(Job(tmp_path / f"copy-{n}", str(kept[n].parent)).rows())) for n in (0, -1))
    assert oldest >= newest + 30


def test_a_path_of_another_folder_is_only_read(tmp_path: Path) -> None:
    where = Job(tmp_path / "old").crash(73)
    before = {path: path.read_bytes() for path in (tmp_path / "old").rglob("*") if path.is_file()}
    assert dict(Job(tmp_path / "new", where).rows()) == COMPLETE
    assert {path: path.read_bytes() for path in (tmp_path / "old").rglob("*") if path.is_file()} == before


def test_a_path_of_another_folder_is_read_although_a_checkpoint_of_that_number_is_here_too(tmp_path: Path) -> None:
    where = Path(Job(tmp_path / "old", checkpoint__incremental_from=0).crash(73))
    here = Path(Job(tmp_path / "new", checkpoint__retained=20).crash(95))
    assert (here.parent / where.name).is_dir()
    results = list(Job(tmp_path / "new", str(where)).rows())
    assert dict(results) == COMPLETE
    assert 27 <= len(results) <= 45


def test_a_checkpoint_whose_folder_was_copied_without_the_shared_files_says_what_is_missing(tmp_path: Path) -> None:
    where = Path(Job(tmp_path / "old", checkpoint__incremental_from=0).crash(73))
    copy = tmp_path / "copy" / where.name
    shutil.copytree(where, copy)
    refused(
        Job(tmp_path / "new", str(copy)), DamagedCheckpoint, "is missing, which it shares with other checkpoints: .* together with the folder shared"
    )


def test_a_run_that_was_rewound_to_another_folder_and_died_before_its_first_checkpoint_does_not_begin_afresh(tmp_path: Path) -> None:
    where = Job(tmp_path / "old").crash(73)
    Job(tmp_path / "new", checkpoint__retained=20).crash(95)
    with pytest.raises(JobFailedError, match="power cut"):
        list(Job(tmp_path / "new", where, job__rewind=True).rows(fail_at=73))
    with pytest.raises(NoCheckpointToResume, match=r"rewound to it.*give its path again, with --rewind"):
        list(Job(tmp_path / "new", "auto").rows())


@pytest.mark.parametrize("used", [True, False], ids=["used folder", "new folder"])
def test_a_run_that_went_on_from_another_folder_and_died_before_its_first_checkpoint_does_not_begin_afresh(tmp_path: Path, used: bool) -> None:
    where = Job(tmp_path / "old").crash(73)
    if used:
        Job(tmp_path / "new").crash(33)
    with pytest.raises(JobFailedError, match="power cut"):
        list(Job(tmp_path / "new", where).rows(fail_at=73))
    with pytest.raises(NoCheckpointToResume, match=r"no checkpoint of its own.*give its path again"):
        list(Job(tmp_path / "new", "auto").rows())
    results = list(Job(tmp_path / "new", where).rows())
    assert dict(results) == COMPLETE
    assert 27 <= len(results) <= 45


@pytest.mark.parametrize("what", ["missing", "job folder", "empty folder"])
def test_a_path_without_a_checkpoint_says_so(tmp_path: Path, what: str) -> None:
    where = Path(Job(tmp_path).crash(73))
    path = {"missing": tmp_path / "nowhere" / "chk-1", "job folder": where.parent, "empty folder": where.parent / "chk-900"}[what]
    if what == "empty folder":
        path.mkdir()
    with pytest.raises((NoCheckpointToResume, DamagedCheckpoint), match=str(path.name)):
        list(Job(tmp_path / "new", str(path)).rows())


# --- what does not fit


def refused(job: Job, error: type[MillstreamError], message: str, **options: Any) -> MillstreamError:
    """The job does not start: nothing is emitted, and the checkpoints stay."""
    kept = sorted(path for path in job.folder.rglob("*") if path.is_file() and "chk-" in str(path.parent))
    emitted: list[Any] = []
    with pytest.raises((error, JobFailedError), match=message) as raised:
        emitted.extend(job.rows(**options))
    assert emitted == []
    assert set(kept) <= {path for path in job.folder.rglob("*") if path.is_file()}
    cause = raised.value.__cause__ if isinstance(raised.value, JobFailedError) else raised.value
    assert isinstance(cause, error)
    return cause


def test_a_checkpoint_of_another_job_is_refused(tmp_path: Path) -> None:
    where = Job(tmp_path).crash(73)
    refused(Job(tmp_path, where), RestoreMismatch, r"does not fit job 'other'.*job 'counting'", name="other")


def test_another_number_of_key_groups_is_refused(tmp_path: Path) -> None:
    Job(tmp_path, max_parallelism=128).crash(73)
    fix = r"saved with max_parallelism 128 and the job now asks for 256\. .*Set max_parallelism=128"
    refused(Job(tmp_path, "auto", max_parallelism=256), RestoreMismatch, fix)


def test_a_checkpoint_with_state_of_an_operator_that_is_gone_is_refused(tmp_path: Path) -> None:
    Job(tmp_path).crash(73)
    job = Job(tmp_path, "auto")
    job.uid = "renamed"
    refused(job, RestoreMismatch, r"state of operator .*\(uid 'count'\), which the job no longer has.*Give an operator uid='count'")


@pytest.mark.parametrize(
    ("descriptor", "error", "message"),
    [
        (ValueStateDescriptor("n", str), StateIncompatible, "was stored as .*int.* and is declared as .*str"),
        (ListStateDescriptor("n", int), StateIncompatible, "value state is no list state"),
        (ValueStateDescriptor("m", int), UndeclaredState, r"holds state 'n' .* does not declare in open\(\)"),
    ],
)
@pytest.mark.parametrize("parallelism", [1, 2])
def test_a_state_that_changed_is_refused_before_any_record(tmp_path: Path, descriptor: Any, error: Any, message: str, parallelism: int) -> None:
    Job(tmp_path, parallelism=parallelism).crash(73)
    job = Job(tmp_path, "auto", parallelism=parallelism)
    job.function = Count(descriptor)
    refused(job, error, message)


def test_after_a_refusal_the_right_job_can_still_resume(tmp_path: Path) -> None:
    Job(tmp_path).crash(73)
    job = Job(tmp_path, "auto")
    job.uid = "renamed"
    refused(job, RestoreMismatch, "no longer has")
    assert dict(Job(tmp_path, "auto").rows()) == COMPLETE


# --- the documents beside the checkpoints


def runs(folder: Path) -> str:
    store = FilesystemCheckpointStorage(folder).open(context())
    record = CompletedCheckpoints(store, JOB, 1).run()
    assert record is not None
    return record.run_id


def context() -> Any:
    from millstream.contracts.checkpoint_storage import CheckpointStorageContext

    return CheckpointStorageContext(JOB, LocalStorage())


def document(folder: Path, name: str) -> Path:
    (found,) = [path for path in folder.rglob(name) if path.is_file()]
    return found


def test_a_lost_note_of_the_run_does_not_make_its_checkpoints_invisible(tmp_path: Path) -> None:
    Job(tmp_path).crash(73)
    document(tmp_path, "run").unlink()
    with pytest.raises(ResumeUndecided):
        list(Job(tmp_path).rows())
    assert dict(Job(tmp_path, "auto").rows()) == COMPLETE


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xff", b'{"run_id": 5}', b"null"])
def test_a_damaged_note_of_the_run_is_an_error_that_can_be_answered(tmp_path: Path, data: bytes) -> None:
    where = Job(tmp_path).crash(73)
    document(tmp_path, "run").write_bytes(data)
    for resume in (None, "auto"):
        with pytest.raises(DamagedCheckpoint, match="record of the current run cannot be read"):
            list(Job(tmp_path, resume).rows())
    assert dict(Job(tmp_path, where).rows()) == COMPLETE


def test_a_damaged_note_of_the_run_does_not_stand_in_the_way_of_a_fresh_start(tmp_path: Path) -> None:
    Job(tmp_path).crash(73)
    document(tmp_path, "run").write_bytes(b"{")
    assert len(list(Job(tmp_path, "never").rows())) == COUNT


@pytest.mark.parametrize("data", [b"", b"x", b"\xff"])
def test_a_damaged_leader_document_is_in_nobodys_way(tmp_path: Path, data: bytes) -> None:
    Job(tmp_path).crash(73)
    document(tmp_path, "leader-1").write_bytes(data)
    assert dict(Job(tmp_path, "auto").rows()) == COMPLETE


def test_a_fixed_seed_still_gives_each_fresh_run_an_id_of_its_own(tmp_path: Path) -> None:
    """Markers of exactly-once sinks carry the run id: two runs with one id would take each other's output for their own."""
    ids = set()
    for _ in range(3):
        env = StreamExecutionEnvironment().configure("execution.seed", 7).enable_checkpointing(timedelta(seconds=5))
        env.checkpoint_config.set_checkpoint_storage(tmp_path)
        rows = env.from_collection([1], uid="in").execute_and_collect(JOB)
        list(rows)
        ids.add(rows.result().run_id)
    assert len(ids) == 3


# --- event time


def test_the_final_watermark_is_never_stored(tmp_path: Path) -> None:
    """The last checkpoint of a finished run, taken up again with more input: nothing of it is late."""
    list(Job(tmp_path, checkpoint__keep_on_finish=True).rows())
    (manifest_path,) = tmp_path.rglob("_metadata")
    store = FilesystemCheckpointStorage(tmp_path).open(context())
    manifest = CompletedCheckpoints(store, JOB, 1).read(int(manifest_path.parent.name.removeprefix("chk-")))
    assert manifest.kind == "final"
    watermarks = [state.watermark for task in manifest.tasks for state in task.operators]
    assert MAX_TIMESTAMP not in watermarks
    assert COUNT - 2 in watermarks


@pytest.mark.parametrize("parallelism", [1, 2])
def test_what_was_late_stays_late_in_a_job_that_got_another_operator_in_front(tmp_path: Path, parallelism: int) -> None:
    """assign_timestamps_and_watermarks has no uid, so the new job may not find what its watermark was; the window operator knows its own."""

    def run(resume: str, fail_at: int | None) -> list[Any]:
        def event_time(index: int) -> int:
            return 5 if 60 <= index < 90 else index

        def failing(value: int) -> int:
            if value == fail_at:
                raise ValueError("power cut")
            return value

        job = Job(tmp_path, resume, parallelism=parallelism)
        stream = job.env.generate(lambda index: index, count=COUNT, rate_per_s=1000.0, uid="numbers").set_parallelism(1)
        stream = stream.map(failing).set_parallelism(1)
        if resume == "auto":
            stream = stream.map(lambda n: n).set_parallelism(1)
        strategy = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(event_time)
        stamped = stream.assign_timestamps_and_watermarks(strategy).set_parallelism(1)
        windows = stamped.key_by(lambda n: 0).window(TumblingEventTimeWindows(10)).aggregate(Collect(), uid="windows")
        rows = windows.execute_and_collect(JOB)
        results: list[Any] = []
        if fail_at is None:
            return list(rows)
        with pytest.raises(JobFailedError, match="power cut"):
            results.extend(rows)
        return results

    assert run("never", fail_at=80)[0] == list(range(10))
    # The window from 50 was open at the checkpoint; records 60 to 89 belong to the window from 0, which has long been complete.
    assert run("auto", fail_at=None) == [list(range(50, 60)), list(range(90, 100))]
