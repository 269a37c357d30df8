"""A transport that loses, doubles and reorders messages between the coordinator and the tasks.

Rules are written `Type#n=action`, several separated by commas: what happens to the n-th message (1-based) of that type from one sender to
one receiver, for example `CheckpointCompleted#2=drop`. The actions:

    drop     it never arrives
    double   it arrives twice
    hold     it arrives right behind the next one of its type, or never
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from millstream.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.ports import Transport

_RULE: Final = re.compile(r"(\w+)#(\d+)=(drop|double|hold)", re.ASCII)


class FaultyTransport:
    """Wraps a transport.

    Args:
        inner: delivers what is left.
        rules: as described above.

    Raises:
        InvalidArgument: a rule is not of that form.
    """

    def __init__(self, inner: Transport, rules: str) -> None:
        self._inner = inner
        self._rules: dict[tuple[str, int], str] = {}
        self._sent: Counter[tuple[str, str, str]] = Counter()
        self._held: dict[tuple[str, str, str], Any] = {}
        for rule in filter(None, rules.split(",")):
            match = _RULE.fullmatch(rule.strip())
            if match is None:
                raise InvalidArgument(what="a message fault", value=repr(rule), allowed="Type#n=drop, Type#n=double or Type#n=hold")
            self._rules[match[1], int(match[2])] = match[3]

    def bind(self, address: str, receive: Callable[[Any], None]) -> None:
        self._inner.bind(address, receive)

    def unbind(self, address: str) -> None:
        self._inner.unbind(address)

    def send(self, sender: str, receiver: str, message: Any) -> None:
        key = (type(message).__name__, sender, receiver)
        self._sent[key] += 1
        action = self._rules.get((key[0], self._sent[key]))
        if action == "hold":
            self._held[key] = message
        elif action != "drop":
            self._inner.send(sender, receiver, message)
            if action == "double":
                self._inner.send(sender, receiver, message)
            if key in self._held:
                self._inner.send(sender, receiver, self._held.pop(key))
