"""Rolling operations on a keyed stream: one output per input, in one loop over the batch.

The table is a dict (or behaves like one) from key to value. The key selector is called in the loop, because keys do not travel.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from millstream.contracts.key_groups import KeyGroups
from millstream.errors import KeySelectorFailed
from millstream.runtime.operators.function import FunctionOperator, own_copy, serializer_of, without
from millstream.runtime.operators.loops import Loop
from millstream.state.key_context import KeyContext
from millstream.state.keyed import KeyedStateStore
from millstream.state.strict import WatchedKeyContext

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

    from millstream.contracts.on_error import OnError
    from millstream.contracts.state_backend import KeyedTables
    from millstream.records import RecordBatch
    from millstream.runtime.operators.base import OperatorContext, OperatorSnapshot, Output
    from millstream.state.annotated import Annotation
    from millstream.state.keyed import StateDescription

KeySelectorFunction = Callable[[Any], Any]


@dataclass(frozen=True)
class KeyedBy:
    """How a stream is keyed.

    Attributes:
        selector: gives the key of a record.
        key_type: declared type of the keys, None where nothing is declared.
        annotation: what the annotation of the selector says of them.
    """

    selector: KeySelectorFunction
    key_type: Any = None
    annotation: Annotation | None = None


class KeyedOperator(FunctionOperator):
    """An operator with keyed state.

    Args:
        keyed_by: how its input is keyed.
    """

    keyed: KeyedStateStore

    def __init__(self, keyed_by: KeyedBy, *functions: Any, on_error: OnError = "fail") -> None:
        super().__init__(*functions, on_error=on_error)
        self._keyed_by = keyed_by
        self._key = keyed_by.selector
        self._tables: KeyedTables
        self.key_context = KeyContext()

    def setup(self, context: OperatorContext, output: Output) -> None:
        super().setup(context, output)
        self._key_group_of = KeyGroups(context.max_parallelism, operator=context.name)
        # Refuses a key that cannot be one, the first time it is seen. The bound method, because calling the object costs twice as much.
        self._new_key = self._key_group_of.__call__
        self._tables = context.open_tables(self._swapped)
        keys = serializer_of(self._keyed_by.key_type, self._keyed_by.annotation)
        if self._watch is not None:
            self.key_context = WatchedKeyContext(self._watch)
        self.keyed = KeyedStateStore(
            self._tables, self.key_context, context.name, keys, serializer_of, context.clock, self._key_group_of, self._watch
        )
        for chunks, descriptions in context.restored.keyed:
            self.keyed.restore(chunks, descriptions)

    def open(self) -> None:
        super().open()
        for name, parts in self.keyed.undeclared().items():
            if any(part.chunks for part in parts):
                self._undeclared(name)

    def _swapped(self) -> None:
        self.keyed.rebind()

    def _refuse_key_of(self, value: Any, error: Exception) -> None:
        """Says so when it is the key that is wrong: the selector is pure, so asking it again tells.

        An unhashable key fails as a TypeError of the table that it is looked up in. A selector that raises fails the job whatever the
        policy, as it does where records are dealt out to several subtasks.
        """
        try:
            key = self._key(value)
        except Exception as wrong:
            raise self._failure(self._key, wrong, value, self.context.origin.text(), KeySelectorFailed) from wrong
        if isinstance(error, TypeError):
            self._new_key(key)

    def record_failed(self, function: object, error: Exception, value: Any) -> None:
        self._refuse_key_of(value, error)
        super().record_failed(function, error, value)

    def table_descriptions(self) -> dict[str, StateDescription]:
        """What the tables are written as, for the manifest."""
        return self.keyed.descriptions()

    def snapshot(self, checkpoint_id: int) -> OperatorSnapshot:
        snapshot = super().snapshot(checkpoint_id)
        snapshot.tables = self._tables.begin_snapshot(checkpoint_id)
        return snapshot

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._tables.close()


class RollingOperator(KeyedOperator):
    """A rolling operation: `_run` folds records into the table and collects results.

    Args:
        spec: what it is.
        owner: the function object, opened and closed.
        function: called with what is stored and the record, or the other way round.
    """

    def __init__(self, spec: ReduceSpec | FoldSpec | AggregateSpec, owner: Any, function: Callable[[Any, Any], Any]) -> None:
        super().__init__(spec.keyed_by, owner, on_error=spec.on_error)
        self._function = function
        self._value_type = spec.value_type
        self._annotation = spec.annotation

    def open(self) -> None:
        values = serializer_of(self._value_type, self._annotation)
        self.keyed.declare_table("@rolling", "rolling", "flat", values, self._bind, "written", self._value_type)
        super().open()

    def _bind(self, table: MutableMapping[Any, Any]) -> None:
        self._table = table

    def process_batch(self, batch: RecordBatch[Any]) -> None:
        values, timestamps = batch.values, batch.timestamps
        self._records_in.count += len(values)
        results: list[Any] = []
        rest = iter(values)
        failed: list[int] = []
        while True:
            try:
                self._run(rest, results)
            except Exception as error:  # noqa: BLE001 - whatever a user function raises goes to the policy
                index = len(results) + len(failed)
                failed.append(index)
                self.record_failed(self._function, error, values[index])
            else:
                break
        self._emit(results, without(timestamps, failed), batch.highest)

    def _run(self, rest: Iterator[Any], results: list[Any]) -> None:
        raise NotImplementedError


class ReduceOperator(RollingOperator):
    """Combines each record with the key's last result; the first one is its own result."""

    loop: ClassVar[Loop | None] = Loop(
        "reduce",
        (
            "{k} = {key}(v)",
            "try:",
            "    {a} = {table}[{k}]",
            "except KeyError:",
            "    {new_key}({k})",
            "else:",
            "    v = {reduce}({a}, v)",
            "{table}[{k}] = v",
        ),
        (("key", "_key"), ("table", "_table"), ("new_key", "_new_key"), ("reduce", "_function")),
    )

    def _run(self, rest: Iterator[Any], results: list[Any]) -> None:
        table, key, reduce = self._table, self._key, self._function
        for value in rest:
            k = key(value)
            try:
                result = table[k]
            except KeyError:
                self._new_key(k)
                result = value
            else:
                result = reduce(result, value)
            table[k] = result
            results.append(result)


class FoldOperator(RollingOperator):
    """Folds each record into the key's accumulator, which is the result."""

    loop: ClassVar[Loop | None] = Loop(
        "fold",
        (
            "{k} = {key}(v)",
            "try:",
            "    {a} = {table}[{k}]",
            "except KeyError:",
            "    {new_key}({k})",
            "    {a} = {copy}({initial})",
            "{table}[{k}] = v = {fold}({a}, v)",
        ),
        (("key", "_key"), ("table", "_table"), ("new_key", "_new_key"), ("copy", "_copy"), ("initial", "_initial"), ("fold", "_function")),
    )

    def __init__(self, spec: FoldSpec) -> None:
        super().__init__(spec, spec.function, spec.function)
        self._initial = spec.initial
        self._copy = copy.deepcopy

    def _run(self, rest: Iterator[Any], results: list[Any]) -> None:
        table, key, fold = self._table, self._key, self._function
        for value in rest:
            k = key(value)
            try:
                accumulator = table[k]
            except KeyError:
                self._new_key(k)
                accumulator = self._copy(self._initial)
            accumulator = fold(accumulator, value)
            table[k] = accumulator
            results.append(accumulator)


class AggregateOperator(RollingOperator):
    """Adds each record to the key's accumulator and emits the accumulator's result."""

    loop: ClassVar[Loop | None] = Loop(
        "aggregate",
        (
            "{k} = {key}(v)",
            "try:",
            "    {a} = {table}[{k}]",
            "except KeyError:",
            "    {new_key}({k})",
            "    {a} = {create}()",
            "{table}[{k}] = {a} = {add}(v, {a})",
            "v = {result}({a})",
        ),
        (("key", "_key"), ("table", "_table"), ("new_key", "_new_key"), ("create", "_create"), ("add", "_function"), ("result", "_result")),
    )

    def __init__(self, spec: AggregateSpec, aggregate: Any) -> None:
        super().__init__(spec, aggregate, aggregate.add)
        self._create = aggregate.create_accumulator
        self._result = aggregate.get_result

    def _run(self, rest: Iterator[Any], results: list[Any]) -> None:
        table, key, add, result = self._table, self._key, self._function, self._result
        for value in rest:
            k = key(value)
            try:
                accumulator = table[k]
            except KeyError:
                self._new_key(k)
                accumulator = self._create()
            accumulator = add(value, accumulator)
            table[k] = accumulator
            results.append(result(accumulator))


@dataclass(frozen=True)
class ReduceSpec:
    """reduce, and sum, min, max, min_by, max_by.

    Attributes:
        method: name of the function object's method, None to call the object itself.
        value_type: declared type of the records, None where nothing is declared.
        annotation: what the annotation of the function says of them.
    """

    keyed_by: KeyedBy
    function: Any
    method: str | None = None
    value_type: Any = None
    on_error: OnError = "fail"
    keeps_state: bool = True
    annotation: Annotation | None = None

    def create(self) -> ReduceOperator:
        owner = own_copy(self.function)
        return ReduceOperator(self, owner, getattr(owner, self.method) if self.method else owner)


@dataclass(frozen=True)
class FoldSpec:
    """fold. The types are those of the accumulator, as for `ReduceSpec`."""

    keyed_by: KeyedBy
    initial: Any
    function: Callable[[Any, Any], Any]
    value_type: Any = None
    on_error: OnError = "fail"
    keeps_state: bool = True
    annotation: Annotation | None = None

    def create(self) -> FoldOperator:
        return FoldOperator(self)


@dataclass(frozen=True)
class AggregateSpec:
    """aggregate without a window. The types are those of the accumulator, as for `ReduceSpec`."""

    keyed_by: KeyedBy
    aggregate: Any
    value_type: Any = None
    on_error: OnError = "fail"
    keeps_state: bool = True
    annotation: Annotation | None = None

    def create(self) -> AggregateOperator:
        return AggregateOperator(self, own_copy(self.aggregate))
