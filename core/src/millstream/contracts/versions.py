"""Numbers of layouts: what connectors and the engine put into checkpoints begins with one."""

from __future__ import annotations

from millstream.errors import UnknownStateVersion


def check_version(what: str, found: int, known: int) -> None:
    """Refuses a layout that a later release wrote.

    Args:
        what: named in the error, for example `The position of split 'a.csv'`.
        found: the number that was stored.
        known: the highest number that the caller reads, from 1; it reads all below, too.

    Raises:
        UnknownStateVersion: it is another one.
    """
    if not 1 <= found <= known:
        raise UnknownStateVersion(what=what, found=found, known=known)
