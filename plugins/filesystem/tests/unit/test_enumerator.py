"""Finding files: which count, who gets them, and what a wrong path says."""

from __future__ import annotations

import os
import pickle
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from millstream.contracts.source import Split
from millstream.errors import FileChanged, InvalidArgument, PathUnusable, UnknownPlugin
from millstream.formats import CsvFormat
from millstream_filesystem import FileSource


def make(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name}\n")


def all_names(kit: Any, source: FileSource[Any]) -> list[str]:
    """What a single reader is given until it is told that there is no more."""
    context = kit.Enumerating()
    enumerator = source.create_enumerator(context, None)
    enumerator.start()
    while not context.told_no_more:
        enumerator.handle_split_request(0)
    return [split.split_id.removeprefix(f"{os.getcwd()}/") for _, split in context.assigned]


def test_a_folder_gives_its_finished_files_by_name(kit: Any, tmp_path: Path) -> None:
    make(tmp_path, "b", "a", ".hidden", "_temporary", "deep/c", "deep/deeper/d", ".millstream/x/0/1")
    assert all_names(kit, FileSource(tmp_path)) == [f"{tmp_path}/{name}" for name in ("a", "b")]
    assert all_names(kit, FileSource(tmp_path, recursive=True)) == [f"{tmp_path}/{name}" for name in ("a", "b", "deep/c", "deep/deeper/d")]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.csv", ["a.csv", "b.csv"]),
        ("?.txt", ["c.txt"]),
        ("[ab].csv", ["a.csv", "b.csv"]),
        ("2024-*/part-*", ["2024-01/part-1", "2024-02/part-1"]),
        ("**/part-*", ["2024-01/part-1", "2024-02/part-1", "old/2023/part-1"]),
        ("old/**", ["old/2023/part-1"]),
        (".h*", [".hidden.csv"]),
        ("_*/x.csv", ["_tmp/x.csv"]),
        ("*/2023/part-1", ["old/2023/part-1"]),
    ],
)
def test_a_pattern_gives_what_matches_it(kit: Any, tmp_path: Path, pattern: str, names: list[str]) -> None:
    make(
        tmp_path,
        "a.csv",
        "b.csv",
        "c.txt",
        ".hidden.csv",
        "_tmp/x.csv",
        "2024-01/part-1",
        "2024-02/part-1",
        "2024-02/_part-2",
        "old/2023/part-1",
    )
    assert all_names(kit, FileSource(tmp_path / pattern)) == [f"{tmp_path}/{name}" for name in names]


def test_a_file_is_read_whatever_its_name(kit: Any, tmp_path: Path) -> None:
    make(tmp_path, "_a[1]*.txt", "_a1.txt")
    assert all_names(kit, FileSource(f"file://{tmp_path}/_a[1]*.txt")) == [f"{tmp_path}/_a[1]*.txt"]


def test_an_empty_folder_and_empty_files_have_no_records_and_are_no_error(kit: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert all_names(kit, FileSource(tmp_path)) == []


def test_a_wrong_path_is_an_error_before_any_record_is_read(kit: Any, tmp_path: Path) -> None:
    make(tmp_path, "readings.csv")
    for path, said in [
        ("reading.csv", r"no such file or folder. Correct the path \(perhaps to 'readings.csv'\)"),
        ("nowhere/a.csv", "there is no folder .*nowhere"),
        ("*.txt", "no file matches"),
        ("nowhere/*.txt", "there is no folder .*nowhere"),
    ]:
        with pytest.raises(PathUnusable, match=said):
            FileSource(tmp_path / path).create_enumerator(kit.Enumerating(), None)


def test_a_folder_that_cannot_be_read_is_an_error_that_says_so(kit: Any, tmp_path: Path) -> None:
    class Locked(kit.FaultyStorage):  # type: ignore[misc]
        def list(self, path: str) -> list[str]:
            raise PermissionError(13, "Permission denied", path)

    with pytest.raises(PathUnusable, match="Permission denied"):
        FileSource(tmp_path).create_enumerator(kit.Enumerating(storage=Locked()), None)


@pytest.mark.parametrize(
    "options",
    [
        {"path": ""},
        {"path": "s3://bucket/x"},
        {"path": "a", "monitor_interval": timedelta(0)},
        {"path": "a", "monitor_interval": 5},
        {"path": "a", "records_per_second": 0},
        {"path": "a", "records_per_second": float("nan")},
        {"path": "a", "format": 3},
    ],
)
def test_options_that_make_no_sense_are_refused_when_the_source_is_made(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        FileSource(**options)


def test_an_unknown_format_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownPlugin, match="Did you mean 'csv'"):
        FileSource("a", format="csvs")


def test_a_source_travels_to_workers_with_an_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = FileSource("in", CsvFormat(types={"a": int}), monitor_interval=timedelta(seconds=1))
    assert source.path == f"{tmp_path}/in"
    assert not source.bounded
    assert source.capabilities.replayable
    assert pickle.loads(pickle.dumps(source)) == source


def test_each_split_has_one_owner_and_a_restored_enumerator_gives_the_rest(kit: Any, tmp_path: Path) -> None:
    make(tmp_path, "a", "b", "c")
    context = kit.Enumerating(parallelism=2)
    enumerator = FileSource(tmp_path).create_enumerator(context, None)
    enumerator.start()
    enumerator.handle_split_request(1)
    state = enumerator.snapshot(1)
    make(tmp_path, "too-late")
    restored = kit.Enumerating(parallelism=2)
    again = FileSource(tmp_path).create_enumerator(restored, state)
    for _ in range(4):
        again.handle_split_request(0)
    assert (context.names(), restored.names()) == (["a"], ["b", "c"])
    assert restored.told_no_more == [0, 0]


def test_splits_of_a_lost_reader_are_given_out_again_from_their_positions(kit: Any, tmp_path: Path) -> None:
    make(tmp_path, "a", "b")
    context = kit.Enumerating()
    enumerator = FileSource(tmp_path, monitor_interval=timedelta(seconds=1)).create_enumerator(context, None)
    enumerator.start()
    for subtask in (0, 1, 2, 3):
        enumerator.handle_split_request(subtask)
    (_, first), _ = context.assigned
    back = Split(first.split_id, {**first.data, "offset": 1})
    enumerator.add_splits_back([back], 3)
    assert context.assigned[2:] == [(2, back)]
    assert context.told_no_more == []


def test_a_watched_folder_gives_new_files_to_readers_that_wait(kit: Any, tmp_path: Path) -> None:
    context = kit.Enumerating()
    enumerator = FileSource(tmp_path, monitor_interval=timedelta(seconds=5)).create_enumerator(context, None)
    enumerator.start()
    enumerator.handle_split_request(0)
    assert context.told_not_yet == [0]
    (tmp_path / "being-made").touch()
    context.run_later()
    assert context.names() == []
    make(tmp_path, "being-made", "a")
    context.run_later()
    assert context.names() == ["a"]
    enumerator.handle_split_request(0)
    context.run_later()
    assert context.names() == ["a", "being-made"]
    assert [delay for delay, _ in context.later] == [5.0]
    assert context.told_no_more == []
    enumerator.close()
    context.run_later()
    assert context.later == []


def test_a_restored_watch_knows_what_was_found_and_finds_what_came_meanwhile(kit: Any, tmp_path: Path) -> None:
    make(tmp_path, "a", "b")
    source = FileSource(tmp_path, monitor_interval=timedelta(seconds=5))
    context = kit.Enumerating()
    enumerator = source.create_enumerator(context, None)
    enumerator.handle_split_request(0)
    state = enumerator.snapshot(1)
    assert enumerator.snapshot(2) == state
    (tmp_path / "a").unlink()
    make(tmp_path, "c")
    restored = kit.Enumerating()
    again = source.create_enumerator(restored, state)
    for _ in range(3):
        again.handle_split_request(0)
    assert restored.names() == ["b", "c"]


def test_a_known_file_that_changes_stops_a_watch(kit: Any, tmp_path: Path) -> None:
    make(tmp_path, "a")
    context = kit.Enumerating()
    FileSource(tmp_path, monitor_interval=timedelta(seconds=5)).create_enumerator(context, None).start()
    (tmp_path / "a").write_text("longer than before\n")
    with pytest.raises(FileChanged):
        context.run_later()


def test_a_watch_may_begin_before_anything_matches_but_not_without_its_folder(kit: Any, tmp_path: Path) -> None:
    interval = timedelta(seconds=1)
    FileSource(tmp_path / "*.csv", monitor_interval=interval).create_enumerator(kit.Enumerating(), None)
    make(tmp_path, "a.csv")
    with pytest.raises(PathUnusable, match="there is no folder"):
        FileSource(tmp_path / "no" / "*.csv", monitor_interval=interval).create_enumerator(kit.Enumerating(), None)
    with pytest.raises(PathUnusable, match="it is one file"):
        FileSource(tmp_path / "a.csv", monitor_interval=interval).create_enumerator(kit.Enumerating(), None)


def test_the_state_of_a_long_watch_stays_small(kit: Any, tmp_path: Path) -> None:
    make(tmp_path, *(f"2024-01-01/readings-{number:05d}.csv" for number in range(300)))
    source = FileSource(tmp_path / "*" / "*", monitor_interval=timedelta(seconds=5))
    context = kit.Enumerating()
    enumerator = source.create_enumerator(context, None)
    for _ in range(300):
        enumerator.handle_split_request(0)
    assert len(enumerator.snapshot(1)) < 300 * 30


def test_a_crash_after_an_assignment_finds_the_split_in_the_older_snapshot(kit: Any, tmp_path: Path) -> None:
    make(tmp_path, "a")
    enumerator = FileSource(tmp_path).create_enumerator(kit.Enumerating(), None)
    state = enumerator.snapshot(1)
    kit.crash_at("source.assign.before_ack")
    with pytest.raises(kit.Crash):
        enumerator.handle_split_request(0)
    kit.survive()
    restored = kit.Enumerating()
    FileSource(tmp_path).create_enumerator(restored, state).handle_split_request(0)
    assert restored.names() == ["a"]
