"""How records are written that go from one process to another, as far as that is known before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millstream.api.annotations import returned_by
from millstream.runtime.operators.keyed import FoldSpec, ReduceSpec
from millstream.runtime.operators.stateless import FunctionSpec, MapOperator
from millstream.runtime.processes.shapes import is_shaped
from millstream.state.typed_schema import type_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from millstream.graph.stream_graph import OperatorSpec, StreamNode

_UNKNOWN = "data codec, or typed where all of a batch are of one class whose fields have plain types"


def exchange_text(node: StreamNode, tag: str | None, tags: Mapping[str, Any]) -> str:
    """How the records of a node, or of one of its side outputs, are written where they leave the process."""
    declared, origin = node.output_type, ""
    if tag is not None:
        declared = tags.get(tag)
    elif declared is None:
        declared, origin = _annotated(node.spec)
    if declared is None or declared is object or declared is Any:
        return _UNKNOWN
    return f"typed {type_name(declared)}{origin}, data codec for what is not that" if is_shaped(declared) else "data codec"


def _annotated(spec: OperatorSpec) -> tuple[Any, str]:
    annotation = None
    if isinstance(spec, FunctionSpec) and spec.operator is MapOperator:
        annotation = returned_by(spec.owner, spec.method)
    elif isinstance(spec, ReduceSpec | FoldSpec):
        if spec.value_type is not None:
            return spec.value_type, ""
        annotation = spec.annotation
    return (annotation.type, f" (annotation of {annotation.function})") if annotation is not None else (None, "")
