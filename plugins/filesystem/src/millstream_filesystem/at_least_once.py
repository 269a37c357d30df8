"""The at-least-once file sink: what was written becomes visible when it is flushed.

Records that were flushed after the last checkpoint are written again after a failure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from millstream.contracts.guarantee import SinkCapabilities
from millstream.contracts.sink import Sink, SinkWriter
from millstream.ports import crash_point
from millstream_filesystem.formats import encode_valid_lines
from millstream_filesystem.lane import forget_lanes, new_token
from millstream_filesystem.target import FileTarget, claim_lanes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millstream.contracts.sink import EndedRun, SinkContext
    from millstream_filesystem.part_file import PartFile

_KIND: Final = "plain"
CAPABILITIES: Final = SinkCapabilities(kind="plain", fencing=True)


@dataclass(frozen=True)
class AtLeastOnceFileSink(Sink[Any]):
    """`FileSink(delivery="at_least_once")`, which makes it."""

    target: FileTarget
    capabilities = CAPABILITIES

    def open(self, context: SinkContext) -> AtLeastOnceFileWriter:
        return AtLeastOnceFileWriter(self.target, context)

    def forget_run(self, run: EndedRun) -> None:
        forget_lanes(self.target.path, run, _KIND)


class AtLeastOnceFileWriter(SinkWriter[Any]):
    """Writes one file between two flushes."""

    def __init__(self, target: FileTarget, context: SinkContext) -> None:
        self._target = target
        self._context = context
        _, self._lanes = claim_lanes(target, context, _KIND)
        self._lane = self._lanes[context.lane]
        self._encoder = target.format.encoder()
        self._open: PartFile | None = None
        self._serial = 0
        for lane in self._lanes.values():
            for name in lane.files():
                # Never flushed, so no checkpoint counts on it: its records are read again.
                context.storage.delete(f"{lane.own}/{name}")

    def write(self, values: Sequence[Any], timestamps: Sequence[int] | None) -> None:
        data = encode_valid_lines(self._encoder, values, self._context.reject)
        if not data:
            return
        if self._open is None:
            self._serial += 1
            self._open = self._target.new_part(self._context, self._lane, new_token(self._context, self._serial))
        self._open.append(data)
        crash_point("sink.write.mid_epoch")

    def flush(self) -> None:
        part = self._open
        if part is None:
            return
        self._target.seal(self._context, self._lane, part)
        self._open = None
        token = part.name.partition(".")[0]
        name = self._target.final_name(f"{self._lane.number}-{self._context.attempt}-{token}")
        self._context.storage.rename_new(f"{self._lane.own}/{part.name}", f"{self._target.path}/{name}")
        self._context.storage.sync_folder(self._target.path)

    def close(self) -> None:
        if self._open is not None:
            self._open.discard()
            self._open = None
        for lane in self._lanes.values():
            lane.release()
