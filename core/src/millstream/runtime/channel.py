"""Channels: what one subtask sends to another, in order and in bounded number."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from millstream.records import Element

CREDITS: Final = 16
"""Elements a channel holds before its writer has to stop."""


class ChannelWriter(Protocol):
    """The sending end. The task that writes is woken when there is room again."""

    def put(self, element: Element) -> None:
        """Sends; the element is no longer the sender's. A writer that sees no room stops before its next step; what one step emits always fits."""

    def has_room(self) -> bool:
        """Whether there is credit left."""


class ChannelReader(Protocol):
    """The receiving end. The task that reads is woken when something has come."""

    def poll(self) -> Element | None:
        """The next element, or None."""

    def __len__(self) -> int:
        """Elements waiting."""


class LocalChannel:
    """Both ends in one process: elements are handed over as they are."""

    __slots__ = ("_credits", "_elements")

    def __init__(self, credit_limit: int = CREDITS) -> None:
        self._elements: deque[Element] = deque()
        self._credits = credit_limit

    def put(self, element: Element) -> None:
        self._elements.append(element)

    def has_room(self) -> bool:
        return len(self._elements) < self._credits

    def poll(self) -> Element | None:
        return self._elements.popleft() if self._elements else None

    def __len__(self) -> int:
        return len(self._elements)
