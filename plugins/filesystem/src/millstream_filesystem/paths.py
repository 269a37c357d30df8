"""Paths as options give them, and what makes their names durable."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from millstream.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millstream.ports import Storage

_ALLOWED: Final = "a path on a mounted file system, or a file: URL of one"


def local_path(what: str, path: str | os.PathLike[str]) -> str:
    """The absolute form of a path or of a `file:` URL; `~` is the home folder.

    Args:
        what: the option, for the error.
        path: may name something that does not exist.

    Raises:
        InvalidArgument: it is empty, or the URL of something else.
    """
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else path
    if not isinstance(text, str) or not text or "\0" in text:
        raise InvalidArgument(what=what, value=repr(path), allowed=_ALLOWED)
    if "://" in text or text.startswith("file:"):
        url = urlsplit(text)
        if url.scheme != "file" or url.netloc not in ("", "localhost") or not url.path:
            raise InvalidArgument(what=what, value=repr(path), allowed=_ALLOWED)
        text = unquote(url.path)
    return os.path.abspath(os.path.expanduser(text))


@contextmanager
def naming(folder: str) -> Iterator[None]:
    """Names the folder in an error of the block that names no place: that of a write to a full disk knows nothing but a file's number."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = folder
        raise


def sync_names(storage: Storage, folder: str, root: str) -> None:
    """Makes the names of a folder and of all folders above it durable: who made them, and whether they synced them, nobody knows.

    Args:
        storage: where they are.
        folder: the lowest one.
        root: at or above `folder`; from here on down every folder must be one that can be synced.

    Raises:
        OSError: one of them could not be synced.
    """
    while folder:
        try:
            storage.sync_folder(folder)
        except OSError as error:
            # Above the root are folders that we may not open, and kinds of folder that cannot be synced: then they are not ours.
            if len(folder) >= len(root) or error.errno not in (errno.EACCES, errno.EPERM, errno.EINVAL):
                raise
        folder = folder.rpartition("/")[0]
    with suppress(PermissionError):
        storage.sync_folder("/")
