"""The completed checkpoints of a job: retention, leadership, and which one to resume from."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import msgspec

from millstream.checkpoint.manifest import Manifest, decode_manifest, encode_manifest
from millstream.contracts.versions import check_version
from millstream.errors import CheckpointStorageFailed, DamagedCheckpoint, LeaderFenced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millstream.contracts.checkpoint_storage import CheckpointStore


class RunRecord(msgspec.Struct, frozen=True):
    """The job's own note of its current run.

    Attributes:
        run_id: the run.
        status: `running` until the run has ended; `ended` while what it left is cleaned up; then `finished`. A run that failed, or was
            stopped or cancelled with its checkpoints kept, stays `running`: it can be resumed.
        attempt: the highest attempt number used so far.
        began_at: the checkpoint of another run that this one began from (`--rewind`); None when it began afresh.
        version: of this record.
    """

    run_id: str
    status: Literal["running", "ended", "finished"]
    attempt: int
    began_at: int | None = None
    version: int = 1


class CompletedCheckpoints:
    """What was published, and the fencing of whoever publishes.

    Args:
        store: where checkpoints are kept.
        job_name: for messages.
        retained: how many completed checkpoints to keep, >= 1.
    """

    def __init__(self, store: CheckpointStore, job_name: str, retained: int) -> None:
        self.store = store
        self._job_name = job_name
        self._retained = retained
        self._epoch = 0

    @contextmanager
    def storage_errors(self) -> Iterator[None]:
        """Turns an OSError in the `with` block, which may name no path, into CheckpointStorageFailed."""
        try:
            yield
        except OSError as error:
            raise CheckpointStorageFailed(job_name=self._job_name, where=self.store.location(), reason=str(error)) from error

    def acquire_leadership(self) -> int:
        """Takes over the job's checkpoints. An earlier leader's `publish` fails from now on. The epoch, from 1."""
        epoch = (self._newest_leader() or 0) + 1
        while not self.store.create_document(f"leader-{epoch}", b""):
            epoch += 1
        self.store.write_document("leader", str(epoch).encode())
        self._epoch = epoch
        self.store.fence()
        return epoch

    def _newest_leader(self) -> int | None:
        known = self.store.read_document("leader")
        return int(known) if known and known.isdigit() and len(known) < 20 else None  # damaged, it is found out by trying

    def publish(self, manifest: Manifest) -> None:
        """Makes a checkpoint exist, unless another leader has taken over."""
        self.store.publish(manifest.checkpoint_id, encode_manifest(manifest), self._check_leadership)

    def _check_leadership(self) -> None:
        # A newer leader creates its document before it does anything else, so looking for the next number is enough.
        if self.store.read_document(f"leader-{self._epoch + 1}") is not None:
            raise LeaderFenced(job_name=self._job_name, epoch=self._epoch, newer=self._newest_leader() or self._epoch + 1)

    def subsumed(self, pinned: int | None = None) -> list[int]:
        """Ids beyond the number to keep, oldest first. `pinned` is in use and never among them."""
        ids = list(self.store.published())
        return [i for i in ids[: -self._retained] if i != pinned]

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
