"""Random programs against a model: how many are tried, and how one that fails is told."""

from __future__ import annotations

import time
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Final, TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy

    from millstream_testkit.demands import Sampling

T = TypeVar("T")

_SAMPLE: Final = 60
_FULL: Final = 1_000
_SHORTEN_S: Final = 8.0


@dataclass(frozen=True)
class Programs:
    """A number of random programs, the same for the same seed.

    Attributes:
        count: how many.
        seed: they follow from it.
        of: what they are about, where a demand has programs of several kinds.
    """

    count: int
    seed: int
    of: str = ""

    def __str__(self) -> str:
        return f"{self.of + ', ' if self.of else ''}{self.count} programs, seed {self.seed}"


def programs(sampling: Sampling, of: str = "", share: float = 1.0) -> Programs:
    """The programs of one case; `share` below 1 for such as take long."""
    return Programs(max(1, round((_FULL if sampling.full else _SAMPLE) * share)), sampling.seed, of)


def steps(step: SearchStrategy[T], most: int) -> SearchStrategy[list[T]]:
    """Programs of any length up to `most`, as many long ones as short ones: left alone, Hypothesis makes nearly all of them short."""
    return st.integers(1, most).flatmap(lambda length: st.lists(step, min_size=length, max_size=length))


def weighted(*choices: tuple[int, SearchStrategy[Any]]) -> SearchStrategy[Any]:
    """One of several, in proportion to its weight: `one_of` counts a strategy once, however often it is given."""
    drawn = [strategy for weight, strategy in choices for _ in range(weight)]
    return st.integers(0, len(drawn) - 1).flatmap(drawn.__getitem__)


class _Enough(BaseException):
    """Ends Hypothesis's search for a shorter program, which may take minutes. No Exception, which it would take for one more failure."""


def run_programs(case: Programs, strategy: SearchStrategy[T], run: Callable[[T], object]) -> None:
    """Runs each; of a program that fails, a short form that still fails is reported: the shortest that is found in a few seconds."""
    shortest: Exception | None = None
    length, until_s = 0, inf

    @seed(case.seed)
    @settings(
        max_examples=case.count,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def check(program: Any) -> None:
        nonlocal shortest, length, until_s
        if time.monotonic() > until_s:
            raise _Enough
        try:
            run(program)
        except Exception as failure:
            if shortest is None:
                until_s = time.monotonic() + _SHORTEN_S
            if shortest is None or len(repr(program)) < length:
                shortest, length = failure, len(repr(program))
            raise

    try:
        check()
    except _Enough:
        assert shortest is not None
        raise shortest from None


class Failed(AssertionError):
    """A program after which something is not as it is in the model."""

    def __init__(self, done: list[str], problem: BaseException) -> None:
        super().__init__(f"after {', '.join(done)}: {problem or type(problem).__name__}")


def described(step: tuple[Any, ...]) -> str:
    """One step of a program, for a report."""
    name, *arguments = step
    return f"{name}({', '.join(map(repr, arguments))})"
