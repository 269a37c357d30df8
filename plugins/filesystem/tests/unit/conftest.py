"""Contexts that the engine would give, recording what connectors ask of them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from millstream.contracts.metrics import Counter, Gauge, Histogram, Meter
from millstream.contracts.sink import SinkContext
from millstream.contracts.source import Fetched, SourceReader, Split
from millstream.ports import InlineExecutor, LocalStorage, ManualClock, SeededRandom, arm, disarm
from millstream.ports.crash import CrashPointReached


class NoMetrics:
    """Metrics that nobody reads."""

    def counter(self, name: str) -> Counter:
        return Counter()

    def gauge(self, name: str, read: Callable[[], object]) -> Gauge:
        return Gauge(read)

    def histogram(self, name: str, window: int = 1000) -> Histogram:
        return Histogram(window)

    def meter(self, name: str) -> Meter:
        return Meter(lambda: 0.0)

    def add_group(self, name: str) -> NoMetrics:
        return self


class FaultyStorage(LocalStorage):
    """The machine's files, on a disk that is full while `full` is set.

    What would be made durable is recorded in `syncs`, in order, and not waited for: it costs seconds on a busy disk.
    """

    def __init__(self) -> None:
        self.full = False
        self.syncs: list[str] = []

    def sync_file(self, file: BinaryIO) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        file.flush()
        self.syncs.append(file.name)

    def sync_folder(self, path: str) -> None:
        os.stat(path)
        self.syncs.append(path)


@dataclass
class Reading:
    """What a reader may use, and what it asked for."""

    subtask: int = 0
    parallelism: int = 1
    clock: ManualClock = field(default_factory=ManualClock)
    random: SeededRandom = field(default_factory=lambda: SeededRandom(0))
    storage: LocalStorage = field(default_factory=FaultyStorage)
    executor: InlineExecutor = field(default_factory=InlineExecutor)
    metrics: NoMetrics = field(default_factory=NoMetrics)
    requests: int = 0
    wakes: int = 0

    def wake(self) -> None:
        self.wakes += 1

    def request_split(self) -> None:
        self.requests += 1

    def send_to_enumerator(self, message: bytes) -> None:
        raise AssertionError(message)


@dataclass
class Enumerating:
    """What an enumerator may use, and what it did with it."""

    parallelism: int = 1
    clock: ManualClock = field(default_factory=ManualClock)
    random: SeededRandom = field(default_factory=lambda: SeededRandom(0))
    storage: LocalStorage = field(default_factory=FaultyStorage)
    executor: InlineExecutor = field(default_factory=InlineExecutor)
    assigned: list[tuple[int, Split]] = field(default_factory=list)
    told_no_more: list[int] = field(default_factory=list)
    told_not_yet: list[int] = field(default_factory=list)
    later: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def assign(self, subtask: int, splits: Sequence[Split]) -> None:
        self.assigned.extend((subtask, split) for split in splits)

    def no_more_splits(self, subtask: int) -> None:
        self.told_no_more.append(subtask)

    def no_splits_yet(self, subtask: int) -> None:
        self.told_not_yet.append(subtask)

    def send_to_reader(self, subtask: int, message: bytes) -> None:
        raise AssertionError(message)

    def call_later(self, delay_s: float, action: Callable[[], None]) -> None:
        self.later.append((delay_s, action))

    def names(self) -> list[str]:
        """File names assigned so far."""
        return [Path(split.split_id).name for _, split in self.assigned]

    def run_later(self) -> None:
        """Does what is due."""
        due, self.later = self.later, []
        for _, action in due:
            action()


def read_all(reader: SourceReader[Any], max_records: int = 1000) -> list[Any]:
    """Every value until there is nothing just now. Nothing may be rejected."""
    values: list[Any] = []
    while (fetched := reader.fetch(max_records)) is not None:
        assert not fetched.rejected
        assert len(fetched.values) <= max_records
        values.extend(fetched.values)
    return values


def fetch_all(reader: SourceReader[Any], max_records: int = 1000) -> list[Fetched[Any]]:
    """Every batch until there is nothing just now."""
    batches = []
    while (fetched := reader.fetch(max_records)) is not None:
        batches.append(fetched)
    return batches


@dataclass
class Folder:
    """A folder as a reader from outside sees it."""

    path: Path

    def visible(self) -> list[str]:
        """All lines of all finished files."""
        files = sorted(path for path in self.path.iterdir() if not path.name.startswith((".", "_")))
        return [line for path in files for line in path.read_text().splitlines()]

    def finished(self) -> list[str]:
        """Names of finished files."""
        return sorted(path.name for path in self.path.iterdir() if not path.name.startswith((".", "_")))

    def unfinished(self) -> list[str]:
        """Names of unfinished files."""
        return sorted(path.name for path in self.path.rglob("*.inprogress"))


def sink_context(**changed: Any) -> SinkContext:
    """Subtask 0 of 1 in the first attempt of a run, unless changed."""
    values: dict[str, Any] = {
        "job_name": "job",
        "run_id": "0" * 32,
        "sink_uid": "out",
        "subtask": 0,
        "parallelism": 1,
        "attempt": 1,
        "lane": 0,
        "owned_lanes": (0,),
        "clock": ManualClock(),
        "random": SeededRandom(0),
        "storage": FaultyStorage(),
        "executor": InlineExecutor(),
        "metrics": NoMetrics(),
    }
    return SinkContext(**(values | changed))


@dataclass
class Kit:
    """What tests of this folder use."""

    opened: list[Any] = field(default_factory=list)

    Reading = Reading
    Enumerating = Enumerating
    FaultyStorage = FaultyStorage
    LocalStorage = LocalStorage
    Folder = Folder
    Crash = CrashPointReached
    read_all = staticmethod(read_all)
    fetch_all = staticmethod(fetch_all)
    sink_context = staticmethod(sink_context)

    def closing(self, opened: Any) -> Any:
        """`opened`, which will be closed when the test is over."""
        self.opened.append(opened)
        return opened

    @staticmethod
    def crash_at(name: str) -> None:
        """The process dies when it passes the point."""

        def die() -> None:
            raise CrashPointReached(name)

        arm(name, die)

    @staticmethod
    def survive() -> None:
        """No more crashes."""
        disarm()


@pytest.fixture
def kit() -> Iterator[Kit]:
    kit = Kit()
    yield kit
    disarm()
    for opened in kit.opened:
        opened.close()
