"""Entries with time stamps: how state with a time to live is kept, and what becomes of it on its way to a checkpoint and back.

Wherever a state without a time to live has a value, one with it has a pair of the value and the wall-clock time of its last access in
ms: the pair itself for value, reducing and aggregating state, a list of pairs, a dict of pairs. In a checkpoint it is the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from millstream.contracts.state_backend import DROPPED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class StoredTtl(msgspec.Struct, frozen=True):
    """What a checkpoint says of a state whose entries have time stamps.

    Attributes:
        ttl_ms: time from the last access to the end.
        written_ms: wall clock when the checkpoint was written.
    """

    ttl_ms: int
    written_ms: int


class Stamping(NamedTuple):
    """Where an entry has its time stamps.

    Attributes:
        stamp: gives a plain value time stamps.
        living: what is left of an entry of which everything accessed at `deadline_ms` or before has expired; DROPPED for nothing.
            It changes nothing in place, and gives the entry itself when nothing has expired.
        strip: takes the time stamps away.
    """

    stamp: Callable[[Any, int], Any]
    living: Callable[[Any, int], Any]
    strip: Callable[[Any], Any]


def _living_pair(entry: tuple[Any, int], deadline_ms: int) -> Any:
    return entry if entry[1] > deadline_ms else DROPPED


def _living_list(entry: list[tuple[Any, int]], deadline_ms: int) -> Any:
    living = [pair for pair in entry if pair[1] > deadline_ms]
    return (entry if len(living) == len(entry) else living) if living else DROPPED


def _living_map(entry: dict[Any, tuple[Any, int]], deadline_ms: int) -> Any:
    living = {key: pair for key, pair in entry.items() if pair[1] > deadline_ms}
    return (entry if len(living) == len(entry) else living) if living else DROPPED


PAIR: Final = Stamping(lambda value, now: (value, now), _living_pair, lambda pair: pair[0])
LIST: Final = Stamping(lambda values, now: [(value, now) for value in values], _living_list, lambda pairs: [value for value, _ in pairs])
MAP: Final = Stamping(
    lambda entries, now: {key: (value, now) for key, value in entries.items()},
    _living_map,
    lambda entries: {key: value for key, (value, _) in entries.items()},
)


def on_write(stamping: Stamping, ttl_ms: int, now_ms: Callable[[], int]) -> Callable[[Sequence[Any]], list[Any]]:
    """Leaves out what has expired by the time it is written."""
    living = stamping.living

    def transform(entries: Sequence[Any]) -> list[Any]:
        deadline_ms = now_ms() - ttl_ms
        return [living(entry, deadline_ms) for entry in entries]

    return transform


def on_read(stamping: Stamping, stored: StoredTtl | None, ttl_ms: int | None, now_ms: int) -> Callable[[Sequence[Any]], list[Any]] | None:
    """Takes entries over from a checkpoint.

    What had expired when the checkpoint was written does not come back, whatever the time to live is now.

    Args:
        stamping: of the kind of state.
        stored: None when the checkpoint has no time stamps: then the time of every entry begins now.
        ttl_ms: the time to live now; None when the state does not expire any more.
        now_ms: wall clock.

    Returns:
        The transformation, None when there is nothing to do.
    """
    stamp, living, strip = stamping
    if stored is None:
        return None if ttl_ms is None else lambda entries: [stamp(entry, now_ms) for entry in entries]
    deadline_ms = stored.written_ms - stored.ttl_ms
    if ttl_ms is not None:
        deadline_ms = max(deadline_ms, now_ms - ttl_ms)
        return lambda entries: [living(entry, deadline_ms) for entry in entries]

    def transform(entries: Sequence[Any]) -> list[Any]:
        left = [living(entry, deadline_ms) for entry in entries]
        return [entry if entry is DROPPED else strip(entry) for entry in left]

    return transform
