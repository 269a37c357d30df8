"""Kills a connector between any two calls that its own code makes: no crash point of its own is needed.

While `commit_batch`, `commit`, `prepare` or `flush` runs, each return of something that the connector's files called is a step, and passes
the point `testkit.<method>.<number>`. A record and its marker written by two calls are so told from one atomic write.
"""

from __future__ import annotations

import gc
import inspect
import sys
from typing import TYPE_CHECKING, Any, Final

from millstream.contracts import checkpoint_storage, sink, two_phase_commit, write_ahead
from millstream.ports import crash_point, declare_crash_points

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

    from millstream.contracts.sink import AnySink

METHODS: Final = ("commit_batch", "commit", "prepare", "flush")
MOST_STEPS: Final = 200
"""Of one call that are told apart; later ones pass no point."""

_CONTRACT_FILES = {module.__file__ for module in (checkpoint_storage, sink, two_phase_commit, write_ahead)}


for _method in METHODS:
    declare_crash_points(f"testkit.{_method}.", "the connector's code has made so many calls")


def step_names(method: str) -> list[str]:
    """Names of the points that a method may pass, in order."""
    return [f"testkit.{method}.{number}" for number in range(1, MOST_STEPS + 1)]


def watch_steps(resolved: AnySink) -> None:
    """From now on writers of this class of sink pass the points. For a process that is to be killed: it makes them slow."""
    made: Any = type(resolved)
    original = made.open

    def open_and_watch(self: Any, context: Any) -> Any:
        writer = original(self, context)
        watch_methods(type(writer), METHODS)
        return writer

    made.open = open_and_watch


def watch_methods(kind: Any, methods: Iterable[str]) -> None:
    """From now on these methods of a class pass the points."""
    if "_testkit_watched" not in kind.__dict__:
        kind._testkit_watched = True
        files = frozenset(_files_of(kind))
        for name in methods:
            if hasattr(kind, name):
                setattr(kind, name, _watched(getattr(kind, name), step_names(name), files))


def _files_of(kind: type) -> set[str]:
    """The files that the class and its bases are written in, without those of the contracts."""
    files = set()
    for base in kind.__mro__:
        try:
            files.add(inspect.getfile(base))
        except (TypeError, OSError):
            continue  # built in
    return files - {file for file in _CONTRACT_FILES if file}


def stepping(function: Callable[..., Any], kind: type, at_step: Callable[[int], None]) -> Callable[..., Any]:
    """The function, a method of this class: `at_step` is told the number of each call that the class's own code has made meanwhile, from 1."""
    numbers = [str(number) for number in range(1, MOST_STEPS + 1)]
    return _watched(function, numbers, frozenset(_files_of(kind)), lambda number: at_step(int(number)))


def _watched(
    function: Callable[..., Any], names: list[str], files: frozenset[str], passed: Callable[[str], None] = crash_point
) -> Callable[..., Any]:
    def watched(*arguments: Any, **options: Any) -> Any:
        steps = iter(names)

        def profile(frame: FrameType, event: str, argument: object) -> None:
            caller = frame if event == "c_return" else frame.f_back if event == "return" else None
            if caller is not None and caller.f_code.co_filename in files:
                name = next(steps, None)
                if name is not None:
                    sys.setprofile(None)
                    passed(name)
                    sys.setprofile(profile)

        outer = sys.getprofile()
        # What the cyclic collector releases meanwhile, and who else listens to it, is not the connector's doing: it would be taken for a step.
        collects = gc.isenabled()
        gc.disable()
        sys.setprofile(profile)
        try:
            return function(*arguments, **options)
        finally:
            sys.setprofile(outer)
            if collects:
                gc.enable()

    return watched
