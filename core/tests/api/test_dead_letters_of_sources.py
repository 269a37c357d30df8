"""What a dead letter keeps of a message that could not be decoded."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from millstream import DeadLetterRecord, StreamExecutionEnvironment, dead_letter
from millstream.api.sinks import CollectSink
from millstream.api.sources.collection import CollectionReader, CollectionSource
from millstream.contracts.source import Fetched, Rejected

HEADERS = (("trace", b"17"), ("trace", b"18"), ("binary", b"\xff\x00"))


class OneIsNoRecord(CollectionSource[int]):
    """As the source of messages with headers, one of which is no record."""

    def create_reader(self, context: Any) -> Any:
        return Reader(context, [1, 2])


class Reader(CollectionReader[int]):
    def fetch(self, max_records: int) -> Fetched[int] | None:
        fetched = super().fetch(max_records)
        if fetched is not None:
            fetched.rejected.append(Rejected("topic 0, offset 7", b"{\xff", "it is no JSON", HEADERS))
        return fetched

    def snapshot(self, checkpoint_id: int) -> Sequence[Any]:
        return []


def test_a_dead_letter_of_a_source_has_position_error_and_all_headers_in_order() -> None:
    letters: deque[DeadLetterRecord] = deque()
    environment = StreamExecutionEnvironment.get_execution_environment()
    source = OneIsNoRecord([1, 2])
    assert list(environment.from_source(source, uid="in", on_error=dead_letter(CollectSink(letters))).execute_and_collect()) == [1, 2]
    (letter,) = letters
    assert letter == DeadLetterRecord("in", "topic 0, offset 7", "{\\xff", "it is no JSON", HEADERS)
