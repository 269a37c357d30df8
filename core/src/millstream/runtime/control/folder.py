"""The folder where running jobs of a user have their sockets: nobody else may read it, write to it, or have put it there."""

from __future__ import annotations

import os
import stat
import tempfile
from typing import TYPE_CHECKING, Final

from millstream.errors import ControlFolderUnusable

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_PATH_BYTES: Final = 100
"""Longest path of a socket: macOS has room for 103 bytes, Linux for 107."""

LONGEST_NAME: Final = len("/4194304-01234567.sock")


def control_folders(folder: str | None, environ: Mapping[str, str]) -> list[str]:
    """Where jobs may have their sockets, the preferred place first.

    Several: a job that a service started may have another environment than the terminal that asks for it.

    Args:
        folder: the setting `control.folder`; the only place when it is given.
        environ: environment variables.
    """
    if folder is not None:
        return [os.path.abspath(os.path.expanduser(folder))]
    uid = os.geteuid()
    runtime = [environ.get("XDG_RUNTIME_DIR", ""), f"/run/user/{uid}"]
    places = [os.path.join(base, "millstream") for base in runtime if os.path.isabs(base) and os.path.isdir(base)]
    places += [os.path.join(base, f"millstream-{uid}") for base in (tempfile.gettempdir(), "/tmp")]  # noqa: S108 - owner and rights are checked
    return [place for place in dict.fromkeys(places) if len(os.fsencode(place)) + LONGEST_NAME <= MOST_PATH_BYTES]


def make_folder(path: str) -> None:
    """Makes the folder if it is not there, and checks it.

    Raises:
        ControlFolderUnusable: it cannot be made, or is not safe.
    """
    if len(os.fsencode(path)) + LONGEST_NAME > MOST_PATH_BYTES:
        longest = MOST_PATH_BYTES - LONGEST_NAME
        raise ControlFolderUnusable(path=path, reason=f"its path has more than {longest} bytes, and those of sockets are limited")
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise ControlFolderUnusable(path=path, reason=error.strerror or str(error)) from error
    check_folder(path)


def check_folder(path: str) -> bool:
    """Whether the folder is there.

    Raises:
        ControlFolderUnusable: it is a link or no folder, belongs to another user, or others have rights in it.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ControlFolderUnusable(path=path, reason=error.strerror or str(error)) from error
    reason = ""
    if stat.S_ISLNK(found.st_mode):
        reason = "it is a symbolic link"
    elif not stat.S_ISDIR(found.st_mode):
        reason = "it is no folder"
    elif found.st_uid != os.geteuid():
        reason = f"it belongs to user {found.st_uid}, not to user {os.geteuid()}"
    elif stat.S_IMODE(found.st_mode) & 0o077:
        reason = f"others have rights in it (mode {stat.S_IMODE(found.st_mode):04o}, wanted 0700)"
    if reason:
        raise ControlFolderUnusable(path=path, reason=reason)
    return True
