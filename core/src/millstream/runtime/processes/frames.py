"""Frames: how messages stand one after the other in a stream of bytes.

    payload length  4 bytes, big-endian
    channel         8 bytes
    kind            1 byte
    payload

Internal to one release: both ends of a connection are of the same job, started together.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER: Final = struct.Struct("!IQB")

MAX_PAYLOAD: Final = 2**30
"""Bytes of the longest payload. A longer length is not believed: memory would be kept for it."""


class Kind(IntEnum):
    """What a frame is."""

    # Between TaskManagers.
    RECORDS = 1
    WATERMARK = 2
    STATUS = 3
    BARRIER = 4
    END = 5
    CREDIT = 6
    # From the JobManager to a TaskManager.
    SET_UP = 16
    DEPLOY = 17
    CANCEL = 18
    LEAVE = 19
    PING = 20
    ANSWER = 21
    # From a TaskManager to the JobManager.
    PONG = 32
    METRICS = 33
    STORE = 34
    BROKEN = 35
    # Both ways.
    MESSAGE = 48


KINDS: Final = {kind.value: kind for kind in Kind}


class Frame(NamedTuple):
    """A message.

    Attributes:
        channel: whom it is for; means what the two ends agree on.
    """

    channel: int
    kind: Kind
    payload: bytes


class ForeignFrames(Exception):
    """The bytes are not frames; the argument says why."""


class BrokenOff(ForeignFrames):
    """The stream ended inside of a frame: who wrote it has died."""


def header(channel: int, kind: Kind, length: int) -> bytes:
    """What stands in front of a payload of that length.

    Raises:
        ValueError: no frame may be that long.
    """
    if length > MAX_PAYLOAD:
        msg = f"a payload of {length} bytes is longer than {MAX_PAYLOAD}"
        raise ValueError(msg)
    return HEADER.pack(length, channel, kind)


class FrameReader:
    """Cuts a stream of bytes into frames, however it arrives."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes | memoryview) -> Iterator[Frame]:
        """The frames that are whole now. What is fed may be overwritten when they have been taken.

        Raises:
            ForeignFrames: what arrived cannot be a frame. Nothing behind it can be read.
        """
        buffer = self._buffer
        if buffer:
            buffer += data
            view = memoryview(buffer)
        else:  # nothing is left of earlier: frames are cut from what came, and only their payloads copied
            view = memoryview(data)
        position, size, length_of_view = 0, HEADER.size, len(view)
        try:
            while length_of_view - position >= size:
                length, channel, number = HEADER.unpack_from(view, position)
                kind = KINDS.get(number)
                if kind is None:
                    raise ForeignFrames(f"there is no kind of frame {number}")
                if length > MAX_PAYLOAD:
                    raise ForeignFrames(f"a frame of {length} bytes is announced, and {MAX_PAYLOAD} is the most")
                end = position + size + length
                if length_of_view < end:
                    break
                payload = bytes(view[position + size : end])
                position = end
                yield Frame(channel, kind, payload)
        finally:
            if buffer:
                view.release()
                del buffer[:position]
            else:
                buffer += view[position:]

    def end(self) -> None:
        """The stream has ended.

        Raises:
            BrokenOff: in the middle of a frame.
        """
        if self._buffer:
            raise BrokenOff(f"the stream ended {len(self._buffer)} bytes into a frame")
