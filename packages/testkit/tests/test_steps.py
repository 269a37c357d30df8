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
    yield
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
        arm(name, lambda name=name: passed.append(name))  # type: ignore[misc]  # defaults bind the names of this round
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


def listening(phase: str, info: dict[str, int]) -> None:
    """Called by the collector, as Hypothesis has itself called: in the middle of whatever code runs."""


def test_what_the_cyclic_collector_does_meanwhile_is_no_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    harness = LedgerHarness()
    monkeypatch.setattr(type(harness.resolved("any")), "open", type(harness.resolved("any")).open)
    watch_steps(harness.resolved("any"))
    counts = []
    for often in (False, True):
        passed: list[str] = []
        for name in step_names("commit_batch"):
            arm(name, lambda name=name, passed=passed: passed.append(name))  # type: ignore[misc]  # defaults bind the names of this round
        threshold = gc.get_threshold()
        gc.set_threshold(1 if often else threshold[0])
        gc.callbacks.append(listening)
        try:
            with opening(harness, str(tmp_path / f"{often}.db")) as attempts:
                attempts.open().client.commit_batch(0, 1, 0, rows(0, 4))
        finally:
            gc.callbacks.remove(listening)
            gc.set_threshold(*threshold)
        disarm()
        counts.append(len(passed))
    assert gc.isenabled()
    assert counts[0] == counts[1]
