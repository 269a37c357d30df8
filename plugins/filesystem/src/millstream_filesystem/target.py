"""Where a file sink writes, in which format, and under which names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from millstream.errors import PathUnusable
from millstream_filesystem.lane import Lane, owner_of
from millstream_filesystem.part_file import PartFile

if TYPE_CHECKING:
    from millstream.contracts.format import Format
    from millstream.contracts.sink import SinkContext


@dataclass(frozen=True)
class FileTarget:
    """What both kinds of file sink share.

    Attributes:
        path: folder of the finished files.
        format: of the records.
        prefix: how names of finished files begin.
        suffix: how they end.
    """

    path: str
    format: Format[Any]
    prefix: str
    suffix: str

    def final_name(self, middle: str) -> str:
        """Name of a finished file."""
        return f"{self.prefix}-{middle}{self.suffix}"

    def new_part(self, context: SinkContext, lane: Lane, token: str) -> PartFile:
        """A new file, with the header if the format has one.

        Raises:
            Fenced: a newer attempt has the lane.
        """
        try:
            part = PartFile(context.storage, lane.own, f"{token}.inprogress")
        except FileNotFoundError:
            raise (lane.fenced(context) if lane.is_lost() else self._gone(context)) from None
        header = self.format.header()
        if header is not None:
            part.append(header + b"\n")
        return part

    def seal(self, context: SinkContext, lane: Lane, part: PartFile) -> None:
        """Makes the file durable. Raises Fenced when a newer attempt has the lane, and so the file."""
        try:
            part.seal()
        except FileNotFoundError:
            raise (lane.fenced(context) if lane.is_lost() else self._gone(context)) from None

    def _gone(self, context: SinkContext) -> PathUnusable:
        return _unusable(context, self.path, "it was removed while the job ran")


def claim_lanes(target: FileTarget, context: SinkContext, kind: str) -> tuple[str, dict[int, Lane]]:
    """Makes the folder where it is missing, and takes over the lanes of the writer.

    Args:
        target: what the sink writes to.
        context: of the writer.
        kind: of sink; two kinds never take over each other's files.

    Returns:
        The owner in the names of hidden folders, and the lanes by number: the writer's own, and those it takes over from former
        writers that left something.

    Raises:
        PathUnusable: the folder cannot be made or written to.
        Fenced: a newer attempt has a lane.
    """
    storage, owner = context.storage, owner_of(context, kind)
    if storage.info(target.path) is not None and not storage.is_folder(target.path):
        raise _unusable(context, target.path, "it is a file")
    lanes: dict[int, Lane] = {}
    try:
        for number in sorted({context.lane, *context.owned_lanes}):
            lane = Lane(storage, target.path, owner, number)
            if number == context.lane or lane.exists():
                lane.claim(context)
                lanes[number] = lane
    except OSError as error:
        raise _unusable(context, target.path, f"{error.strerror or error} ({error.filename or target.path})") from error
    return owner, lanes


def _unusable(context: SinkContext, path: str, reason: str) -> PathUnusable:
    fix = "Give the path of a folder that the user who runs the job may write to"
    return PathUnusable(what=f"The folder of file sink {context.sink_uid!r},", path=path, reason=reason, fix=fix)
