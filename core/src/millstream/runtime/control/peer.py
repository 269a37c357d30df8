"""Who is at the other end of a Unix socket."""

from __future__ import annotations

import socket
import struct
import sys
from typing import Final

_LOCAL_PEERCRED: Final = 1
"""Of <sys/un.h> on macOS, where Python has no name for it; its level is SOL_LOCAL, 0."""


def peer_uid(connection: socket.socket) -> int | None:
    """The user of the other process, as the kernel knows it; None where the system does not tell."""
    uid: int | None = None
    if sys.platform == "linux":
        _, peer, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
        uid = int(peer) & 0xFFFFFFFF
    elif sys.platform == "darwin":
        # struct xucred: version, uid, number of groups, 16 groups.
        _, peer = struct.unpack("II", connection.getsockopt(0, _LOCAL_PEERCRED, 76)[:8])
        uid = int(peer)
    return uid
