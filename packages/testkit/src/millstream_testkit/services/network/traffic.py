"""What a proxy has carried."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream_testkit.services.network.faults import Way


@dataclass(frozen=True)
class Carried:
    """One way, all connections together.

    Attributes:
        passed_bytes: that were handed on.
        waiting_bytes: that are in the proxy now, because of a cut or a delay, or because nobody takes them.
        lost_bytes: that came and were not handed on, and never will be.
    """

    passed_bytes: int = 0
    waiting_bytes: int = 0
    lost_bytes: int = 0


@dataclass(frozen=True)
class Traffic:
    """What a proxy has carried since it was made.

    Attributes:
        accepted: number of connections.
        open: number of those that have not ended.
        upstream: from clients to the server.
        downstream: from the server to clients.
    """

    accepted: int = 0
    open: int = 0
    upstream: Carried = field(default_factory=Carried)
    downstream: Carried = field(default_factory=Carried)


class Meter:
    """Counts on one thread, and tells others."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._traffic = Traffic()

    def read(self) -> Traffic:
        """As it is now."""
        with self._changed:
            return self._traffic

    def wait_for(self, condition: Callable[[Traffic], bool], timeout_s: float) -> Traffic:
        """Returns as soon as the condition holds.

        Raises:
            TimeoutError: it did not within the time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self._traffic), timeout_s):
                msg = f"what was waited for did not come within {timeout_s} s: {self._traffic}"
                raise TimeoutError(msg)
            return self._traffic

    def connected(self) -> int:
        """One more is open: its number, from 1."""
        with self._changed:
            accepted = self._traffic.accepted + 1
            self._set(replace(self._traffic, accepted=accepted, open=self._traffic.open + 1))
            return accepted

    def disconnected(self) -> None:
        """One has ended."""
        with self._changed:
            self._set(replace(self._traffic, open=self._traffic.open - 1))

    def count(self, way: Way, *, came: int = 0, passed: int = 0, lost: int = 0) -> None:
        """Bytes that came, and bytes that have left the proxy in one manner or the other."""
        with self._changed:
            old: Carried = getattr(self._traffic, way)
            waiting = old.waiting_bytes + came - passed - lost
            new = Carried(old.passed_bytes + passed, waiting, old.lost_bytes + lost)
            self._set(replace(self._traffic, upstream=new) if way == "upstream" else replace(self._traffic, downstream=new))

    def _set(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._changed.notify_all()
