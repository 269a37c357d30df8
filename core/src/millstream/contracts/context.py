"""What a running function can see of its surroundings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.contracts.metrics import MetricGroup
    from millstream.contracts.state_descriptors import (
        AggregatingStateDescriptor,
        ListStateDescriptor,
        MapStateDescriptor,
        ReducingStateDescriptor,
        ValueStateDescriptor,
    )
    from millstream.contracts.state_handles import AggregatingState, BroadcastState, ListState, MapState, ReducingState, ValueState

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")
I = TypeVar("I")  # noqa: E741 - input
O = TypeVar("O")  # noqa: E741 - output
O_contra = TypeVar("O_contra", contravariant=True)


class Accumulator(Generic[T]):
    """Adds up values over all subtasks; the job's result holds the total.

    Args:
        initial: the neutral value each subtask starts from.
        combine: adds a value, or merges two subtasks' totals: associative and commutative.
    """

    __slots__ = ("combine", "value")

    def __init__(self, initial: T, combine: Callable[[T, T], T]) -> None:
        self.value = initial
        self.combine = combine

    def add(self, value: T) -> None:
        """Adds `value` to this subtask's total."""
        self.value = self.combine(self.value, value)


class RuntimeContext(ABC):
    """Given to `open` of rich functions.

    Attributes:
        job_name: name of the job.
        task_name: name of the operator.
        subtask: 0-based index of this parallel instance.
        parallelism: number of parallel instances.
        max_parallelism: number of key groups.
        attempt: 0 for the first start of the job, one more for each restart.
        metrics: metrics under job, operator and subtask.
    """

    job_name: str
    task_name: str
    subtask: int
    parallelism: int
    max_parallelism: int
    attempt: int
    metrics: MetricGroup

    @abstractmethod
    def get_state(self, descriptor: ValueStateDescriptor[T]) -> ValueState[T]:
        """Keyed value state. Raises NotKeyed outside a keyed operator."""

    @abstractmethod
    def get_list_state(self, descriptor: ListStateDescriptor[T]) -> ListState[T]:
        """Keyed list state. Raises NotKeyed outside a keyed operator."""

    @abstractmethod
    def get_map_state(self, descriptor: MapStateDescriptor[K, V]) -> MapState[K, V]:
        """Keyed map state. Raises NotKeyed outside a keyed operator."""

    @abstractmethod
    def get_reducing_state(self, descriptor: ReducingStateDescriptor[T]) -> ReducingState[T]:
        """Keyed reducing state. Raises NotKeyed outside a keyed operator."""

    @abstractmethod
    def get_aggregating_state(self, descriptor: AggregatingStateDescriptor[I, Any, O]) -> AggregatingState[I, O]:
        """Keyed aggregating state. Raises NotKeyed outside a keyed operator."""

    @abstractmethod
    def get_operator_list_state(self, descriptor: ListStateDescriptor[T]) -> ListState[T]:
        """List state of the subtask: kept in checkpoints, dealt out anew when the parallelism changes."""

    @abstractmethod
    def get_union_list_state(self, descriptor: ListStateDescriptor[T]) -> ListState[T]:
        """List state of the subtask that every subtask gets whole at every restore, also at the same parallelism.

        The elements of all subtasks are in the list then, in the order of the subtasks. Take what is this subtask's and `update` the
        list with it, in `open`: the next checkpoint stores of each subtask what is in its list, and what stays in all of them is there
        once for each.
        """

    @abstractmethod
    def get_broadcast_state(self, descriptor: MapStateDescriptor[K, V]) -> BroadcastState[K, V]:
        """Map state of which every subtask has a copy: all have to be equal, and subtasks that a restore adds get a copy of another."""

    @abstractmethod
    def accumulator(self, name: str, initial: T, combine: Callable[[T, T], T]) -> Accumulator[T]:
        """An accumulator of this job; the same name gives the same accumulator in this subtask."""


class Collector(Protocol[O_contra]):
    """Takes output records."""

    def collect(self, value: O_contra, /) -> None:
        """Emits one record, with the timestamp of the record (or timer) being processed."""


class TimerService(ABC):
    """Timers of the current key. A key, a time and a domain make one timer, however often it is registered."""

    @abstractmethod
    def current_watermark(self) -> int:
        """Event time so far, ms; -2**63 before the first watermark. In `on_timer` it is the watermark that caused the call."""

    @abstractmethod
    def current_processing_time(self) -> int:
        """Wall-clock time, ms."""

    @abstractmethod
    def register_event_time_timer(self, timestamp: int) -> None:
        """Fires when the watermark reaches `timestamp` (ms); one at or behind the watermark fires at its next rise."""

    @abstractmethod
    def delete_event_time_timer(self, timestamp: int) -> None:
        """Forgets the timer; no such timer is no error."""

    @abstractmethod
    def register_processing_time_timer(self, timestamp: int) -> None:
        """Fires when the wall clock reaches `timestamp` (ms), as soon as possible when that has passed."""

    @abstractmethod
    def delete_processing_time_timer(self, timestamp: int) -> None:
        """Forgets the timer; no such timer is no error."""


class ProcessContext(ABC):
    """What a process function sees of the record at hand."""

    @abstractmethod
    def timestamp(self) -> int | None:
        """Event time of the record (or timer), ms; None where the stream has none."""

    @abstractmethod
    def output(self, tag: Any, value: Any) -> None:
        """Emits `value` to the side output `tag`."""


class KeyedProcessContext(ProcessContext):
    """The same for keyed process functions."""

    @abstractmethod
    def get_current_key(self) -> Any:
        """The key of the record (or timer)."""

    @abstractmethod
    def timer_service(self) -> TimerService:
        """Timers of the current key."""


class OnTimerContext(KeyedProcessContext):
    """The same while a timer fires."""

    @abstractmethod
    def time_domain(self) -> str:
        """`event` or `processing`."""
