from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from millstream.contracts.source import SourceReader, Split
from millstream_testkit.epoch_source import EpochSource


class Coordinator:
    """Hands a reader its splits when it asks; stands for both contexts."""

    parallelism = 1

    def __init__(self, source: EpochSource, restored: Sequence[Split] | None = None, state: bytes | None = None) -> None:
        self.enumerator = source.create_enumerator(self, state)  # type: ignore[arg-type]
        self.reader: SourceReader[int] = source.create_reader(self)  # type: ignore[arg-type]
        if restored:
            self.reader.add_splits(restored)
        self.reader.start()

    def request_split(self) -> None:
        self.enumerator.handle_split_request(0)

    def assign(self, subtask: int, splits: Sequence[Split]) -> None:
        self.reader.add_splits(splits)

    def no_more_splits(self, subtask: int) -> None:
        self.reader.no_more_splits()

    def wake(self) -> None:
        """The test asks again on its own."""

    def read(self) -> list[int]:
        values: list[int] = []
        while (fetched := self.reader.fetch(100)) is not None:
            assert fetched.timestamps == fetched.values
            values += fetched.values
        return values


def test_one_epoch_of_each_split_is_read_until_a_checkpoint_that_covers_it_is_complete() -> None:
    job = Coordinator(EpochSource(records=12, per_epoch=2, splits=2))
    assert sorted(job.read()) == [0, 1, 2, 3]
    assert job.read() == []
    job.reader.snapshot(1)
    assert job.read() == []
    job.reader.notify_checkpoint_complete(1)
    assert sorted(job.read()) == [4, 5, 6, 7]


def test_a_checkpoint_taken_in_the_middle_of_an_epoch_does_not_release_the_next() -> None:
    job = Coordinator(EpochSource(records=8, per_epoch=4))
    assert job.reader.fetch(2) is not None
    job.reader.snapshot(1)
    assert job.read() == [2, 3]
    job.reader.notify_checkpoint_complete(1)
    assert job.read() == []


def test_two_more_snapshots_release_an_epoch_whose_notification_is_lost() -> None:
    job = Coordinator(EpochSource(records=8, per_epoch=4))
    assert job.read() == [0, 1, 2, 3]
    for number in (1, 2):
        job.reader.snapshot(number)
        assert job.read() == []
    job.reader.snapshot(3)
    assert job.read() == [4, 5, 6, 7]


def test_a_notification_for_a_later_checkpoint_than_the_one_that_covers_the_epoch_releases_it() -> None:
    job = Coordinator(EpochSource(records=8, per_epoch=4))
    job.read()
    job.reader.snapshot(1)
    job.reader.snapshot(2)
    job.reader.notify_checkpoint_complete(2)
    assert job.read() == [4, 5, 6, 7]


def test_it_is_finished_when_every_split_is_read_to_its_end() -> None:
    job = Coordinator(EpochSource(records=3, per_epoch=5, splits=2))
    assert not job.reader.finished()
    assert sorted(job.read()) == [0, 1, 2]
    assert job.reader.finished()
    assert sorted(job.reader.finished_splits()) == ["0", "1"]
    assert list(job.reader.finished_splits()) == []


def test_a_restored_reader_goes_on_behind_the_snapshot(tmp_path: Path) -> None:
    source = EpochSource(records=20, per_epoch=4, splits=2)
    first = Coordinator(source)
    first.read()
    splits, enumerator = first.reader.snapshot(1), first.enumerator.snapshot(1)
    second = Coordinator(source, restored=splits, state=enumerator)
    assert sorted(second.read()) == list(range(8, 16))


def test_a_split_that_nobody_has_read_is_with_the_enumerator_after_a_restore() -> None:
    source = EpochSource(records=4, per_epoch=4, splits=2)
    second = Coordinator(source, restored=[Split("0", {"next": 2})], state=b"[1]")
    assert sorted(second.read()) == [1, 3]


def test_each_snapshot_leaves_its_positions_in_the_journal(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    job = Coordinator(EpochSource(records=8, per_epoch=2, splits=2, journal=str(journal)))
    job.reader.snapshot(1)
    job.read()
    job.reader.snapshot(2)
    lines: list[Any] = [json.loads(line) for line in journal.read_text().splitlines()]
    assert lines == [{"checkpoint": 1, "read": {"0": 0, "1": 0}}, {"checkpoint": 2, "read": {"0": 2, "1": 2}}]
