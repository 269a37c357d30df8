"""A stream whose records are grouped by key."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, TypeVar

from millstream.api.annotations import accumulator_of, returned_by
from millstream.api.data_stream import DataStream
from millstream.api.fields import FieldChoice, FieldReduce
from millstream.api.functions import as_reduce, check_aggregate, check_type, function_name
from millstream.contracts.functions import KeyedProcessFunction, ProcessFunction, RichFunction
from millstream.contracts.on_error import OnError, check_on_error
from millstream.errors import InvalidArgument, KeyedStreamFixed
from millstream.graph.stream_graph import Partitioning
from millstream.runtime.operators.keyed import AggregateSpec, FoldSpec, KeyedBy, ReduceSpec
from millstream.runtime.operators.keyed_functions import (
    KeyedFilterOperator,
    KeyedFlatMapOperator,
    KeyedFunctionOperator,
    KeyedFunctionSpec,
    KeyedMapOperator,
)
from millstream.runtime.operators.process import KeyedProcessSpec
from millstream.runtime.operators.stateless import FilterOperator, FlatMapOperator, MapOperator, PerRecord
from millstream.windowing.assigners import TumblingEventTimeWindows

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.api.windowed_stream import WindowedStream
    from millstream.contracts.functions import AggregateFunction, ReduceFunction
    from millstream.graph.stream_graph import OperatorSpec

K = TypeVar("K")
T = TypeVar("T")
A = TypeVar("A")
O = TypeVar("O")  # noqa: E741 - output

_WITH_STATE: Final[dict[type[PerRecord], type[KeyedFunctionOperator]]] = {
    MapOperator: KeyedMapOperator,
    FilterOperator: KeyedFilterOperator,
    FlatMapOperator: KeyedFlatMapOperator,
}


class KeyedStream(DataStream[T], Generic[K, T]):
    """Records of type T grouped by keys of type K: a DataStream whose next operator gets all records of a key in one subtask.

    The rolling operations emit one result per record. What any operation gives is a plain DataStream; grouping that again takes another
    key_by. `map`, `filter` and `flat_map` by a function object that defines `open` have state per key, so they need a uid as soon as
    checkpoints are on. Other functions have none; with a single subtask, where nothing is dealt out, these do not ask for keys either.

    A keyed stream cannot be dealt out otherwise, and is no operator that could have a name, a uid or a parallelism.
    """

    def __init__(self, stream: DataStream[T], selector: Callable[[T], K], key_type: Any) -> None:
        super().__init__(stream.environment, stream.node, Partitioning("hash", selector=selector), stream._tag)
        self._keyed_by = KeyedBy(selector, key_type, returned_by(selector))

    @property
    def keyed_by(self) -> KeyedBy:
        """How the stream is keyed."""
        return self._keyed_by

    def _operator(self, setting: str) -> NoReturn:
        raise KeyedStreamFixed(what=f"has no {setting}", fix=f"Call {setting}(...) in front of key_by, or on the operator behind it.")

    def _repartitioned(self, partitioning: Partitioning) -> NoReturn:
        fix = "Deal it out in front of key_by, or behind the next operator."
        raise KeyedStreamFixed(what=f"is dealt out by key, which {partitioning.kind!r} would undo", fix=fix)

    def _function_spec(self, operator: type[PerRecord], owner: Any, method: str | None, on_error: OnError) -> OperatorSpec:
        if isinstance(owner, RichFunction) and type(owner).open is not RichFunction.open:
            return KeyedFunctionSpec(_WITH_STATE[operator], self._keyed_by, owner, method, on_error)
        return super()._function_spec(operator, owner, method, on_error)

    def result_of(self, name: str, spec: OperatorSpec, uid: str | None, on_error: OnError = "fail") -> DataStream[Any]:
        """What an operator behind the exchange by key gives."""
        return self._stream(self._add(None, name, spec, uid, on_error))

    def reduce(
        self,
        function: Callable[[T, T], T] | ReduceFunction[T],
        *,
        output_type: type[T] | Any = None,
        name: str | None = None,
        uid: str | None = None,
        on_error: OnError = "fail",
    ) -> DataStream[T]:
        """Combines each record with the key's last result; the key's first record comes out unchanged.

        Args:
            output_type: declared type of the records: makes the state typed, as does an annotation of a named function that says
                everything. `object` stands for the data codec.
        """
        owner, method = as_reduce(function)
        annotation = returned_by(function, method)
        spec = ReduceSpec(self._keyed_by, owner, method, check_type(output_type), check_on_error(on_error), annotation=annotation)
        return self.result_of(name or function_name("reduce", function), spec, uid, on_error)

    def fold(
        self,
        initial: A,
        function: Callable[[A, T], A],
        *,
        output_type: type[A] | Any = None,
        name: str | None = None,
        uid: str | None = None,
        on_error: OnError = "fail",
    ) -> DataStream[A]:
        """Folds records into an accumulator per key, which starts as a copy of `initial`, and emits it after each record."""
        if not callable(function):
            raise InvalidArgument(what="the function of fold", value=repr(function), allowed="a callable (accumulator, record) -> accumulator")
        annotation = returned_by(function)
        spec = FoldSpec(self._keyed_by, initial, function, check_type(output_type), check_on_error(on_error), annotation=annotation)
        return self.result_of(name or function_name("fold", function), spec, uid, on_error)

    def aggregate(
        self,
        aggregate: AggregateFunction[T, A, O],
        *,
        accumulator_type: type[A] | Any = None,
        name: str | None = None,
        uid: str | None = None,
        on_error: OnError = "fail",
    ) -> DataStream[O]:
        """Adds records to an accumulator per key and emits its result after each record."""
        check_aggregate(aggregate)
        annotation = accumulator_of(aggregate)
        spec = AggregateSpec(self._keyed_by, aggregate, check_type(accumulator_type), check_on_error(on_error), annotation=annotation)
        return self.result_of(name or function_name("aggregate", aggregate), spec, uid, on_error)

    def _rolling(self, kind: str, function: ReduceFunction[Any], name: str | None, uid: str | None, on_error: OnError) -> DataStream[T]:
        spec = ReduceSpec(self._keyed_by, function, "reduce", None, check_on_error(on_error))
        return self.result_of(name or kind, spec, uid, on_error)

    def sum(self, field: int | str | None = None, *, name: str | None = None, uid: str | None = None, on_error: OnError = "fail") -> DataStream[T]:
        """The key's first record with the running total in the field (position, dict key or attribute; None: the record is a number)."""
        return self._rolling("sum", FieldReduce(field, operator.add), name, uid, on_error)

    def min(self, field: int | str | None = None, *, name: str | None = None, uid: str | None = None, on_error: OnError = "fail") -> DataStream[T]:
        """The key's first record with the least value so far in the field."""
        return self._rolling("min", FieldReduce(field, min), name, uid, on_error)

    def max(self, field: int | str | None = None, *, name: str | None = None, uid: str | None = None, on_error: OnError = "fail") -> DataStream[T]:
        """The key's first record with the greatest value so far in the field."""
        return self._rolling("max", FieldReduce(field, max), name, uid, on_error)

    def min_by(self, field: int | str | None = None, *, name: str | None = None, uid: str | None = None, on_error: OnError = "fail") -> DataStream[T]:
        """The whole record with the least value in the field; the earliest of equals."""
        return self._rolling("min_by", FieldChoice(field, operator.lt), name, uid, on_error)

    def max_by(self, field: int | str | None = None, *, name: str | None = None, uid: str | None = None, on_error: OnError = "fail") -> DataStream[T]:
        """The whole record with the greatest value in the field; the earliest of equals."""
        return self._rolling("max_by", FieldChoice(field, operator.gt), name, uid, on_error)

    def process(
        self,
        function: KeyedProcessFunction[K, T, O] | ProcessFunction[T, O],
        *,
        output_type: type[O] | Any = None,
        name: str | None = None,
        uid: str | None = None,
        on_error: OnError = "fail",
    ) -> DataStream[O]:
        """Calls a process function for each record and timer, with state and timers of the record's key.

        A ProcessFunction is called as on any stream: it has neither.
        """
        if isinstance(function, ProcessFunction):
            return self._plain_process(function, output_type, name, uid, on_error)
        if not isinstance(function, KeyedProcessFunction):
            raise InvalidArgument(what="the function of process on a keyed stream", value=repr(function), allowed="a KeyedProcessFunction object")
        check_type(output_type)
        spec = KeyedProcessSpec(self._keyed_by, function, check_on_error(on_error))
        return self.result_of(name or function_name("process", function), spec, uid, on_error)

    def window(self, assigner: TumblingEventTimeWindows) -> WindowedStream[K, T]:
        """Groups the records of each key into windows."""
        from millstream.api.windowed_stream import WindowedStream

        if not isinstance(assigner, TumblingEventTimeWindows):
            raise InvalidArgument(
                what="the window assigner", value=repr(assigner), allowed="TumblingEventTimeWindows.of(...), the one this release has"
            )
        return WindowedStream(self, assigner)
