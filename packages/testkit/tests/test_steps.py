from __future__ import annotations

import gc
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from millstream.ports import arm, disarm
from millstream.ports.crash import CrashPointReached
from millstream_testkit.sinks import LedgerHarness, rows_of_table
from millstream_testkit.steps import step_names, watch_steps
from millstream_testkit.suites.attempts import opening, rows


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    """Without the cyclic collector: what it releases meanwhile would be taken for a step."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    disarm()


def test_a_commit_can_be_interrupted_between_any_two_of_its_calls_and_an_atomic_one_shows_all_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = LedgerHarness()
    resolved = harness.resolved("any")
    monkeypatch.setattr(type(resolved), "open", type(resolved).open)  # put back afterwards
    watch_steps(resolved)
    passed: list[str] = []
    for name in step_names("commit_batch")[:40]:
        arm(name, lambda name=name: passed.append(name))  # type: ignore[misc]
    with opening(harness, str(tmp_path / "counted.db")) as attempts:
        attempts.open().client.commit_batch(0, 1, 0, rows(0, 4))
    assert passed == step_names("commit_batch")[: len(passed)]
    assert len(passed) > 6

    seen = set()
    for name in passed:
        disarm()

        def die(name: str = name) -> None:
            raise CrashPointReached(name)

        arm(name, die)
        target = str(tmp_path / f"{name}.db")
        with opening(harness, target) as attempts:
            with pytest.raises(CrashPointReached):
                attempts.open().client.commit_batch(0, 1, 0, rows(0, 4))
            disarm()
        with closing(sqlite3.connect(target)) as reader:
            marker = reader.execute("SELECT checkpoint_id FROM millstream_ledger").fetchone()[0]
        seen.add((len(rows_of_table(target)), marker))
    assert seen == {(0, None), (4, 1)}
