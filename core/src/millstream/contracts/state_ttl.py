"""How long an entry of keyed state lives."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal, get_args

from millstream.errors import InvalidArgument

UpdateType = Literal["on_create_and_write", "on_read_and_write", "disabled"]
StateVisibility = Literal["never_return_expired", "return_expired_if_not_cleaned_up"]

_MILLISECOND: Final = timedelta(milliseconds=1)


@dataclass(frozen=True)
class StateTtlConfig:
    """A time to live: the `ttl` of a state's descriptor.

    An entry expires `ttl` after its last access, by the wall clock; a restore does not start the time anew. Elements of a list and
    entries of a map expire each on its own. Writing never builds on an expired entry: an `add` to a reducing or aggregating state
    whose value has expired begins afresh.

    What has expired is removed when it is read, is not written to checkpoints, and is not taken over from them. Entries that nobody
    touches are found in passes over the state, at most eight within `ttl`: a few entries with each access.

    Args:
        ttl: time from the last access to the end, at least a millisecond; fractions of a millisecond are cut off.
        update_type: which accesses start the time anew: `on_create_and_write`, `on_read_and_write`, or `disabled` for a state that
            does not expire.
        state_visibility: whether a read may find, once, what has expired and is not cleaned up yet: `never_return_expired` or
            `return_expired_if_not_cleaned_up`.
        cleanup_incrementally: entries (keys) looked at with each access while a pass is under way, >= 0; 0 for no passes. At its start a
            pass takes some 10 ns for each key of the subtask. While a checkpoint is being written it waits.

    Raises:
        InvalidArgument: an argument is out of range.
    """

    ttl: timedelta
    update_type: UpdateType = "on_create_and_write"
    state_visibility: StateVisibility = "never_return_expired"
    cleanup_incrementally: int = 5

    def __post_init__(self) -> None:
        if not isinstance(self.ttl, timedelta) or self.ttl < _MILLISECOND:
            raise InvalidArgument(what="the ttl of a state", value=str(self.ttl), allowed="a timedelta of at least a millisecond")
        _check("update_type", self.update_type, get_args(UpdateType))
        _check("state_visibility", self.state_visibility, get_args(StateVisibility))
        if type(self.cleanup_incrementally) is not int or self.cleanup_incrementally < 0:
            raise InvalidArgument(what="cleanup_incrementally", value=repr(self.cleanup_incrementally), allowed="a number of entries, 0 or more")

    @property
    def ttl_ms(self) -> int:
        """`ttl` in ms."""
        return self.ttl // _MILLISECOND


def _check(what: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InvalidArgument(what=what, value=repr(value), allowed=" or ".join(map(repr, allowed)))


def check_ttl(ttl: object) -> None:
    """Raises InvalidArgument unless it is a StateTtlConfig or None."""
    if ttl is not None and not isinstance(ttl, StateTtlConfig):
        allowed = "StateTtlConfig(timedelta(...)), or None for a state that does not expire"
        raise InvalidArgument(what="the ttl of a state", value=repr(ttl), allowed=allowed)
