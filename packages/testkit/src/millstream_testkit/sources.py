"""Harnesses of the sources that come with Millstream."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millstream_filesystem import FileSource
from millstream_testkit.epoch_source import EpochSource
from millstream_testkit.source_harness import SourceHarness

if TYPE_CHECKING:
    from collections.abc import Sequence

_FILES = 4
_PER_FILE = 20


class FileSourceHarness(SourceHarness):
    """`FileSource`, on a folder of JSON lines."""

    name = "FileSource"

    def create_origin(self, folder: Path) -> str:
        origin = folder / "input"
        origin.mkdir()
        for file in range(_FILES):
            lines = [json.dumps({"file": file, "line": line}) for line in range(_PER_FILE)]
            (origin / f"{file}.jsonl").write_text("\n".join(lines) + "\n")
        return str(origin)

    def source(self, origin: str) -> FileSource[Any]:
        return FileSource(origin, format="json")

    def expected(self, origin: str) -> Sequence[Any]:
        return [json.loads(line) for path in sorted(Path(origin).iterdir()) for line in path.read_text().splitlines() if line.startswith("{")]

    def lose(self, origin: str) -> bool:
        for path in Path(origin).iterdir():
            path.unlink()
        return True

    def spoil(self, origin: str) -> int:
        for path in Path(origin).iterdir():
            path.write_text("not a record\n" + path.read_text())
        return _FILES


class WatchedFolderHarness(FileSourceHarness):
    """`FileSource(monitor_interval=...)`: the folder's new files are read as well, for ever."""

    name = "FileSource(monitor_interval)"

    def source(self, origin: str) -> FileSource[Any]:
        return FileSource(origin, format="json", monitor_interval=timedelta(milliseconds=20))

    def add(self, origin: str) -> Sequence[Any]:
        file = len(list(Path(origin).iterdir()))
        records = [{"file": file, "line": line} for line in range(_PER_FILE)]
        hidden = Path(origin, f".{file}")
        hidden.write_text("".join(json.dumps(record) + "\n" for record in records))
        hidden.rename(Path(origin, f"{file}.jsonl"))
        return records


class EpochSourceHarness(SourceHarness):
    """The kit's own source, without an origin: numbers are a function of the position."""

    name = "EpochSource"
    example_origin = "80"

    def create_origin(self, folder: Path) -> str:
        return "80"

    def source(self, origin: str) -> EpochSource:
        return EpochSource(int(origin), per_epoch=1_000, splits=4)

    def expected(self, origin: str) -> Sequence[int]:
        return range(int(origin))
