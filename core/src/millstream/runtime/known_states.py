"""What is known of an operator's states before it is opened: what the engine itself keeps, and whether functions may declare more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from millstream.checkpoint.pending_work import TWO_PHASE_COMMIT, WRITE_AHEAD
from millstream.contracts.functions import RichFunction
from millstream.contracts.two_phase_commit import TwoPhaseCommitSink
from millstream.contracts.write_ahead import WriteAheadSink
from millstream.runtime.operators.keyed import AggregateSpec, FoldSpec, KeyedBy, ReduceSpec
from millstream.runtime.operators.process import KeyedProcessSpec
from millstream.runtime.operators.sink import SinkSpec
from millstream.runtime.operators.source import SPLITS, SourceSpec
from millstream.runtime.operators.window import AggregatingWindowOperator, BufferingWindowOperator, ReducingWindowOperator, WindowSpec
from millstream.state.serializers import serializer_for

if TYPE_CHECKING:
    from millstream.contracts.serializer import Serializer
    from millstream.graph.stream_graph import OperatorSpec

_OF_THE_ENGINE: Final = "millstream.runtime.operators."


@dataclass(frozen=True)
class KnownTable:
    """A keyed table that an operator of the engine makes.

    Attributes:
        kind: as checkpoints have it.
        values: what it is written with.
    """

    kind: str
    values: Serializer[Any]


@dataclass(frozen=True)
class KnownStates:
    """Of one operator.

    Attributes:
        keys: what its keys are written with; None where it has no keyed state.
        tables: the engine's own, by name.
        lists: names of the engine's own lists.
        contract: name of the lane list of its sink; empty where nothing waits to be committed.
        records: what the log of a write-ahead sink is written with.
        declares: a function may declare more when it is opened.
        foreign: the operator is not one of the engine's; nothing is known of it.
    """

    keys: Serializer[Any] | None = None
    tables: dict[str, KnownTable] | None = None
    lists: frozenset[str] = frozenset()
    contract: str = ""
    records: Serializer[Any] | None = None
    declares: bool = False
    foreign: bool = False


def known_states(spec: OperatorSpec) -> KnownStates:
    """What is known of the states of an operator.

    Raises:
        TypeNotCarried: a declared type cannot be written.
    """
    if not type(spec).__module__.startswith(_OF_THE_ENGINE):
        return KnownStates(foreign=True)
    if isinstance(spec, SourceSpec):
        return KnownStates(lists=frozenset({SPLITS}))
    if isinstance(spec, SinkSpec):
        if isinstance(spec.sink, WriteAheadSink):
            return KnownStates(contract=WRITE_AHEAD, records=serializer_for(spec.sink.record_type))
        return KnownStates(contract=TWO_PHASE_COMMIT if isinstance(spec.sink, TwoPhaseCommitSink) else "")
    keyed_by = getattr(spec, "keyed_by", None)
    keys = serializer_for(keyed_by.key_type, keyed_by.annotation) if isinstance(keyed_by, KeyedBy) else None
    return KnownStates(keys, _tables(spec), declares=_has_function(spec))


def _tables(spec: OperatorSpec) -> dict[str, KnownTable]:
    if isinstance(spec, ReduceSpec | FoldSpec | AggregateSpec):
        return {"@rolling": KnownTable("rolling", serializer_for(spec.value_type, spec.annotation))}
    if isinstance(spec, WindowSpec):
        operator = ReducingWindowOperator if spec.reduce is not None else AggregatingWindowOperator if spec.aggregate is not None else None
        kind = (operator or BufferingWindowOperator).kind
        return {"@window": KnownTable(kind, serializer_for(spec.value_type, spec.annotation))}
    if isinstance(spec, KeyedProcessSpec):
        return {name: KnownTable("timers", serializer_for()) for name in ("@timers.event", "@timers.processing")}
    return {}


def _has_function(spec: OperatorSpec) -> bool:
    """Whether there is a function object with an `open`."""
    return any(isinstance(value, RichFunction) for value in vars(spec).values())
