"""Tables of a backend and plain dicts, driven alike by a random program, with snapshots, restores and deaths in between.

Values are lists that programs change in place, which is what tears a snapshot that keeps references only. The model of a snapshot is a
deep copy made at its barrier.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from hypothesis import strategies as st

from millstream_testkit.suites.opened_tables import FLAT, WINDOWS
from millstream_testkit.suites.programs import Failed, described, steps

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.contracts.state_backend import StateChunk, TableSnapshot
    from millstream_testkit.suites.opened_tables import Backend

KEYS: Final = [f"k{number}" for number in range(8)]
NAMESPACES: Final = 3

Step: TypeAlias = tuple[str, str, int, int]
"""What is done, with which key, in which namespace, and the parallelism of a restore."""


class Changes:
    """Each does the same to a table and to its model. What it returns is compared."""

    @staticmethod
    def put(entries: Any, key: str, number: int) -> None:
        entries[key] = [number]

    @staticmethod
    def change(entries: Any, key: str, number: int) -> Any:
        if key not in entries:
            return None
        entries[key].append(number)
        return list(entries[key])

    @staticmethod
    def change_got(entries: Any, key: str, number: int) -> None:
        entries.get(key, []).append(number)

    @staticmethod
    def change_or_make(entries: Any, key: str, number: int) -> None:
        entries.setdefault(key, []).append(number)

    @staticmethod
    def replace_by_changed(entries: Any, key: str, number: int) -> None:
        value = entries.get(key, [])
        value.append(number)
        entries[key] = value

    @staticmethod
    def change_all(entries: Any, key: str, number: int) -> None:
        for value in entries.values():
            value.append(number)

    @staticmethod
    def empty_some(entries: Any, key: str, number: int) -> Any:
        for other, value in entries.items():
            if other < key:
                value.clear()
        return sorted(entries)

    @staticmethod
    def move(entries: Any, key: str, number: int) -> None:
        if key in entries and key != KEYS[0]:
            entries[KEYS[0]] = entries.pop(key)
            entries[KEYS[0]].append(number)

    @staticmethod
    def pop(entries: Any, key: str, number: int) -> Any:
        value = entries.pop(key, None)
        if value is not None:
            value.append(number)
        return value

    @staticmethod
    def delete(entries: Any, key: str, number: int) -> Any:
        try:
            del entries[key]
        except KeyError:
            return "KeyError"
        return len(entries)

    @staticmethod
    def read(entries: Any, key: str, number: int) -> Any:
        try:
            value = list(entries[key])
        except KeyError:
            value = None
        return key in entries, value, entries.get(key), entries.get(key, number), len(entries)

    @staticmethod
    def update(entries: Any, key: str, number: int) -> Any:
        entries.update({key: [number], KEYS[1]: [-number]})
        return sorted(entries)

    @staticmethod
    def clear(entries: Any, key: str, number: int) -> None:
        entries.clear()


CHANGES: Final[dict[str, Callable[[Any, str, int], Any]]] = {
    name: made.__func__ for name, made in vars(Changes).items() if isinstance(made, staticmethod)
}
_OF_TABLES: Final = ["put"] * 4 + list(CHANGES) + ["fire", "fire", "merge"]
_OF_SNAPSHOTS: Final = ["begin"] * 6 + ["slice"] * 12 + ["finish", "abandon", "die", "restart"]


def programs_of_tables(*, snapshots: bool) -> st.SearchStrategy[list[Step]]:
    """Random programs, with snapshots or without."""
    names = _OF_TABLES + (_OF_SNAPSHOTS if snapshots else [])
    step = st.tuples(st.sampled_from(names), st.sampled_from(KEYS), st.integers(0, NAMESPACES - 1), st.integers(1, 4))
    return steps(step, 80)


class TableMachine:
    """Runs one program.

    Args:
        backend: whose tables they are.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._opened = backend.open()
        self._flat: dict[str, list[int]] = {}
        self._windows: dict[int, dict[str, list[int]]] = {}
        self._pending: TableSnapshot | None = None
        self._at_barrier: tuple[Any, Any] = ({}, {})
        self._stored: tuple[list[StateChunk], Any, Any] = ([], {}, {})
        self._number = 0
        self._done: list[str] = []

    def run(self, program: list[Step]) -> None:
        """All steps, then one last snapshot.

        Raises:
            Failed: something differs from the model, or a call raised.
        """
        for step in [*program, ("finish", "", 0, 3), ("begin", "", 0, 1), ("finish", "", 0, 2)]:
            self._done.append(described(step))
            try:
                self._do(step)
            except Exception as problem:
                raise Failed(self._done, problem) from problem

    def close(self) -> None:
        """Closes what is open, pending or not."""
        self._backend.close(self._opened)

    def _do(self, step: Step) -> None:
        what, key, namespace, parallelism = step
        self._number += 1
        if what in CHANGES:
            self._change(CHANGES[what], key, namespace)
        elif what in ("fire", "merge"):
            getattr(self, what)(namespace)
        else:
            getattr(self, what)(parallelism)
        if self._pending is None:  # comparing reads every value, and may have all of a pending snapshot encoded at once
            self._compare()

    def _compare(self) -> None:
        found, found_windows = self._opened.flat(), self._opened.windows()
        assert found == self._flat, f"the flat table is {found}, not {self._flat}"
        windows = {namespace: inner for namespace, inner in self._windows.items() if inner}
        assert found_windows == windows, f"the namespaced table is {found_windows}, not {windows}"

    def _change(self, change: Callable[[Any, str, int], Any], key: str, namespace: int) -> None:
        pairs = [(self._opened[FLAT], self._flat), (self._opened.window(namespace), self._windows.setdefault(namespace, {}))]
        for entries, model in pairs:
            result, expected = change(entries, key, self._number), change(model, key, self._number)
            assert result == expected, f"the table answered {result}, not {expected}"

    def fire(self, namespace: int) -> None:
        """Takes a window out, and changes what was in it."""
        for windows in (self._opened[WINDOWS], self._windows):
            for value in windows.pop(namespace, {}).values():
                value.append(self._number)

    def merge(self, namespace: int) -> None:
        """Moves a window to another time, as sessions do when they grow together, and changes what is in it."""
        target = (namespace + 1) % NAMESPACES
        if self._windows.get(namespace):
            for windows in (self._opened[WINDOWS], self._windows):
                windows[target] = windows.pop(namespace)
                for value in windows[target].values():
                    value.append(self._number)

    def begin(self, parallelism: int) -> None:
        """The barrier."""
        if self._pending is None:
            self._at_barrier = copy.deepcopy((self._flat, self._windows))
            self._pending = self._opened.begin(self._number)

    def slice(self, parallelism: int) -> None:
        """A slice of the asynchronous part."""
        if self._pending is not None and self._opened.step(self._pending):
            self.finish(parallelism)

    def finish(self, parallelism: int) -> None:
        """The rest of it; what it holds is restored at another parallelism."""
        if self._pending is not None:
            chunks = self._opened.finish(self._pending)
            self._pending = None
            self._backend.assert_restores(chunks, *self._at_barrier, "of what there was at the barrier", parallelism)
            self._stored = chunks, *self._at_barrier

    def abandon(self, parallelism: int) -> None:
        """The checkpoint is given up."""
        if self._pending is not None:
            self._pending.abandon()
            self._pending = None

    def restart(self, parallelism: int) -> None:
        """The attempt ends, with a snapshot pending perhaps; the next one goes on from the last that was finished."""
        self._backend.close(self._opened)
        self.die(parallelism)

    def die(self, parallelism: int) -> None:
        """The same for an attempt that closes nothing."""
        self._pending = None
        chunks, *model = self._stored
        self._flat, self._windows = copy.deepcopy(model)
        self._opened = self._backend.open()
        self._opened.restore(chunks, FLAT, WINDOWS)
