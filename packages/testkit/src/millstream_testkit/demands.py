"""What a suite demands of a connector: a rule, when it applies, and in which cases it is tried."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

import pytest

if TYPE_CHECKING:
    from millstream_testkit.harness import Harness

DEFAULT_SEED: Final = 20260
_ATTRIBUTE: Final = "__millstream_demand__"

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Condition:
    """When a demand is made.

    Attributes:
        text: for tables: of whom it is made.
        why_not: takes what the connector declares; returns why the demand is not made of it, as a part of a sentence, or nothing.
    """

    text: str
    why_not: Callable[[Any], str]


@dataclass(frozen=True)
class Sampling:
    """How much of a large product is run.

    Attributes:
        full: all of it.
        seed: of the choice; the same for the same seed.
    """

    full: bool = False
    seed: int = DEFAULT_SEED


@dataclass(frozen=True)
class Demand:
    """One test of a suite.

    Attributes:
        name: of the test, without `test_`.
        rule: what must hold, one sentence.
        conditions: all must allow it.
        cases: what it is tried with; None for a single try.
        kills: it kills processes, so it takes seconds.
    """

    name: str
    rule: str
    conditions: tuple[Condition, ...] = ()
    cases: Callable[[Any, Sampling], Sequence[object]] | None = None
    kills: bool = False

    def not_made(self, harness: Harness) -> str:
        """Why it is not made of this connector; nothing when it is."""
        declared = harness.declared()
        return next(filter(None, (condition.why_not(declared) for condition in self.conditions)), "")


def demand(
    rule: str,
    *,
    when: Condition | Sequence[Condition] = (),
    cases: Callable[[Any, Sampling], Sequence[object]] | None = None,
    kills: bool = False,
) -> Callable[[F], F]:
    """Makes a test method of a `ConformanceSuite` a demand.

    Args:
        rule: what must hold, one sentence; it stands in reports.
        when: conditions on what the connector declares; where one does not hold, the demand is not run, and that is reported.
        cases: gives the values of the method's argument `case`.
        kills: it kills processes; marked `faults`.
    """
    conditions = (when,) if isinstance(when, Condition) else tuple(when)

    def mark(function: F) -> F:
        made = Demand(function.__name__.removeprefix("test_"), rule, conditions, cases, kills)
        setattr(function, _ATTRIBUTE, made)
        return pytest.mark.faults(function) if kills else function

    return mark


def demand_of(function: object) -> Demand | None:
    """The demand that a test function makes, if it is one."""
    found = getattr(function, _ATTRIBUTE, None)
    return found if isinstance(found, Demand) else None


def kind(*kinds: str) -> Condition:
    """Only for connectors of these kinds."""
    only = " and ".join(kinds)
    return Condition(only, lambda declared: "" if declared.kind in kinds else f"for {only} only")


def declares(capability: str) -> Condition:
    """Only for connectors that declare a capability open."""
    return Condition(f"declares {capability}", lambda declared: "" if getattr(declared, capability) else f"{capability} is declared closed")
