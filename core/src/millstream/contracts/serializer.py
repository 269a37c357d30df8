"""How values become bytes, what is stored beside those bytes, and whether bytes of an earlier job can still be read.

A serializer's description goes into every checkpoint next to the state it wrote. A restore compares it with the serializer that the
job has now, and refuses an incompatible one before any record is processed.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

MAIN_MODULES = frozenset({"__main__", "__mp_main__"})
"""Names under which the script of the job is loaded: in the first process, and in those that multiprocessing starts."""


class SerializerDescription(msgspec.Struct, frozen=True):
    """What has to be known of a serializer to read its bytes later.

    Attributes:
        kind: `typed`, `data`, `mixed` (some pieces typed, the others by the data codec), or the name of a registered serializer.
        version: of the kind's byte format, from 1.
        type_name: the type as people know it.
        schema: structure of the type, as data that JSON can carry.
    """

    kind: str
    version: int
    type_name: str
    schema: dict[str, Any] = {}


class Verdict(Enum):
    """Whether stored bytes can be read."""

    AS_IS = "as is"
    AFTER_MIGRATION = "after migration"
    INCOMPATIBLE = "incompatible"


class Compatibility(msgspec.Struct, frozen=True):
    """The verdict on stored bytes.

    Attributes:
        verdict: AFTER_MIGRATION means: read with the serializer that wrote them, write anew with this one.
        reason: what differs and what to do about it; empty for AS_IS.
    """

    verdict: Verdict
    reason: str = ""


class Serializer(ABC, Generic[T]):
    """Turns values of one type into bytes and back.

    What is decoded equals what was encoded and has its type; a value for which that is not so is refused when it is encoded.
    """

    @abstractmethod
    def encode(self, value: T) -> bytes:
        """The bytes of one value.

        Raises:
            UnsupportedValue, ValueNotOfType: it would not come back equal.
        """

    @abstractmethod
    def decode(self, data: bytes | memoryview) -> T:
        """The value of bytes from `encode`.

        Raises:
            DamagedState: the bytes are not what `encode` writes.
            ChangedClass: they hold an object of a class that is gone or looks different now.
        """

    @abstractmethod
    def encode_many(self, values: Sequence[T]) -> bytes:
        """The bytes of several values, far cheaper than one by one."""

    def encode_trusted(self, values: Sequence[T]) -> bytes:
        """The same for values that are known to come back as they are, without looking."""
        return self.encode_many(values)

    @abstractmethod
    def decode_many(self, data: bytes | memoryview) -> list[T]:
        """The values of bytes from `encode_many`, in order."""

    @abstractmethod
    def description(self) -> SerializerDescription:
        """What to store beside the bytes written so far."""

    @abstractmethod
    def compatibility(self, stored: SerializerDescription) -> Compatibility:
        """Whether bytes that were described so can be read, as they are or after a migration."""

    def finds_keys(self, stored: SerializerDescription) -> bool:
        """Whether keys that were described so, once read, are looked up in the group that they were stored in."""
        return self.compatibility(stored).verdict is Verdict.AS_IS

    def reader(self, stored: SerializerDescription) -> Serializer[T]:
        """What reads bytes that were described so, and gives values for this serializer to write. For compatible descriptions only.

        Its `decode` and `decode_many` raise ValueNotEvolved, too, for a value that has no successor in the present type.
        """
        return self


def class_name(cls: type) -> str:
    """`module:qualname` of a class, the same however the job was started.

    A class of the script itself goes by the file's stem, so that `python job.py` and `millstream run job.py` agree.
    """
    module = cls.__module__
    return f"{main_stem() or module if module in MAIN_MODULES else module}:{cls.__qualname__}"


def main_stem() -> str | None:
    """Stem of the script's file; None in an interactive session."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return PurePath(file).stem if isinstance(file, str) else None


def short_repr(value: object, limit: int = 80) -> str:
    """The repr of a value for a message, of at most `limit` characters, whatever the value's own repr does."""
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 - a repr of the user's, or of an int of more digits than Python writes
        return f"<{class_name(type(value))} whose repr raises {type(error).__name__}>"
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
