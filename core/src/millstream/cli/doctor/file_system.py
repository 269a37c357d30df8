"""Which kind of file system a folder is on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

MOUNTS: Final = Path("/proc/self/mountinfo")

GONE_WITH_POWER: Final = frozenset({"tmpfs", "ramfs", "devtmpfs", "zram"})
GONE_WITH_CONTAINER: Final = frozenset({"overlay", "aufs"})
NETWORK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "gpfs", "beegfs", "fuse.sshfs", "fuse.s3fs", "fuse.gcsfuse",
     "fuse.rclone", "fuse.glusterfs", "virtiofs", "davfs", "fuse.davfs2", "ncpfs", "coda"}
)  # fmt: skip


def kind_of(path: str, mounts: str | None = None) -> str | None:
    """The type of the file system that holds `path`, as the kernel names it; None where that cannot be told.

    Args:
        path: an existing folder.
        mounts: what /proc/self/mountinfo says; read when None.
    """
    if mounts is None:
        try:
            mounts = MOUNTS.read_text(errors="surrogateescape")
        except OSError:  # no Linux
            return None
    real = os.path.realpath(path)
    found, longest = None, -1
    for line in mounts.splitlines():
        # 36 35 98:0 /root /mount/point options optional... - type source options; a later line covers an earlier one.
        fields, _, rest = line.partition(" - ")
        words = fields.split(" ")
        if len(words) < 5 or not rest:
            continue
        point = _unescaped(words[4])
        if (real == point or real.startswith(point.rstrip("/") + "/")) and len(point) >= longest:
            found, longest = rest.split(" ")[0], len(point)
    return found


def _unescaped(text: str) -> str:
    """A path of mountinfo, where blanks, tabs, line ends and backslashes are octal numbers."""
    for code in ("\\040", "\\011", "\\012", "\\134"):
        text = text.replace(code, chr(int(code[1:], 8)))
    return text
