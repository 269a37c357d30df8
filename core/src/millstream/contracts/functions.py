"""User functions: anything callable will do; the classes are for functions that have a life.

`open` is called once per subtask and attempt, after its state was restored and before the first record; `close` always, also
after a failure. Neither emits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from millstream.contracts.context import Collector, KeyedProcessContext, OnTimerContext, ProcessContext, RuntimeContext

I = TypeVar("I")  # noqa: E741 - input
O = TypeVar("O")  # noqa: E741 - output
K = TypeVar("K")
T = TypeVar("T")
A = TypeVar("A")
W = TypeVar("W")


class RichFunction:
    """A function that is opened with its runtime context and closed at the end."""

    def open(self, context: RuntimeContext) -> None:
        """Prepares the function: connections, state, metrics."""

    def close(self) -> None:
        """Releases what `open` took."""


class MapFunction(RichFunction, ABC, Generic[I, O]):
    """One record in, exactly one out. None is a record like any other."""

    @abstractmethod
    def map(self, value: I) -> O: ...


class FlatMapFunction(RichFunction, ABC, Generic[I, O]):
    """One record in, any number out."""

    @abstractmethod
    def flat_map(self, value: I) -> Iterable[O]: ...


class FilterFunction(RichFunction, ABC, Generic[T]):
    """Keeps the records for which it gives something true."""

    @abstractmethod
    def filter(self, value: T) -> bool: ...


class KeySelector(ABC, Generic[I, K]):
    """Gives the key of a record. Pure: it is evaluated again on the receiving side."""

    @abstractmethod
    def get_key(self, value: I) -> K: ...


class ReduceFunction(RichFunction, ABC, Generic[T]):
    """Combines two records into one of the same type. Associative."""

    @abstractmethod
    def reduce(self, first: T, second: T) -> T: ...


class AggregateFunction(RichFunction, ABC, Generic[I, A, O]):
    """Aggregates records in an accumulator.

    `get_result` may be called several times for one accumulator and must not change it.
    """

    @abstractmethod
    def create_accumulator(self) -> A: ...

    @abstractmethod
    def add(self, value: I, accumulator: A) -> A: ...

    @abstractmethod
    def get_result(self, accumulator: A) -> O: ...

    def merge(self, first: A, second: A) -> A:
        """Combines two accumulators; needed by windows that merge (sessions)."""
        msg = f"{type(self).__name__} defines no merge()"
        raise TypeError(msg)


class ProcessFunction(RichFunction, ABC, Generic[I, O]):
    """Sees each record with its timestamp and may emit to side outputs. Emit through `out`, or be a generator, or return an iterable."""

    @abstractmethod
    def process_element(self, value: I, ctx: ProcessContext, out: Collector[O]) -> Iterable[O] | None: ...


class KeyedProcessFunction(RichFunction, ABC, Generic[K, I, O]):
    """The same with keyed state and timers."""

    @abstractmethod
    def process_element(self, value: I, ctx: KeyedProcessContext, out: Collector[O]) -> Iterable[O] | None: ...

    def on_timer(self, timestamp: int, ctx: OnTimerContext, out: Collector[O]) -> Iterable[O] | None:
        """Called when a timer of `ctx.get_current_key()` fires; `timestamp` is the timer's, ms."""
        return None


class ProcessWindowFunction(RichFunction, ABC, Generic[I, O, K, W]):
    """Sees all records of one key and window (or the one aggregate of them) when the window fires."""

    @abstractmethod
    def process(self, key: K, context: WindowContext[W], elements: Iterable[I]) -> Iterable[O]: ...

    def clear(self, context: WindowContext[W]) -> None:
        """Called when the window is removed."""


class WindowContext(ABC, Generic[W]):
    """What a window function sees of its window."""

    @abstractmethod
    def window(self) -> W: ...

    @abstractmethod
    def current_watermark(self) -> int:
        """Event time so far, ms."""

    @abstractmethod
    def current_processing_time(self) -> int:
        """Wall-clock time, ms."""

    @abstractmethod
    def output(self, tag: Any, value: Any) -> None:
        """Emits to a side output."""
