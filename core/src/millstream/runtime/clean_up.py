"""What goes when a run is over for good: its checkpoints, and what sinks keep to go on with it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from millstream.checkpoint.store import CompletedCheckpoints, RunRecord
from millstream.contracts.sink import EndedRun
from millstream.ports import crash_point

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.graph.job_graph import JobGraph
    from millstream.ports import Storage

log = logging.getLogger(__name__)


def clean_up_run(completed: CompletedCheckpoints, record: RunRecord, forget: Callable[[], None], *, keep: bool) -> None:
    """Notes that a run has ended, removes what it left behind, and notes that this is done.

    A storage that fails here does not make the run a failed one: it would be run again from its beginning. The note comes all the same,
    as the run is about to be reported as finished: the next start has to be a fresh one, whose checkpoints take the place of these.
    """
    # Listed before it is looked whether we still lead: what a later leader makes has higher ids, and is not for us to delete.
    left = completed.left_by_run(keep=keep)
    completed.record_run(record)
    if completed.replaced() is not None:
        # Another process took over while that was noted, and may have read what stood there before: it goes on from what is left, finds
        # nothing to do, and removes it. One that takes over from now on reads the note.
        return
    crash_point("job.cleanup")
    try:
        completed.delete(left)
    except OSError as error:
        log.warning("what run %s left behind could not be removed: %s", record.run_id, error)
    else:
        if not keep:
            forget()
    try:
        completed.record_run(RunRecord(record.run_id, "finished", record.attempt))
    except OSError as error:
        log.warning("that run %s is finished could not be noted: %s", record.run_id, error)


def forget_run(job: JobGraph, run_id: str, storage: Storage) -> None:
    """Lets the sinks remove what they keep of a run that is over for good."""
    for _, operator in job.operators():
        if operator.sink is not None:
            try:
                operator.sink.forget_run(EndedRun(job.job_name, run_id, operator.uid, storage))
            except Exception as error:  # noqa: BLE001 - a connector's code; the run has ended all the same
                log.warning("what sink %s keeps of run %s could not be removed: %s", operator.uid, run_id, error)
