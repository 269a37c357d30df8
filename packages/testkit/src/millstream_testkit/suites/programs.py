"""Random programs against a model: how many are tried, and how one that fails is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import SearchStrategy

    from millstream_testkit.demands import Sampling

T = TypeVar("T")

_SAMPLE: Final = 60
_FULL: Final = 1_000


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


def run_programs(case: Programs, strategy: SearchStrategy[T], run: Callable[[T], object]) -> None:
    """Runs each; of a program that fails, the shortest form that still fails is reported."""

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
        run(program)

    check()


class Failed(AssertionError):
    """A program after which something is not as it is in the model."""

    def __init__(self, done: list[str], problem: BaseException) -> None:
        super().__init__(f"after {', '.join(done)}: {problem or type(problem).__name__}")


def described(step: tuple[Any, ...]) -> str:
    """One step of a program, for a report."""
    name, *arguments = step
    return f"{name}({', '.join(map(repr, arguments))})"
