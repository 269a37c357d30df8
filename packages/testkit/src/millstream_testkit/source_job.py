"""A job for a source under test: each record's text goes to a ledger, exactly once."""

from __future__ import annotations

import json
import sqlite3
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from millstream import StreamExecutionEnvironment
from millstream_testkit.ledger import SqliteLedgerSink
from millstream_testkit.loading import load

if TYPE_CHECKING:
    from millstream_testkit.source_harness import SourceHarness

POINTS: Final = (
    "source.assign.before_ack",
    "source.split.mid",
    "source.split.finished_not_checkpointed",
    "checkpoint.metadata.before_rename",
    "checkpoint.durable.before_notify",
    "end.after_last_record",
)
"""Where a job with the source is killed. The first three are in the source's own code."""

_PACE_S: Final = 0.004
_BATCH: Final = 4


def build(source: str, sink: str) -> StreamExecutionEnvironment:
    """The job. `source` is JSON: a reference to the harness, and the origin."""
    named = json.loads(source)
    harness: SourceHarness = load(named["harness"])()
    env = StreamExecutionEnvironment.get_execution_environment().set_parallelism(2)
    env.enable_checkpointing(timedelta(milliseconds=20))
    env.configure("execution.batch_size", _BATCH)
    records = env.from_source(harness.source(named["origin"]), uid="source")
    records.map(_text).sink_to(SqliteLedgerSink(sink, "records", ("record",)), uid="ledger")
    return env


def _text(record: Any) -> tuple[str]:
    time.sleep(_PACE_S)  # else the input is read before the first checkpoint begins
    return (repr(record),)


def records_in(sink: str) -> list[str]:
    """The records' texts, as a reader of the ledger finds them."""
    if not Path(sink).exists():
        return []
    connection = sqlite3.connect(f"file:{sink}?mode=rw", uri=True, timeout=5)
    try:
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'records'").fetchall():
            return []
        return [text for (text,) in connection.execute("SELECT record FROM records").fetchall()]
    finally:
        connection.close()
