"""Says what is right, without the engine: plain Python over numbers and what a reader of the target finds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

R = TypeVar("R")

Row: TypeAlias = tuple[int, int, int]
"""What the kit's job writes for the number n: n, its key n % keys, and how many numbers of that key have come, n included."""


def expected_rows(records: int, keys: int) -> list[Row]:
    """What the kit's job must have written when it is done."""
    return [(number, number % keys, number // keys + 1) for number in range(records)]


@dataclass(frozen=True)
class Verdict(Generic[R]):
    """How what is visible differs from what is right.

    Attributes:
        missing: rows that are right and not there.
        doubled: rows that are right and there too often, once for each time too many.
        wrong: rows that should not exist at all.
    """

    missing: list[R]
    doubled: list[R]
    wrong: list[R]

    @property
    def exact(self) -> bool:
        """Every row that is right is there once, and no other."""
        return not (self.missing or self.doubled or self.wrong)

    def __str__(self) -> str:
        if self.exact:
            return "exact"
        return "; ".join(f"{len(rows)} {name}: {_short(rows)}" for name, rows in vars(self).items() if rows)


def _short(rows: list[Any], most: int = 5) -> str:
    return ", ".join(map(str, rows[:most])) + (", ..." if len(rows) > most else "")


def compare(expected: Iterable[R], visible: Iterable[R]) -> Verdict[R]:
    """The verdict on what a reader sees.

    >>> print(compare([(0, 0, 1), (1, 1, 1)], [(0, 0, 1), (0, 0, 1), (7, 1, 1)]))
    1 missing: (1, 1, 1); 1 doubled: (0, 0, 1); 1 wrong: (7, 1, 1)
    """
    wanted, found = Counter(expected), Counter(visible)
    surplus = _ordered((found - wanted).elements())
    return Verdict(
        missing=_ordered((wanted - found).elements()),
        doubled=[row for row in surplus if row in wanted],
        wrong=[row for row in surplus if row not in wanted],
    )


def _ordered(records: Iterable[R]) -> list[R]:
    found: list[Any] = list(records)
    try:
        return sorted(found)
    except TypeError:  # of types that have no order
        return sorted(found, key=repr)
