"""What can be wrong with a network, until it is healed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

Way: TypeAlias = Literal["upstream", "downstream"]
"""From the client to the server, or back."""

Ways: TypeAlias = Literal["upstream", "downstream", "both"]
Connections: TypeAlias = Literal["all", "new"]
"""Which of them have a fault: those that are open included, or only those that are made while it is on."""

WAYS: Final[tuple[Way, Way]] = ("upstream", "downstream")


@dataclass(eq=False, kw_only=True)
class Fault:
    """On from the call that returns it until `heal`, or the end of its `with` block.

    Attributes:
        ways: those that have it.
        first: number of the first connection that has it.
        switch_off: takes it from the proxy.
    """

    ways: tuple[Way, ...]
    first: int
    switch_off: Callable[[Fault], None] = field(repr=False)

    def is_on(self, way: Way, number: int) -> bool:
        """Whether a connection has it.

        Args:
            way: one of the two.
            number: of the connection, in the order in which they were accepted, from 1.
        """
        return way in self.ways and number >= self.first

    def heal(self) -> None:
        """Switches it off; a second call does nothing."""
        self.switch_off(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.heal()


F = TypeVar("F", bound=Fault)


@dataclass(eq=False, kw_only=True)
class Cut(Fault):
    """Nothing passes, not even the end of a connection, and nobody is told.

    Attributes:
        swallow: what comes is lost, and connections that have lost something are reset when it is healed. Else it waits, as with TCP.
        after: it begins behind the first piece that went upstream for which this is true; None once it has begun.
        stopped_bytes: that came while it was on. 0: it has met nothing.
    """

    swallow: bool
    after: Callable[[bytes], bool] | None = field(repr=False)
    stopped_bytes: int = 0

    @property
    def begun(self) -> bool:
        """Whether it has not to wait for anything any more."""
        return self.after is None

    def is_on(self, way: Way, number: int) -> bool:
        return self.after is None and super().is_on(way, number)


@dataclass(eq=False, kw_only=True)
class Latency(Fault):
    """What comes is passed on later, in its order.

    Attributes:
        seconds: how much later.
        jitter_s: by how much more or less, drawn for each piece.
    """

    seconds: float
    jitter_s: float


@dataclass(eq=False, kw_only=True)
class Bandwidth(Fault):
    """Each connection passes no more than so much.

    Attributes:
        bytes_per_s: each way.
    """

    bytes_per_s: float


@dataclass(eq=False, kw_only=True)
class SlowClose(Fault):
    """The end of a connection is passed on later.

    Attributes:
        delay_s: how much later.
    """

    delay_s: float


@dataclass(eq=False, kw_only=True)
class DataLimit(Fault):
    """A connection is closed when it has passed so much more.

    Attributes:
        size_bytes: since the fault was switched on, or since the connection was made.
    """

    size_bytes: int


@dataclass(eq=False, kw_only=True)
class Refusal(Fault):
    """Nobody listens: who connects is refused. Connections that are open stay."""


class Faults:
    """Those that are on. Used on the thread of the proxy only."""

    def __init__(self) -> None:
        self._on: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Switches one on."""
        self._on.append(fault)

    def remove(self, fault: Fault) -> bool:
        """Switches one off; False where it was not on."""
        if fault not in self._on:
            return False
        self._on.remove(fault)
        return True

    def clear(self) -> None:
        """Switches all off."""
        self._on.clear()

    def of(self, kind: type[F], way: Way, number: int) -> list[F]:
        """Those of a kind that a connection has.

        Args:
            way: one of the two.
            number: of the connection.
        """
        return [fault for fault in self._on if isinstance(fault, kind) and fault.is_on(way, number)]

    def any(self, kind: type[Fault]) -> bool:
        """Whether one of a kind is on for anybody."""
        return any(isinstance(fault, kind) for fault in self._on)

    def begin(self, passed: bytes) -> None:
        """Begins the cuts that have waited for this piece, which has just gone upstream."""
        for fault in self._on:
            if isinstance(fault, Cut) and fault.after is not None and fault.after(passed):
                fault.after = None
