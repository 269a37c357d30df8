"""Parts of a checkpoint that a later release wrote: refused with both numbers, never guessed at."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from millstream.api.sources.collection import CollectionReader
from millstream.api.sources.enumerator import FixedEnumerator
from millstream.api.sources.index_range import IndexRange
from millstream.checkpoint import commit
from millstream.checkpoint.store import CompletedCheckpoints
from millstream.contracts.checkpoint_storage import CheckpointStorageContext
from millstream.contracts.source import Split
from millstream.errors import UnknownStateVersion
from millstream.ports import LocalStorage
from millstream.testing import LedgerTarget, OperatorHarness
from millstream_filesystem import FilesystemCheckpointStorage, exactly_once
from millstream_filesystem.enumerator import FileEnumerator
from millstream_filesystem.split import FileSplit

LATER = Split("s", {"next": 0, "step": 1, "count": 1, "path": "p", "size_bytes": 1, "modified_ns": 1}, version=2)
CONTEXT: Any = None


def file_enumerator() -> Any:
    return FileEnumerator(CONTEXT, "p", recursive=False, interval_s=None, state=msgspec.msgpack.encode([2, [], b""]))


@pytest.mark.parametrize(
    "read",
    [
        lambda: IndexRange.from_split(LATER),
        lambda: CollectionReader[int](CONTEXT, [1]).add_splits([LATER]),
        lambda: FileSplit.from_split(LATER),
        lambda: FixedEnumerator(CONTEXT, [], msgspec.msgpack.encode([2, []])),
        file_enumerator,
        lambda: commit._decode(msgspec.msgpack.encode({"version": 2, "checkpoint_id": 1, "committable": b""})),
        lambda: exactly_once._decode(msgspec.msgpack.encode([2, "r", "o", "f", "f", "n", 1])),
    ],
    ids=["indexes", "collection", "file", "unassigned splits", "unassigned files", "prepared epoch", "prepared file"],
)
def test_a_layout_of_a_later_release_is_refused(read: Callable[[], Any]) -> None:
    with pytest.raises(UnknownStateVersion, match=r"version 2 of its layout; this release reads version 1\. .*with the release that wrote it"):
        read()


def test_a_log_of_a_later_release_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    target = LedgerTarget[int]()

    def job(stream: Any) -> Any:
        return stream.sink_to(target.sink(), uid="out")

    first = OperatorHarness(job)
    first.process(1)
    saved = first.snapshot(1)
    later = saved.replace(b"\xa7version\x01\xa7records", b"\xa7version\x02\xa7records")
    assert later != saved
    files = msgspec.msgpack.decode(later)
    files["task"]["file"]["sha256"] = hashlib.sha256(files["data"]).hexdigest()
    with pytest.raises(UnknownStateVersion, match="'out'"):
        OperatorHarness(job, restore=[msgspec.msgpack.encode(files)], attempt=1)


def test_a_record_of_the_run_by_a_later_release_is_refused(tmp_path: Any) -> None:
    store = FilesystemCheckpointStorage(tmp_path).open(CheckpointStorageContext("job", LocalStorage()))
    store.write_document("run", b'{"run_id":"a","status":"running","attempt":0,"version":2}')
    with pytest.raises(UnknownStateVersion, match="record of the current run"):
        CompletedCheckpoints(store, "job", 1).run()
    store.write_document("run", b'{"run_id":"a","status":"running","attempt":0}')
    found = CompletedCheckpoints(store, "job", 1).run()
    assert found is not None
    assert found.version == 1
