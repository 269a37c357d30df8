"""Functions as users give them: anything callable, or an object of one of the function classes."""

from __future__ import annotations

from typing import Any

from millstream.api.side_output import OutputTag
from millstream.contracts.functions import AggregateFunction, FilterFunction, FlatMapFunction, MapFunction, ReduceFunction
from millstream.contracts.sink import BaseSink
from millstream.contracts.watermarks import WatermarkStrategy
from millstream.errors import InvalidArgument, shorten
from millstream.state.serializers import serializer_for


def as_map(function: Any) -> tuple[Any, str | None]:
    """The object whose life is managed, and the method to call on it (None: the object itself)."""
    return _as(function, MapFunction, "map")


def as_flat_map(function: Any) -> tuple[Any, str | None]:
    """As `as_map`."""
    return _as(function, FlatMapFunction, "flat_map")


def as_filter(function: Any) -> tuple[Any, str | None]:
    """As `as_map`."""
    return _as(function, FilterFunction, "filter")


def as_reduce(function: Any) -> tuple[Any, str | None]:
    """As `as_map`."""
    return _as(function, ReduceFunction, "reduce")


def _as(function: Any, kind: type, method: str) -> tuple[Any, str | None]:
    if isinstance(function, kind):
        return function, method
    if isinstance(function, type) and issubclass(function, kind):
        raise InvalidArgument(what=f"the function of {method}", value=function.__name__, allowed=f"an object: {function.__name__}()")
    if not callable(function):
        raise InvalidArgument(what=f"the function of {method}", value=repr(function), allowed=f"a callable, or a {kind.__name__}")
    return function, None


def check_aggregate(aggregate: Any) -> AggregateFunction[Any, Any, Any]:
    """The aggregate, if it is one."""
    if not isinstance(aggregate, AggregateFunction):
        raise InvalidArgument(what="the aggregate", value=repr(aggregate), allowed="an AggregateFunction object")
    return aggregate


def check_type(declared: Any) -> Any:
    """The declared type, if it has a typed serializer.

    Raises:
        TypeNotCarried: it has none; `register_serializer` adds one.
    """
    serializer_for(declared)
    return declared


def check_callable(what: str, function: object) -> None:
    """Raises InvalidArgument for something that cannot be called."""
    if not callable(function):
        raise InvalidArgument(what=what, value=shorten(function), allowed="a function")


def check_sink(sink: object) -> None:
    """Raises InvalidArgument for something that is no sink."""
    if not isinstance(sink, BaseSink):
        raise InvalidArgument(what="the sink", value=shorten(sink), allowed="a sink object")


def check_strategy(strategy: object) -> None:
    """Raises InvalidArgument for something that is no WatermarkStrategy."""
    if not isinstance(strategy, WatermarkStrategy):
        raise InvalidArgument(what="the watermark strategy", value=shorten(strategy), allowed="a WatermarkStrategy")


def check_tag(tag: object) -> None:
    """Raises InvalidArgument for something that is no OutputTag."""
    if not isinstance(tag, OutputTag):
        raise InvalidArgument(what="the side output", value=shorten(tag), allowed="an OutputTag")


def function_name(operation: str, function: Any) -> str:
    """A name for an operator: `map(parse)`; only `map` for a lambda."""
    name = getattr(function, "__name__", type(function).__name__)
    return operation if name == "<lambda>" else f"{operation}({name})"
