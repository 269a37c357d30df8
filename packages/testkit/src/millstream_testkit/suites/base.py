"""What all suites share: one class attribute names the connector, the rest is done here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from millstream_testkit.demands import Sampling, demand_of
from millstream_testkit.errors import HarnessUnusable

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream_testkit.harness import Harness

NOTES = pytest.StashKey[list[str]]()
"""Of a test item: what the report should say beside the outcome."""


class ConformanceSuite:
    """Base of the suites. A subclass in a test file, named `Test...`, is the whole test:

        class TestMySink(SinkSuite):
            harness = MySinkHarness

    Attributes:
        harness: class of the connector's harness.
        subject: what the suite is about, for reports.
        complete: the suite has everything that the connector's guarantee rests on, so that it may be called proved.
    """

    harness: ClassVar[type[Harness]]
    subject: ClassVar[str] = "connector"
    complete: ClassVar[bool] = False

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Gives each demand its cases. Called by pytest."""
        made = demand_of(metafunc.function)
        if made is None or "case" not in metafunc.fixturenames:
            return
        harness = self.made_harness()
        assert made.cases is not None, f"{made.name} takes a case, and none is declared"
        options = metafunc.config.option
        sampling = Sampling(full=getattr(options, "millstream_full", False), seed=getattr(options, "millstream_seed", Sampling.seed))
        cases = [] if made.not_made(harness) else list(made.cases(harness, sampling))
        # One item is left when there is no case, so that what is not run is reported.
        metafunc.parametrize("case", [pytest.param(case, id=str(case)) for case in cases] or [pytest.param(None, id="none")])

    @classmethod
    def demands(cls) -> list[str]:
        """Names of everything that the suite demands."""
        made = (demand_of(getattr(cls, name)) for name in dir(cls) if name.startswith("test_"))
        return [each.name for each in made if each is not None]

    @classmethod
    def made_harness(cls) -> Any:
        """A new instance of the harness.

        Raises:
            HarnessUnusable: the suite names none, or it cannot be made.
        """
        harness = getattr(cls, "harness", None)
        if not isinstance(harness, type):
            raise HarnessUnusable(
                harness=cls.__name__,
                reason=f"the suite's attribute harness is {harness!r}, not a class",
                fix=f"Write `harness = YourHarness` in class {cls.__name__}: the class, not an instance",
            )
        try:
            return harness()
        except TypeError as error:
            raise HarnessUnusable(
                harness=harness.__name__,
                reason=str(error),
                fix="Implement what is missing, and let the harness be made without arguments",
            ) from error

    @pytest.fixture(autouse=True)
    def _only_what_is_declared(self, request: pytest.FixtureRequest) -> None:
        made = demand_of(request.function)
        if made is not None:
            reason = made.not_made(self.made_harness())
            if reason:
                pytest.skip(f"not run: {reason}")

    @pytest.fixture
    def note(self, request: pytest.FixtureRequest) -> Callable[[str], None]:
        """Adds a sentence to the report."""
        notes: list[str] = request.node.stash.setdefault(NOTES, [])
        return notes.append
