"""Where reading begins and ends, as options say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

from millstream.errors import InvalidArgument

Kind: TypeAlias = Literal["earliest", "latest", "timestamp", "committed", "given"]
Otherwise: TypeAlias = Literal["earliest", "latest", "fail"]

MOST_PARTITION: Final = 2**31 - 1
_MOST_OFFSET: Final = 2**63 - 1
_LATEST_MS: Final = 253_402_300_799_999
"""The end of the year 9999, where datetimes end."""


@dataclass(frozen=True)
class Offsets:
    """A place in each partition. Made by the functions below; found out once, when the job starts for the first time, and kept in checkpoints.

    Attributes:
        kind: how it is found.
        timestamp_ms: for `timestamp`.
        by_partition: for `given`: offset by topic and partition.
        otherwise: for `committed` and `given`: where they say nothing.
    """

    kind: Kind
    timestamp_ms: int = 0
    by_partition: tuple[tuple[str, int, int], ...] = ()
    otherwise: Otherwise = "fail"

    @staticmethod
    def earliest() -> Offsets:
        """The first record that is there."""
        return Offsets("earliest")

    @staticmethod
    def latest() -> Offsets:
        """Behind the last record: of committed ones where only those are read."""
        return Offsets("latest")

    @staticmethod
    def at(when: datetime | int) -> Offsets:
        """The first record whose timestamp is `when` or later; behind the last one where there is none.

        Args:
            when: with a time zone, or ms since the epoch.

        Raises:
            InvalidArgument: a datetime without a time zone, or before 1970: Kafka has other meanings for negative numbers.
        """
        if isinstance(when, datetime):
            if when.tzinfo is None:
                raise InvalidArgument(what="Offsets.at(when)", value=repr(when), allowed="a datetime with a time zone, or ms since the epoch")
            when = round(when.timestamp() * 1000)
        if not _is_whole(when) or not 0 <= when <= _LATEST_MS:
            allowed = "a time from 1970 to 9999, as ms since the epoch or datetime; Offsets.earliest() is the first record"
            raise InvalidArgument(what="Offsets.at(when)", value=repr(when), allowed=allowed)
        return Offsets("timestamp", timestamp_ms=when)

    @staticmethod
    def committed(otherwise: Otherwise = "fail") -> Offsets:
        """Where the group `group_id` has committed.

        Args:
            otherwise: for partitions where it has not.
        """
        return Offsets("committed", otherwise=_checked(otherwise))

    @staticmethod
    def given(offsets: Mapping[tuple[str, int], int], otherwise: Otherwise = "fail") -> Offsets:
        """Just there.

        Args:
            offsets: of the next record, by topic and number of the partition.
            otherwise: for partitions that are not named.

        Raises:
            InvalidArgument: that are no offsets.
        """
        found: Any = offsets
        if not isinstance(found, Mapping) or not all(_is_given(place, offset) for place, offset in found.items()):
            allowed = "offsets from 0 to 2**63 - 1, by (topic, partition)"
            raise InvalidArgument(what="Offsets.given(offsets)", value=repr(offsets), allowed=allowed)
        by_partition = tuple(sorted((topic, partition, offset) for (topic, partition), offset in offsets.items()))
        return Offsets("given", by_partition=by_partition, otherwise=_checked(otherwise))


def _is_given(place: Any, offset: Any) -> bool:
    if not (isinstance(place, tuple) and len(place) == 2 and isinstance(place[0], str)):
        return False
    return _is_whole(place[1]) and 0 <= place[1] <= MOST_PARTITION and _is_whole(offset) and 0 <= offset <= _MOST_OFFSET


def _is_whole(number: Any) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)


def _checked(otherwise: Otherwise) -> Otherwise:
    if otherwise not in ("earliest", "latest", "fail"):
        raise InvalidArgument(what="Offsets(otherwise=...)", value=repr(otherwise), allowed='"earliest", "latest" or "fail"')
    return otherwise
