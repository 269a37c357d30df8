"""What a function knows of a state, in strict mode: objects with the bytes they had."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from millstream.errors import shorten

if TYPE_CHECKING:
    from collections.abc import Iterable

    from millstream.state.strict import Ledger


class Change(NamedTuple):
    """What became of an object: both as text."""

    before: str
    after: str


class Loan(Protocol):
    """Something of a state that a function knows."""

    def change(self, ledger: Ledger, *, fresh: bool) -> Change | None:
        """How it differs from what the state has to hold. `fresh`: the end of a call, which asks only for what the call had to do with."""


class ObjectLoan:
    """One object."""

    __slots__ = ("data", "value")

    def __init__(self, value: Any, data: bytes) -> None:
        self.value = value
        self.data = data

    def change(self, ledger: Ledger, *, fresh: bool) -> Change | None:
        return _change_of(ledger, self.value, self.data)


def _change_of(ledger: Ledger, value: Any, data: bytes) -> Change | None:
    return None if ledger.encode(value) == data else Change(ledger.text_of(data), shorten(value))


class ListLoan:
    """Elements of a list, and the list object if it was handed out.

    `_elements` are those that the function knows, each with its bytes, or None for one that cannot change. `_container`, the list object,
    begins with the same ones, `_length` of them. Those from `_fresh` on have come since the last call ended.
    """

    __slots__ = ("_container", "_elements", "_fresh", "_length")

    def __init__(self) -> None:
        self._elements: list[tuple[Any, bytes | None]] = []
        self._container: list[Any] | None = None
        self._length = 0
        self._fresh = 0

    def lend(self, ledger: Ledger, container: list[Any]) -> None:
        """The whole list goes to the function."""
        self._elements = [(element, ledger.bytes_of(element)) for element in container]
        self._container, self._length, self._fresh = container, len(container), 0

    def add(self, ledger: Ledger, values: Iterable[Any]) -> None:
        """The function has appended these to the state."""
        for value in values:
            data = ledger.bytes_of(value)
            if data is not None or self._container is not None:
                self._elements.append((value, data))
        if self._container is not None and len(self._container) > self._length:
            self._length = len(self._elements)  # it is the list of the state itself, and has grown with it

    def change(self, ledger: Ledger, *, fresh: bool) -> Change | None:
        start = self._fresh if fresh else 0
        self._fresh = len(self._elements)
        for element, data in self._elements[start:]:
            change = None if data is None else _change_of(ledger, element, data)
            if change is not None:
                return change
        return self._change_of_container() if start == 0 else None

    def _change_of_container(self) -> Change | None:
        if self._container is None:
            return None
        lent = [element for element, _ in self._elements[: self._length]]
        if len(lent) == len(self._container) and all(a is b for a, b in zip(lent, self._container)):
            return None
        return Change(shorten(lent), shorten(self._container))
