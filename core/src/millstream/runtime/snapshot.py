"""A task's part of a checkpoint between the barrier and the last encoded entry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.checkpoint.manifest import OperatorState
from millstream.records import MIN_TIMESTAMP
from millstream.runtime.operators.keyed import KeyedOperator
from millstream.runtime.state_to_store import OperatorToStore

if TYPE_CHECKING:
    from millstream.runtime.chain import OperatorChain
    from millstream.runtime.operators.base import OperatorSnapshot


class TaskSnapshot:
    """Encodes a task's state in slices."""

    def __init__(self, checkpoint_id: int, chain: OperatorChain, parts: list[OperatorSnapshot]) -> None:
        self.checkpoint_id = checkpoint_id
        self._chain = chain
        self._parts = parts
        self._watermarks = chain.watermarks()
        self._encoding = [part.tables for part in parts if part.tables is not None]

    def advance(self, until_s: float) -> bool:
        """Works until the monotonic time `until_s`, or a little longer. True when all is encoded."""
        while self._encoding:
            if not self._encoding[0].advance(until_s):
                return False
            del self._encoding[0]
        return True

    def abandon(self) -> None:
        """The checkpoint was given up, or is done: the tables are bare again."""
        for part in self._parts:
            if part.tables is not None:
                part.tables.abandon()

    def finish(self) -> list[OperatorToStore]:
        """All that is to be stored. The tables are bare again."""
        operators = [
            _operator(described.uid, operator, part, watermark)
            for described, operator, part, watermark in zip(self._chain.described, self._chain.operators, self._parts, self._watermarks, strict=True)
        ]
        self.abandon()
        return operators


def _operator(uid: str, operator: object, part: OperatorSnapshot, watermark: int) -> OperatorToStore:
    state = OperatorState(
        uid=uid,
        watermark=None if watermark == MIN_TIMESTAMP else watermark,
        tables=operator.table_descriptions() if isinstance(operator, KeyedOperator) else {},
        ahead=part.ahead,
    )
    return OperatorToStore(state, [] if part.tables is None else list(part.tables.chunks()), part.lists, part.lanes)
