"""map, filter, flat_map, map_batch and flat_map_batch.

Each is one pass over the batch. `rest` is the batch's iterator: it stands just behind the record on which the function raised, so error
positions are exact and no function is called twice, without a try per record. The loops are written out: the built-in `map` and `filter` take
no less time, and would take a StopIteration of the function for the end of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from operator import length_hint
from typing import TYPE_CHECKING, Any, ClassVar

from millstream.errors import BatchFunctionFailed, TimestampsLost, WrongBatchLength
from millstream.runtime.operators.base import Operator
from millstream.runtime.operators.function import FunctionOperator, function_label, own_copy, without
from millstream.runtime.operators.loops import Loop

if TYPE_CHECKING:
    from millstream.contracts.on_error import OnError
    from millstream.records import RecordBatch

Function = Callable[[Any], Any]


class PerRecord(FunctionOperator):
    """Calls one function per record.

    Args:
        owner: the object whose life the operator manages: the function, or the object it is a method of.
        function: called with each record.
    """

    def __init__(self, owner: Any, function: Function, on_error: OnError) -> None:
        super().__init__(owner, on_error=on_error)
        self._function = function

    def _results(self, batch: RecordBatch[Any]) -> tuple[list[Any], list[int]]:
        """Results in order, and the indices of records that failed and were set aside."""
        function, values = self._function, batch.values
        self._records_in.count += len(values)
        results: list[Any] = []
        failed: list[int] = []
        rest = iter(values)
        while True:
            try:
                for value in rest:
                    results.append(function(value))
            except Exception as error:  # noqa: BLE001 - whatever a user function raises goes to the policy
                index = len(results) + len(failed)
                failed.append(index)
                self._failed(function, error, values[index])
            else:
                return results, failed


class MapOperator(PerRecord):
    """Applies a function to every record; timestamps stay as they are."""

    loop: ClassVar[Loop | None] = Loop("map", ("v = {function}(v)",), (("function", "_function"),))

    def process_batch(self, batch: RecordBatch[Any]) -> None:
        results, failed = self._results(batch)
        self._emit(results, without(batch.timestamps, failed), batch.highest)


class FilterOperator(PerRecord):
    """Keeps the records for which the function gives something true."""

    loop: ClassVar[Loop | None] = Loop("filter", ("if not {function}(v):", "    continue"), (("function", "_function"),))

    def process_batch(self, batch: RecordBatch[Any]) -> None:
        values, timestamps = batch.values, batch.timestamps
        self._records_in.count += len(values)
        kept: list[Any] = []
        times: list[int] = []
        rest = iter(values)
        stamps = None if timestamps is None else iter(timestamps)
        while True:
            try:
                self._keep(rest, stamps, kept, times)
            except Exception as error:  # noqa: BLE001 - whatever a user function raises goes to the policy
                self._failed(self._function, error, values[len(values) - length_hint(rest) - 1])
            else:
                break
        self._emit(kept, None if timestamps is None else times, batch.highest)

    def _keep(self, rest: Iterator[Any], stamps: Iterator[int] | None, kept: list[Any], times: list[int]) -> None:
        function = self._function
        if stamps is None and function is bool:
            kept.extend(filter(None, rest))  # a third of the time; a builtin raises no StopIteration of its own, which would end it unseen
        elif stamps is None:
            for value in rest:
                if function(value):
                    kept.append(value)
        else:
            for value, timestamp in zip(rest, stamps):
                if function(value):
                    kept.append(value)
                    times.append(timestamp)


class FlatMapOperator(PerRecord):
    """Replaces every record by any number of others, which take its timestamp."""

    def process_batch(self, batch: RecordBatch[Any]) -> None:
        function, timestamps = self._function, batch.timestamps
        self._records_in.count += len(batch.values)
        values: list[Any] = []
        times: list[int] = []
        for index, value in enumerate(batch.values):
            made = len(values)
            try:
                produced = function(value)
                if produced is not None:
                    values.extend(produced)
            except Exception as error:  # noqa: BLE001 - whatever a user function raises goes to the policy
                del values[made:]
                self._failed(function, error, value)
            else:
                if timestamps is not None and len(values) > made:
                    times.extend([timestamps[index]] * (len(values) - made))
        self._emit(values, None if timestamps is None else times, batch.highest)


class _WholeBatch(FunctionOperator):
    """Gives a function the whole list of records."""

    without_keys: ClassVar[str] = "A list of records has many keys: use map, flat_map or process behind key_by(...)."

    def __init__(self, owner: Any, function: Callable[[list[Any]], Iterable[Any]]) -> None:
        super().__init__(owner)
        self._function = function

    def _results(self, batch: RecordBatch[Any]) -> Any:
        """What the function returned, as a list if it can be one."""
        self._records_in.count += len(batch.values)
        try:
            results = self._function(batch.values)
            if type(results) is not list and isinstance(results, Iterable):
                results = list(results)  # a generator runs only now
        except Exception as error:
            raise self._failure(self._function, error, batch.values, kind=BatchFunctionFailed) from error
        return results

    def _wrong(self, given: int, results: Any, wanted: str) -> WrongBatchLength:
        returned = f"{len(results)}" if isinstance(results, list) else f"a {type(results).__name__}"
        return WrongBatchLength(operator=self.context.name, function=function_label(self._function), given=given, returned=returned, wanted=wanted)


class MapBatchOperator(_WholeBatch):
    """Takes a list of as many results as there are records."""

    def process_batch(self, batch: RecordBatch[Any]) -> None:
        given = len(batch.values)
        results = self._results(batch)
        if not isinstance(results, list) or len(results) != given:
            raise self._wrong(given, results, "a list with one result per record; flat_map_batch and flat_map may change the number")
        self._emit(results, batch.timestamps, batch.highest)


class FlatMapBatchOperator(_WholeBatch):
    """Takes a list of any length."""

    def process_batch(self, batch: RecordBatch[Any]) -> None:
        if batch.timestamps is not None:
            raise TimestampsLost(operator=self.context.name, function=function_label(self._function))
        given = len(batch.values)
        results = self._results(batch)
        if not isinstance(results, list):
            raise self._wrong(given, results, "a list, empty when there is nothing to go on with")
        self._emit(results, None)


class PassOperator(Operator):
    """Hands everything on: the meeting point of a union, or a stream that was only dealt out anew."""

    def process_batch(self, batch: RecordBatch[Any]) -> None:
        self._records_in.count += len(batch.values)
        self._emit(batch.values, batch.timestamps, batch.highest)


@dataclass(frozen=True)
class FunctionSpec:
    """A stateless operator around one function.

    Attributes:
        operator: `MapOperator`, `FilterOperator` or `FlatMapOperator`.
        owner: the function object, opened and closed when it is a RichFunction.
        method: name of the method to call, None to call the object itself.
    """

    operator: type[PerRecord]
    owner: Any
    method: str | None = None
    on_error: OnError = "fail"
    keeps_state: bool = False

    def create(self) -> Operator:
        owner = own_copy(self.owner)
        return self.operator(owner, getattr(owner, self.method) if self.method else owner, self.on_error)


@dataclass(frozen=True)
class MapBatchSpec:
    """map_batch."""

    function: Callable[[list[Any]], Iterable[Any]]
    keeps_state: bool = False

    def create(self) -> Operator:
        return MapBatchOperator(self.function, self.function)


@dataclass(frozen=True)
class FlatMapBatchSpec:
    """flat_map_batch."""

    function: Callable[[list[Any]], Iterable[Any]]
    keeps_state: bool = False

    def create(self) -> Operator:
        return FlatMapBatchOperator(self.function, self.function)


@dataclass(frozen=True)
class PassSpec:
    """union, and partitioning on its own."""

    keeps_state: bool = False

    def create(self) -> Operator:
        return PassOperator()
