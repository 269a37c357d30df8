"""What may be found in a storage after an attempt, by its journal."""

from __future__ import annotations

from typing import Any

from millstream_testkit.storage_checkpoints import Seen
from millstream_testkit.storage_life import Entry, Expected


def seen(*published: int, highest: int = 0, documents: dict[str, str] | None = None, damaged: tuple[int, ...] = ()) -> Seen:
    return Seen({number: "torn" if number in damaged else "" for number in published}, [], highest or max(published, default=0), documents or {})


def journal(*entries: Any) -> Expected:
    return Expected.by([entry if isinstance(entry, Entry) else Entry(*entry) for entry in entries])


WRITTEN = [(1, "begin", "write_file", 1), (1, "done", "write_file", 1)]
PUBLISHED = [*WRITTEN, (1, "begin", "publish", 1), (1, "done", "publish", 1)]


def test_what_a_call_left_open_may_be_there_or_not() -> None:
    open_publish = journal(*WRITTEN, (1, "begin", "publish", 1))
    assert open_publish.compare(seen(1)) == []
    assert open_publish.compare(seen(highest=1)) == []
    open_delete = journal(*PUBLISHED, (1, "begin", "delete", 1))
    assert open_delete.compare(seen(1)) == open_delete.compare(seen(highest=1)) == []
    document = journal(
        (1, "begin", "write_document", "run", "a"), (1, "done", "write_document", "run", "a"), (1, "begin", "write_document", "run", "b")
    )
    for text in "ab":
        assert document.compare(seen(documents={"run": text})) == []
    assert document.compare(seen(documents={"run": ""})) == ["document 'run' is '' (0 characters), not 'a' (1 characters) or 'b' (1 characters)"]


def test_what_a_call_reported_as_done_is_there() -> None:
    assert journal(*PUBLISHED).compare(seen(highest=1)) == ["checkpoint 1 was published and is gone"]
    gone = journal(*PUBLISHED, (1, "begin", "delete", 1), (1, "done", "delete", 1))
    assert gone.compare(seen(1)) == ["checkpoint 1 exists, though it was never published, or deleted"]
    assert "highest_id() is 0, though 1 was used" in gone.compare(seen())[0]
    assert journal(*PUBLISHED).compare(seen(1, damaged=(1,))) == ["checkpoint 1 exists and cannot be restored: torn"]


def test_what_a_new_leader_found_behind_its_fence_is_what_there_is() -> None:
    found = [(2, "begin", "fence", 0), (2, "done", "fence", 0), Entry(2, "seen", "fence", seen=seen(highest=1))]
    begun = [*WRITTEN, (1, "begin", "publish", 1)]
    assert journal(*begun, *found).compare(seen(1)) == ["checkpoint 1 exists, though it was never published, or deleted"]
    late = journal(*begun, *found, (1, "done", "publish", 1))
    assert late.problems == ["attempt 1 published checkpoint 1 after attempt 2 had fenced it"]
