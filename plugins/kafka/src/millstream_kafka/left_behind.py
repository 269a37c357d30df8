"""Which transactional ids of a lane an earlier attempt of the two-phase sink may still write with."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from millstream_kafka.transaction import Listed

_OPEN: Final = frozenset({"Ongoing", "PrepareAbort"})
_UNUSED: Final = "Empty"


def left_behind(listed: Sequence[Listed], lane_prefix: str, attempt: int, spared: Collection[str]) -> list[Listed]:
    """Ids to be begun anew, so that whoever has them is fenced and what is open in them is aborted.

    Those with something open; and those that the attempt just before this one has made ahead and not used: its process may only have been
    stopped, and would hold back readers with a transaction that nobody commits. Of attempts before that it is known that they were
    replaced, and to begin all of theirs at every restart would take longer every time. Likewise those of the newest attempt with a higher
    number: a process that went on from the same savepoint elsewhere, and was restarted more often, may be alive and would write all again.

    Args:
        listed: ids that begin with the prefix. Not all are the lane's: to "p-run-out-1-", lane 1 of `out`, belongs "p-run-out-1-0-2" by
            its beginning, and so does "p-run-out-1-0-0-2", of lane 0 of `out-1`.
        lane_prefix: of the lane's ids; the number of the attempt and a count follow.
        attempt: the one that asks.
        spared: ids that are still to be committed, or its own.
    """
    named = re.compile(re.escape(lane_prefix) + r"(\d+)-\d+")
    made_by = {one: int(match[1]) for one in listed if (match := named.fullmatch(one.transactional_id))}
    before = max((number for number in made_by.values() if number < attempt), default=None)
    beside = max((number for number in made_by.values() if number > attempt), default=None)
    return [
        one
        for one, number in made_by.items()
        if one.transactional_id not in spared and (one.state in _OPEN or (one.state == _UNUSED and number in (before, beside)))
    ]
