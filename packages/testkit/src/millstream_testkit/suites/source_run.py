"""A source run in this process: the engine's part, coordinator and subtasks, is played by the test, one step at a time."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Any

import msgspec

from millstream.contracts.source import Rejected, Source, SourceReader, Split
from millstream.runtime.launch import system_ports
from millstream.runtime.metrics import MetricRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from millstream.runtime.deployment import Ports


class _Shared:
    """What both contexts have."""

    def __init__(self, ports: Ports, parallelism: int) -> None:
        self.parallelism = parallelism
        self.clock = ports.clock
        self.random = ports.random
        self.storage = ports.storage
        self.executor = ports.executor


class _EnumeratorContext(_Shared):
    def __init__(self, run: SourceRun, ports: Ports, parallelism: int) -> None:
        super().__init__(ports, parallelism)
        self._run = run

    def assign(self, subtask: int, splits: Sequence[Split]) -> None:
        # Encoded and decoded, as between processes.
        sent = [_decoded(_encoded(split)) for split in splits]
        self._run.mail[subtask].append(lambda: self._run.add_splits(subtask, sent))
        self._run.woken.set()

    def no_splits_yet(self, subtask: int) -> None:
        """Says something of watermarks only, and there are none here."""

    def no_more_splits(self, subtask: int) -> None:
        self._run.mail[subtask].append(lambda: self._run.readers[subtask].no_more_splits())
        self._run.woken.set()

    def send_to_reader(self, subtask: int, message: bytes) -> None:
        self._run.mail[subtask].append(lambda: self._run.readers[subtask].receive(message))
        self._run.woken.set()

    def call_later(self, delay_s: float, action: Callable[[], None]) -> None:
        self._run.later.append((time.monotonic() + delay_s, action))


class _ReaderContext(_Shared):
    def __init__(self, run: SourceRun, ports: Ports, parallelism: int, subtask: int) -> None:
        super().__init__(ports, parallelism)
        self._run = run
        self.subtask = subtask
        self.metrics = MetricRegistry(ports.clock).group("conformance", "source", str(subtask))

    def wake(self) -> None:
        self._run.woken.set()

    def request_split(self) -> None:
        self._run.requests.append(lambda: self._run.enumerator.handle_split_request(self.subtask))
        self._run.woken.set()

    def send_to_enumerator(self, message: bytes) -> None:
        self._run.requests.append(lambda: self._run.enumerator.receive(self.subtask, message))
        self._run.woken.set()


@dataclass(frozen=True)
class Positions:
    """What a checkpoint keeps of a source, encoded at the barrier.

    Attributes:
        splits: of each reader.
        enumerator: its state.
    """

    splits: tuple[tuple[bytes, ...], ...]
    enumerator: bytes

    def split_ids(self) -> list[str]:
        """Ids of the splits that readers own, with doubles."""
        return [_decoded(split).split_id for reader in self.splits for split in reader]


@dataclass
class Brought:
    """What one step brought.

    Attributes:
        split_id: where from; empty for nothing.
    """

    split_id: str = ""
    values: list[Any] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


class SourceRun:
    """One life of a source.

    Args:
        source: the description.
        parallelism: number of readers.
        positions: that it goes on from; None for a fresh start.
        quiet_limit_s: how long it may bring nothing while records are missing.
    """

    def __init__(self, source: Source[Any], parallelism: int, positions: Positions | None = None, quiet_limit_s: float = 20.0) -> None:
        self._quiet_limit_s = quiet_limit_s
        self._ports = system_ports(seed=1)
        self._source = source
        self._parallelism = parallelism
        self.woken = Event()
        self.mail: list[deque[Callable[[], None]]] = [deque() for _ in range(parallelism)]
        self.requests: deque[Callable[[], None]] = deque()
        self.later: list[tuple[float, Callable[[], None]]] = []
        self.readers: list[SourceReader[Any]] = []
        self.finished_splits: list[str] = []
        self._ended: set[int] = set()
        enumerator_context: Any = _EnumeratorContext(self, self._ports, parallelism)
        self.enumerator = source.create_enumerator(enumerator_context, positions.enumerator if positions else None)
        for subtask in range(parallelism):
            self.readers.append(self._new_reader(subtask))
        if positions is not None:
            restored = [_decoded(split) for reader in positions.splits for split in reader]
            for subtask in range(parallelism):
                if restored[subtask::parallelism]:
                    self.add_splits(subtask, restored[subtask::parallelism])  # in one call, as the engine does
        self.enumerator.start()
        for reader in self.readers:
            reader.start()

    def _new_reader(self, subtask: int) -> SourceReader[Any]:
        context: Any = _ReaderContext(self, self._ports, self._parallelism, subtask)
        return self._source.create_reader(context)

    def add_splits(self, subtask: int, splits: Sequence[Split]) -> None:
        """Gives splits to a reader."""
        self.readers[subtask].add_splits(splits)

    def deliver(self) -> None:
        """Hands over everything that is on its way."""
        now = time.monotonic()
        due = [action for at, action in self.later if at <= now]
        self.later = [(at, action) for at, action in self.later if at > now]
        for action in due:
            action()
        while self.requests or any(self.mail):
            while self.requests:
                self.requests.popleft()()
            for box in self.mail:
                while box:
                    box.popleft()()

    def step(self, subtask: int, most: int = 7) -> Brought:
        """One call of a reader's fetch. While its request or the answer is on its way, a call comes first, as in the engine."""
        brought = self._fetch(subtask, most) if self.requests or self.mail[subtask] else Brought()
        self.deliver()
        return brought if brought.split_id else self._fetch(subtask, most)

    def _fetch(self, subtask: int, most: int) -> Brought:
        reader = self.readers[subtask]
        if subtask in self._ended:
            return Brought()
        fetched = reader.fetch(most)
        self.finished_splits += reader.finished_splits()
        if fetched is None:
            if reader.finished():
                self._ended.add(subtask)  # the engine never asks it again
            return Brought()
        assert len(fetched.values) <= most, f"fetch({most}) brought {len(fetched.values)} records"
        return Brought(fetched.split_id, list(fetched.values), list(fetched.rejected))

    def steps(self, most: int = 7, until: int | None = None) -> Iterator[Brought]:
        """Reads in turns until every reader has finished, or so many records have come.

        Raises:
            AssertionError: nothing came for so long.
        """
        count, quiet_since = 0, time.monotonic()
        while until is None or count < until:
            self.woken.clear()
            quiet = True
            for subtask in range(self._parallelism):
                brought = self.step(subtask, most)
                if brought.split_id:
                    quiet, quiet_since = False, time.monotonic()
                    count += len(brought.values)
                    yield brought  # at once: a checkpoint that is taken now covers this step, and no more
            if quiet:
                if (self.finished() or len(self._ended) == self._parallelism) and not self.requests and not any(self.mail):
                    return
                assert time.monotonic() - quiet_since < self._quiet_limit_s, (
                    f"the source brought nothing for {self._quiet_limit_s:g} s, and has not finished"
                )
                self.woken.wait(0.02)

    def read(self, until: int | None = None, most: int = 7) -> list[Any]:
        """Records, in the order of arrival."""
        return [value for brought in self.steps(most, until) for value in brought.values]

    def finished(self) -> bool:
        """Whether every reader says that nothing will come."""
        return all(reader.finished() for reader in self.readers)

    def snapshot(self, checkpoint_id: int) -> tuple[Positions, list[Sequence[Split]]]:
        """A checkpoint: encoded at once, and the objects that the readers returned."""
        self.deliver()
        objects = [reader.snapshot(checkpoint_id) for reader in self.readers]
        splits = tuple(tuple(map(_encoded, reader)) for reader in objects)
        return Positions(splits, self.enumerator.snapshot(checkpoint_id)), objects

    def positions(self, checkpoint_id: int = 1) -> Positions:
        """A checkpoint."""
        return self.snapshot(checkpoint_id)[0]

    def kill_reader(self, subtask: int, splits: Sequence[bytes]) -> None:
        """A reader is gone; the enumerator gets its splits back, and a new one starts."""
        self.mail[subtask].clear()
        self._ended.discard(subtask)
        self.readers[subtask].close()
        self.readers[subtask] = self._new_reader(subtask)
        self.enumerator.add_splits_back([_decoded(split) for split in splits], subtask)
        self.readers[subtask].start()

    def close(self) -> None:
        """Closes everything."""
        for reader in self.readers:
            reader.close()
        self.enumerator.close()
        self._ports.executor.close()


def encoded(splits: Sequence[Split]) -> tuple[bytes, ...]:
    """Splits as a checkpoint keeps them."""
    return tuple(map(_encoded, splits))


def _encoded(split: Split) -> bytes:
    return msgspec.msgpack.encode(split)


def _decoded(data: bytes) -> Split:
    return msgspec.msgpack.decode(data, type=Split)
