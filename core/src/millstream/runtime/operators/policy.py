"""What an operator does with a record that failed: the `on_error` of sources, functions and sinks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.contracts.on_error import DeadLetter, DeadLetterRecord, Headers, OnError
from millstream.errors import shorten
from millstream.records import RecordBatch

if TYPE_CHECKING:
    from millstream.contracts.source import SourceReader
    from millstream.runtime.operators.base import OperatorContext, Output

LONGEST_RECORD = 10_000
"""Characters of a record's repr in a dead letter."""


class Origin:
    """Where the batch that a task is working on was read: shared by the operators of a chain, empty in tasks without a source."""

    __slots__ = ("reader", "split_id")

    def __init__(self) -> None:
        self.reader: SourceReader[object] | None = None
        self.split_id = ""

    def text(self) -> str:
        """For people; empty where it is not known."""
        if self.reader is None or not self.split_id:
            return ""
        return f"in {self.reader.position(self.split_id) or self.split_id}"


class ErrorPolicy:
    """Counts records that failed, and sends them to the dead letters where the policy has some.

    Args:
        on_error: the policy.
        counter: name of the metric.
    """

    def __init__(self, on_error: OnError, context: OperatorContext, output: Output, counter: str) -> None:
        self.fails = on_error == "fail"
        self._tag = on_error.tag if isinstance(on_error, DeadLetter) else None
        self._context = context
        self._output = output
        self._failed = context.metrics.counter(counter)

    def set_aside(self, record: object, error: str, *, position: str | None = None, headers: Headers = ()) -> None:
        """Skips the record, or makes it a dead letter. Not for the policy `fail`.

        Args:
            record: the value; a str stands for input that could not be decoded.
            error: type and message.
            position: where it came from; None when it belongs to the batch that is being processed.
        """
        self._failed.count += 1
        letters = self._output.side.get(self._tag) if self._tag is not None else None
        if letters is not None:
            letter = DeadLetterRecord(
                operator=self._context.uid,
                position=self._context.origin.text() if position is None else position,
                record=record if position is not None and isinstance(record, str) else shorten(record, LONGEST_RECORD),
                error=error,
                headers=headers,
            )
            letters(RecordBatch([letter]))
