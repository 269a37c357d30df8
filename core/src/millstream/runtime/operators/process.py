"""Process functions: the record, its timestamp, side outputs, and with a key also state and timers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

from millstream.contracts.context import OnTimerContext, ProcessContext, TimerService
from millstream.errors import KeySelectorFailed, MillstreamError, UnknownSideOutput, UserFunctionFailed
from millstream.records import RecordBatch
from millstream.runtime.operators.function import FunctionOperator, own_copy, serializer_of
from millstream.runtime.operators.keyed import KeyedBy, KeyedOperator
from millstream.runtime.timers import TimerQueue
from millstream.state.key_context import NO_KEY

if TYPE_CHECKING:
    from millstream.contracts.functions import KeyedProcessFunction, ProcessFunction
    from millstream.contracts.on_error import OnError
    from millstream.runtime.operators.base import Output
    from millstream.state.key_context import KeyContext


class ListCollector(list[Any]):
    """A collector that is a list: collecting costs what appending does."""

    collect = list.append


class SideOutputs:
    """Emits single records to side outputs."""

    def __init__(self, output: Output, operator: str) -> None:
        self._output = output
        self._operator = operator

    def emit(self, tag: Any, value: Any, timestamp: int | None) -> None:
        """One record to the side output of a tag."""
        name = getattr(tag, "tag_id", tag)
        if name not in self._output.side:
            # Nobody reads the tag: as with the main output, what nobody reads goes nowhere.
            if not isinstance(name, str):
                raise UnknownSideOutput(operator=self._operator, tag=repr(tag))
            return
        self._output.side[name](RecordBatch([value], None if timestamp is None else [timestamp]))


class PlainContext(ProcessContext):
    """The context of a ProcessFunction."""

    __slots__ = ("_sides", "now")

    def __init__(self, sides: SideOutputs) -> None:
        self._sides = sides
        self.now: int | None = None

    def timestamp(self) -> int | None:
        return self.now

    def output(self, tag: Any, value: Any) -> None:
        self._sides.emit(tag, value, self.now)


class ProcessOperator(FunctionOperator):
    """Calls a ProcessFunction for every record."""

    without_keys: ClassVar[str] = "Make it a KeyedProcessFunction, behind key_by(...)."

    def __init__(self, function: ProcessFunction[Any, Any], on_error: OnError) -> None:
        super().__init__(function, on_error=on_error)
        self._function = function

    def open(self) -> None:
        self._ctx = PlainContext(SideOutputs(self.output, self.context.name))
        super().open()

    def process_batch(self, batch: RecordBatch[Any]) -> None:
        self._records_in.count += len(batch.values)
        process, ctx, out = self._function.process_element, self._ctx, ListCollector()
        times: list[int] = []
        for index, value in enumerate(batch.values):
            ctx.now = timestamp = None if batch.timestamps is None else batch.timestamps[index]
            made = len(out)
            try:
                produced = process(value, ctx, out)
                if produced is not None:
                    out.extend(produced)
            except Exception as error:  # noqa: BLE001 - whatever a user function raises goes to the policy
                del out[made:]
                self._failed(process, error, value)
            if timestamp is not None and len(out) > made:
                times.extend([timestamp] * (len(out) - made))
        self._emit(list(out), None if batch.timestamps is None else times, batch.highest)


class KeyedContext(OnTimerContext):
    """The context of a KeyedProcessFunction, one for all records. `keys` holds the current key."""

    __slots__ = ("_keys", "_service", "_sides", "domain", "now")

    def __init__(self, keys: KeyContext, sides: SideOutputs, service: KeyedTimerService) -> None:
        self._keys = keys
        self._sides = sides
        self._service = service
        self.now: int | None = None
        self.domain = "event"

    def timestamp(self) -> int | None:
        return self.now

    def output(self, tag: Any, value: Any) -> None:
        self._sides.emit(tag, value, self.now)

    def get_current_key(self) -> Any:
        return self._keys.key

    def timer_service(self) -> TimerService:
        return self._service

    def time_domain(self) -> str:
        return self.domain


class KeyedTimerService(TimerService):
    """Timers of the key in the key context."""

    def __init__(self, operator: KeyedProcessOperator, keys: KeyContext) -> None:
        self._operator = operator
        self._keys = keys

    def current_watermark(self) -> int:
        return self._operator.watermark

    def current_processing_time(self) -> int:
        return self._operator.context.clock.now_ms()

    def register_event_time_timer(self, timestamp: int) -> None:
        self._operator.event_timers.register(self._keys.key, timestamp)

    def delete_event_time_timer(self, timestamp: int) -> None:
        self._operator.event_timers.delete(self._keys.key, timestamp)

    def register_processing_time_timer(self, timestamp: int) -> None:
        self._operator.processing_timers.register(self._keys.key, timestamp)
        self._operator.schedule_processing_timer()

    def delete_processing_time_timer(self, timestamp: int) -> None:
        self._operator.processing_timers.delete(self._keys.key, timestamp)


class KeyedProcessOperator(KeyedOperator):
    """Calls a KeyedProcessFunction for every record and timer."""

    def __init__(self, keyed_by: KeyedBy, function: KeyedProcessFunction[Any, Any, Any], on_error: OnError) -> None:
        super().__init__(keyed_by, function, on_error=on_error)
        self._function = function
        self._scheduled_ms: int | None = None
        self._seen: set[Any] = set()

    def open(self) -> None:
        keys = self.key_context
        self.event_timers = self._timer_queue("@timers.event")
        self.processing_timers = self._timer_queue("@timers.processing")
        self._ctx = KeyedContext(keys, SideOutputs(self.output, self.context.name), KeyedTimerService(self, keys))
        super().open()
        self.schedule_processing_timer()

    def _timer_queue(self, name: str) -> TimerQueue:
        timers = TimerQueue()
        self.keyed.declare_table(name, "timers", "namespaced", serializer_of(None), timers.bind)
        return timers

    def process_batch(self, batch: RecordBatch[Any]) -> None:
        self._records_in.count += len(batch.values)
        if self._on_error == "fail":
            self._process(batch.values, batch.timestamps)
        else:
            self._process_one_by_one(batch)
        self.key_context.key = NO_KEY

    def _process(self, values: list[Any], timestamps: list[int] | None) -> None:
        if timestamps is None:
            self._process_values(values)
        else:
            self._process_stamped(values, timestamps)

    def _process_one_by_one(self, batch: RecordBatch[Any]) -> None:
        """So that what a record emitted before it failed can be dropped with it."""
        for index, value in enumerate(batch.values):
            try:
                self._process([value], None if batch.timestamps is None else [batch.timestamps[index]])
            except KeySelectorFailed:
                raise
            except UserFunctionFailed as failure:
                cause = failure.__cause__
                self._failed(self._function, cause if isinstance(cause, Exception) else failure, value)

    def _process_values(self, values: list[Any]) -> None:
        process, key, ctx, keys, check = self._function.process_element, self._key, self._ctx, self.key_context, self._new_key
        seen, out = self._seen, ListCollector()
        ctx.now = value = None
        try:
            for value in values:
                keys.key = k = key(value)
                if k not in seen:
                    check(k)
                    remember(seen, k)
                produced = process(value, ctx, out)
                if produced is not None:
                    out.extend(produced)
        except MillstreamError:
            raise
        except Exception as error:
            self._refuse_key_of(value, error)
            raise self._failure(process, error, value) from error
        self._emit(list(out), None)

    def _process_stamped(self, values: list[Any], timestamps: list[int]) -> None:
        process, key, ctx, keys, check = self._function.process_element, self._key, self._ctx, self.key_context, self._new_key
        seen, out = self._seen, ListCollector()
        ends: list[int] = []
        value = None
        try:
            for value, ctx.now in zip(values, timestamps, strict=True):
                keys.key = k = key(value)
                if k not in seen:
                    check(k)
                    remember(seen, k)
                produced = process(value, ctx, out)
                if produced is not None:
                    out.extend(produced)
                ends.append(len(out))
        except MillstreamError:
            raise
        except Exception as error:
            self._refuse_key_of(value, error)
            raise self._failure(process, error, value) from error
        self._emit(list(out), inherited(timestamps, ends))

    def process_watermark(self, timestamp: int) -> None:
        if timestamp <= self.watermark:
            return
        self.watermark = timestamp
        self._fire(self.event_timers, timestamp, "event")
        self.output.emit_watermark(timestamp)

    def _fire(self, timers: TimerQueue, until: int, domain: str) -> None:
        due = timers.next_time()
        if due is None or due > until:
            return
        ctx, keys, on_timer = self._ctx, self.key_context, self._function.on_timer
        out, times = ListCollector(), list[int]()

        def fire(time: int, key: Any) -> None:
            keys.key, ctx.domain = key, domain
            ctx.now = time if domain == "event" else None
            try:
                produced = on_timer(time, ctx, out)
                if produced is not None:
                    out.extend(produced)
            except MillstreamError:
                raise
            except Exception as error:
                raise self._failure(on_timer, error, f"timer {time} of key {key!r}") from error
            if domain == "event":
                times.extend([time] * (len(out) - len(times)))

        timers.fire(until, fire)
        self.key_context.key = NO_KEY
        ctx.domain = "event"
        self._emit(list(out), times if domain == "event" else None)

    # --- processing time

    def schedule_processing_timer(self) -> None:
        """Asks the task to come back when the earliest timer is due."""
        due_ms = self.processing_timers.next_time()
        if due_ms is None or (self._scheduled_ms is not None and self._scheduled_ms <= due_ms):
            return
        self._scheduled_ms = due_ms
        delay_s = max(0, due_ms - self.context.clock.now_ms()) / 1000
        self.context.schedule(self.context.clock.monotonic_s() + delay_s, self._on_processing_time)

    def _on_processing_time(self) -> None:
        self._scheduled_ms = None
        self._fire(self.processing_timers, self.context.clock.now_ms(), "processing")
        self.schedule_processing_timer()


def inherited(timestamps: list[int], ends: list[int]) -> list[int]:
    """Timestamps of the outputs, each that of its input. `ends` has the number of outputs after each input."""
    if ends == _one_each(len(ends)):
        return timestamps  # as most functions give
    times: list[int] = []
    for timestamp, end in zip(timestamps, ends, strict=True):
        if end > len(times):
            times.extend([timestamp] * (end - len(times)))
    return times


@lru_cache(maxsize=16)
def _one_each(count: int) -> list[int]:
    """What `ends` is when each record had one output. Kept, because to make it takes longer than to compare."""
    return list(range(1, count + 1))


MOST_REMEMBERED_KEYS = 65_536


def remember(seen: set[Any], key: Any) -> None:
    """Notes a key that was found good, in bounded memory."""
    if len(seen) >= MOST_REMEMBERED_KEYS:
        seen.clear()
    seen.add(key)


@dataclass(frozen=True)
class ProcessSpec:
    """process on a stream without keys."""

    function: ProcessFunction[Any, Any]
    on_error: OnError = "fail"
    keeps_state: bool = False

    def create(self) -> ProcessOperator:
        return ProcessOperator(own_copy(self.function), self.on_error)


@dataclass(frozen=True)
class KeyedProcessSpec:
    """process on a keyed stream."""

    keyed_by: KeyedBy
    function: KeyedProcessFunction[Any, Any, Any]
    on_error: OnError = "fail"
    keeps_state: bool = True

    def create(self) -> KeyedProcessOperator:
        return KeyedProcessOperator(self.keyed_by, own_copy(self.function), self.on_error)
