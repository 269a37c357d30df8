"""Windows over keyed streams.

State is one dict per window, {start: {key: contents}}, with one entry in a heap per window. All records of a window are equally late,
so lateness and firing are decided once per window and batch, in `_resolve`; the loops in between know only the bounds of the window at
hand and its dict. Most batches lie in one window as a whole: their loop does not look at timestamps.

A watermark t completes the windows whose last ms is <= t. A window stays for the allowed lateness; until then a late record fires it
again for its key, at once. What comes later than that goes to the late side output or is counted.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from operator import length_hint
from typing import TYPE_CHECKING, Any, ClassVar, Final

from millstream.contracts.functions import ProcessWindowFunction, WindowContext
from millstream.errors import MillstreamError, MissingTimestamps
from millstream.records import RecordBatch
from millstream.runtime.operators.ahead import KeyGroupsAhead
from millstream.runtime.operators.function import own_copy, serializer_of
from millstream.runtime.operators.keyed import KeyedBy, KeyedOperator
from millstream.runtime.operators.process import SideOutputs
from millstream.runtime.operators.window_loops import Contents, window_loops
from millstream.state.key_context import NO_KEY
from millstream.windowing.assigners import TimeWindow, TumblingEventTimeWindows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, MutableMapping

    from millstream.contracts.on_error import OnError
    from millstream.runtime.operators.base import OperatorSnapshot
    from millstream.state.annotated import Annotation
    from millstream.state.strict import StateWatch
    from millstream.state.strict_tables import Contents as WatchedContents

EMPTY_BOUNDS = (1, 0)
"""Bounds that hold no timestamp, so that the next record is resolved anew."""

NEW_KEYS_WORTH_A_TEST: Final = 16
"""When more than one record of so many is the first of its key, a test of each key costs less than an exception for the new ones."""


class WindowFunctionContext(WindowContext[TimeWindow]):
    """What a window function sees."""

    __slots__ = ("_operator", "_sides", "current")

    def __init__(self, operator: WindowOperator) -> None:
        self._operator = operator
        self._sides = SideOutputs(operator.output, operator.context.name)
        self.current = TimeWindow(0, 0)

    def window(self) -> TimeWindow:
        return self.current

    def current_watermark(self) -> int:
        return self._operator.watermark

    def current_processing_time(self) -> int:
        return self._operator.context.clock.now_ms()

    def output(self, tag: Any, value: Any) -> None:
        self._sides.emit(tag, value, self.current.max_timestamp)


class WindowOperator(KeyedOperator):
    """Tumbling event-time windows with the default trigger. Subclasses say how contents grow.

    Args:
        window: the assigner.
        lateness_ms: how long a window stays after it was complete, >= 0.
        late_tag: side output for late records, None to count them only.
        owner: the aggregating function object.
        window_function: gets the contents when the window fires; None emits them as they are.
    """

    kind: ClassVar[str]
    _contents: ClassVar[Contents]
    _watched_as: ClassVar[WatchedContents] = "written"

    def __init__(self, spec: WindowSpec, owner: Any, window_function: ProcessWindowFunction[Any, Any, Any, TimeWindow] | None) -> None:
        super().__init__(spec.keyed_by, owner, window_function, on_error=spec.on_error)
        self._assigner = spec.window
        self._lateness_ms = spec.lateness_ms
        self._late_tag = spec.late_tag
        self._value_type = spec.value_type
        self._annotation = spec.annotation
        self._window_function = window_function
        self._user_function: Any = self._key
        self._heap: list[int] = []
        self._expiring: list[int] = []

    def open(self) -> None:
        self._late_records = self.context.metrics.counter("numLateRecordsDropped")
        self._ctx = WindowFunctionContext(self)
        values = serializer_of(self._value_type, self._annotation)
        self.keyed.declare_table("@window", self.kind, "namespaced", values, self._bind, self._watched_as, self._value_type)
        if self._watch is not None:
            self._watch_function(self._watch)
        self._loops = window_loops(self._contents)
        self._loop_arguments = [getattr(self, attribute) for _, attribute in self._contents.arguments]
        self._ahead = KeyGroupsAhead(self.context.restored.ahead, self._key_group_of)
        size = self._assigner.size_ms
        for start in sorted(self._windows):
            # A restored window that was complete at the restored watermark has fired; it only waits for its end of life.
            complete = start + size - 1 <= self.watermark
            heapq.heappush(self._expiring if complete else self._heap, start)
        super().open()
        self._remove_expired()  # the allowed lateness may be less than it was

    def _bind(self, table: MutableMapping[Any, Any]) -> None:
        self._windows = table
        self._forget_current()

    def _forget_current(self) -> None:
        """The next record looks its window up anew: after a window went, at a barrier, and when tables were swapped."""
        self._current: Any = None
        self._many_new_keys = True
        self._lo, self._hi = EMPTY_BOUNDS

    # --- records

    def process_batch(self, batch: RecordBatch[Any]) -> None:
        values, timestamps = batch.values, batch.timestamps
        if timestamps is None:
            raise MissingTimestamps(operator=self.context.name)
        self._records_in.count += len(values)
        if self._ahead:
            for value, timestamp in zip(values, timestamps, strict=True):
                self._process_ahead(value, timestamp)
        else:
            self._process(values, timestamps, batch.highest)

    def _process_ahead(self, value: Any, timestamp: int) -> None:
        """One record, whose window may be complete for its key though not for all keys."""
        try:
            ahead = self._ahead.watermark_of(self._key(value))
            if ahead > self.watermark and self._assigner.start_of(timestamp) + self._assigner.size_ms - 1 <= ahead:
                self._straggler(value, timestamp, ahead)
                return
        except MillstreamError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a user function raises goes to the policy
            self.record_failed(self._user_function, error, value)
            return
        self._process([value], [timestamp], timestamp)

    def _process(self, values: list[Any], timestamps: list[int], highest: int | None) -> None:
        rest, times = iter(values), iter(timestamps)
        in_one_window = self._in_one_window(timestamps, highest)
        while True:
            try:
                if in_one_window:
                    self._add_to_current(rest, len(values))
                else:
                    self._add_all(rest, times)
            except MillstreamError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a user function raises goes to the policy
                self.record_failed(self._user_function, error, values[len(values) - length_hint(rest) - 1])
            else:
                return

    def _in_one_window(self, timestamps: list[int], highest: int | None) -> bool:
        """Whether all of a batch belongs to the window at hand, which is looked up first. Asks what is cheap before `min`."""
        first = timestamps[0]
        if first >= self._hi or first < self._lo:
            self._resolve(first)
        if timestamps[-1] >= self._hi or (max(timestamps) if highest is None else highest) >= self._hi:
            return False
        return min(timestamps) >= self._lo

    def _add_all(self, rest: Iterator[Any], times: Iterator[int]) -> None:
        bounds = times, self._lo, self._hi, self._resolve, self._straggler
        self._loops.any_batch(rest, self._current, self._key, self._new_key, *self._loop_arguments, *bounds)

    def _add_to_current(self, rest: Iterator[Any], count: int) -> None:
        """The same for records that all belong to the window at hand."""
        current = self._current
        before = len(current)
        run = self._loops.in_new_window if self._many_new_keys else self._loops.in_one_window
        run(rest, current, self._key, self._new_key, *self._loop_arguments)
        self._many_new_keys = (len(current) - before) * NEW_KEYS_WORTH_A_TEST > count

    def _add_one(self, contents: MutableMapping[Any, Any], key: Any, value: Any) -> None:
        """Adds one record, for the rare path."""
        raise NotImplementedError

    def _watch_function(self, watch: StateWatch) -> None:
        """For strict state: lets the watch see what a function returns that may return what it was given, changed."""

    def _resolve(self, timestamp: int) -> tuple[Any, int, int]:
        """The dict and the bounds of a record's window; (None, bounds of nothing) when the window is complete already."""
        start = self._assigner.start_of(timestamp)
        end = start + self._assigner.size_ms
        if end - 1 <= self.watermark:
            self._forget_current()
            return None, *EMPTY_BOUNDS
        contents = self._windows.get(start)
        if contents is None:
            self._windows[start] = {}
            contents = self._windows[start]
            heapq.heappush(self._heap, start)
        self._current, self._lo, self._hi = contents, start, end
        return contents, start, end

    def _straggler(self, value: Any, timestamp: int, ahead: int | None = None) -> None:
        """A record whose window is complete, at least for its key: fires it again while it is allowed, else is late.

        `ahead` is the event time of the key's group when that is not the operator's.
        """
        start = self._assigner.start_of(timestamp)
        max_timestamp = start + self._assigner.size_ms - 1
        if max_timestamp + self._lateness_ms <= (self.watermark if ahead is None else ahead):
            self._late(value, timestamp)
            return
        contents = self._windows.get(start)
        if contents is None:
            self._windows[start] = {}
            contents = self._windows[start]
            heapq.heappush(self._expiring if max_timestamp <= self.watermark else self._heap, start)
        key = self._key(value)
        self._new_key(key)
        self._add_one(contents, key, value)
        self._fire(start, [(key, contents[key])])

    def _late(self, value: Any, timestamp: int) -> None:
        if self._late_tag is not None and self._late_tag in self.output.side:
            self.output.side[self._late_tag](RecordBatch([value], [timestamp]))
        else:
            self._late_records.count += 1

    # --- time

    def process_watermark(self, timestamp: int) -> None:
        if timestamp <= self.watermark:
            return
        self.watermark = timestamp
        size, heap = self._assigner.size_ms, self._heap
        while heap and heap[0] + size - 1 <= timestamp:
            start = heapq.heappop(heap)
            self._forget_current()
            self._fire(start, self._not_fired(start + size - 1, self._windows[start].items()))
            if start + size - 1 + self._lateness_ms <= timestamp:
                self._remove(start)
            else:
                heapq.heappush(self._expiring, start)
        self._remove_expired()
        self._ahead.reached(timestamp)
        self.output.emit_watermark(timestamp)

    def _not_fired(self, max_timestamp: int, entries: Iterable[tuple[Any, Any]]) -> Iterable[tuple[Any, Any]]:
        """Without the keys for which the window was complete before a restore lowered the watermark."""
        ahead = self._ahead
        return [entry for entry in entries if ahead.watermark_of(entry[0]) < max_timestamp] if ahead else entries

    def _remove_expired(self) -> None:
        expiring, life_ms = self._expiring, self._assigner.size_ms - 1 + self._lateness_ms
        while expiring and expiring[0] + life_ms <= self.watermark:
            self._remove(heapq.heappop(expiring))

    def _remove(self, start: int) -> None:
        self._forget_current()
        contents = self._windows.pop(start)
        function = self._window_function
        if function is not None:
            self._ctx.current = TimeWindow(start, start + self._assigner.size_ms)
            for _ in contents:
                function.clear(self._ctx)

    def _fire(self, start: int, entries: Iterable[tuple[Any, Any]]) -> None:
        """Emits the results of some keys of a window at its last ms."""
        end = start + self._assigner.size_ms
        function = self._window_function
        if function is None:
            results = self._results(entries)
        else:
            results = []
            self._ctx.current = TimeWindow(start, end)
            for key, contents in entries:
                self.key_context.key = key
                try:
                    results += list(function.process(key, self._ctx, self._elements(contents)) or ())
                except Exception as error:  # noqa: BLE001 - whatever a user function raises goes to the policy
                    self._failed(function.process, error, f"window {self._ctx.current} of key {key!r}")
            self.key_context.key = NO_KEY
        self._emit(results, [end - 1] * len(results))

    def _results(self, entries: Iterable[tuple[Any, Any]]) -> list[Any]:
        return [contents for _, contents in entries]

    def _elements(self, contents: Any) -> Iterable[Any]:
        """What a window function is given: the one aggregate."""
        return (contents,)

    def snapshot(self, checkpoint_id: int) -> OperatorSnapshot:
        self._forget_current()
        snapshot = super().snapshot(checkpoint_id)
        snapshot.ahead = list(self._ahead.ranges)
        return snapshot


class ReducingWindowOperator(WindowOperator):
    """Contents are the reduced record."""

    kind = "reducing window"
    _contents = Contents(
        "reducing",
        first=("current[k] = v",),
        later=("new = reduce(old, v)", "if new is not old:", "    current[k] = new"),
        arguments=(("reduce", "_reduce"),),
    )

    def __init__(self, spec: WindowSpec, owner: Any, reduce: Callable[[Any, Any], Any], window_function: Any) -> None:
        super().__init__(spec, owner, window_function)
        self._reduce = self._user_function = reduce

    def _watch_function(self, watch: StateWatch) -> None:
        self._reduce = watch.returning("@window", self._reduce)

    def _add_one(self, contents: MutableMapping[Any, Any], key: Any, value: Any) -> None:
        contents[key] = self._reduce(contents[key], value) if key in contents else value


class AggregatingWindowOperator(WindowOperator):
    """Contents are an accumulator."""

    kind = "aggregating window"
    _contents = Contents(
        "aggregating",
        first=("current[k] = add(v, create())",),
        later=("new = add(v, old)", "if new is not old:", "    current[k] = new"),
        arguments=(("add", "_add"), ("create", "_create")),
    )

    def __init__(self, spec: WindowSpec, aggregate: Any, window_function: Any) -> None:
        super().__init__(spec, aggregate, window_function)
        self._add = self._user_function = aggregate.add
        self._create = aggregate.create_accumulator
        self._result = aggregate.get_result

    def _watch_function(self, watch: StateWatch) -> None:
        self._add = watch.returning("@window", self._add)

    def _add_one(self, contents: MutableMapping[Any, Any], key: Any, value: Any) -> None:
        contents[key] = self._add(value, contents[key] if key in contents else self._create())

    def _results(self, entries: Iterable[tuple[Any, Any]]) -> list[Any]:
        result = self._result
        return [result(accumulator) for _, accumulator in entries]

    def _elements(self, contents: Any) -> Iterable[Any]:
        return (self._result(contents),)


class BufferingWindowOperator(WindowOperator):
    """Contents are all the records, in order of arrival."""

    kind = "buffering window"
    _watched_as = "appended"
    _contents = Contents("buffering", first=("current[k] = [v]",), later=("old.append(v)",), arguments=())

    def _add_one(self, contents: MutableMapping[Any, Any], key: Any, value: Any) -> None:
        if key in contents:
            contents[key].append(value)
        else:
            contents[key] = [value]

    def _elements(self, contents: Any) -> Iterable[Any]:
        return list(contents)


@dataclass(frozen=True)
class WindowSpec:
    """A window operation.

    Attributes:
        reduce: the reduce function (object), for a reducing window.
        reduce_method: its method, None to call the object itself.
        aggregate: the AggregateFunction, for an aggregating window; with neither the window keeps all records.
        value_type: declared type of the contents (of one record, where all are kept).
        annotation: what the annotations of the function say of the contents.
    """

    keyed_by: KeyedBy
    window: TumblingEventTimeWindows
    lateness_ms: int = 0
    late_tag: str | None = None
    reduce: Any = None
    reduce_method: str | None = None
    aggregate: Any = None
    window_function: ProcessWindowFunction[Any, Any, Any, TimeWindow] | None = None
    value_type: Any = None
    on_error: OnError = "fail"
    keeps_state: bool = True
    annotation: Annotation | None = None

    def create(self) -> WindowOperator:
        window_function = own_copy(self.window_function)
        if self.reduce is not None:
            owner = own_copy(self.reduce)
            return ReducingWindowOperator(self, owner, getattr(owner, self.reduce_method) if self.reduce_method else owner, window_function)
        if self.aggregate is not None:
            return AggregatingWindowOperator(self, own_copy(self.aggregate), window_function)
        return BufferingWindowOperator(self, None, window_function)
