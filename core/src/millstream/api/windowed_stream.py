"""A keyed stream cut into windows."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

from millstream.api.annotations import accumulator_of, returned_by
from millstream.api.fields import FieldChoice, FieldReduce
from millstream.api.functions import as_reduce, check_aggregate, check_tag, check_type, function_name
from millstream.contracts.functions import ProcessWindowFunction
from millstream.contracts.on_error import OnError, check_on_error
from millstream.contracts.watermarks import to_ms
from millstream.errors import InvalidArgument
from millstream.runtime.operators.window import WindowSpec

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from millstream.api.data_stream import DataStream
    from millstream.api.keyed_stream import KeyedStream
    from millstream.api.side_output import OutputTag
    from millstream.contracts.functions import AggregateFunction, ReduceFunction
    from millstream.windowing.assigners import TimeWindow, TumblingEventTimeWindows

K = TypeVar("K")
T = TypeVar("T")
A = TypeVar("A")
R = TypeVar("R")
O = TypeVar("O")  # noqa: E741 - output


class WindowedStream(Generic[K, T]):
    """Records per key and window. Results carry the window's last ms as their timestamp."""

    def __init__(self, stream: KeyedStream[K, T], assigner: TumblingEventTimeWindows) -> None:
        self._stream = stream
        self._assigner = assigner
        self._lateness_ms = 0
        self._late_tag: str | None = None

    def allowed_lateness(self, lateness: timedelta) -> Self:
        """Keeps windows for so long after they were complete; a late record then fires its window again, with the updated result."""
        self._lateness_ms = to_ms("lateness", lateness)
        return self

    def side_output_late_data(self, tag: OutputTag[T]) -> Self:
        """Sends records that come too late for their window to a side output of the result."""
        check_tag(tag)
        self._late_tag = tag.tag_id
        return self

    def _result(self, name: str, uid: str | None, on_error: OnError, **more: Any) -> DataStream[Any]:
        checked = check_on_error(on_error)
        spec = WindowSpec(self._stream.keyed_by, self._assigner, self._lateness_ms, self._late_tag, on_error=checked, **more)
        return self._stream.result_of(name, spec, uid, checked)

    @overload
    def reduce(
        self,
        function: Callable[[T, T], T] | ReduceFunction[T],
        window_function: None = None,
        *,
        output_type: type[T] | Any = None,
        name: str | None = None,
        uid: str | None = None,
        on_error: OnError = "fail",
    ) -> DataStream[T]: ...

    @overload
    def reduce(
        self,
        function: Callable[[T, T], T] | ReduceFunction[T],
        window_function: ProcessWindowFunction[T, O, K, TimeWindow],
        *,
        output_type: type[T] | Any = None,
        name: str | None = None,
        uid: str | None = None,
        on_error: OnError = "fail",
    ) -> DataStream[O]: ...

    def reduce(
        self,
        function: Callable[[T, T], T] | ReduceFunction[T],
        window_function: ProcessWindowFunction[T, Any, K, TimeWindow] | None = None,
        *,
        output_type: type[T] | Any = None,
        name: str | None = None,
        uid: str | None = None,
        on_error: OnError = "fail",
    ) -> DataStream[Any]:
        """Combines the records of each window as they come. With a window function, that gets the one result."""
        owner, method = as_reduce(function)
        return self._result(
            name or function_name("window reduce", function),
            uid,
            on_error,
            reduce=owner,
            reduce_method=method,
            window_function=_checked(window_function),
            value_type=check_type(output_type),
            annotation=returned_by(function, method),
        )

    @overload
    def aggregate(
        self,
        aggregate: AggregateFunction[T, A, R],
        window_function: None = None,
        *,
        accumulator_type: type[A] | Any = None,
        name: str | None = None,
        uid: str | None = None,
        on_error: OnError = "fail",
    ) -> DataStream[R]: ...

    @overload
    def aggregate(
        self,
        aggregate: AggregateFunction[T, A, R],
        window_function: ProcessWindowFunction[R, O, K, TimeWindow],
        *,
        accumulator_type: type[A] | Any = None,
        name: str | None = None,
        uid: str | None = None,
        on_error: OnError = "fail",
    ) -> DataStream[O]: ...

    def aggregate(
        self,
        aggregate: AggregateFunction[T, A, R],
        window_function: ProcessWindowFunction[R, Any, K, TimeWindow] | None = None,
        *,
        accumulator_type: type[A] | Any = None,
        name: str | None = None,
        uid: str | None = None,
        on_error: OnError = "fail",
    ) -> DataStream[Any]:
        """Aggregates the records of each window as they come. With a window function, that gets the one result."""
        return self._result(
            name or function_name("window aggregate", aggregate),
            uid,
            on_error,
            aggregate=check_aggregate(aggregate),
            window_function=_checked(window_function),
            value_type=check_type(accumulator_type),
            annotation=accumulator_of(aggregate),
        )

    def process(
        self,
        function: ProcessWindowFunction[T, O, K, TimeWindow],
        *,
        element_type: type[T] | Any = None,
        name: str | None = None,
        uid: str | None = None,
        on_error: OnError = "fail",
    ) -> DataStream[O]:
        """Keeps all records of each window and gives them to the function when it fires."""
        declared = None if element_type is None else list[element_type]  # type: ignore[valid-type]  # made at run time
        return self._result(
            name or function_name("window process", function), uid, on_error, window_function=_checked(function), value_type=check_type(declared)
        )

    def _field(self, kind: str, function: ReduceFunction[Any], name: str | None, uid: str | None, on_error: OnError) -> DataStream[T]:
        return self._result(name or f"window {kind}", uid, on_error, reduce=function, reduce_method="reduce")

    def sum(self, field: int | str | None = None, *, name: str | None = None, uid: str | None = None, on_error: OnError = "fail") -> DataStream[T]:
        """The window's first record with the total in the field (position, dict key or attribute; None: the record is a number)."""
        return self._field("sum", FieldReduce(field, operator.add), name, uid, on_error)

    def min(self, field: int | str | None = None, *, name: str | None = None, uid: str | None = None, on_error: OnError = "fail") -> DataStream[T]:
        """The window's first record with the least value in the field."""
        return self._field("min", FieldReduce(field, min), name, uid, on_error)

    def max(self, field: int | str | None = None, *, name: str | None = None, uid: str | None = None, on_error: OnError = "fail") -> DataStream[T]:
        """The window's first record with the greatest value in the field."""
        return self._field("max", FieldReduce(field, max), name, uid, on_error)

    def min_by(self, field: int | str | None = None, *, name: str | None = None, uid: str | None = None, on_error: OnError = "fail") -> DataStream[T]:
        """The whole record with the least value in the field; the earliest of equals."""
        return self._field("min_by", FieldChoice(field, operator.lt), name, uid, on_error)

    def max_by(self, field: int | str | None = None, *, name: str | None = None, uid: str | None = None, on_error: OnError = "fail") -> DataStream[T]:
        """The whole record with the greatest value in the field; the earliest of equals."""
        return self._field("max_by", FieldChoice(field, operator.gt), name, uid, on_error)


def _checked(function: Any) -> Any:
    if function is not None and not isinstance(function, ProcessWindowFunction):
        raise InvalidArgument(what="the window function", value=repr(function), allowed="a ProcessWindowFunction object")
    return function
