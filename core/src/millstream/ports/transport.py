"""Messages between the coordinator and the tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Transport(Protocol):
    """Delivers messages to addresses, in order for each pair of sender and receiver.

    Delivery is at most once, and a message to an address nobody has bound is dropped: whoever needs an answer keeps a timeout. The receiver
    gets the message itself or a copy of it, so neither side changes it.
    """

    def bind(self, address: str, receive: Callable[[Any], None]) -> None:
        """Messages to `address` are given to `receive`, which must only post mail. Binding again replaces the receiver."""

    def unbind(self, address: str) -> None:
        """Messages to `address` are dropped from now on."""

    def send(self, sender: str, receiver: str, message: Any) -> None:
        """Sends without waiting."""


class LocalTransport:
    """Calls the receiver directly: everything lives in one process."""

    def __init__(self) -> None:
        self._receivers: dict[str, Callable[[Any], None]] = {}

    def bind(self, address: str, receive: Callable[[Any], None]) -> None:
        self._receivers[address] = receive

    def unbind(self, address: str) -> None:
        self._receivers.pop(address, None)

    def send(self, sender: str, receiver: str, message: Any) -> None:
        receive = self._receivers.get(receiver)
        if receive is not None:
            receive(message)
