"""What an operator keeps in checkpoints and how it is written, as far as that is known before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millstream.cli.texts import serializer_text
from millstream.contracts.two_phase_commit import TwoPhaseCommitSink
from millstream.contracts.write_ahead import WriteAheadSink
from millstream.runtime.operators.keyed import AggregateSpec, FoldSpec, ReduceSpec
from millstream.runtime.operators.keyed_functions import KeyedFunctionSpec
from millstream.runtime.operators.process import KeyedProcessSpec
from millstream.runtime.operators.sink import SinkSpec
from millstream.runtime.operators.source import SourceSpec
from millstream.runtime.operators.window import WindowSpec
from millstream.state.serializers import AnnotatedSerializer, serializer_for

if TYPE_CHECKING:
    from millstream.graph.stream_graph import OperatorSpec
    from millstream.runtime.operators.keyed import KeyedBy
    from millstream.state.serializers import Annotation


def states_of(spec: OperatorSpec) -> list[str]:
    """A line for each state.

    Raises:
        TypeNotCarried: a declared type cannot be written.
    """
    if isinstance(spec, SourceSpec):
        return ["positions of splits, and the enumerator's own state: written by the source"]
    if isinstance(spec, ReduceSpec | FoldSpec | AggregateSpec):
        return [f"one value per key: {_written(spec.value_type, spec.annotation)}; keys: {_keys(spec.keyed_by)}"]
    if isinstance(spec, WindowSpec):
        what = "one value" if spec.reduce is not None else "one accumulator" if spec.aggregate is not None else "all records"
        return [f"{what} per key and window: {_written(spec.value_type, spec.annotation)}; keys: {_keys(spec.keyed_by)}"]
    if isinstance(spec, KeyedProcessSpec | KeyedFunctionSpec):
        keys = "keys, also of timers" if isinstance(spec, KeyedProcessSpec) else "keys"
        declared = "what the function declares in open(): typed where its descriptor has a type, data codec otherwise"
        return [f"{keys}: {_keys(spec.keyed_by)}", declared]
    if isinstance(spec, SinkSpec):
        return _sink_states(spec)
    return ["what the operator declares when it is opened"] if spec.keeps_state else []


def _sink_states(spec: SinkSpec) -> list[str]:
    if isinstance(spec.sink, WriteAheadSink):
        return [f"records until their checkpoint completes: {_written(spec.sink.record_type)}"]
    if isinstance(spec.sink, TwoPhaseCommitSink):
        return ["committables of what is prepared and not committed: written by the sink"]
    return []


def _keys(keyed_by: KeyedBy) -> str:
    return _written(keyed_by.key_type, keyed_by.annotation)


def _written(declared: Any, annotation: Annotation | None = None) -> str:
    serializer = serializer_for(declared, annotation)
    origin = f" (annotation of {annotation.function})" if annotation is not None and isinstance(serializer, AnnotatedSerializer) else ""
    return serializer_text(serializer.description()) + origin
