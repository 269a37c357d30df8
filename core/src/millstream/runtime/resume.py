"""Where a run of a job begins: afresh, or from a checkpoint that an earlier run left."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from millstream.checkpoint.leadership import leaders
from millstream.errors import DamagedCheckpoint, LeaderFenced, NoCheckpointToResume, ResumeUndecided, UnknownCheckpointFormat
from millstream.runtime.clean_up import clean_up_run
from millstream.runtime.job_manager import JobStart

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.checkpoint.manifest import Manifest
    from millstream.checkpoint.store import CompletedCheckpoints, RunRecord
    from millstream.config import JobConfig
    from millstream.runtime.fit_model import Fit

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AlreadyEnded:
    """The last run had come to its end and died before it could say so: its cleaning up is done now. The next start is a fresh one."""

    run_id: str


class Resumption:
    """Decides by the setting `job.resume`.

    Args:
        completed: the job's checkpoints.
        open_path: reads a checkpoint given by its path: its manifest and what to call it.
        new_run_id: makes the id of a new run, from that of the run before it (empty when that is not known).
        forget: lets the sinks remove what they keep of a run.
        fit_of: compares a checkpoint, and what to call it, with the job.
        keep_on_finish: whether the checkpoints of an ended run stay.
        takes_over: a run whose JobManager died, which is to be gone on with; empty for none.
    """

    def __init__(
        self,
        config: JobConfig,
        job_name: str,
        completed: CompletedCheckpoints,
        open_path: Callable[[str], tuple[Manifest, str]],
        new_run_id: Callable[[str], str],
        forget: Callable[[str], None],
        fit_of: Callable[[Manifest, str], Fit],
        *,
        keep_on_finish: bool,
        takes_over: str = "",
    ) -> None:
        self._takes_over = takes_over
        self._config = config
        self._job_name = job_name
        self._completed = completed
        self._open_path = open_path
        self._new_run_id = new_run_id
        self._forget = forget
        self._fit_of = fit_of
        self._keep_on_finish = keep_on_finish

    def check(self) -> None:
        """Refuses a start that would be refused anyway, without changing anything: it must not take the lead from a job that runs.

        Raises:
            ResumeUndecided: an unfinished run left checkpoints, and the setting is `ask`.
            DamagedCheckpoint, NoCheckpointToResume: what is at the path cannot be resumed from.
            RestoreMismatch: the checkpoint does not fit the job.
        """
        self._check_decided()
        while True:
            newest = self._newest_ids()
            try:
                found = self._to_restore()
                if found is not None:
                    self._fit_of(*found).check()
            except DamagedCheckpoint:
                # Whoever leads the job now may have deleted it while it was read.
                if self._newest_ids() == newest:
                    raise
            else:
                return

    def _check_decided(self) -> None:
        if self._takes_over:
            run = self._last_run()
            if run is not None and run.run_id != self._takes_over:  # somebody has started the job anew meanwhile
                raise LeaderFenced(job_name=self._job_name, epoch=0, newer=max(leaders(self._completed.store), default=1))
            return
        if self._config.resume == "ask":
            published = self._completed.store.published()
            run = self._last_run()
            if published and (run is None or run.status == "running"):
                raise ResumeUndecided(job_name=self._job_name, location=self._completed.store.location(), checkpoint_id=published[-1])

    def _newest_ids(self) -> list[int]:
        return list(self._completed.store.published()[-1:])

    def _to_restore(self) -> tuple[Manifest, str] | None:
        """The checkpoint that a start would go on from now, and what to call it."""
        wish = self._config.resume
        if wish == "never":
            return None
        if wish not in ("ask", "auto"):
            return self._open_path(wish)
        run, published = self._last_run(), self._completed.store.published()
        if not published or (run is not None and run.status != "running"):
            return None
        newest = self._completed.read(published[-1])
        if run is None or newest.run_id == run.run_id:
            return newest, self._completed.store.location(newest.checkpoint_id)
        if run.began_at is not None and run.began_at in published and run.began_from is None:
            return self._completed.read(run.began_at), self._completed.store.location(run.began_at)
        return None

    def decide(self) -> JobStart | AlreadyEnded:
        """How the run begins. Only for the leader.

        Raises:
            DamagedCheckpoint: the checkpoint to resume from does not verify.
            NoCheckpointToResume: there is none at the path.
        """
        self._check_decided()  # once more: what was there may have changed before we were the leader
        wish = self._config.resume
        run = self._last_run()
        if self._takes_over and run is not None and run.status == "finished":
            return AlreadyEnded(run.run_id)  # it died between the last note of the run and telling the program
        if wish in ("ask", "auto") and run is not None and run.status == "ended":
            # All its output is there, but whoever started it was not told: to run it again would write everything twice.
            # Notes the end once more: who noted it may have died before the note was durable.
            ended = run.run_id
            clean_up_run(self._completed, run, lambda: self._forget(ended), keep=self._keep_on_finish)
            return AlreadyEnded(ended)
        if wish == "never":
            return self._fresh(run)
        if wish not in ("ask", "auto"):
            manifest, where = self._open_path(wish)
            return self._from(manifest, where, run, elsewhere=not self._is_own(manifest))
        published = self._completed.store.published()
        if run is not None and run.status != "running":
            return self._fresh(run)
        if run is not None:
            published = [number for number in published if number > run.inherited]
        newest = self._completed.read(published[-1]) if published else None
        if newest is not None and (run is None or newest.run_id == run.run_id):
            return self._from(newest, self._completed.store.location(newest.checkpoint_id), run)
        return self._again(run, list(published)) if run is not None else self._fresh(run)

    def _again(self, run: RunRecord, published: list[int]) -> JobStart:
        """The run has no checkpoint of its own yet; those that are there were left by an older one."""
        if run.began_from is not None and self._takes_over:
            manifest, where = self._open_path(run.began_from)
            self._check_fit(manifest, where)
            return JobStart(run.run_id, manifest, where, first_attempt=run.attempt + 1, elsewhere=True, lanes=max(run.lanes, manifest.lanes))
        if run.began_from is not None:
            how = "was rewound to it" if run.began_at is not None else "went on from it"
            fix = "give its path again, with --rewind" if run.began_at is not None else "give its path again"
            raise NoCheckpointToResume(path=run.began_from, why=f"the run {how} and has no checkpoint of its own; {fix}")
        if run.began_at is None:
            # It has committed nothing: it begins again, and its sinks clear away what it left open.
            return JobStart(run.run_id, first_attempt=run.attempt + 1, lanes=run.lanes)
        where = self._completed.store.location(run.began_at)
        if run.began_at not in published:
            why = "the run was rewound to it and has no checkpoint of its own; give its path again, with --rewind"
            raise NoCheckpointToResume(path=where, why=why)
        manifest = self._completed.read(run.began_at)
        self._check_fit(manifest, where)
        return JobStart(run.run_id, manifest, where, first_attempt=run.attempt + 1, lanes=run.lanes)

    def _check_fit(self, manifest: Manifest, where: str) -> None:
        fit = self._fit_of(manifest, where)
        fit.check()
        for what in fit.left_behind:
            log.warning("left behind, as job.allow_non_restored_state says: of checkpoint %s %s", where, what)

    def _last_run(self) -> RunRecord | None:
        try:
            return self._completed.run()
        except DamagedCheckpoint:
            if self._config.resume in ("ask", "auto"):
                raise
            return None  # who starts afresh or names a checkpoint needs no note of the last run

    def _fresh(self, run: RunRecord | None) -> JobStart:
        return JobStart(self._new_run_id(run.run_id if run else ""), first_attempt=run.attempt + 1 if run else 0)

    def _is_own(self, manifest: Manifest) -> bool:
        """Whether the job's own checkpoints have it: another one may have the same number."""
        number = manifest.checkpoint_id
        try:
            return number in self._completed.store.published() and self._completed.read(number) == manifest
        except (DamagedCheckpoint, UnknownCheckpointFormat):
            return False

    def _from(self, manifest: Manifest, where: str, run: RunRecord | None, *, elsewhere: bool = False) -> JobStart:
        self._check_fit(manifest, where)
        run_id = self._new_run_id(run.run_id if run else "") if self._config.rewind else manifest.run_id
        used = max(manifest.attempt, run.attempt if run else 0)
        lanes = max(manifest.lanes, run.lanes if run and run.run_id == manifest.run_id else 0)
        return JobStart(run_id, manifest, where, first_attempt=used + 1, elsewhere=elsewhere, lanes=lanes)
