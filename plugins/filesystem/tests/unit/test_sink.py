"""The file sinks: what a reader of the folder sees, whatever happens to the writer."""

from __future__ import annotations

import itertools
import os
import pickle
import re
from pathlib import Path
from typing import Any

import pytest

from millstream import StreamExecutionEnvironment
from millstream.contracts.guarantee import Guarantee
from millstream.contracts.two_phase_commit import Committed
from millstream.errors import Fenced, InvalidArgument, JobFailedError, LostEpoch, PathUnusable, RecordRefused
from millstream.formats import CsvFormat
from millstream.ports import arm, crash_point
from millstream.ports.crash import on_occurrence
from millstream_filesystem import FileSink


def exactly_once(kit: Any, path: Path, format_: Any = "text", **context: Any) -> Any:
    return kit.closing(FileSink(path, format_, delivery="exactly_once").resolve().open(kit.sink_context(**context)))


def at_least_once(kit: Any, path: Path, **context: Any) -> Any:
    return kit.closing(FileSink(path).resolve().open(kit.sink_context(**context)))


def test_records_are_visible_after_commit_and_not_before(kit: Any, tmp_path: Path) -> None:
    folder = kit.Folder(tmp_path)
    writer = exactly_once(kit, tmp_path, storage=kit.LocalStorage())
    writer.write(["a", "b"], None)
    writer.write(["c"], [1])
    assert folder.visible() == []
    committable = writer.prepare(7)
    writer.write(["d"], None)
    assert folder.visible() == []
    assert writer.commit(0, 7, committable) == Committed(already=False)
    assert folder.visible() == ["a", "b", "c"]
    [name] = folder.finished()
    assert name.startswith("part-0-7-")
    assert name.endswith(".txt")


def test_an_epoch_without_records_leaves_nothing(kit: Any, tmp_path: Path) -> None:
    writer = exactly_once(kit, tmp_path)
    writer.write([], None)
    assert writer.prepare(1) is None
    assert kit.Folder(tmp_path).unfinished() == []


def test_every_file_begins_with_the_header_of_the_format(kit: Any, tmp_path: Path) -> None:
    writer = exactly_once(kit, tmp_path, CsvFormat(types={"id": str, "n": int}, has_header=True))
    for checkpoint_id in (1, 2):
        writer.write([("a", checkpoint_id)], None)
        writer.commit(0, checkpoint_id, writer.prepare(checkpoint_id))
    assert [path.read_text() for path in sorted(tmp_path.glob("part-*.csv"))] == ["id,n\na,1\n", "id,n\na,2\n"]


def test_everything_is_durable_before_it_counts(kit: Any, tmp_path: Path) -> None:
    storage = kit.FaultyStorage()
    writer = exactly_once(kit, tmp_path, storage=storage)
    writer.write(["a"], None)
    storage.syncs.clear()
    committable = writer.prepare(1)
    file, folder = storage.syncs
    assert file.endswith(".inprogress")
    assert os.path.dirname(file) == folder
    storage.syncs.clear()
    writer.commit(0, 1, committable)
    assert storage.syncs[0] == str(tmp_path)


def test_a_batch_with_a_record_that_cannot_be_written_writes_none_of_it(kit: Any, tmp_path: Path) -> None:
    writer = exactly_once(kit, tmp_path)
    with pytest.raises(ValueError, match="line end"):
        writer.write(["a", "b\nc"], None)
    writer.write(["a"], None)
    writer.commit(0, 1, writer.prepare(1))
    assert kit.Folder(tmp_path).visible() == ["a"]


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
@pytest.mark.parametrize(
    ("format_", "good", "bad", "error"),
    [
        ("json", {"n": 1}, object(), "TypeError"),
        ("csv", (1, "a"), (1, "a\nb"), "ValueError"),
        ("text", "a", 5, "TypeError"),
        ("text", "a", "\ud800", "UnicodeEncodeError"),
    ],
)
def test_a_record_that_the_format_refuses_ends_the_job_at_once_and_is_named(
    tmp_path: Path, delivery: Any, format_: str, good: Any, bad: Any, error: str
) -> None:
    """Its encoder's error was taken for one of the target, and tried again three times."""
    env = StreamExecutionEnvironment().configure("checkpoint.storage", str(tmp_path / "checkpoints")).configure("checkpoint.interval", "1s")
    env.from_collection([good, bad], uid="in").sink_to(FileSink(tmp_path / "out", format_, delivery=delivery), uid="out", name="Files")
    message = (
        rf"(?s)^{error}: .*sink 'Files' \(uid 'out'\), subtask 0 of job 'refused', cannot write record .*with a map in front of it, or give sink_to"
    )
    with pytest.raises(JobFailedError, match=message) as raised:
        env.execute("refused")
    assert isinstance(raised.value.__cause__, RecordRefused)
    assert raised.value.__cause__.record == repr(bad)
    assert raised.value.restarts == 0
    assert seen_files(tmp_path / "out") == []


def seen_files(folder: Path) -> list[str]:
    """What a reader sees."""
    return [path.name for path in folder.iterdir() if not path.name.startswith(".")]


@pytest.mark.parametrize("taken_away", [False, True])
def test_committing_again_changes_nothing_also_when_the_file_was_taken_away(kit: Any, tmp_path: Path, taken_away: bool) -> None:
    writer = exactly_once(kit, tmp_path)
    writer.write(["a"], None)
    committable = writer.prepare(1)
    writer.commit(0, 1, committable)
    if taken_away:
        for name in kit.Folder(tmp_path).finished():
            (tmp_path / name).unlink()
    before = kit.Folder(tmp_path).visible()
    assert writer.commit(0, 1, committable) == Committed(already=True)
    later = exactly_once(kit, tmp_path, attempt=2)
    assert later.commit(0, 1, committable) == Committed(already=True)
    later.abort_lingering([committable])
    assert kit.Folder(tmp_path).visible() == before


def test_an_epoch_of_which_nothing_is_left_stops_the_job(kit: Any, tmp_path: Path) -> None:
    writer = exactly_once(kit, tmp_path)
    writer.write(["a"], None)
    committable = writer.prepare(1)
    [name] = kit.Folder(tmp_path).unfinished()
    next(tmp_path.rglob(name)).unlink()
    with pytest.raises(LostEpoch, match=r"neither .* nor .*part-0-1-.* exists") as caught:
        writer.commit(0, 1, committable)
    assert (caught.value.sink_uid, caught.value.lane, caught.value.checkpoint_id) == ("out", 0, 1)


@pytest.mark.parametrize("finished", [False, True])
def test_a_prepared_or_finished_file_of_another_size_stops_the_job(kit: Any, tmp_path: Path, finished: bool) -> None:
    writer = exactly_once(kit, tmp_path)
    writer.write(["abc"], None)
    committable = writer.prepare(1)
    if finished:
        writer.commit(0, 1, committable)
    [path] = [path for path in tmp_path.rglob("*") if path.suffix in (".inprogress", ".txt")]
    path.write_bytes(b"abc")
    with pytest.raises(LostEpoch, match="has 3 bytes instead of 4"):
        writer.commit(0, 1, committable)


def test_a_crash_before_commit_is_finished_by_the_next_attempt_and_the_rest_is_removed(kit: Any, tmp_path: Path) -> None:
    writer = exactly_once(kit, tmp_path)
    writer.write(["a"], None)
    first = writer.prepare(1)
    writer.write(["b"], None)
    writer.prepare(2)
    writer.write(["c"], None)
    recovered = exactly_once(kit, tmp_path, attempt=2)
    recovered.commit(0, 1, first)
    recovered.abort_lingering([first])
    assert kit.Folder(tmp_path).visible() == ["a"]
    assert kit.Folder(tmp_path).unfinished() == []
    recovered.write(["b", "c"], None)
    recovered.commit(0, 2, recovered.prepare(2))
    assert kit.Folder(tmp_path).visible() == ["a", "b", "c"]


POINTS = (
    "sink.write.mid_epoch",
    "sink.prepare.before",
    "sink.prepare.mid",
    "sink.prepare.after",
    "sink.commit.before",
    "sink.commit.applied_no_ack",
    "sink.commit.after",
    "recovery.mid_abort",
)


def run_until_done(kit: Any, path: Path, batches: list[list[str]]) -> int:
    """Plays the engine: an attempt after each crash, from the last durable checkpoint. Returns the number of crashes.

    A checkpoint is durable right after `sink.prepare.after`, and holds the epoch that is not yet known to be committed.
    """
    position, pending, attempt = 0, [], 0
    while True:
        attempt += 1
        assert attempt < 10
        try:
            writer = exactly_once(kit, path, attempt=attempt)
            for checkpoint_id, committable in pending:
                writer.commit(0, checkpoint_id, committable)
            writer.abort_lingering([committable for _, committable in pending])
            while position < len(batches):
                writer.write(batches[position], None)
                crash_point("sink.prepare.before")
                committable = writer.prepare(position + 1)
                crash_point("sink.prepare.after")
                position, pending = position + 1, [(position + 1, committable)]
                crash_point("sink.commit.before")
                writer.commit(0, *pending[0])
                crash_point("sink.commit.after")
        except kit.Crash:
            covered = [line for batch in batches[:position] for line in batch]
            assert kit.Folder(path).visible() == covered[: len(kit.Folder(path).visible())]
        else:
            return attempt - 1


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_anywhere_and_another_in_its_recovery_leave_every_record_once(kit: Any, tmp_path: Path, point: str) -> None:
    batches = [["a", "b"], ["c"], ["d"]]
    crashes = 0
    for number, (first, second, again) in enumerate(itertools.product((1, 2, 3), POINTS, (1, 2))):
        kit.survive()
        arm(point, on_occurrence(point, first, "raise"))
        if second != point:
            arm(second, on_occurrence(second, again + first - 1, "raise"))
        path = tmp_path / str(number)
        crashes += run_until_done(kit, path, batches)
        assert kit.Folder(path).visible() == ["a", "b", "c", "d"]
        assert kit.Folder(path).unfinished() == []
    assert crashes > 40


def test_what_a_restored_checkpoint_prepared_is_never_removed_even_before_it_is_committed(kit: Any, tmp_path: Path) -> None:
    writer = exactly_once(kit, tmp_path)
    writer.write(["a"], None)
    committable = writer.prepare(1)
    recovered = exactly_once(kit, tmp_path, attempt=2)
    recovered.abort_lingering([committable])
    recovered.commit(0, 1, committable)
    assert kit.Folder(tmp_path).visible() == ["a"]


def test_an_attempt_never_removes_what_it_wrote_itself(kit: Any, tmp_path: Path) -> None:
    writer = exactly_once(kit, tmp_path)
    writer.write(["a"], None)
    committable = writer.prepare(1)
    writer.write(["b"], None)
    writer.abort_lingering([])
    writer.commit(0, 1, committable)
    writer.commit(0, 2, writer.prepare(2))
    assert kit.Folder(tmp_path).visible() == ["a", "b"]


def test_a_second_crash_while_leftovers_are_removed_does_no_harm(kit: Any, tmp_path: Path) -> None:
    writer = exactly_once(kit, tmp_path)
    kept = []
    for checkpoint_id in (1, 2, 3):
        writer.write([str(checkpoint_id)], None)
        kept.append(writer.prepare(checkpoint_id))
    second = exactly_once(kit, tmp_path, attempt=2)
    second.commit(0, 1, kept[0])
    kit.crash_at("recovery.mid_abort")
    with pytest.raises(kit.Crash):
        second.abort_lingering(kept[:1])
    kit.survive()
    third = exactly_once(kit, tmp_path, attempt=3)
    assert third.commit(0, 1, kept[0]) == Committed(already=True)
    third.abort_lingering(kept[:1])
    assert (kit.Folder(tmp_path).visible(), kit.Folder(tmp_path).unfinished()) == (["1"], [])


def test_a_crash_while_a_lane_is_taken_over_loses_nothing(kit: Any, tmp_path: Path) -> None:
    writer = exactly_once(kit, tmp_path)
    writer.write(["a"], None)
    committable = writer.prepare(1)

    class DiesOnce(kit.FaultyStorage):  # type: ignore[misc]
        renames = 0

        def rename(self, source: str, target: str) -> None:
            super().rename(source, target)
            self.renames += 1
            if self.renames == 1:
                raise kit.Crash("after taking over")

    with pytest.raises(kit.Crash):
        exactly_once(kit, tmp_path, attempt=2, storage=DiesOnce())
    third = exactly_once(kit, tmp_path, attempt=3)
    assert third.commit(0, 1, committable) == Committed(already=False)
    assert kit.Folder(tmp_path).visible() == ["a"]


@pytest.mark.parametrize("what", ["write", "prepare", "commit", "abort"])
def test_an_older_attempt_that_wakes_up_changes_nothing(kit: Any, tmp_path: Path, what: str) -> None:
    zombie = exactly_once(kit, tmp_path)
    zombie.write(["prepared"], None)
    committable = zombie.prepare(1)
    if what == "prepare":
        zombie.write(["open"], None)
    successor = exactly_once(kit, tmp_path, attempt=2)
    successor.abort_lingering([])
    successor.write(["new"], None)
    new = successor.prepare(1)
    late = {
        "write": lambda: zombie.write(["late"], None),
        "prepare": lambda: zombie.prepare(2),
        "commit": lambda: zombie.commit(0, 1, committable),
        "abort": lambda: zombie.abort_lingering([]),
    }
    with pytest.raises(Fenced):
        late[what]()
    zombie.close()
    successor.commit(0, 1, new)
    assert kit.Folder(tmp_path).visible() == ["new"]


def test_an_older_attempt_cannot_open_behind_a_newer_one(kit: Any, tmp_path: Path) -> None:
    exactly_once(kit, tmp_path, attempt=5)
    with pytest.raises(Fenced):
        exactly_once(kit, tmp_path, attempt=4)
    exactly_once(kit, tmp_path, attempt=6)


def test_fewer_writers_finish_and_clean_what_former_ones_left(kit: Any, tmp_path: Path) -> None:
    committables = {}
    for lane in (0, 1, 2):
        writer = exactly_once(kit, tmp_path, lane=lane, subtask=lane, parallelism=3, owned_lanes=(lane,))
        writer.write([f"kept {lane}"], None)
        committables[lane] = writer.prepare(1)
        writer.write([f"open {lane}"], None)
    merged = exactly_once(kit, tmp_path, attempt=2, owned_lanes=(0, 1, 2))
    for lane, committable in committables.items():
        merged.commit(lane, 1, committable)
    merged.abort_lingering(list(committables.values()))
    assert kit.Folder(tmp_path).visible() == ["kept 0", "kept 1", "kept 2"]
    assert kit.Folder(tmp_path).unfinished() == []


def test_fewer_writers_take_over_a_lane_of_which_not_even_the_folder_is_left(kit: Any, tmp_path: Path) -> None:
    writer = exactly_once(kit, tmp_path, lane=0, owned_lanes=(0, 1))
    assert [writer.newest_committed(lane) for lane in (0, 1)] == [None, None]


@pytest.mark.parametrize("other", [{"sink_uid": "other"}, {"job_name": "other"}, {"run_id": "1" * 32}, {"lane": 1, "owned_lanes": (1,)}])
def test_sinks_jobs_runs_and_lanes_in_one_folder_leave_each_other_alone(kit: Any, tmp_path: Path, other: dict[str, Any]) -> None:
    writer = exactly_once(kit, tmp_path)
    writer.write(["mine"], None)
    committable = writer.prepare(1)
    neighbour = exactly_once(kit, tmp_path, attempt=9, **other)
    neighbour.abort_lingering([])
    writer.commit(0, 1, committable)
    assert kit.Folder(tmp_path).visible() == ["mine"]


def test_a_new_run_can_settle_what_the_run_before_prepared_even_in_another_folder(kit: Any, tmp_path: Path) -> None:
    writer = exactly_once(kit, tmp_path / "old")
    writer.write(["a"], None)
    committable = writer.prepare(1)
    rewound = exactly_once(kit, tmp_path / "new", run_id="1" * 32)
    assert rewound.commit(0, 1, committable) == Committed(already=False)
    assert rewound.commit(0, 1, committable) == Committed(already=True)
    assert kit.Folder(tmp_path / "old").visible() == ["a"]
    assert kit.Folder(tmp_path / "new").visible() == []


def test_a_folder_that_was_moved_with_its_hidden_files_still_commits(kit: Any, tmp_path: Path) -> None:
    writer = exactly_once(kit, tmp_path / "old")
    writer.write(["a"], None)
    committable = writer.prepare(1)
    (tmp_path / "old").rename(tmp_path / "new")
    exactly_once(kit, tmp_path / "new", attempt=2).commit(0, 1, committable)
    assert kit.Folder(tmp_path / "new").visible() == ["a"]


def test_several_epochs_that_wait_are_committed_in_order(kit: Any, tmp_path: Path) -> None:
    writer = exactly_once(kit, tmp_path)
    waiting = []
    for checkpoint_id in (1, 2, 3):
        writer.write([str(checkpoint_id)], None)
        waiting.append((checkpoint_id, writer.prepare(checkpoint_id)))
    for checkpoint_id, committable in waiting:
        assert writer.commit(0, checkpoint_id, committable) == Committed()
    assert kit.Folder(tmp_path).visible() == ["1", "2", "3"]


def test_closing_drops_the_open_epoch_and_keeps_the_prepared_one(kit: Any, tmp_path: Path) -> None:
    writer = exactly_once(kit, tmp_path)
    writer.write(["a"], None)
    committable = writer.prepare(1)
    writer.write(["b"], None)
    writer.close()
    writer.close()
    assert len(kit.Folder(tmp_path).unfinished()) == 1
    exactly_once(kit, tmp_path, attempt=2).commit(0, 1, committable)
    assert kit.Folder(tmp_path).visible() == ["a"]


def test_a_restart_loop_leaves_nothing_behind(kit: Any, tmp_path: Path) -> None:
    def count() -> int:
        return sum(1 for _ in tmp_path.rglob("*"))

    counts = []
    for attempt in range(1, 6):
        writer = exactly_once(kit, tmp_path, attempt=attempt)
        writer.abort_lingering([])
        writer.write(["never prepared"], None)
        counts.append(count())
    assert len(set(counts)) == 1


def test_a_full_disk_fails_the_checkpoint_and_shows_nothing(kit: Any, tmp_path: Path) -> None:
    storage = kit.FaultyStorage()
    writer = exactly_once(kit, tmp_path, storage=storage)
    writer.write(["a"], None)
    storage.full = True
    with pytest.raises(OSError, match=rf"No space left on device: '{re.escape(str(tmp_path))}/"):
        writer.prepare(1)
    assert kit.Folder(tmp_path).visible() == []


def test_writing_costs_no_call_per_record(kit: Any, tmp_path: Path) -> None:
    class Counting(kit.FaultyStorage):  # type: ignore[misc]
        opened = 0

        def open_write(self, path: str) -> Any:
            self.opened += 1
            return super().open_write(path)

    storage = Counting()
    writer = exactly_once(kit, tmp_path, storage=storage)
    for _ in range(50):
        writer.write(["x"] * 1000, None)
    [path] = tmp_path.rglob("*.inprogress")
    assert (storage.opened, path.stat().st_size) == (1, 0)


def test_a_path_that_cannot_be_a_folder_is_an_error_at_open(kit: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for sink in (FileSink(tmp_path / "file"), FileSink(tmp_path / "file", delivery="exactly_once")):
        with pytest.raises(PathUnusable, match=r"The folder of file sink 'out', .* it is a file"):
            sink.resolve().open(kit.sink_context())
    with pytest.raises(PathUnusable, match="Not a directory"):
        FileSink(tmp_path / "file" / "in").resolve().open(kit.sink_context())


def test_a_folder_that_may_not_be_written_is_an_error_at_open(kit: Any, tmp_path: Path) -> None:
    class ReadOnly(kit.FaultyStorage):  # type: ignore[misc]
        def make_folder(self, path: str) -> None:
            raise OSError(30, "Read-only file system", path)

    with pytest.raises(PathUnusable, match=r"Read-only file system .* may write to"):
        FileSink(tmp_path / "out").resolve().open(kit.sink_context(storage=ReadOnly()))


@pytest.mark.parametrize(
    "options",
    [
        {"path": ""},
        {"path": "s3://x/y"},
        {"path": "a", "delivery": "at_most_once"},
        {"path": "a", "prefix": ""},
        {"path": "a", "prefix": ".part"},
        {"path": "a", "prefix": "a/b"},
        {"path": "a", "suffix": "/x"},
        {"path": "a", "format": CsvFormat(has_header=True)},
    ],
)
def test_options_that_make_no_sense_are_refused_when_the_sink_is_made(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        FileSink(**options)


def test_the_sink_promises_what_its_delivery_gives(tmp_path: Path) -> None:
    assert FileSink(tmp_path).capabilities.strongest() is Guarantee.AT_LEAST_ONCE
    sink = FileSink(tmp_path, delivery="exactly_once")
    assert sink.capabilities.strongest() is Guarantee.EXACTLY_ONCE
    assert sink.resolve().capabilities == sink.capabilities
    assert pickle.loads(pickle.dumps(sink)) == sink


def test_at_least_once_shows_records_at_the_flush_and_shows_them_again_after_a_failure(kit: Any, tmp_path: Path) -> None:
    folder = kit.Folder(tmp_path)
    writer = at_least_once(kit, tmp_path)
    writer.write(["a"], None)
    writer.flush()
    assert folder.visible() == ["a"]
    writer.flush()
    assert len(folder.finished()) == 1
    writer.write(["lost, and read again"], None)
    restarted = at_least_once(kit, tmp_path, attempt=2)
    assert folder.unfinished() == []
    restarted.write(["a"], None)
    restarted.flush()
    assert folder.visible() == ["a", "a"]
