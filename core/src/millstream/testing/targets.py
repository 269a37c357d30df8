"""Targets outside the simulated process: what a sink wrote survives its crashes, and readers see what real readers would see."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from weakref import WeakValueDictionary

from millstream.errors import Fenced
from millstream.ports import SeededRandom

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millstream.contracts.sink import SinkContext

T = TypeVar("T")

_numbers: Final = count(1)
_all: Final[WeakValueDictionary[int, Target[Any]]] = WeakValueDictionary()


class ContractBroken(AssertionError):
    """The engine asked a target for something that its contract rules out."""


@dataclass(frozen=True)
class VisibleEpoch:
    """Records that became visible together."""

    run_id: str
    sink_uid: str
    lane: int
    checkpoint_id: int
    values: tuple[Any, ...] = field(repr=False)


class Target(Generic[T]):
    """What both kinds share.

    Args:
        busy: share of the commits that are answered as by a server in trouble.
        seed: decides which.
    """

    def __init__(self, busy: float = 0.0, seed: int = 0) -> None:
        self.epochs: list[VisibleEpoch] = []
        self._seen = 0
        self._busy = busy
        self._random = SeededRandom(f"{seed}/target")
        self._fences: dict[tuple[str, int], int] = {}
        self._number = next(_numbers)
        _all[self._number] = self

    def __reduce__(self) -> tuple[Any, ...]:
        # A server: programs that travel to other simulated processes have a way to it, and no server of their own.
        return _find, (self._number,)

    def visible(self) -> list[T]:
        """What a reader sees, in the order in which it became visible."""
        return [value for epoch in self.epochs for value in epoch.values]

    def leftovers(self) -> list[str]:
        """What nobody will ever finish or remove, once the job is over."""
        return []

    def take_new(self) -> list[VisibleEpoch]:
        """What became visible since the last call."""
        new = self.epochs[self._seen :]
        self._seen = len(self.epochs)
        return new

    def fence(self, sink_uid: str, lane: int) -> int:
        """A token; every older one of the lane is void from now on."""
        token = self._fences.get((sink_uid, lane), 0) + 1
        self._fences[sink_uid, lane] = token
        return token

    def check_fence(self, context: SinkContext, lane: int, token: int | None) -> None:
        """Raises Fenced unless the token is the lane's newest."""
        if token is None:
            raise ContractBroken(f"lane {lane} of {context.sink_uid} was written to and never fenced")
        if self._fences[context.sink_uid, lane] != token:
            raise Fenced(sink_uid=context.sink_uid, lane=lane, attempt=context.attempt)

    def is_busy(self) -> bool:
        """Whether the server is in trouble just now."""
        return self._busy > 0 and self._random.random() < self._busy

    def is_late(self) -> bool:
        """Whether trouble comes after the effect."""
        return self._random.below(2) == 1

    def show(self, context: SinkContext, run_id: str, lane: int, checkpoint_id: int, values: Sequence[Any]) -> None:
        """Makes records visible."""
        self.epochs.append(VisibleEpoch(run_id, context.sink_uid, lane, checkpoint_id, tuple(values)))


def _find(number: int) -> Target[Any]:
    return _all[number]
