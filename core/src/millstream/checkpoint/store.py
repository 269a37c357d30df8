"""The completed checkpoints of a job: retention, leadership, and which one to resume from."""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import msgspec

from millstream.checkpoint.leadership import Leadership, leaders
from millstream.checkpoint.manifest import Manifest, decode_manifest, encode_manifest
from millstream.contracts.versions import check_version
from millstream.errors import CheckpointStorageFailed, DamagedCheckpoint, LeaderFenced, UnknownCheckpointFormat
from millstream.ports import crash_point

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from millstream.contracts.checkpoint_storage import CheckpointStore

log = logging.getLogger(__name__)


_SHARED: Final = re.compile(r"(\d{1,18})-", re.ASCII)
"""Names of shared files begin with the id of the checkpoint that they were written for."""


class RunRecord(msgspec.Struct, frozen=True):
    """The job's own note of its current run.

    Attributes:
        run_id: the run.
        status: `running` until the run has ended; `ended` while what it left is cleaned up; then `finished`. A run that failed, or was
            stopped or cancelled with its checkpoints kept, stays `running`: it can be resumed.
        attempt: the highest attempt number used so far.
        began_at: the checkpoint of another run that this one began from (`--rewind`); None when it began afresh.
        began_from: path of a checkpoint that is not among the job's own, when the run went on or began from one.
        inherited: with `began_from`: checkpoints up to this id were there before; none of them is the run's.
        lanes: the most subtasks that a sink has had in the run: of all of them something may be left, whatever checkpoint it goes on from.
        version: of this record.
    """

    run_id: str
    status: Literal["running", "ended", "finished"]
    attempt: int
    began_at: int | None = None
    began_from: str | None = None
    inherited: int = 0
    lanes: int = 0
    version: int = 1


class LeftBehind(NamedTuple):
    """What is to be deleted.

    Attributes:
        checkpoints: their ids, oldest first.
        shared: names of shared files, of which those that are in use stay.
    """

    checkpoints: Sequence[int]
    shared: Sequence[str]


class CompletedCheckpoints:
    """What was published, and the fencing of whoever publishes.

    Args:
        store: where checkpoints are kept.
        job_name: for messages.
        retained: how many completed checkpoints to keep, >= 1.
        token: what no other leader of the job has; only who never leads may leave it out.
    """

    def __init__(self, store: CheckpointStore, job_name: str, retained: int, token: str = "") -> None:
        self.store = store
        self.leadership = Leadership(job_name, 0, token.encode())
        self._job_name = job_name
        self._retained = retained
        self._references: dict[int, frozenset[str]] = {}  # shared files by published checkpoint, as far as they have been asked for

    @contextmanager
    def storage_errors(self) -> Iterator[None]:
        """Turns an OSError in the `with` block, which may name no path, into CheckpointStorageFailed."""
        try:
            yield
        except OSError as error:
            raise CheckpointStorageFailed(job_name=self._job_name, where=self.store.location(), reason=str(error)) from error

    def acquire_leadership(self) -> int:
        """Takes over the job's checkpoints. An earlier leader's `publish` fails from now on. The epoch, from 1."""
        epoch = 0
        while True:
            epoch = max([epoch, *leaders(self.store)]) + 1
            if self.store.create_document(f"leader-{epoch}", self.leadership.token) and max(leaders(self.store), default=0) == epoch:
                break
            # Somebody was faster; or, while we stood still, so many that even the document of our number was gone again.
        self.leadership = replace(self.leadership, epoch=epoch)
        self.store.fence()
        self._drop_older_leaders()
        return epoch

    def _drop_older_leaders(self) -> None:
        # In ascending order, and none is passed over: `Leadership.check` relies on it that whoever is replaced loses its own document
        # before it loses sight of its successor's.
        try:
            for epoch in leaders(self.store):
                if epoch < self.leadership.epoch:
                    self.store.delete_document(f"leader-{epoch}")
        except OSError as error:
            log.warning("a leader's document of job %s could not be deleted; the next start tries again: %s", self._job_name, error)

    def publish(self, manifest: Manifest) -> None:
        """Makes a checkpoint exist, unless another leader has taken over."""
        self.store.publish(manifest.checkpoint_id, encode_manifest(manifest), self._check_leadership)
        self._references[manifest.checkpoint_id] = manifest.shared_files()

    def publish_savepoint(self, manifest: Manifest, savepoint: CheckpointStore) -> None:
        """Makes a savepoint exist in its own store, unless another leader has taken over.

        Its id is spent here, too, before that: sinks tell by it what they have committed, so that no checkpoint may have it as well.
        """
        self._check_leadership()
        number = manifest.checkpoint_id
        if self.store.highest_id() < number:
            self.store.write_file(number, "savepoint", [savepoint.location().encode()])
            self.store.withdraw(number)
        savepoint.publish(number, encode_manifest(manifest), self._check_leadership)

    def _check_leadership(self) -> None:
        self.leadership.check(self.store)

    def replaced(self) -> LeaderFenced | None:
        """What to say when another leader has taken over; None when nobody has, or nobody can tell."""
        try:
            self._check_leadership()
        except LeaderFenced as error:
            return error
        except OSError:
            return None
        return None

    def subsumed(self, pinned: int | None = None) -> list[int]:
        """Ids beyond the number to keep, oldest first. `pinned` is in use and never among them."""
        ids = list(self.store.published())
        return [i for i in ids[: -self._retained] if i != pinned]

    def left_by_run(self, *, keep: bool) -> LeftBehind:
        """What there is no use for when a run has ended; everything unless the newest checkpoints are to be kept.

        A storage that cannot list it is noted, and nothing is returned.
        """
        try:
            published = self.subsumed() if keep else self.store.published()
            return LeftBehind([*published, *self.store.unpublished()], list(self.store.shared()))
        except OSError as error:
            log.warning("what the run of job %s left behind cannot be listed: %s", self._job_name, error)
            return LeftBehind([], [])

    def left_below(self, current: int) -> LeftBehind:
        """What there is no use for when a checkpoint has been completed. What later ones have begun to write is not among it."""
        # Unpublished: of checkpoints that were given up; a task that was slow may have written to them after they were deleted.
        abandoned = [number for number in self.store.unpublished() if number < current]
        shared = [name for name in self.store.shared() if (match := _SHARED.match(name)) and int(match[1]) <= current]
        return LeftBehind([*self.subsumed(pinned=current), *abandoned], shared)

    def delete(self, left: LeftBehind) -> None:
        """Deletes checkpoints, and of the shared files those that no other checkpoint refers to."""
        for checkpoint_id in left.checkpoints:
            self.store.delete(checkpoint_id)
        if not left.shared:
            return
        try:
            kept = self._shared_files_in_use()
        except (DamagedCheckpoint, UnknownCheckpointFormat) as error:
            log.warning("shared files of job %s stay, because it is not known what is in use: %s", self._job_name, error)
            return
        for name in sorted(set(left.shared) - kept):
            crash_point("checkpoint.shared.deleting")
            self.store.delete_shared(name)

    def _shared_files_in_use(self) -> set[str]:
        published = self.store.published()
        known = self._references
        self._references = {number: known[number] if number in known else self.read(number).shared_files() for number in published}
        return set().union(*self._references.values())

    def latest(self, after: int = 0) -> Manifest | None:
        """The newest completed checkpoint with an id above `after`, verified; None when there is none."""
        ids = self.store.published()
        return self.read(ids[-1]) if ids and ids[-1] > after else None

    def read(self, checkpoint_id: int) -> Manifest:
        """One checkpoint's manifest.

        Raises:
            DamagedCheckpoint: it does not verify or is not there.
        """
        where = self.store.location(checkpoint_id)
        try:
            data = self.store.read_manifest(checkpoint_id)
        except FileNotFoundError as error:
            raise DamagedCheckpoint(where=where, what="its manifest is missing") from error
        manifest = decode_manifest(data, where)
        if manifest.checkpoint_id != checkpoint_id:
            raise DamagedCheckpoint(where=where, what=f"its manifest is that of checkpoint {manifest.checkpoint_id}")
        return manifest

    def run(self) -> RunRecord | None:
        """The last run of the job here, or None."""
        data = self.store.read_document("run")
        if data is None:
            return None
        try:
            record = msgspec.json.decode(data, type=RunRecord)
        except msgspec.MsgspecError as error:
            raise DamagedCheckpoint(where=self.store.location(), what=f"the record of the current run cannot be read ({error})") from error
        check_version(f"The record of the current run at {self.store.location()}", record.version, 1)
        return record

    def record_run(self, record: RunRecord) -> None:
        """Notes the current run, unless another leader has taken over."""
        self._check_leadership()
        self.store.write_document("run", msgspec.json.encode(record))
