"""Finds the files that a path, a folder or a pattern stands for.

Names that start with `.` or `_` are not finished and are passed over, unless the path or pattern spells that character out.
"""

from __future__ import annotations

import fnmatch
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from millstream.errors import PathUnusable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millstream.ports import Storage
    from millstream.ports.storage import FileInfo

_WILDCARDS: Final = frozenset("*?[")
_ANY_DEPTH: Final = "**"


def is_pattern(path: str) -> bool:
    """Whether a path holds `*`, `?` or `[`."""
    return not _WILDCARDS.isdisjoint(path)


def find_files(storage: Storage, path: str, *, recursive: bool = False, may_be_none: bool = False) -> list[FileInfo]:
    """The files behind `path`, ordered by path.

    Args:
        storage: where to look.
        path: absolute path of a file or a folder, or a pattern in which `*`, `?` and `[...]` stand for parts of names and `**` for
            any number of folders. What exists under exactly that name is no pattern.
        recursive: of a folder, also the files in folders inside.
        may_be_none: a pattern may match nothing yet.

    Raises:
        PathUnusable: nothing has that name or matches the pattern, or a folder cannot be read.
    """
    try:
        found = {info.path: info for info in _find(storage, path, recursive=recursive, may_be_none=may_be_none)}
    except OSError as error:
        raise PathUnusable(
            what="The file source's path",
            path=path,
            reason=f"{error.strerror or error} ({error.filename or path})",
            fix="Make it readable to the user that runs the job",
        ) from error
    return [info for _, info in sorted(found.items())]


def _find(storage: Storage, path: str, *, recursive: bool, may_be_none: bool) -> Iterator[FileInfo]:
    found = storage.info(path)
    if found is not None and not storage.is_folder(path):
        yield found
    elif found is not None:
        yield from _matches(storage, path, [_ANY_DEPTH, "*"] if recursive else ["*"])
    elif is_pattern(path):
        base, parts = _split(path)
        matched = list(_matches(storage, base, parts)) if storage.is_folder(base) else []
        if not matched and not (may_be_none and storage.is_folder(base)):
            reason = f"no file matches, and it was looked for in {base}" if storage.is_folder(base) else f"there is no folder {base}"
            raise PathUnusable(what="The file source's path", path=path, reason=reason, fix="Correct the pattern")
        yield from matched
    else:
        raise _missing(storage, path)


def _split(path: str) -> tuple[str, list[str]]:
    """The folder in front of the first pattern, and the parts from there."""
    parts = path.split("/")
    first = next(index for index, part in enumerate(parts) if is_pattern(part))
    return "/".join(parts[:first]) or "/", parts[first:]


def _matches(storage: Storage, folder: str, parts: list[str]) -> Iterator[FileInfo]:
    part, rest = parts[0], parts[1:]
    if part == _ANY_DEPTH:
        yield from _matches(storage, folder, rest or ["*"])
        for name in _visible(storage, folder, "*"):
            if storage.is_folder(f"{folder}/{name}"):
                yield from _matches(storage, f"{folder}/{name}", parts)
        return
    names = _visible(storage, folder, part) if is_pattern(part) else [part]
    for name in names:
        path = f"{folder.rstrip('/')}/{name}"
        is_folder = storage.is_folder(path)
        if rest and is_folder:
            yield from _matches(storage, path, rest)
        elif not rest and not is_folder:
            info = storage.info(path)
            if info is not None:  # else it was renamed or deleted while we looked
                yield info


def _visible(storage: Storage, folder: str, pattern: str) -> list[str]:
    unfinished = tuple(mark for mark in "._" if not pattern.startswith(mark))
    return [name for name in storage.list(folder) if not name.startswith(unfinished) and fnmatch.fnmatchcase(name, pattern)]


def _missing(storage: Storage, path: str) -> PathUnusable:
    folder, _, name = path.rpartition("/")
    there = storage.is_folder(folder or "/")
    near = get_close_matches(name, storage.list(folder or "/"), n=1) if there else []
    return PathUnusable(
        what="The file source's path",
        path=path,
        reason="there is no such file or folder" if there else f"there is no folder {folder}",
        fix=f"Correct the path (perhaps to {near[0]!r}), or create it" if near else "Correct the path, or create it",
    )
