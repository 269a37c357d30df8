"""The loops of window operators, generated from what each kind of window does with one record.

There are three, because most batches need less than the first one does. A batch may hold records of several windows: the window of a record
is looked up when its timestamp leaves the bounds of the window at hand. A batch that lies in the window at hand as a whole needs no look
at timestamps. And only where many keys are new is each one tested: in a new window, and when a batch crosses from one to the next. A test
costs every record a little; the exception that the other loop waits for costs twenty times as much, but seldom comes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from millstream.runtime.operators.loops import compile_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


@dataclass(frozen=True)
class Contents:
    """What a kind of window does with one record, as source.

    Attributes:
        name: of the kind, for the file name that tracebacks show.
        first: statements for the first record of a key: `v` is the record, `k` its key, `current` the dict of the window.
        later: statements for any other; `old` is what the window has of the key.
        arguments: name in the statements, and the operator's attribute that it stands for.
    """

    name: str
    first: tuple[str, ...]
    later: tuple[str, ...]
    arguments: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class WindowLoops:
    """The loops of one kind of window; each takes the arguments of `Contents` behind its own.

    Attributes:
        any_batch: called with (rest, current, key, new_key, times, lo, hi, resolve, straggler).
        in_one_window: called with (rest, current, key, new_key): all records belong to `current`.
        in_new_window: the same, fastest when many keys are new.
    """

    any_batch: Callable[..., None]
    in_one_window: Callable[..., None]
    in_new_window: Callable[..., None]


FIND_WINDOW: Final = (
    "if t >= hi or t < lo:",
    "    current, lo, hi = resolve(t)",
    "    if current is None:",
    "        straggler(v, t)",
    "        continue",
)


@cache
def window_loops(contents: Contents) -> WindowLoops:
    """The loops of a kind of window."""
    names = ", ".join(["rest", "current", "key", "new_key", *(name for name, _ in contents.arguments)])
    first, later = _indented(("new_key(k)", *contents.first)), _indented(contents.later)
    expected = ("k = key(v)", "try:", "    old = current[k]", "except KeyError:", *first, "else:", *later)
    tested = ("k = key(v)", "if k in current:", "    old = current[k]", *later, "else:", *first)

    def loop(name: str, arguments: str, head: str, lines: Iterable[str]) -> Callable[..., None]:
        return compile_run(f"{contents.name} window, {name}", [f"def run({arguments}):", f"    {head}", *_indented(_indented(lines))])

    return WindowLoops(
        any_batch=loop("any batch", f"{names}, times, lo, hi, resolve, straggler", "for v, t in zip(rest, times):", (*FIND_WINDOW, *tested)),
        in_one_window=loop("batch in one window", names, "for v in rest:", expected),
        in_new_window=loop("batch in a new window", names, "for v in rest:", tested),
    )


def _indented(lines: Iterable[str]) -> list[str]:
    return [f"    {line}" for line in lines]
