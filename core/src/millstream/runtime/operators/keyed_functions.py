"""map, filter and flat_map by functions that may keep state of the record's key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from millstream.runtime.operators.function import own_copy, without
from millstream.runtime.operators.keyed import KeyedBy, KeyedOperator
from millstream.runtime.operators.process import inherited, remember
from millstream.state.key_context import NO_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from millstream.contracts.on_error import OnError
    from millstream.records import RecordBatch
    from millstream.runtime.operators.stateless import Function


class KeyedFunctionOperator(KeyedOperator):
    """Calls one function per record, with the key of the record as the current one. Subclasses say what becomes of the results.

    Args:
        keyed_by: how the input is keyed.
        owner: the function object, opened and closed.
        function: called with each record.
    """

    def __init__(self, keyed_by: KeyedBy, owner: Any, function: Function, on_error: OnError) -> None:
        super().__init__(keyed_by, owner, on_error=on_error)
        self._function = function
        self._seen: set[Any] = set()

    def process_batch(self, batch: RecordBatch[Any]) -> None:
        values = batch.values
        self._records_in.count += len(values)
        rest = iter(values)
        results: list[Any] = []
        ends: list[int] = []
        failed: list[int] = []
        while True:
            try:
                self._run(self._keyed(rest), results, ends)
            except Exception as error:  # noqa: BLE001 - whatever a user function raises goes to the policy
                del results[ends[-1] if ends else 0 :]  # what a flat_map had given of the record before it raised
                index = len(ends) + len(failed)
                failed.append(index)
                self.record_failed(self._function, error, values[index])
            else:
                break
        self.key_context.key = NO_KEY
        times = without(batch.timestamps, failed)
        self._emit(results, None if times is None else inherited(times, ends))

    def _keyed(self, rest: Iterator[Any]) -> Iterator[Any]:
        """The records, each when its key is the current one."""
        key, keys, seen = self._key, self.key_context, self._seen
        for value in rest:
            keys.key = k = key(value)
            if k not in seen:
                self._new_key(k)
                remember(seen, k)
            yield value

    def _run(self, values: Iterable[Any], results: list[Any], ends: list[int]) -> None:
        """Adds the results of all records, and to `ends` the number of results after each record."""
        raise NotImplementedError


class KeyedMapOperator(KeyedFunctionOperator):
    """One result for each record."""

    def _run(self, values: Iterable[Any], results: list[Any], ends: list[int]) -> None:
        function = self._function
        for value in values:
            results.append(function(value))
            ends.append(len(results))


class KeyedFilterOperator(KeyedFunctionOperator):
    """The records for which the function gives something true."""

    def _run(self, values: Iterable[Any], results: list[Any], ends: list[int]) -> None:
        function = self._function
        for value in values:
            if function(value):
                results.append(value)
            ends.append(len(results))


class KeyedFlatMapOperator(KeyedFunctionOperator):
    """All that the function gives for each record."""

    def _run(self, values: Iterable[Any], results: list[Any], ends: list[int]) -> None:
        function = self._function
        for value in values:
            produced = function(value)
            if produced is not None:
                results.extend(produced)
            ends.append(len(results))


@dataclass(frozen=True)
class KeyedFunctionSpec:
    """map, filter or flat_map on a keyed stream, by a function that is opened.

    Attributes:
        owner: the function object.
        method: name of the method to call.
    """

    operator: type[KeyedFunctionOperator]
    keyed_by: KeyedBy
    owner: Any
    method: str | None
    on_error: OnError = "fail"
    keeps_state: bool = True

    def create(self) -> KeyedFunctionOperator:
        owner = own_copy(self.owner)
        return self.operator(self.keyed_by, owner, getattr(owner, self.method) if self.method else owner, self.on_error)
