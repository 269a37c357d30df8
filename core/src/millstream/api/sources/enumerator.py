"""Hands out splits that are all known when the job starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from millstream.contracts.source import EnumeratorContext, Split, SplitEnumerator
from millstream.contracts.versions import check_version
from millstream.errors import DamagedState
from millstream.ports import crash_point

if TYPE_CHECKING:
    from collections.abc import Sequence


_VERSION: Final = 1


class _Unassigned(msgspec.Struct, frozen=True, array_like=True):
    """A split that no reader has; it goes to reader `number % parallelism`."""

    number: int
    split: Split


class _State(msgspec.Struct, array_like=True):
    """What a checkpoint keeps.

    Attributes:
        version: of this layout.
        unassigned: splits that no reader has.
    """

    version: int
    unassigned: list[_Unassigned]


class FixedEnumerator(SplitEnumerator):
    """Split n goes to reader n % parallelism, when that reader asks for the first time.

    Args:
        context: of the coordinator.
        splits: all there are, on a fresh start.
        state: what an earlier enumerator's `snapshot` returned; the splits in it replace `splits`.

    Raises:
        DamagedState: `state` cannot be read.
    """

    def __init__(self, context: EnumeratorContext, splits: Sequence[Split], state: bytes | None) -> None:
        self._context = context
        self._unassigned = [_Unassigned(number, split) for number, split in enumerate(splits)] if state is None else _decode(state)

    def handle_split_request(self, subtask: int) -> None:
        mine = [item for item in self._unassigned if item.number % self._context.parallelism == subtask]
        if mine:
            self._unassigned = [item for item in self._unassigned if item not in mine]
            self._context.assign(subtask, [item.split for item in mine])
            crash_point("source.assign.before_ack")
        self._context.no_more_splits(subtask)

    def add_splits_back(self, splits: Sequence[Split], subtask: int) -> None:
        # The reader's successor has the same number, and asks again when it starts.
        self._unassigned.extend(_Unassigned(subtask, split) for split in splits)

    def snapshot(self, checkpoint_id: int) -> bytes:
        return msgspec.msgpack.encode(_State(_VERSION, self._unassigned))


def _decode(state: bytes) -> list[_Unassigned]:
    try:
        restored = msgspec.msgpack.decode(state, type=_State)
    except msgspec.MsgspecError as error:
        raise DamagedState(serializer="the splits of a source that no reader has", reason=str(error)) from error
    check_version("The list of a source's splits that no reader has", restored.version, _VERSION)
    return restored.unassigned
