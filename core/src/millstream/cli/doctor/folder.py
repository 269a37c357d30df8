"""The folder of checkpoints: whether what checkpoints need of a file system works there, tried with files of its own."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from millstream.cli.doctor.file_system import GONE_WITH_CONTAINER, GONE_WITH_POWER, NETWORK, kind_of
from millstream.cli.doctor.finding import ok, problem, warning
from millstream.cli.texts import duration_text, size_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millstream.cli.doctor.finding import Finding
    from millstream.ports import Clock, Storage

LEAST_FREE_BYTES: Final = 100_000_000
PLENTY_FREE_BYTES: Final = 1_000_000_000
_SLOW_SYNC_S: Final = 0.1
_ELSEWHERE: Final = "Set checkpoint.storage to a folder on a local disk"


def folder_findings(root: str, files: Storage, clock: Clock) -> Iterator[Finding]:
    """About a folder, which need not exist yet: then about the nearest one above it that does.

    Nothing stays behind of what is tried. Free space and the kind of file system are asked of the operating system.
    """
    there = _nearest(root, files)
    what = f"The folder of checkpoints {root}" + ("" if there == root else f" (not there yet; {there} is)")
    if not files.is_folder(there):
        yield problem("storage", f"{what} cannot be: {there} is a file.", "Set checkpoint.storage to another folder, or move the file away")
        return
    yield from _tried(what, there, files, clock)
    yield free_space_finding(there, shutil.disk_usage(there).free)
    yield file_system_finding(there, kind_of(there))


def _nearest(path: str, files: Storage) -> str:
    while files.info(path) is None and os.path.dirname(path) != path:
        path = os.path.dirname(path)
    return path


def _tried(what: str, folder: str, files: Storage, clock: Clock) -> Iterator[Finding]:
    work = f"{folder}/.millstream-doctor-{os.getpid()}"
    try:
        files.make_folder(work)
    except OSError as error:
        yield problem("storage", f"{what} cannot be written: {_reason(error)}.", f"Make {folder} writable to the user of the job")
        return
    try:
        yield ok("storage", f"{what} can be written.")
        yield _sync_finding(folder, work, files, clock)
        yield _rename_finding(folder, work, files)
    finally:
        with suppress(OSError):
            files.delete_tree(work)


def _sync_finding(folder: str, work: str, files: Storage, clock: Clock) -> Finding:
    started_s = clock.monotonic_s()
    try:
        with files.open_write(f"{work}/written") as file:
            file.write(b"x" * 4096)
            files.sync_file(file)
        files.sync_folder(work)
    except OSError as error:
        return problem("storage", f"Files in {folder} cannot be made durable: fsync failed: {_reason(error)}.", _ELSEWHERE)
    took_s = clock.monotonic_s() - started_s
    if took_s > _SLOW_SYNC_S:
        what = f"Making a small file in {folder} durable took {duration_text(took_s)}; each checkpoint waits for several."
        return warning("storage", what, f"{_ELSEWHERE}, or raise checkpoint.interval")
    return ok("storage", f"Files in {folder} can be made durable: fsync works, and took {duration_text(took_s)}.")


def _rename_finding(folder: str, work: str, files: Storage) -> Finding:
    """Checkpoints are published by a rename that refuses an existing target, and documents replaced by one that does not."""
    try:
        _write(f"{work}/one", b"1", files)
        _write(f"{work}/two", b"2", files)
        files.rename_new(f"{work}/one", f"{work}/published")
        try:
            files.rename_new(f"{work}/two", f"{work}/published")
        except FileExistsError:
            files.rename(f"{work}/two", f"{work}/published")
            with files.open_read(f"{work}/published") as file:
                replaced = file.read() == b"2"
            if replaced and files.info(f"{work}/one") is None and files.info(f"{work}/two") is None:
                return ok("storage", f"Renaming in {folder} is one step: it refuses or replaces a file, as it is told.")
    except OSError as error:
        what = f"A checkpoint in {folder} cannot be published in one step: {_reason(error)}. The file system has no hard links, or no rename."
        return problem("storage", what, _ELSEWHERE)
    what = f"Renaming in {folder} does not do what it says: two leaders could publish one checkpoint, or a document be lost."
    return problem("storage", what, _ELSEWHERE)


def _write(path: str, data: bytes, files: Storage) -> None:
    with files.open_write(path) as file:
        file.write(data)


def free_space_finding(folder: str, free_bytes: int) -> Finding:
    """About the room that is left."""
    what = f"{size_text(free_bytes)} are free in {folder}."
    if free_bytes < LEAST_FREE_BYTES:
        return problem("storage", what, "Free some space: a checkpoint that cannot be written fails the job in the end")
    if free_bytes < PLENTY_FREE_BYTES:
        return warning("storage", what, "Free some space if the state of the job is large: two checkpoints have to fit, and one more")
    return ok("storage", what)


def file_system_finding(folder: str, kind: str | None) -> Finding:
    """About the file system's kind."""
    if kind is None:
        what = f"The kind of file system of {folder} cannot be told on this platform."
        return warning("storage", what, "Make sure that it is a local disk, neither memory nor a network share")
    if kind in GONE_WITH_POWER:
        return warning("storage", f"{folder} is on {kind}, which is memory: checkpoints are gone after a restart of the machine.", _ELSEWHERE)
    if kind in GONE_WITH_CONTAINER:
        what = f"{folder} is on {kind}, the layer of a container: checkpoints are gone with the container."
        return warning("storage", what, "Set checkpoint.storage to a folder of a mounted volume")
    if kind in NETWORK:
        what = f"{folder} is on {kind}, a network file system: whether fsync and rename keep what they promise is up to its server and its options."
        return warning("storage", what, _ELSEWHERE)
    return ok("storage", f"{folder} is on {kind}.")


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
