"""One loop for operators that follow each other in a chain and make at most one record of each: map, filter, reduce, fold, aggregate.

Every operator alone is one pass over the batch, with a list of results between two of them. Fused, a record goes through all of them before
the next one is read: no list in between, and a third less time for three lambdas. The loop is generated from the lines that each operator
has in `Operator.loop`; nothing of a user's text goes into it. The operators' own `process_batch` stays the plain path, and the tests
compare the two.

Error positions are exact without a try per record: `rest`, the iterator of the batch, stands just behind the record that failed, and the
line of the traceback tells which operator it was in.
"""

from __future__ import annotations

import linecache
import re
from dataclasses import dataclass
from functools import cache
from operator import length_hint
from typing import TYPE_CHECKING, Any

from millstream.records import RecordBatch
from millstream.runtime.operators.function import without

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from millstream.runtime.operators.base import Operator


@dataclass(frozen=True)
class Loop:
    """What an operator does with one record, as source.

    Attributes:
        name: of the operator, for the file name that tracebacks show.
        lines: statements that take the record from `v` and leave the result there, or `continue` to drop it. Names in braces are the
            operator's own: its arguments, and local names.
        arguments: name in the lines, and the operator's attribute that it stands for, read again for each batch.
    """

    name: str
    lines: tuple[str, ...]
    arguments: tuple[tuple[str, str], ...]

    @property
    def drops(self) -> bool:
        """Whether fewer records may come out than went in."""
        return any(line.strip() == "continue" for line in self.lines)


@dataclass(frozen=True)
class CompiledLoop:
    """A loop over the records of a batch.

    Attributes:
        run: called with (rest, results, dropped, *arguments), a stamped one with (rest, times, results, stamps, dropped, *arguments).
            `dropped[i]` counts what operator i takes out, except for the last operator that does.
        places: for each line of the source, from 1: index of the operator, and the attributes of the functions that the line calls.
    """

    run: Callable[..., None]
    places: dict[int, tuple[int, tuple[str, ...]]]


@cache
def compiled(loops: tuple[Loop, ...], stamped: bool) -> CompiledLoop:
    """The loop through all of them. `stamped`: each record has a timestamp that goes where the record goes."""
    names = [f"{name}{index}" for index, loop in enumerate(loops) for name, _ in loop.arguments]
    lists = "rest, times, results, stamps, dropped" if stamped else "rest, results, dropped"
    source = [f"def run({', '.join([lists, *names])}):", "    for v, t in zip(rest, times):" if stamped else "    for v in rest:"]
    places: dict[int, tuple[int, tuple[str, ...]]] = {}
    last_to_drop = max((index for index, loop in enumerate(loops) if loop.drops), default=-1)
    for index, loop in enumerate(loops):
        for line in loop.lines:
            if line.strip() == "continue" and index < last_to_drop:
                source.append(f"        {line.replace('continue', f'dropped[{index}] += 1')}")
            source.append("        " + re.sub(r"\{(\w+)\}", rf"\g<1>{index}", line))
            called = tuple(attribute for name, attribute in loop.arguments if f"{{{name}}}(" in line)
            places[len(source)] = (index, called)
    source.append("        results.append(v)")
    if stamped:
        source.append("        stamps.append(t)")
    return CompiledLoop(compile_run(f"{', '.join(loop.name for loop in loops)}{', stamped' if stamped else ''}", source), places)


def compile_run(what: str, source: Sequence[str]) -> Callable[..., None]:
    """The function `run` that the lines define; only lines that operators of the engine declare. Tracebacks say `what` it is."""
    text = "\n".join(source) + "\n"
    # Below the engine's folder, so that these frames count as the engine's own; known to linecache, so that debuggers show the lines.
    filename = f"{__file__}: {what}"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = {}
    exec(compile(text, filename, "exec"), namespace)  # noqa: S102 - see above
    run: Callable[..., None] = namespace["run"]
    return run


class FusedOperators:
    """Consecutive operators of a chain as one loop, in place of the first one's `process_batch`.

    Args:
        operators: two or more with a `loop`, each the only consumer of the one before.
    """

    def __init__(self, operators: Sequence[Operator]) -> None:
        self._operators = list(operators)
        loops = tuple(operator.loop for operator in operators if operator.loop is not None)
        self._droppers = [index for index, loop in enumerate(loops) if loop.drops]
        self._loop = compiled(loops, stamped=False)
        self._stamped_loop = compiled(loops, stamped=True) if self._droppers else self._loop
        self._arguments = [(operator, attribute) for operator, loop in zip(self._operators, loops) for _, attribute in loop.arguments]

    def process_batch(self, batch: RecordBatch[Any]) -> None:
        """Takes a batch through all operators and emits what is left behind the last one."""
        values, timestamps = batch.values, batch.timestamps
        arguments = [getattr(operator, attribute) for operator, attribute in self._arguments]
        rest = iter(values)
        results: list[Any] = []
        dropped = [0] * len(self._operators)
        if timestamps is None or not self._droppers:
            failed = self._run(self._loop, (rest, results, dropped, *arguments), values)
            stamps = without(timestamps, [index for indices in failed for index in indices]) if timestamps else None
        else:
            stamps = []
            failed = self._run(self._stamped_loop, (rest, iter(timestamps), results, stamps, dropped, *arguments), values)
        self._count(len(values), len(results), dropped, failed)
        if results:
            self._operators[-1].output.emit(RecordBatch(results, stamps, batch.highest))

    def _run(self, loop: CompiledLoop, arguments: Sequence[Any], values: list[Any]) -> list[list[int]]:
        """Runs the loop to the end of the batch. Returns for each operator the indices of records that failed in it."""
        failed: list[list[int]] = [[] for _ in self._operators]
        while True:
            try:
                loop.run(*arguments)
            except Exception as error:  # noqa: BLE001 - whatever a user function raises goes to the policy
                frame: TracebackType = error.__traceback__.tb_next  # type: ignore[union-attr,assignment]  # the loop's own
                index, called = loop.places[frame.tb_lineno]
                failed[index].append(len(values) - length_hint(arguments[0]) - 1)
                operator = self._operators[index]
                function = getattr(operator, called[0]) if called else operator
                operator.record_failed(function, error, frame.tb_frame.f_locals["v"])
            else:
                return failed

    def _count(self, given: int, results: int, dropped: list[int], failed: list[list[int]]) -> None:
        if self._droppers:
            dropped[self._droppers[-1]] = given - results - sum(dropped) - sum(map(len, failed))
        for operator, out, wrong in zip(self._operators, dropped, failed):
            taken = given
            given -= out + len(wrong)
            operator.count_records(taken, given)
