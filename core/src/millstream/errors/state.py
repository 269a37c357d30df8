"""State and how functions use it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from millstream.errors.base import MillstreamError


@dataclass(kw_only=True, eq=False)
class StateDeclaredTwice(MillstreamError):
    """One name for two different states of an operator. `first` and `second` are descriptors as people read them."""

    code: ClassVar[str] = "state-declared-twice"
    operator: str
    state: str
    first: str
    second: str

    def sentence(self) -> str:
        return (
            f"Operator {self.operator!r} declares state {self.state!r} as {self.second}, but has declared it as {self.first} before. "
            "Give the two states different names."
        )


@dataclass(kw_only=True, eq=False)
class StateNotEncodable(MillstreamError):
    """A checkpoint could not be taken because something in a state has no encoded form. `entry` is the key, shortened, where known."""

    code: ClassVar[str] = "state-not-encodable"
    operator: str
    state: str
    entry: str
    reason: str

    def sentence(self) -> str:
        at = f" at key {self.entry}" if self.entry else ""
        return (
            f"State {self.state!r} of operator {self.operator!r} cannot be written to a checkpoint{at}: {self.reason} "
            "The state itself is intact; this checkpoint is declined."
        )


@dataclass(kw_only=True, eq=False)
class StateNotWrittenBack(MillstreamError):
    """Strict state: a function changed what it read from a state, or wrote to it, and did not write it back.

    Attributes:
        function: what the user's function is called.
        where: the key, and the entry or the window, in words; empty for the state of a subtask.
        before: what the state was given.
        after: what became of that.
        fix: the call that writes it back.
    """

    code: ClassVar[str] = "state-not-written-back"
    operator: str
    function: str
    state: str
    where: str
    before: str
    after: str
    fix: str

    def sentence(self) -> str:
        where = f" {self.where}" if self.where else ""
        return (
            f"State {self.state!r} of operator {self.operator!r}, function {self.function}, was changed{where} without being written back: "
            f"{self.before} became {self.after}. State that is kept as bytes loses such a change. "
            f"{self.fix}, or change a copy. If the function does so: a record that it stored or emitted was changed by who else has it; "
            "store and emit copies of such records."
        )
