from __future__ import annotations

import json
from pathlib import Path

from millstream_testkit.coverage import covered_numbers
from millstream_testkit.epoch_source import EpochSource
from millstream_testkit.oracle import compare, expected_rows


def test_each_number_is_expected_with_its_key_and_its_place_among_those_of_the_key() -> None:
    assert expected_rows(5, 2) == [(0, 0, 1), (1, 1, 1), (2, 0, 2), (3, 1, 2), (4, 0, 3)]


def test_any_order_is_exact() -> None:
    assert compare([(1, 1, 1), (0, 0, 1)], [(0, 0, 1), (1, 1, 1)]).exact


def test_each_difference_is_named_with_the_rows() -> None:
    verdict = compare([(0, 0, 1), (1, 1, 1)], [(0, 0, 1), (0, 0, 1), (0, 0, 1), (1, 1, 2)])
    assert not verdict.exact
    assert (verdict.missing, verdict.doubled, verdict.wrong) == ([(1, 1, 1)], [(0, 0, 1), (0, 0, 1)], [(1, 1, 2)])
    assert str(verdict) == "1 missing: (1, 1, 1); 2 doubled: (0, 0, 1), (0, 0, 1); 1 wrong: (1, 1, 2)"


def journal(path: Path, *entries: tuple[int, dict[str, int]]) -> Path:
    path.write_text("".join(json.dumps({"checkpoint": number, "read": read}) + "\n" for number, read in entries))
    return path


def complete(checkpoints: Path, *numbers: int) -> Path:
    for number in numbers:
        folder = checkpoints / "job" / f"chk-{number}"
        folder.mkdir(parents=True)
        (folder / "_metadata").touch()
    return checkpoints


SOURCE = EpochSource(records=10, per_epoch=2, splits=2)


def test_nothing_is_covered_before_the_first_checkpoint(tmp_path: Path) -> None:
    assert covered_numbers(SOURCE, tmp_path / "journal", tmp_path / "checkpoints") == set()


def test_the_newest_complete_checkpoint_covers_what_its_snapshots_captured(tmp_path: Path) -> None:
    lines = journal(tmp_path / "journal", (1, {"0": 1}), (1, {"1": 0}), (2, {"0": 2}), (2, {"1": 1}), (3, {"0": 4}), (3, {"1": 4}))
    assert covered_numbers(SOURCE, lines, complete(tmp_path / "checkpoints", 1, 2)) == {0, 2, 1}


def test_a_split_that_was_read_to_its_end_before_a_restart_stays_covered(tmp_path: Path) -> None:
    lines = journal(tmp_path / "journal", (1, {"0": 5, "1": 2}), (2, {"1": 4}))
    assert covered_numbers(SOURCE, lines, complete(tmp_path / "checkpoints", 2)) == {0, 2, 4, 6, 8, 1, 3, 5, 7}


def test_nothing_can_be_said_after_the_checkpoints_were_cleaned_up(tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / "job").mkdir(parents=True)
    (tmp_path / "checkpoints" / "job" / ".highest-4").touch()
    assert covered_numbers(SOURCE, tmp_path / "journal", tmp_path / "checkpoints") is None
