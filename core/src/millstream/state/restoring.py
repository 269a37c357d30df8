"""What reads stored state for the serializers that the job has now, and refuses what they cannot take, naming the state and its operator."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from millstream.contracts.serializer import Serializer, Verdict, short_repr
from millstream.errors import StateIncompatible, ValueNotEvolved
from millstream.state.readers import PresentSerializer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from millstream.contracts.serializer import SerializerDescription

K = TypeVar("K")

_OTHER_GROUP = "a key of another type is looked up in another key group, so its state would not be found. Keep the type of the keys (key_type=)."


def reader_of(operator: str, state: str, part: str, stored: SerializerDescription, serializer: Serializer[Any]) -> Serializer[Any]:
    """What reads stored values and gives such as the present serializer writes.

    Args:
        operator: named in the error.
        state: likewise.
        part: likewise: `keys`, `values`, `items` or `records`.
        stored: how the bytes were written.
        serializer: what the job uses now.

    Raises:
        StateIncompatible: nothing can read them.
    """
    compatibility = serializer.compatibility(stored)
    if compatibility.verdict is Verdict.INCOMPATIBLE:
        raise _incompatible(operator, state, part, stored, serializer, compatibility.reason)
    return serializer.reader(stored)


def key_reader_of(operator: str, state: str, stored: SerializerDescription, serializer: Serializer[Any]) -> Serializer[Any]:
    """The same for keys, whose type stays as it is."""
    if stored.kind == serializer.description().kind and not serializer.finds_keys(stored):
        raise _incompatible(operator, state, "keys", stored, serializer, _OTHER_GROUP)
    return reader_of(operator, state, "keys", stored, serializer)


@contextmanager
def naming(operator: str, state: str) -> Iterator[None]:
    """Turns the refusal of a value inside the `with` block into that of the state."""
    try:
        yield
    except ValueNotEvolved as error:
        reason = f"the value {error.value} cannot be taken over: {error.reason}. {error.fix}"
        raise StateIncompatible(operator=operator, state=state, stored=error.stored, wanted=error.wanted, reason=reason) from error


class KeysOfGroup(PresentSerializer[K]):
    """Reads keys of one key group, and makes sure that the first of each piece belongs there still.

    The bytes that decide on a key's group hold the names of its classes, which the structure of the keys does not. A class that was
    renamed or moved changes the groups of all its keys, so one key a piece is enough to find out.

    Args:
        reader: of the keys.
        key_group: that the keys were stored in.
        key_group_of: the group of a key now.
    """

    def __init__(self, reader: Serializer[K], key_group: int, key_group_of: Callable[[K], int]) -> None:
        super().__init__(reader)
        self._key_group = key_group
        self._key_group_of = key_group_of

    def decode(self, data: bytes | memoryview) -> K:
        return self._present.decode(data)

    def decode_many(self, data: bytes | memoryview) -> list[K]:
        keys = self._present.decode_many(data)
        if keys and (now := self._key_group_of(keys[0])) != self._key_group:
            wanted = f"keys of type {self._present.description().type_name}"
            raise ValueNotEvolved(
                stored=wanted,
                wanted=wanted,
                value=short_repr(keys[0], 200),
                reason=f"it is a key of group {self._key_group} and would be looked up in group {now}",
                fix="Was its class renamed or moved? Give it its former name and module.",
            )
        return keys


def _incompatible(operator: str, state: str, part: str, stored: SerializerDescription, serializer: Serializer[Any], reason: str) -> StateIncompatible:
    return StateIncompatible(
        operator=operator, state=state, stored=f"{part} of {_spoken(stored)}", wanted=f"{part} of {_spoken(serializer.description())}", reason=reason
    )


def _spoken(description: SerializerDescription) -> str:
    return f"type {description.type_name} ({description.kind})"
