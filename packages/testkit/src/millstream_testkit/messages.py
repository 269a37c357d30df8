"""A transport that loses, doubles and reorders messages between the coordinator and the tasks.

Rules are written `Type@receiver#n=action`, several separated by commas: what happens to the n-th message (1-based) of that type from one
sender to one receiver, for example `CheckpointCompleted@task/1/#2=drop`. `@receiver` is the beginning of its address; without it the rule is
for all. The actions:

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

_RULE: Final = re.compile(r"(\w+)(?:@([^#]*))?#(\d+)=(drop|double|hold)", re.ASCII)


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
        self._rules: list[tuple[str, str, int, str]] = []
        self._sent: Counter[tuple[str, str, str]] = Counter()
        self._held: dict[tuple[str, str, str], Any] = {}
        for rule in filter(None, rules.split(",")):
            match = _RULE.fullmatch(rule.strip())
            if match is None:
                raise InvalidArgument(what="a message fault", value=repr(rule), allowed="Type@receiver#n=drop, =double or =hold")
            self._rules.append((match[1], match[2] or "", int(match[3]), match[4]))

    def bind(self, address: str, receive: Callable[[Any], None]) -> None:
        self._inner.bind(address, receive)

    def unbind(self, address: str) -> None:
        self._inner.unbind(address)

    def send(self, sender: str, receiver: str, message: Any) -> None:
        key = (type(message).__name__, sender, receiver)
        self._sent[key] += 1
        action = self._action(key)
        if action == "hold":
            self._held[key] = message
        elif action != "drop":
            self._inner.send(sender, receiver, message)
            if action == "double":
                self._inner.send(sender, receiver, message)
            if key in self._held:
                self._inner.send(sender, receiver, self._held.pop(key))

    def _action(self, key: tuple[str, str, str]) -> str:
        for kind, receiver, number, action in self._rules:
            if kind == key[0] and key[2].startswith(receiver) and number == self._sent[key]:
                return action
        return ""
