"""Paths as options give them."""

from __future__ import annotations

import os
from typing import Final
from urllib.parse import unquote, urlsplit

from millstream.errors import InvalidArgument

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
