"""What is demanded of a checkpoint storage while its processes are killed with SIGKILL: a stranger finds the old or the new, whole."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from millstream_testkit.demands import Sampling, demand
from millstream_testkit.killed_storage import KilledStorage, killed_once, moments_of
from millstream_testkit.suites.storage_contract import DURABLE, StorageContractBase

if TYPE_CHECKING:
    from pathlib import Path

    from millstream_testkit.storage_harness import CheckpointStorageHarness


def parts(harness: CheckpointStorageHarness, sampling: Sampling) -> list[str]:
    """Parts of the way through the first attempt."""
    return [f"{part}/64" for part in range(65)] if sampling.full else [f"{part}/16" for part in (2, 6, 10, 14)]


def passes(harness: CheckpointStorageHarness, sampling: Sampling) -> list[str]:
    """Which pass of each crash point that the storage has."""
    return ["first pass", "second pass", "last pass"] if sampling.full else ["second pass"]


def pairs(harness: CheckpointStorageHarness, sampling: Sampling) -> list[str]:
    """Parts of the way through the first attempt and the second."""
    every = [(first, second) for first in range(1, 17, 2) for second in range(0, 17, 2)]
    return [f"{first}/16 then {second}/16" for first, second in (every if sampling.full else [(5, 9), (12, 3)])]


def at_part(part: str, moments: list[str]) -> str:
    """The moment at a part of the way."""
    number, of = map(int, part.split("/"))
    return moments[min(number * len(moments) // of, len(moments) - 1)]


class StorageDeaths(StorageContractBase):
    """Durable storages."""

    @demand(
        "Wherever a process dies that writes, publishes or deletes, its successor finds each checkpoint whole or absent.",
        when=DURABLE,
        cases=parts,
        kills=True,
    )
    def test_death_between_any_two_calls(self, case: str, tmp_path: Path) -> None:
        self._assert_survives(tmp_path, at_part(case, moments_of(self.made_harness(), tmp_path)))

    @demand("A death at any crash point that the storage passes leaves each checkpoint whole or absent.", when=DURABLE, cases=passes, kills=True)
    def test_death_at_every_crash_point(self, case: str, tmp_path: Path) -> None:
        by_name: dict[str, list[str]] = {}
        for moment in moments_of(self.made_harness(), tmp_path):
            if not moment.startswith("testkit."):
                by_name.setdefault(moment.partition("#")[0], []).append(moment)
        if not by_name:
            pytest.skip("not run: the storage passes no crash point; it is killed between its calls instead")
        for found in by_name.values():
            self._assert_survives(tmp_path, found[{"first pass": 0, "second pass": min(1, len(found) - 1), "last pass": -1}[case]])

    @demand("A second death, while the successor removes what the first one left, changes nothing.", when=DURABLE, cases=pairs, kills=True)
    def test_death_in_the_recovery(self, case: str, tmp_path: Path) -> None:
        harness: CheckpointStorageHarness = self.made_harness()
        first, second = case.split(" then ")
        moment = at_part(first, moments_of(harness, tmp_path))
        again = at_part(second, moments_of(harness, tmp_path, after=moment))
        storage = killed_once(harness, tmp_path, moment)
        when = f"after deaths at {moment} and, in the next attempt, {again}"
        code = storage.live(again)
        assert code == -signal.SIGKILL, f"{when}, exit code {code}: {storage.last_words()}"
        self._assert_goes_on(storage, when)

    def _assert_survives(self, root: Path, moment: str) -> None:
        self._assert_goes_on(killed_once(self.made_harness(), root, moment), f"after a death at {moment}")

    @staticmethod
    def _assert_goes_on(storage: KilledStorage, when: str) -> None:
        problems = storage.problems()
        assert not problems, f"{when}: {'; '.join(problems)}"
        assert storage.live() == 0, f"{when}, the next attempt: {storage.last_words()}"
        problems = storage.problems()
        assert not problems, f"{when}, and a whole attempt: {'; '.join(problems)}"
        storage.drop()
