"""Where checkpoints are kept, and what earlier runs left there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from millstream.checkpoint.store import CompletedCheckpoints
from millstream.cli.doctor.finding import ok, problem, problem_of, warning
from millstream.cli.doctor.folder import folder_findings
from millstream.cli.texts import counted, size_text, time_text
from millstream.contracts.checkpoint_storage import CheckpointStorageContext
from millstream.errors import MillstreamError
from millstream.runtime.storages import find_checkpoint_storage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millstream.cli.doctor.finding import Finding
    from millstream.config import Settings
    from millstream.contracts.checkpoint_storage import CheckpointStorage
    from millstream.plugins import PluginManager
    from millstream.ports import Clock, Storage


def storage_findings(settings: Settings, plugins: PluginManager, files: Storage, clock: Clock) -> Iterator[Finding]:
    """About the setting `checkpoint.storage`."""
    location = settings.checkpoint.storage
    if location is None:
        yield ok("storage", "No checkpoint storage is set here, so there is none to look at.")
        return
    try:
        storage = find_checkpoint_storage(plugins, location)
    except MillstreamError as error:
        yield problem_of("storage", error)
        return
    if "://" not in location or location.startswith("file://"):
        if location != "memory":
            yield from folder_findings(os.path.abspath(os.path.expanduser(location.removeprefix("file://"))), files, clock)
    elif storage.durable:
        yield ok("storage", f"Checkpoint storage {location} is one whose checkpoints outlive the process.")
    yield from _leftovers(storage, files, settings)


def _leftovers(storage: CheckpointStorage, files: Storage, settings: Settings) -> Iterator[Finding]:
    try:
        names = storage.jobs(files)
        for name in names:
            yield from _job_findings(storage, files, name, settings)
    except OSError as error:
        yield problem("storage", f"Checkpoints of earlier runs cannot be read: {error}.", "Make them readable to the user of the job")
        return
    if not names:
        yield ok("storage", "No job has left checkpoints there.")


def _job_findings(storage: CheckpointStorage, files: Storage, name: str, settings: Settings) -> Iterator[Finding]:
    store = storage.open(CheckpointStorageContext(name, files))
    completed = CompletedCheckpoints(store, name, 1)
    where, published = store.location(), store.published()
    try:
        run, newest = completed.run(), completed.latest()
    except MillstreamError as error:
        yield problem_of("storage", error)
        return
    if newest is None:
        return
    half = store.unpublished()
    if half:
        what = f"Job {name!r} left {counted(len(half), 'checkpoint')} in {where} that never completed. The next run that starts afresh deletes them."
        yield warning("storage", what, f"None is needed while a job runs there; else delete chk-{half[0]}" + (" and later" if len(half) > 1 else ""))
    kept = f"{counted(len(published), 'checkpoint')} in {where}, the newest of {time_text(newest.completed_ms)} with {size_text(newest.state_bytes)}"
    if run is None or run.status == "running":
        resume = settings.job.resume
        decided = "" if resume == "ask" else f" With job.resume = {resume} that is decided."
        what = f"Job {name!r} runs now, or its last run did not come to its end: {kept}.{decided}"
        fix = f"Go on from there with --resume auto, start afresh with --resume never, or delete {where}"
        yield ok("storage", what) if decided else warning("storage", what, fix)
    else:
        yield ok("storage", f"Job {name!r} came to its end and kept {kept}.")
