"""What operators around a user function share: its life, its runtime context, and the policy for its errors."""

from __future__ import annotations

import copy
import logging
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload

from millstream.contracts.context import Accumulator, RuntimeContext
from millstream.contracts.functions import RichFunction
from millstream.errors import MillstreamError, NotCopyable, NotKeyed, UndeclaredState
from millstream.runtime.operators.base import Operator, OperatorContext, OperatorSnapshot, Output
from millstream.runtime.operators.policy import ErrorPolicy
from millstream.state.operator import OperatorStateStore
from millstream.state.serializers import serializer_for
from millstream.state.strict import StateWatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.contracts.on_error import OnError
    from millstream.contracts.serializer import Serializer
    from millstream.contracts.state_descriptors import (
        AggregatingStateDescriptor,
        ListStateDescriptor,
        MapStateDescriptor,
        ReducingStateDescriptor,
        ValueStateDescriptor,
    )
    from millstream.contracts.state_handles import AggregatingState, BroadcastState, ListState, MapState, ReducingState, ValueState
    from millstream.state.annotated import Annotation
    from millstream.state.keyed import KeyedStateStore

log = logging.getLogger(__name__)

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")
I = TypeVar("I")  # noqa: E741 - input
O = TypeVar("O")  # noqa: E741 - output


class FunctionContext(RuntimeContext):
    """The runtime context of one operator.

    Args:
        keyed: None where there is no keyed state.
        without_keys: what to do about that, for people.
    """

    def __init__(self, context: OperatorContext, lists: OperatorStateStore, keyed: KeyedStateStore | None, without_keys: str) -> None:
        self.job_name = context.job_name
        self.task_name = context.name
        self.subtask = context.subtask
        self.parallelism = context.parallelism
        self.max_parallelism = context.max_parallelism
        self.attempt = context.attempt
        self.metrics = context.metrics
        self._accumulators = context.accumulators
        self._lists = lists
        self._keyed = keyed
        self._without_keys = without_keys

    def _keyed_store(self, descriptor: Any) -> KeyedStateStore:
        if self._keyed is None:
            raise NotKeyed(operator=self.task_name, what=f"keyed state {descriptor.name!r}", fix=self._without_keys)
        return self._keyed

    def get_state(self, descriptor: ValueStateDescriptor[T]) -> ValueState[T]:
        return self._keyed_store(descriptor).get_state(descriptor)

    def get_list_state(self, descriptor: ListStateDescriptor[T]) -> ListState[T]:
        return self._keyed_store(descriptor).get_list_state(descriptor)

    def get_map_state(self, descriptor: MapStateDescriptor[K, V]) -> MapState[K, V]:
        return self._keyed_store(descriptor).get_map_state(descriptor)

    def get_reducing_state(self, descriptor: ReducingStateDescriptor[T]) -> ReducingState[T]:
        return self._keyed_store(descriptor).get_reducing_state(descriptor)

    def get_aggregating_state(self, descriptor: AggregatingStateDescriptor[I, Any, O]) -> AggregatingState[I, O]:
        return self._keyed_store(descriptor).get_aggregating_state(descriptor)

    def get_operator_list_state(self, descriptor: ListStateDescriptor[T]) -> ListState[T]:
        return self._lists.get_list_state(descriptor)

    def get_union_list_state(self, descriptor: ListStateDescriptor[T]) -> ListState[T]:
        return self._lists.get_list_state(descriptor, "union")

    def get_broadcast_state(self, descriptor: MapStateDescriptor[K, V]) -> BroadcastState[K, V]:
        return self._lists.get_broadcast_state(descriptor)

    def accumulator(self, name: str, initial: T, combine: Callable[[T, T], T]) -> Accumulator[T]:
        found: Accumulator[T] | None = self._accumulators.get(name)
        if found is None:
            found = self._accumulators[name] = Accumulator(initial, combine)
        return found


def serializer_of(declared: Any, annotation: Annotation | None = None) -> Serializer[Any]:
    """The serializer of a declared type, or of an annotated one, or the data codec."""
    return serializer_for(declared, annotation)


class FunctionOperator(Operator):
    """An operator around user functions.

    Args:
        functions: everything that may have `open` and `close`.
        on_error: what happens to a record on which the function raises.
    """

    keyed: KeyedStateStore | None = None
    without_keys: ClassVar[str] = "Put key_by(...) in front of it."
    """What to do when the function asks for keyed state and there is none."""

    def __init__(self, *functions: Any, on_error: OnError = "fail") -> None:
        self._functions = [f for f in functions if isinstance(f, RichFunction)]
        self._label = next((function_label(f) for f in functions if f is not None), "")
        self._opened: list[RichFunction] = []
        self._on_error = on_error

    def setup(self, context: OperatorContext, output: Output) -> None:
        super().setup(context, output)
        self._policy = ErrorPolicy(self._on_error, context, output, "numRecordsFailed")
        self._watch = StateWatch(context.name, self._label) if context.strict_state else None
        self._lists = OperatorStateStore(context.name, serializer_of, self._watch)
        for name, parts in context.restored.lists.items():
            for part in parts:
                self._lists.restore({name: part})

    def open(self) -> None:
        runtime_context = FunctionContext(self.context, self._lists, self.keyed, self.without_keys)
        for function in self._functions:
            self._opened.append(function)
            try:
                function.open(runtime_context)
            except MillstreamError:
                raise
            except Exception as error:
                failure = self._failure(function.open, error, None)
                failure.record = ""
                raise failure from error
        for name, parts in self._lists.undeclared().items():
            if any(part.items for part in parts):
                self._undeclared(name)

    def _undeclared(self, state: str) -> None:
        """State that nobody takes over is lost with the next checkpoint."""
        if self.context.allow_non_restored_state:
            log.warning("state %r of operator %s is left behind: the operator does not declare it", state, self.context.where)
            return
        raise UndeclaredState(operator=self.context.name, uid=self.context.uid, state=state)

    def snapshot(self, checkpoint_id: int) -> OperatorSnapshot:
        self.check_state()
        return OperatorSnapshot(lists=self._lists.snapshot())

    def check_state(self) -> None:
        if self._watch is not None:
            self._watch.check()

    def close(self) -> None:
        opened, self._opened = self._opened, []
        for function in reversed(opened):
            function.close()

    # --- errors

    def record_failed(self, function: object, error: Exception, value: Any) -> None:
        self._failed(function, error, value)

    def _failed(self, function: object, error: Exception, value: Any) -> None:
        """Applies the policy: returns when the record is dropped or set aside, raises when the job has to fail."""
        if isinstance(error, MillstreamError):
            raise error
        if self._policy.fails:
            raise self._failure(function, error, value, self.context.origin.text()) from error
        self._policy.set_aside(value, f"{type(error).__name__}: {error}")


def own_copy(function: T) -> T:
    """A function object for one subtask and attempt alone: what it keeps in its attributes is not shared.

    Plain functions and lambdas are taken as they are.
    """
    if not isinstance(function, RichFunction):
        return function
    try:
        return copy.deepcopy(function)
    except TypeError as error:
        raise NotCopyable(function=type(function).__qualname__, reason=str(error)) from error


def function_label(function: object) -> str:
    """What messages call a function, or a function object."""
    label: str = getattr(function, "__qualname__", type(function).__qualname__)
    return label


@overload
def without(column: list[T], failed: list[int]) -> list[T]: ...


@overload
def without(column: list[T] | None, failed: list[int]) -> list[T] | None: ...


def without(column: list[T] | None, failed: list[int]) -> list[T] | None:
    """The values, or the timestamps, of a batch's records but for those at the indices in `failed`."""
    if column is None or not failed:
        return column
    dropped = set(failed)
    return [item for index, item in enumerate(column) if index not in dropped]
