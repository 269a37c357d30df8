"""What the annotations of users' functions say of state, as far as they can be resolved and say everything."""

from __future__ import annotations

import inspect
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, get_type_hints

from millstream.runtime.operators.function import function_label
from millstream.state.serializers import Annotation, typed_by

if TYPE_CHECKING:
    from millstream.contracts.functions import AggregateFunction


def returned_by(function: Any, method: str | None = None) -> Annotation | None:
    """What a named function is annotated to return; None where that does not tell how to write it.

    An annotation counts if it can be resolved with the names of the function's module. A lambda has none.

    Args:
        function: the function, or the object that a method belongs to.
        method: its name; None for the function itself, or what is called when the object is.
    """
    try:
        named = inspect.unwrap(getattr(function, method) if method else function if inspect.isroutine(function) else type(function).__call__)
        said = SimpleNamespace(__annotations__={"return": named.__annotations__["return"]})
        resolved = get_type_hints(said, globalns=named.__globals__)["return"]
    except Exception:  # noqa: BLE001 - text in an annotation may be anything, and is evaluated; what cannot be resolved says nothing
        return None
    return None if typed_by(resolved) is None else Annotation(resolved, function_label(named))


def accumulator_of(aggregate: AggregateFunction[Any, Any, Any]) -> Annotation | None:
    """What its methods say of the accumulator, unless they contradict each other."""
    told = [annotation for name in ("create_accumulator", "add") if (annotation := returned_by(aggregate, name)) is not None]
    return told[0] if told and all(annotation.type == told[0].type for annotation in told) else None
