"""Keys, the groups they fall into, and the subtasks that own the groups.

The group of a key decides where its state lives, in this process and in every later one. It is therefore computed from bytes of our
own making, never from `hash()`, which differs from process to process.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID
from zlib import crc32

from millstream.contracts.canonical_keys import canonical_key_bytes
from millstream.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "KeyGroups",
    "canonical_key_bytes",
    "default_max_parallelism",
    "key_group",
    "key_group_range",
    "subtask_of_group",
]

MIN_DEFAULT_MAX_PARALLELISM: Final = 128
MAX_PARALLELISM_LIMIT: Final = 32_768

_SCALARS: Final = frozenset({str, int, bool, bytes, date, datetime, UUID})


def key_group(key: object, max_parallelism: int) -> int:
    """The group of a key: `crc32(canonical_key_bytes(key)) % max_parallelism`."""
    return crc32(canonical_key_bytes(key)) % max_parallelism


def key_group_range(subtask: int, parallelism: int, max_parallelism: int) -> range:
    """Key groups that one subtask owns.

    Over all subtasks the ranges are disjoint, cover every group, and differ in length by at most one.

    Args:
        subtask: 0-based index, 0 <= subtask < parallelism.
        parallelism: number of subtasks, 1 <= parallelism <= max_parallelism.
        max_parallelism: number of key groups; fixed once the job has taken its first checkpoint.

    Returns:
        Half-open range of 0-based group indexes, never empty.

    Raises:
        InvalidArgument: parallelism exceeds the number of groups, so some subtask would own nothing; or there is no such subtask.

    Source: Carbone et al., "State Management in Apache Flink", PVLDB 10(12), 2017.

    >>> [key_group_range(i, 3, 8) for i in range(3)]
    [range(0, 3), range(3, 6), range(6, 8)]
    """
    _check_parallelism(parallelism, max_parallelism)
    if not 0 <= subtask < parallelism:
        raise InvalidArgument(what="subtask", value=str(subtask), allowed=f"an index in range({parallelism})")
    start = -(-subtask * max_parallelism // parallelism)
    stop = -(-(subtask + 1) * max_parallelism // parallelism)
    return range(start, stop)


def subtask_of_group(group: int, parallelism: int, max_parallelism: int) -> int:
    """The subtask that owns a group: the one whose `key_group_range` holds it.

    >>> [subtask_of_group(group, 3, 8) for group in range(8)]
    [0, 0, 0, 1, 1, 1, 2, 2]
    """
    _check_parallelism(parallelism, max_parallelism)
    if not 0 <= group < max_parallelism:
        raise InvalidArgument(what="key group", value=str(group), allowed=f"an index in range({max_parallelism})")
    return group * parallelism // max_parallelism


def default_max_parallelism(parallelism: int) -> int:
    """Number of key groups of an operator that was not given one: room to grow to at least 1.5 times its parallelism.

    The next power of two from 1.5 times the parallelism (rounded down, as Flink does), at least 128 and at most 32,768.

    >>> [default_max_parallelism(p) for p in (1, 100, 30_000)]
    [128, 256, 32768]
    """
    _check_parallelism(parallelism, MAX_PARALLELISM_LIMIT)
    wanted = parallelism + parallelism // 2
    return min(max(1 << (wanted - 1).bit_length(), MIN_DEFAULT_MAX_PARALLELISM), MAX_PARALLELISM_LIMIT)


def _check_parallelism(parallelism: int, max_parallelism: int) -> None:
    if not 1 <= parallelism <= max_parallelism:
        raise InvalidArgument(what="parallelism", value=str(parallelism), allowed=f"1 to {max_parallelism}, the number of key groups")


class KeyGroups:
    """The group of each key of one operator, remembered.

    Args:
        max_parallelism: number of key groups.
        operator: named in errors.
        remembered: how many keys are kept, at most, per type of key; when they are full, all are forgotten at once.
    """

    def __init__(self, max_parallelism: int, *, operator: str | None = None, remembered: int = 100_000) -> None:
        if not 1 <= max_parallelism <= MAX_PARALLELISM_LIMIT:
            raise InvalidArgument(what="max_parallelism", value=str(max_parallelism), allowed=f"1 to {MAX_PARALLELISM_LIMIT}")
        self.max_parallelism = max_parallelism
        self._operator = operator
        # One memory per type, because 1, True and 1.0 are one key to a dict: a float must not find the group of an int.
        self._scalars = {scalar: _Remembered(self._compute, remembered) for scalar in _SCALARS}
        # The same inside a tuple, so what is remembered is the tuple with the types of its items.
        self._tuples = _Remembered(lambda typed: self._compute(typed[0]), remembered)

    def __call__(self, key: Any) -> int:
        """The group of a key.

        Raises:
            UnsupportedKey: as `canonical_key_bytes` does.
        """
        remembered = self._scalars.get(type(key))
        if remembered is not None:
            return remembered[key]
        if type(key) is tuple and _SCALARS.issuperset(types := tuple(map(type, key))):
            return self._tuples[key, types]
        return self._compute(key)

    def of_batch(self, keys: Sequence[Any]) -> list[int]:
        """The groups of several keys, remembered as with a call for each.

        Raises:
            UnsupportedKey: as `canonical_key_bytes` does.
        """
        types = set(map(type, keys))
        remembered = self._scalars.get(types.pop()) if len(types) == 1 else None
        return list(map(self if remembered is None else remembered.__getitem__, keys))

    def of_many(self, keys: Sequence[Any]) -> list[int]:
        """The groups of several keys; they are computed anew and not remembered, so that a pass over all keys forgets none of the busy ones.

        Raises:
            UnsupportedKey: as `canonical_key_bytes` does.
        """
        types = set(map(type, keys))
        checksums = _CHECKSUMS.get(types.pop()) if len(types) == 1 else None
        if checksums is not None:
            try:
                return [checksum % self.max_parallelism for checksum in checksums(keys)]
            except (UnicodeEncodeError, IndexError):
                pass  # unusual strings or numbers
        return list(map(self._compute, keys))

    def _compute(self, key: Any) -> int:
        return crc32(canonical_key_bytes(key, operator=self._operator)) % self.max_parallelism


class _Remembered(dict[Any, int]):
    def __init__(self, compute: Callable[[Any], int], limit: int) -> None:
        super().__init__()
        self._compute = compute
        self._limit = limit

    def __missing__(self, key: Any) -> int:
        group = self._compute(key)
        if len(self) >= self._limit:
            self.clear()
        self[key] = group
        return group


# What the checksum of a key's canonical bytes is before its content, by the length of the content.
_BEFORE_STR: Final = [crc32(b"s" + bytes([length])) for length in range(255)]
_BEFORE_INT: Final = [crc32(b"i" + bytes([length])) for length in range(255)]


def _str_checksums(keys: Sequence[str]) -> list[int]:
    before = _BEFORE_STR
    return [crc32(data, before[len(data)]) for data in map(str.encode, keys)]


def _int_checksums(keys: Sequence[int]) -> list[int]:
    before = _BEFORE_INT
    return [crc32(key.to_bytes(length := key.bit_length() // 8 + 1, "big", signed=True), before[length]) for key in keys]


_CHECKSUMS: Final[dict[type, Callable[[Any], list[int]]]] = {str: _str_checksums, int: _int_checksums}
"""`crc32(canonical_key_bytes(key))` of the commonest keys without a call for each."""
