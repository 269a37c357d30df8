"""The operators of one task, wired to each other and to the edges."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millstream.contracts.context import Accumulator
from millstream.errors import StateNotEncodable
from millstream.records import MAX_TIMESTAMP
from millstream.runtime.operators.base import Operator, Output, fan_out_batches, fan_out_events
from millstream.runtime.operators.loops import FusedOperators
from millstream.runtime.operators.sink import SinkOperator
from millstream.runtime.operators.source import SourceOperator

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from millstream.graph.job_graph import ChainedOperator, ChainTarget
    from millstream.runtime.edge import EdgeWriter
    from millstream.runtime.operators.base import OperatorContext, OperatorSnapshot


class OperatorChain:
    """A tree of operators, inputs before their consumers.

    Args:
        chain: what the job graph says.
        edges: the sending side of the vertex's output edges.
        make_context: the surroundings of one operator.

    Attributes:
        head: the operator that takes the task's input.
        source: the head, when it is a source.
        entries: where the batches for each operator go in: its own method, or the loop that begins with it.
    """

    def __init__(
        self, chain: Sequence[ChainedOperator], edges: Sequence[EdgeWriter], make_context: Callable[[ChainedOperator], OperatorContext]
    ) -> None:
        self.described = chain
        self.edges = list(edges)
        self.operators: list[Operator] = [described.spec.create() for described in chain]
        self.head = self.operators[0]
        self.source = self.head if isinstance(self.head, SourceOperator) else None
        self.contexts = [make_context(described) for described in chain]
        self._ready = 0
        self._before_end: list[int] | None = None
        self.entries = [operator.process_batch for operator in self.operators]
        for run in loops_in(chain, self.operators):
            if len(run) > 1:
                self.entries[run[0]] = FusedOperators([self.operators[position] for position in run]).process_batch
        for described, operator, context in zip(chain, self.operators, self.contexts, strict=True):
            operator.setup(context, self._output(described.targets))

    def _output(self, targets: Sequence[ChainTarget]) -> Output:
        output = Output()
        ends: list[Any] = [_Chained(self, t.position) if t.position is not None else self.edges[t.edge or 0] for t in targets]
        by_tag: dict[str | None, list[Any]] = {}
        for target, end in zip(targets, ends, strict=True):
            by_tag.setdefault(target.tag, []).append(end)
        output.emit = fan_out_batches([end.emit for end in by_tag.pop(None, [])])
        output.side = {tag: fan_out_batches([end.emit for end in group]) for tag, group in by_tag.items() if tag is not None}
        if ends:
            output.emit_watermark = fan_out_events([end.emit_watermark for end in ends])
            output.emit_status = fan_out_events([end.emit_status for end in ends])
        return output

    def open(self) -> None:
        """Opens the operators, the last ones first, so that everybody's output is ready."""
        for operator in reversed(self.operators):
            self._ready += 1
            operator.open()

    def close(self) -> list[Exception]:
        """Closes whatever was opened; what goes wrong with one does not keep the others open."""
        errors = []
        for operator in self.operators[len(self.operators) - self._ready :]:
            try:
                operator.close()
            except Exception as error:  # noqa: BLE001 - collected for the caller to log
                errors.append(error)
        self._ready = 0
        return errors

    def process_watermark(self, timestamp: int) -> None:
        """Event time of the input."""
        if timestamp == MAX_TIMESTAMP:
            self._remember_watermarks()
        self.head.process_watermark(timestamp)

    def held_back(self) -> None:
        """The task cannot read, so that silence of its input proves nothing."""
        for operator in self.operators:
            operator.held_back()

    def end_input(self) -> None:
        """No record follows."""
        self._remember_watermarks()
        for operator in self.operators:
            operator.end_input()

    def _remember_watermarks(self) -> None:
        # The watermark that ends a stream is never stored: after a restore everything would be late.
        if self._before_end is None:
            self._before_end = [operator.watermark for operator in self.operators]

    def watermarks(self) -> list[int]:
        """Event time of each operator, as a checkpoint stores it."""
        return self._before_end or [operator.watermark for operator in self.operators]

    def snapshot(self, checkpoint_id: int, send_barrier: Callable[[], None]) -> list[OperatorSnapshot]:
        """The synchronous part of a checkpoint: prepares, lets the barrier pass, captures.

        Raises:
            StateNotEncodable: the checkpoint is to be declined; the operators are as they were.
        """
        for operator in self.operators:
            operator.prepare_snapshot(checkpoint_id)
        send_barrier()
        parts: list[OperatorSnapshot] = []
        try:
            for operator in self.operators:
                parts.append(operator.snapshot(checkpoint_id))
        except StateNotEncodable:
            for part in parts:
                if part.tables is not None:
                    part.tables.abandon()
            raise
        return parts

    def all_committed(self) -> bool:
        """Whether no sink has anything left to commit."""
        return all(operator.committed() for operator in self.operators if isinstance(operator, SinkOperator))

    def accumulators(self) -> dict[str, Any]:
        """Totals of this subtask."""
        totals: dict[str, Accumulator[Any]] = {}
        for context in self.contexts:
            for name, accumulator in context.accumulators.items():
                total = totals.get(name)
                combined = accumulator if total is None else Accumulator(total.combine(total.value, accumulator.value), total.combine)
                totals[name] = combined
        return totals


class _Chained:
    """The next operator, as an output sees it. Bound methods of the operator, or of its loop: no call in between."""

    def __init__(self, chain: OperatorChain, position: int) -> None:
        operator = chain.operators[position]
        self.emit = chain.entries[position]
        self.emit_watermark = operator.process_watermark
        self.emit_status = operator.process_status


def loops_in(chain: Sequence[ChainedOperator], operators: Sequence[Operator]) -> list[list[int]]:
    """Positions of operators that can share a loop: one hands all its records to the next and to nobody else."""
    runs: list[list[int]] = []
    continued: dict[int, list[int]] = {}
    for position, (described, operator) in enumerate(zip(chain, operators, strict=True)):
        if operator.loop is None:
            continue
        run = continued.get(position)
        if run is None:
            runs.append(run := [])
        run.append(position)
        main = [target for target in described.targets if target.tag is None]
        if len(main) == 1 and main[0].position is not None:
            continued[main[0].position] = run
    return runs
