"""Reading files: what comes out, from where a restore goes on, and what a changed file does."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millstream.errors import FileChanged, FileHeaderInvalid, PathUnusable
from millstream.formats import CsvFormat, JsonLinesFormat, TextFormat
from millstream_filesystem import FileSource
from millstream_filesystem.reader import FileReader
from millstream_filesystem.split import FileSplit
from millstream_filesystem.split_file import BLOCK_BYTES


def reader_of(kit: Any, path: Path, format_: Any = "text", **options: Any) -> tuple[FileReader[Any], Any]:
    """A reader that was given the file, and its context."""
    context = kit.Reading()
    reader = kit.closing(FileSource(path, format_, **options).create_reader(context))
    reader.add_splits([FileSplit.of_file(context.storage.info(str(path))).to_split()])
    reader.start()
    return reader, context


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"a\nb\n", ["a", "b"]),
        (b"a\nb", ["a", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"\n\na\n\n", ["", "", "a", ""]),
        (b"\xef\xbb\xbfa\n", ["a"]),
        (b"\n", [""]),
        (b"a\rb\n", ["a\rb"]),
        (b"x" * (3 * BLOCK_BYTES) + b"\ny", ["x" * (3 * BLOCK_BYTES), "y"]),
        (b"x" * (BLOCK_BYTES - 1) + b"\r\ny\r\n", ["x" * (BLOCK_BYTES - 1), "y"]),
        (b"x" * (BLOCK_BYTES - 1) + b"\n", ["x" * (BLOCK_BYTES - 1)]),
    ],
)
def test_every_line_is_a_record_whatever_ends_it(kit: Any, tmp_path: Path, data: bytes, lines: list[str]) -> None:
    path = tmp_path / "in.txt"
    path.write_bytes(data)
    assert kit.read_all(reader_of(kit, path)[0]) == lines
    assert kit.read_all(reader_of(kit, path)[0], max_records=1) == lines


def test_blank_lines_are_no_records_of_csv_and_json_and_still_count_as_lines(kit: Any, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"\n1\n\n\nx\n2\n\n")
    [batch] = kit.fetch_all(reader_of(kit, path, "json")[0])
    assert batch.values == [1, 2]
    assert [(rejected.position, rejected.raw) for rejected in batch.rejected] == [(f"{path}, line 5, column 1", b"x")]


def test_a_bad_record_is_rejected_with_its_place_and_the_others_come_through(kit: Any, tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(b"id,n\na,1\nb,two\nc,3,3\nd,4\n")
    reader, _ = reader_of(kit, path, CsvFormat(types={"n": int, "id": str}, has_header=True))
    batches = kit.fetch_all(reader, max_records=2)
    assert [value for batch in batches for value in batch.values] == [(1, "a"), (4, "d")]
    rejected = [rejected for batch in batches for rejected in batch.rejected]
    assert [(item.position, item.error) for item in rejected] == [
        (f"{path}, line 3, column 2, field n", "'two' is not a whole number"),
        (f"{path}, line 4", "it has 3 fields instead of 2 (id, n)"),
    ]


def test_lines_keep_their_numbers_after_a_restore(kit: Any, tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(b"id,n\na,1\nb,2\n\nc,three\n")
    source = FileSource(path, CsvFormat(types={"n": int}, has_header=True))
    reader, _ = reader_of(kit, path, source.format)
    assert reader.fetch(2).values == [(1,), (2,)]
    restored = kit.closing(source.create_reader(kit.Reading()))
    restored.add_splits(reader.snapshot(1))
    [batch] = kit.fetch_all(restored)
    assert batch.rejected[0].position == f"{path}, line 5, column 2, field n"


def test_a_snapshot_does_not_change_when_reading_goes_on(kit: Any, tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_bytes(b"a\nb\nc\n")
    reader, _ = reader_of(kit, path)
    reader.fetch(1)
    [split] = reader.snapshot(1)
    before = dict(split.data)
    kit.read_all(reader)
    assert split.data == before
    assert split.data["offset"] == 2
    assert reader.snapshot(2) == []


line_bytes = st.binary(max_size=12).map(lambda raw: raw.replace(b"\n", b"").replace(b"\xef", b""))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(line_bytes, max_size=12),
    ends=st.sampled_from([b"\n", b"\r\n"]),
    last_end=st.booleans(),
    header=st.booleans(),
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=30),
    block=st.integers(1, 20),
)
def test_a_restore_after_any_batch_reads_the_same_records(
    kit: Any, tmp_path: Path, lines: list[bytes], ends: bytes, last_end: bool, header: bool, sizes: list[int], block: int
) -> None:
    path = tmp_path / "in.txt"
    data = ends.join(lines) + (ends if last_end else b"")
    path.write_bytes(data)
    format_ = CsvFormat(encoding="latin-1", delimiter="\x01", has_header=True, rows="tuple") if header else TextFormat("latin-1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("millstream_filesystem.split_file.BLOCK_BYTES", block)
        try:
            whole = values_and_rejects(kit.fetch_all(reader_of(kit, path, format_)[0]))
        except FileHeaderInvalid:
            return
        restarted = []
        reader, _ = reader_of(kit, path, format_)
        for size in [*sizes, *[1000] * 20]:
            batch = reader.fetch(size)
            if batch is None:
                break
            restarted.append(batch)
            splits = reader.snapshot(1)
            reader.close()
            reader = kit.closing(FileSource(path, format_).create_reader(kit.Reading()))
            reader.add_splits(splits)
    assert values_and_rejects(restarted) == whole


def values_and_rejects(batches: list[Any]) -> tuple[list[Any], list[Any]]:
    return [value for batch in batches for value in batch.values], [item for batch in batches for item in batch.rejected]


@pytest.mark.parametrize("change", ["grow", "shrink", "touch", "delete"])
@pytest.mark.parametrize("when", ["before", "during"])
def test_a_file_that_changes_after_it_was_found_stops_the_job(kit: Any, tmp_path: Path, change: str, when: str) -> None:
    path = tmp_path / "in.txt"
    path.write_bytes(b"0123456789\n" * BLOCK_BYTES)
    reader, _ = reader_of(kit, path)
    if when == "during":
        assert len(reader.fetch(10).values) == 10
    if change == "grow":
        path.write_bytes(path.read_bytes() + b"more\n")
    elif change == "shrink":
        os.truncate(path, 11 * 100_000)
    elif change == "touch":
        os.utime(path, ns=(0, 0))
    else:
        path.unlink()
    with pytest.raises(FileChanged, match="rename it when it is complete") as caught:
        kit.read_all(reader)
    assert caught.value.path == str(path)
    assert (caught.value.now_size_bytes is None) == (change == "delete")


@pytest.mark.parametrize("change", ["grow", "touch", "delete"])
def test_a_file_that_changes_between_its_last_block_and_its_last_record_stops_the_job(kit: Any, tmp_path: Path, change: str) -> None:
    path = tmp_path / "in.txt"
    path.write_bytes(b"a\nb\nc\n")
    reader, _ = reader_of(kit, path)
    assert reader.fetch(2).values == ["a", "b"]
    if change == "grow":
        with path.open("ab") as file:
            file.write(b"more\n")
    elif change == "touch":
        os.utime(path, ns=(0, 0))
    else:
        path.unlink()
    with pytest.raises(FileChanged, match="rename it when it is complete"):
        reader.fetch(2)
    assert [split.split_id for split in reader.snapshot(1)] == [str(path)]


def test_a_file_that_changes_once_it_was_read_to_its_end_is_not_looked_at_again(kit: Any, tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_bytes(b"a\nb\n")
    reader, _ = reader_of(kit, path)
    assert reader.fetch(2).values == ["a", "b"]
    with path.open("ab") as file:
        file.write(b"more\n")
    assert reader.fetch(2) is None
    assert list(reader.finished_splits()) == [str(path)]


def test_a_header_without_the_wanted_columns_stops_the_job_and_keeps_the_split(kit: Any, tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(b"id,m\n1,2\n")
    reader, _ = reader_of(kit, path, CsvFormat(types={"n": int}, has_header=True))
    with pytest.raises(FileHeaderInvalid, match=r"in.csv is not the expected header: the header has no column 'n', only id, m"):
        reader.fetch(1)
    assert len(reader.snapshot(1)) == 1


def test_files_are_read_one_after_the_other_and_their_ends_are_told(kit: Any, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(f"{name}1\n{name}2\n")
    context = kit.Reading()
    reader = kit.closing(FileSource(tmp_path).create_reader(context))
    reader.start()
    assert context.requests == 1
    assert reader.fetch(10) is None
    reader.add_splits([FileSplit.of_file(context.storage.info(str(tmp_path / name))).to_split() for name in "ab"])
    assert context.wakes
    assert (reader.fetch(10).values, list(reader.finished_splits())) == (["a1", "a2"], [str(tmp_path / "a")])
    assert reader.finished_splits() == []
    assert context.requests == 1
    assert reader.fetch(10).split_id == str(tmp_path / "b")
    assert context.requests == 2
    assert not reader.finished()
    reader.no_more_splits()
    assert reader.finished()


def test_crash_points_tell_a_file_in_the_middle_from_one_that_ended(kit: Any, tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_bytes(b"a\nb\n")
    kit.crash_at("source.split.mid")
    with pytest.raises(kit.Crash):
        reader_of(kit, path)[0].fetch(1)
    reader, _ = reader_of(kit, path)
    assert reader.fetch(2).values == ["a", "b"]
    kit.crash_at("source.split.finished_not_checkpointed")
    with pytest.raises(kit.Crash):
        reader_of(kit, path)[0].fetch(2)


@pytest.mark.parametrize("rate", [0.5, 7.0, 1000.0, 250_000.0])
def test_paced_reading_keeps_to_its_rate_on_average(kit: Any, tmp_path: Path, rate: float) -> None:
    path = tmp_path / "in.txt"
    path.write_bytes(b"x\n" * 20_000)
    reader, context = reader_of(kit, path, records_per_second=rate)
    read, calls, end_s = 0, 0, min(60.0, 15_000 / rate)
    while True:
        calls += 1
        read += len(kit.read_all(reader))
        due_s = reader.ready_at_s()
        assert due_s is not None
        assert due_s > context.clock.monotonic_s()
        if due_s > end_s:
            break
        context.clock.advance(due_s - context.clock.monotonic_s())
    assert read == pytest.approx(end_s * rate, abs=1 + rate * 0.011)
    assert calls <= max(end_s * 101, read / 1000) + 2


def test_paced_reading_makes_up_for_one_second_of_a_pause_at_most(kit: Any, tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_bytes(b"x\n" * 10_000)
    reader, context = reader_of(kit, path, records_per_second=10)
    assert len(kit.read_all(reader)) == 1
    context.clock.advance(100)
    assert len(kit.read_all(reader)) == 10
    context.clock.advance(1)
    assert len(kit.read_all(reader)) == 10


def test_paced_reading_is_shared_by_all_subtasks(kit: Any, tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_bytes(b"x\n" * 1000)
    context = kit.Reading(parallelism=2)
    reader = kit.closing(FileSource(path, records_per_second=10).create_reader(context))
    reader.add_splits([FileSplit.of_file(context.storage.info(str(path))).to_split()])
    read = 0
    for _ in range(100):
        read += len(kit.read_all(reader))
        context.clock.advance(0.1)
    assert read == 50


def test_json_records_of_a_type_are_read(kit: Any, tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": 2}\n')
    reader, _ = reader_of(kit, path, JsonLinesFormat(record_type=dict[str, int]))
    assert kit.read_all(reader) == [{"a": 1}, {"a": 2}]


def test_a_file_that_may_not_be_read_is_named_with_the_fix_and_stays_in_the_snapshot(
    kit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "in.txt"
    path.write_bytes(b"1\n")
    reader, context = reader_of(kit, path)

    def refuse(name: str) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", name)

    monkeypatch.setattr(context.storage, "open_read", refuse)
    with pytest.raises(PathUnusable, match=r"The file .*in\.txt cannot be used: Permission denied\. Make it readable") as caught:
        kit.read_all(reader)
    assert caught.value.permanent
    assert [split.split_id for split in reader.snapshot(1)] == [str(path)]


def test_a_misspelled_header_is_answered_in_whole_sentences(kit: Any, tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(b"degree\n2\n")
    reader, _ = reader_of(kit, path, CsvFormat(types={"degrees": int}, has_header=True))
    with pytest.raises(FileHeaderInvalid, match=r"only degree\. Did you mean 'degree'\? Correct the file"):
        kit.read_all(reader)
