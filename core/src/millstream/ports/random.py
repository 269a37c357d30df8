"""Chance, as the engine is allowed to use it."""

from __future__ import annotations

import random
from typing import Protocol


class Random(Protocol):
    """Draws numbers from a sequence that a seed decides."""

    def random(self) -> float:
        """Uniform in [0, 1)."""

    def below(self, n: int) -> int:
        """Uniform in range(n), n >= 1."""

    def token(self) -> str:
        """32 hexadecimal digits, unique for practical purposes."""

    def fork(self, name: str) -> Random:
        """An independent sequence that depends on this one's seed and on `name` only."""


class SeededRandom:
    """A Mersenne Twister. Without a seed it starts from the operating system's entropy."""

    def __init__(self, seed: int | str | None = None) -> None:
        self._seed = seed if seed is not None else random.SystemRandom().getrandbits(64)
        self._random = random.Random(str(self._seed))  # noqa: S311 - repeatable draws, not secrets

    def random(self) -> float:
        return self._random.random()

    def below(self, n: int) -> int:
        return self._random.randrange(n)

    def token(self) -> str:
        return f"{self._random.getrandbits(128):032x}"

    def fork(self, name: str) -> SeededRandom:
        return SeededRandom(f"{self._seed}/{name}")
