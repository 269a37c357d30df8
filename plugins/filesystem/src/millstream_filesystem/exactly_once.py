"""The exactly-once file sink: two-phase commit by rename.

An epoch is one file. It is written where readers do not look; `prepare` makes it durable, `commit` renames it to its final name.
That it exists there, or the lane's mark, proves an earlier commit; without either the epoch is lost, and the job stops.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from millstream.contracts.guarantee import SinkCapabilities
from millstream.contracts.two_phase_commit import Committed, TwoPhaseCommitSink, TwoPhaseCommitWriter
from millstream.contracts.versions import check_version
from millstream.errors import LostEpoch
from millstream.ports import crash_point
from millstream_filesystem.formats import encode_valid_lines
from millstream_filesystem.lane import Lane, forget_lanes, new_token
from millstream_filesystem.target import FileTarget, claim_lanes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millstream.contracts.sink import EndedRun, SinkContext
    from millstream_filesystem.part_file import PartFile

_KIND: Final = "two-phase"
CAPABILITIES: Final = SinkCapabilities(
    kind="two_phase_commit",
    fencing=True,
    visible_only_committed=True,
    prepared_survives_disconnect=True,
    prepared_survives_server_kill=True,
)
_VERSION: Final = 1


class _Committable(msgspec.Struct, array_like=True):
    """What a checkpoint keeps of a prepared file.

    Attributes:
        version: number of this layout; fields are only ever added behind the last.
        run_id: of the job's run that prepared it.
        owner: of the lane.
        folder: of the finished file.
        file: name in the lane's folder.
        name: name of the finished file.
        size_bytes: of the file.
    """

    version: int
    run_id: str
    owner: str
    folder: str
    file: str
    name: str
    size_bytes: int


@dataclass(frozen=True)
class ExactlyOnceFileSink(TwoPhaseCommitSink[Any]):
    """`FileSink(delivery="exactly_once")`, which makes it."""

    target: FileTarget
    capabilities = CAPABILITIES

    def open(self, context: SinkContext) -> ExactlyOnceFileWriter:
        return ExactlyOnceFileWriter(self.target, context)

    def forget_run(self, run: EndedRun) -> None:
        forget_lanes(self.target.path, run, _KIND)


class ExactlyOnceFileWriter(TwoPhaseCommitWriter[Any]):
    """Writes one file per epoch."""

    def __init__(self, target: FileTarget, context: SinkContext) -> None:
        self._target = target
        self._context = context
        self._storage = context.storage
        self._owner, self._lanes = claim_lanes(target, context, _KIND)
        self._lane = self._lanes[context.lane]
        self._encoder = target.format.encoder()
        self._open: PartFile | None = None
        self._serial = 0
        self._own_files: set[str] = set()

    def write(self, values: Sequence[Any], timestamps: Sequence[int] | None) -> None:
        data = encode_valid_lines(self._encoder, values, self._context.reject)
        if not data:
            return
        if self._open is None:
            self._serial += 1
            self._open = self._target.new_part(self._context, self._lane, new_token(self._context, self._serial))
            self._own_files.add(self._open.name)
        self._open.append(data)
        crash_point("sink.write.mid_epoch")

    def prepare(self, checkpoint_id: int) -> bytes | None:
        part = self._open
        if part is None:
            return None
        part.flush()
        crash_point("sink.prepare.mid")
        self._target.seal(self._context, self._lane, part)
        self._open = None
        token = part.name.partition(".")[0]
        name = self._target.final_name(f"{self._lane.number}-{checkpoint_id}-{token}")
        folder = self._target.path
        return msgspec.msgpack.encode(_Committable(_VERSION, self._context.run_id, self._owner, folder, part.name, name, part.size_bytes))

    def commit(self, lane: int, checkpoint_id: int, committable: bytes) -> Committed:
        prepared = _decode(committable)
        home, root = self._home(lane, prepared)
        source, target = home.find(prepared.file), f"{root}/{prepared.name}"
        already = self._is_finished(lane, checkpoint_id, target, prepared)
        try:
            if already:
                self._storage.delete(source)
            else:
                self._check_size(lane, checkpoint_id, source, prepared)
                # Nothing is replaced: every name is used once. A hard link instead would be two steps.
                self._storage.rename(source, target)
        except FileNotFoundError:
            if not already:
                self._prove_committed(lane, checkpoint_id, home, target, prepared)
                already = True
        crash_point("sink.commit.applied_no_ack")
        self._storage.sync_folder(root)
        home.mark_committed(checkpoint_id)
        self._own_files.discard(prepared.file)
        return Committed(already=already)

    def abort_lingering(self, keep: Sequence[bytes]) -> None:
        kept = {_decode(committable).file for committable in keep} | self._own_files
        for lane in self._lanes.values():
            if lane.is_lost():
                raise lane.fenced(self._context)
            for name in lane.files():
                if name not in kept:
                    self._storage.delete(f"{lane.own}/{name}")
                    crash_point("recovery.mid_abort")

    def newest_committed(self, lane: int) -> int | None:
        left = self._lanes.get(lane)  # a former writer may have left nothing, not even its folder
        return left.committed() or None if left is not None else None

    def close(self) -> None:
        if self._open is not None:
            self._open.discard()
            self._open = None
        for lane in self._lanes.values():
            lane.release()

    def _home(self, lane: int, prepared: _Committable) -> tuple[Lane, str]:
        """The lane a file was prepared in, and the folder it belongs to."""
        root = self._target.path
        if prepared.owner == self._owner and prepared.folder == root and lane in self._lanes:
            return self._lanes[lane], root
        # Another run's (after --rewind), or of a sink that had another path then: its lane stays where it was.
        old = Lane(self._storage, prepared.folder, prepared.owner, lane)
        if old.exists():
            return old, prepared.folder
        return Lane(self._storage, root, prepared.owner, lane), root

    def _is_finished(self, lane: int, checkpoint_id: int, target: str, prepared: _Committable) -> bool:
        try:
            self._check_size(lane, checkpoint_id, target, prepared)
        except FileNotFoundError:
            return False
        return True

    def _check_size(self, lane: int, checkpoint_id: int, path: str, prepared: _Committable) -> None:
        info = self._storage.info(path)
        if info is None:
            raise FileNotFoundError(path)
        if info.size_bytes != prepared.size_bytes:
            raise self._lost(lane, checkpoint_id, f"{path} has {info.size_bytes:,} bytes instead of {prepared.size_bytes:,}")

    def _prove_committed(self, lane: int, checkpoint_id: int, home: Lane, target: str, prepared: _Committable) -> None:
        """Returns if the epoch was committed before, and its file taken away since."""
        if home.own and home.is_lost():
            raise home.fenced(self._context)
        if home.committed() < checkpoint_id and not self._is_finished(lane, checkpoint_id, target, prepared):
            raise self._lost(lane, checkpoint_id, f"neither {home.find(prepared.file)} nor {target} exists")

    def _lost(self, lane: int, checkpoint_id: int, what: str) -> LostEpoch:
        return LostEpoch(sink_uid=self._context.sink_uid, lane=lane, checkpoint_id=checkpoint_id, what=what)


def _decode(committable: bytes) -> _Committable:
    prepared = msgspec.msgpack.decode(committable, type=_Committable)
    check_version("A prepared file of a file sink", prepared.version, _VERSION)
    return prepared
