from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from millstream.contracts.sink import SinkContext
from millstream.contracts.write_ahead import Marker
from millstream.errors import Fenced, InvalidArgument
from millstream.ports import InlineExecutor, LocalStorage, ManualClock, SeededRandom, arm, disarm
from millstream.ports.crash import CrashPointReached
from millstream.runtime.metrics import MetricRegistry
from millstream_testkit.ledger import SqliteLedgerLanes, SqliteLedgerSink
from millstream_testkit.sinks import rows_of_table

Open = Callable[..., SqliteLedgerLanes]


def make_context(attempt: int = 0, run_id: str = "a" * 32) -> SinkContext:
    return SinkContext(
        job_name="job",
        run_id=run_id,
        sink_uid="out",
        subtask=0,
        parallelism=1,
        attempt=attempt,
        lane=0,
        owned_lanes=(0,),
        clock=ManualClock(),
        random=SeededRandom(1),
        storage=LocalStorage(),
        executor=InlineExecutor(),
        metrics=MetricRegistry(ManualClock()).group("job", "out", "0"),
    )


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target.db"


@pytest.fixture
def open_lanes(target: Path) -> Iterator[Open]:
    opened = []

    def open_lanes(attempt: int = 0, run_id: str = "a" * 32) -> SqliteLedgerLanes:
        context = make_context(attempt, run_id)
        lanes = SqliteLedgerSink(target, "results", ("number", "key", "place")).open(context)
        opened.append(lanes)
        lanes.fence(0)
        return lanes

    yield open_lanes
    for lanes in opened:
        lanes.close()


def rows(*numbers: int) -> list[tuple[int, int, int]]:
    return [(number, 0, number) for number in numbers]


def die() -> None:
    raise CrashPointReached("test")


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    disarm()


def test_a_new_lane_has_no_marker_and_a_committed_one_has_its_last(open_lanes: Open) -> None:
    lanes = open_lanes()
    assert lanes.read_marker(0) is None
    lanes.commit_batch(0, 3, 0, rows(1))
    lanes.commit_batch(0, 3, 1, rows(2))
    assert lanes.read_marker(0) == Marker(3, 1)


def test_a_commit_repeated_after_a_restart_inserts_nothing(open_lanes: Open, target: Path) -> None:
    open_lanes().commit_batch(0, 3, 0, rows(1, 2))
    second = open_lanes(attempt=1)
    second.commit_batch(0, 3, 0, rows(1, 2))
    second.commit_batch(0, 2, 7, rows(9))
    assert rows_of_table(str(target)) == rows(1, 2)


def test_a_crash_within_the_transaction_leaves_neither_records_nor_marker(open_lanes: Open, target: Path) -> None:
    lanes = open_lanes()
    arm("sink.commit.mid", die)
    with pytest.raises(CrashPointReached):
        lanes.commit_batch(0, 1, 0, rows(1, 2))
    assert rows_of_table(str(target)) == []
    assert lanes.read_marker(0) is None


def test_an_older_attempt_that_wakes_up_is_fenced_and_inserts_nothing(open_lanes: Open, target: Path) -> None:
    old, new = open_lanes(attempt=0), open_lanes(attempt=1)
    with pytest.raises(Fenced) as error:
        old.commit_batch(0, 1, 0, rows(1))
    assert (error.value.lane, error.value.attempt) == (0, 0)
    new.commit_batch(0, 1, 0, rows(1))
    assert rows_of_table(str(target)) == rows(1)


def test_runs_do_not_share_markers(open_lanes: Open, target: Path) -> None:
    open_lanes().commit_batch(0, 5, 0, rows(1))
    other = open_lanes(run_id="b" * 32)
    assert other.read_marker(0) is None
    other.commit_batch(0, 1, 0, rows(1))
    assert rows_of_table(str(target)) == rows(1, 1)


def test_names_that_need_quotes_are_quoted(tmp_path: Path) -> None:
    sink = SqliteLedgerSink(tmp_path / "odd.db", 'odd "table"; --', ("select", 'a"b'))
    lanes = sink.open(make_context())
    lanes.fence(0)
    lanes.commit_batch(0, 1, 0, [(1, "x")])
    lanes.close()
    connection = sqlite3.connect(tmp_path / "odd.db")
    assert connection.execute('SELECT "select", "a""b" FROM "odd ""table""; --"').fetchall() == [(1, "x")]
    connection.close()


def test_a_sink_without_columns_is_refused(target: Path) -> None:
    with pytest.raises(InvalidArgument, match="columns"):
        SqliteLedgerSink(target, "results", ())
