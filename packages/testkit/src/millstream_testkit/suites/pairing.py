"""The conformance suite of a state backend together with a checkpoint storage."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar, Final

import pytest
from hypothesis import strategies as st

from millstream_testkit.demands import Sampling, demand
from millstream_testkit.suites.base import ConformanceSuite
from millstream_testkit.suites.pairing_job import run_job
from millstream_testkit.suites.pairing_machine import PairingMachine, programs_of_pairings
from millstream_testkit.suites.programs import Programs, programs, run_programs
from millstream_testkit.suites.state_model import uses
from millstream_testkit.under_test import under_test

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from millstream.contracts.checkpoint_storage import CheckpointStorage
    from millstream_testkit.pairing_harness import PairingHarness

_RECORDS: Final = 60
_numbers = count(1)


def operator_programs(harness: PairingHarness, sampling: Sampling) -> list[Programs]:
    """Programs, by how the states are declared."""
    return [programs(sampling, of, 0.5) for of in ("typed", "data codec", "typed with ttl", "data codec with ttl")]


def job_programs(harness: PairingHarness, sampling: Sampling) -> list[Programs]:
    """Programs of whole jobs."""
    return [programs(sampling, share=0.1)]


class PairingSuite(ConformanceSuite):
    """Everything that is demanded of both together. Each has a suite of its own, too.

    Example:
        class TestMyBackendWithFiles(PairingSuite):
            harness = MyBackendWithFilesHarness
    """

    subject: ClassVar[str] = "state backend and checkpoint storage"
    complete = True

    @pytest.fixture
    def storage(self, tmp_path: Path) -> Iterator[Callable[[], CheckpointStorage]]:
        """Makes the storage anew; both are under test until the test is over."""
        harness: PairingHarness = self.made_harness()
        backend, storage = harness.state_backend(), harness.checkpoint_storage()
        folder = tmp_path / "state"
        folder.mkdir()
        location = storage.create_location(tmp_path)

        def make() -> CheckpointStorage:
            return storage.storage(location)

        try:
            with under_test(lambda: backend.backend(folder), make):
                yield make
        finally:
            storage.drop_location(location)

    @demand(
        "An operator has, after any program of records, checkpoints, deaths and restarts at any parallelism, what plain dicts have.",
        cases=operator_programs,
    )
    def test_an_operator_matches_a_model(self, storage: Callable[[], CheckpointStorage], case: Programs) -> None:
        def run(program: list[Any]) -> None:
            machine = PairingMachine(storage, str(next(_numbers)), typed="typed" in case.of, ttl="ttl" in case.of)
            machine.run(program)
            machine.clean_up()

        run_programs(case, programs_of_pairings, run)

    @demand("A job whose function fails again and again has in its states in the end what one has that never failed.", cases=job_programs)
    def test_a_job_that_fails_matches_a_model(self, storage: Callable[[], CheckpointStorage], case: Programs) -> None:
        def run(drawn: tuple[list[Any], set[int]]) -> None:
            program, failures = drawn
            found, expected = run_job(f"pairing {next(_numbers)}", program, failures)
            wrong = {key: (found.get(key), expected[key]) for key in expected if found.get(key) != expected[key]}
            assert not wrong, f"after failures at calls {sorted(failures)}, by key, (what is, what should be): {wrong}"

        run_programs(
            case,
            st.tuples(st.lists(uses, min_size=_RECORDS, max_size=_RECORDS), st.sets(st.integers(2, 2 * _RECORDS), min_size=1, max_size=3)),
            run,
        )
