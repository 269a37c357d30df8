"""Serializers that the job registers for types of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from millstream.contracts.serializer import class_name
from millstream.errors import InvalidArgument, SerializerAlreadyRegistered

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Registered:
    """How values of one type become bytes.

    Attributes:
        cls: the type itself; its subclasses are not meant.
        encode: bytes of a value.
        decode: an equal value, from those bytes.
        name: stored with the bytes instead of the type's name, so that the class may move.
    """

    cls: type
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    name: str

    def to_bytes(self, value: Any) -> bytes:
        """The bytes of a value.

        Raises:
            InvalidArgument: the registered function returned something else.
        """
        data = self.encode(value)
        if type(data) is not bytes:
            raise InvalidArgument(what=f"the result of the encode function of serializer {self.name!r}", value=repr(data), allowed="bytes")
        return data

    def from_bytes(self, data: Any) -> Any:
        """The value of bytes from `to_bytes`; whatever the registered function raises on other bytes."""
        if type(data) is not bytes:
            msg = f"{type(data).__name__} where bytes belong"
            raise TypeError(msg)
        return self.decode(data)


MIXED: Final = "mixed"
"""Kind of what was written partly typed and partly with the data codec."""

_KINDS: Final = ("typed", "data", MIXED)
_by_class: Final[dict[type, Registered]] = {}
_by_name: Final[dict[str, Registered]] = {}


def register_serializer(cls: type, *, encode: Callable[[Any], bytes], decode: Callable[[bytes], Any], name: str) -> None:
    """Makes a type usable in state and between tasks, declared or not.

    Call it where the type is imported, in every process: at the top of the job's script. Registering a type again under its name
    replaces the functions.

    Args:
        cls: the type. Not a builtin one, and not one that the data codec carries anyway, unless you mean to replace that.
        encode: bytes of a value.
        decode: an equal value from those bytes. They may come from a damaged file, so do not use pickle here.
        name: under which the bytes are stored; keep it when the class moves.

    Raises:
        SerializerAlreadyRegistered: the name belongs to another type, or the type has another name.
    """
    if not isinstance(cls, type):
        raise InvalidArgument(what="the type to register", value=repr(cls), allowed="a class")
    if not isinstance(name, str) or not name or not name.isprintable() or name in _KINDS:
        allowed = f"printable text other than {', '.join(map(repr, _KINDS))}"
        raise InvalidArgument(what="the name of a serializer", value=repr(name), allowed=allowed)
    for other in (_by_name.get(name), _by_class.get(cls)):
        if other is not None and (other.name, class_name(other.cls)) != (name, class_name(cls)):
            raise SerializerAlreadyRegistered(name=name, type_name=class_name(cls), other=f"{other.name!r} for {class_name(other.cls)}")
    _by_class[cls] = _by_name[name] = Registered(cls, encode, decode, name)


def registered_for(cls: type) -> Registered | None:
    """What was registered for exactly this type."""
    return _by_class.get(cls)


def registered_as(name: str) -> Registered | None:
    """What was registered under a name."""
    return _by_name.get(name)


def registered_bytes(value: Any) -> bytes:
    """msgspec's `enc_hook`: what it does not know itself has to be registered."""
    registered = registered_for(type(value))
    if registered is None:
        msg = f"{class_name(type(value)).removeprefix('builtins:')} is no part of the declared type"
        raise TypeError(msg)
    return registered.to_bytes(value)


def registered_value(cls: type, data: Any) -> Any:
    """msgspec's `dec_hook`."""
    registered = registered_for(cls)
    if registered is None:
        msg = f"{class_name(cls)} is not registered any more"
        raise TypeError(msg)
    return registered.from_bytes(data)
