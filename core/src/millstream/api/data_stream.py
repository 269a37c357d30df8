"""A stream of records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from millstream.api.functions import as_filter, as_flat_map, as_map, check_callable, check_sink, check_strategy, check_tag, check_type, function_name
from millstream.contracts.functions import KeySelector, ProcessFunction
from millstream.contracts.on_error import DEAD_LETTER_TAG, DeadLetter, OnError, check_on_error
from millstream.errors import InvalidArgument, shorten
from millstream.graph.stream_graph import FORWARD, Partitioning, StreamEdge, StreamNode
from millstream.runtime.operators.process import ProcessSpec
from millstream.runtime.operators.sink import SinkSpec
from millstream.runtime.operators.stateless import (
    FilterOperator,
    FlatMapBatchSpec,
    FlatMapOperator,
    FunctionSpec,
    MapBatchSpec,
    MapOperator,
    PassSpec,
)
from millstream.runtime.operators.timestamps import TimestampsSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from millstream.api.collected import CollectedRows
    from millstream.api.environment import StreamExecutionEnvironment
    from millstream.api.keyed_stream import KeyedStream
    from millstream.api.side_output import OutputTag
    from millstream.contracts.functions import FilterFunction, FlatMapFunction, MapFunction
    from millstream.contracts.sink import AnySink, BaseSink
    from millstream.contracts.watermarks import WatermarkStrategy
    from millstream.graph.stream_graph import OperatorSpec
    from millstream.runtime.operators.stateless import PerRecord

T = TypeVar("T")
O = TypeVar("O")  # noqa: E741 - output
K = TypeVar("K")


class DataStream(Generic[T]):
    """Records of type T that some operator emits. Transformations give new streams; nothing runs before `execute`.

    Every transformation takes `name=` (for people) and `uid=` (names its state in checkpoints).
    """

    def __init__(
        self, environment: StreamExecutionEnvironment, node: StreamNode, partitioning: Partitioning = FORWARD, tag: str | None = None
    ) -> None:
        self.environment = environment
        self.node = node
        self._partitioning = partitioning
        self._tag = tag

    # --- building blocks

    def _edge(self) -> StreamEdge:
        return StreamEdge(self.node.node_id, self._partitioning, self._tag)

    def _add(self, name: str | None, default_name: str, spec: Any, uid: str | None, on_error: OnError = "fail") -> StreamNode:
        node = self.environment.graph.add(name or default_name, spec, [self._edge()], uid=uid)
        self._connect_dead_letters(node, on_error)
        return node

    def _connect_dead_letters(self, node: StreamNode, on_error: OnError) -> None:
        if isinstance(on_error, DeadLetter) and on_error.sink is not None:
            check_sink(on_error.sink)
            uid = on_error.uid or (f"{node.uid}/dead-letter" if node.uid else None)
            DataStream[Any](self.environment, node, tag=DEAD_LETTER_TAG).sink_to(on_error.sink, name=f"dead letters of {node.name}", uid=uid)

    def _stream(self, node: StreamNode, output_type: Any = None) -> DataStream[Any]:
        node.output_type = output_type
        return DataStream(self.environment, node)

    def _operator(self, setting: str) -> StreamNode:
        """The operator that the stream comes from, to give it a name or the like."""
        return self.node

    def _function_spec(self, operator: type[PerRecord], owner: Any, method: str | None, on_error: OnError) -> OperatorSpec:
        """The operator of map, filter or flat_map."""
        return FunctionSpec(operator, owner, method, on_error)

    def _repartitioned(self, partitioning: Partitioning) -> DataStream[T]:
        return DataStream(self.environment, self.node, partitioning, self._tag)

    # --- properties of the operator

    def name(self, name: str) -> Self:
        """Names the operator, for people."""
        self._operator("name").name = name
        return self

    def uid(self, uid: str) -> Self:
        """Names the operator in checkpoints."""
        self._operator("uid").uid = uid
        return self

    def set_parallelism(self, parallelism: int) -> Self:
        """Number of subtasks of the operator, >= 1."""
        node = self._operator("set_parallelism")
        if not isinstance(parallelism, int) or parallelism < 1:
            raise InvalidArgument(what="parallelism", value=repr(parallelism), allowed="an int, 1 or more")
        if node.source is not None and node.parallelism == 1 and parallelism != 1 and not node.parallel_source:
            raise InvalidArgument(what=f"parallelism of source {node.name!r}", value=str(parallelism), allowed="1: this source cannot be split")
        node.parallelism = parallelism
        return self

    def set_max_parallelism(self, max_parallelism: int) -> Self:
        """Number of key groups of the operator; fixed once the job has taken its first checkpoint."""
        node = self._operator("set_max_parallelism")
        if not isinstance(max_parallelism, int) or not 1 <= max_parallelism <= 32768:
            raise InvalidArgument(what="max_parallelism", value=repr(max_parallelism), allowed="an int from 1 to 32768")
        node.max_parallelism = max_parallelism
        return self

    def disable_chaining(self) -> Self:
        """Runs the operator in a task of its own."""
        self._operator("disable_chaining").chaining = "never"
        return self

    def start_new_chain(self) -> Self:
        """Begins a new task with the operator."""
        self._operator("start_new_chain").chaining = "head"
        return self

    def slot_sharing_group(self, name: str) -> Self:
        """Puts the operator into a group whose subtasks share slots with each other only, so that they may run in processes of their own.

        What reads from one group is in it too, unless it says otherwise; what reads from several, and sources, are in `default`.
        """
        self._operator("slot_sharing_group").slot_sharing_group = checked_group(name)
        return self

    # --- transformations

    def map(
        self,
        function: Callable[[T], O] | MapFunction[T, O],
        *,
        output_type: type[O] | Any = None,
        name: str | None = None,
        uid: str | None = None,
        on_error: OnError = "fail",
    ) -> DataStream[O]:
        """Replaces each record by what the function gives for it; None is a record too. Timestamps stay."""
        owner, method = as_map(function)
        check_type(output_type)
        spec = self._function_spec(MapOperator, owner, method, check_on_error(on_error))
        return self._stream(self._add(name, function_name("map", function), spec, uid, on_error), output_type)

    def flat_map(
        self,
        function: Callable[[T], Iterable[O]] | FlatMapFunction[T, O],
        *,
        output_type: type[O] | Any = None,
        name: str | None = None,
        uid: str | None = None,
        on_error: OnError = "fail",
    ) -> DataStream[O]:
        """Replaces each record by all that the function gives for it; None gives nothing. Timestamps are inherited."""
        owner, method = as_flat_map(function)
        check_type(output_type)
        spec = self._function_spec(FlatMapOperator, owner, method, check_on_error(on_error))
        return self._stream(self._add(name, function_name("flat_map", function), spec, uid, on_error), output_type)

    def filter(
        self,
        function: Callable[[T], object] | FilterFunction[T],
        *,
        name: str | None = None,
        uid: str | None = None,
        on_error: OnError = "fail",
    ) -> DataStream[T]:
        """Keeps the records for which the function gives something true."""
        owner, method = as_filter(function)
        spec = self._function_spec(FilterOperator, owner, method, check_on_error(on_error))
        return self._stream(self._add(name, function_name("filter", function), spec, uid, on_error))

    def map_batch(
        self,
        function: Callable[[list[T]], Iterable[O]],
        *,
        output_type: type[O] | Any = None,
        name: str | None = None,
        uid: str | None = None,
    ) -> DataStream[O]:
        """Gives the function a list of consecutive records; it returns as many results, in the same order. The fastest way to map.

        How records are cut into lists is not part of the contract.
        """
        check_callable("the function of map_batch", function)
        check_type(output_type)
        return self._stream(self._add(name, function_name("map_batch", function), MapBatchSpec(function), uid), output_type)

    def flat_map_batch(
        self,
        function: Callable[[list[T]], Iterable[O]],
        *,
        output_type: type[O] | Any = None,
        name: str | None = None,
        uid: str | None = None,
    ) -> DataStream[O]:
        """Gives the function a list of consecutive records; it returns any number of results. The fastest way to filter, or to decode.

        How records are cut into lists is not part of the contract. Nothing says which record a result comes from, so it cannot have that
        record's timestamp: use it in front of `assign_timestamps_and_watermarks`. On a stream that has timestamps the job fails with
        TimestampsLost.
        """
        check_callable("the function of flat_map_batch", function)
        check_type(output_type)
        return self._stream(self._add(name, function_name("flat_map_batch", function), FlatMapBatchSpec(function), uid), output_type)

    def process(
        self,
        function: ProcessFunction[T, O],
        *,
        output_type: type[O] | Any = None,
        name: str | None = None,
        uid: str | None = None,
        on_error: OnError = "fail",
    ) -> DataStream[O]:
        """Calls a process function for each record: timestamps and side outputs, no keyed state, no timers."""
        return self._plain_process(function, output_type, name, uid, on_error)

    def _plain_process(
        self, function: ProcessFunction[T, O], output_type: type[O] | Any, name: str | None, uid: str | None, on_error: OnError
    ) -> DataStream[O]:
        if not isinstance(function, ProcessFunction):
            raise InvalidArgument(
                what="the function of process", value=repr(function), allowed="a ProcessFunction, or key_by(...) first for a KeyedProcessFunction"
            )
        check_type(output_type)
        spec = ProcessSpec(function, check_on_error(on_error))
        return self._stream(self._add(name, function_name("process", function), spec, uid, on_error), output_type)

    def assign_timestamps_and_watermarks(
        self, strategy: WatermarkStrategy[T], *, name: str | None = None, on_error: OnError = "fail"
    ) -> DataStream[T]:
        """Stamps records with event time and makes watermarks; those from before end here.

        `on_error` says what happens to a record on which the timestamp assigner raises.
        """
        check_strategy(strategy)
        if strategy.alignment is not None:
            raise InvalidArgument(
                what="assign_timestamps_and_watermarks()",
                value=f"a strategy with_watermark_alignment({strategy.alignment.group!r}, ...)",
                allowed="one without: only a source can wait for others. Give the strategy to from_source()",
            )
        return self._stream(self._add(name, "timestamps", TimestampsSpec(strategy, check_on_error(on_error)), None, on_error))

    def key_by(self, selector: Callable[[T], K] | KeySelector[T, K], *, key_type: type[K] | Any = None) -> KeyedStream[K, T]:
        """Groups records by key: all of one key go to one subtask, and what follows has state per key.

        Args:
            selector: gives the key of a record; pure. Keys are str, int, bytes, bool, date, datetime, UUID, Enum, or tuples, NamedTuples and
                frozen dataclasses of those. Another key fails the job, with one exception: where records are not dealt out (a single
                subtask), only new keys are looked at, so a float or Decimal that equals an int key seen before (1, then 1.0) counts as
                that key.
            key_type: declared type of the keys; makes their stored form typed, as does the annotation of a named function that says
                everything. `object` stands for the data codec.
        """
        from millstream.api.keyed_stream import KeyedStream

        function = selector.get_key if isinstance(selector, KeySelector) else selector
        if not callable(function):
            raise InvalidArgument(what="the key selector", value=repr(selector), allowed="a function of the record, or a KeySelector")
        return KeyedStream(self, function, check_type(key_type))

    def union(self, *others: DataStream[T]) -> DataStream[T]:
        """All records of several streams, each in its own order. A stream given twice comes twice."""
        for other in others:
            if not isinstance(other, DataStream) or other.environment is not self.environment:
                raise InvalidArgument(what="a stream to unite", value=shorten(other), allowed="a DataStream of the same environment")
        node = self.environment.graph.add("union", PassSpec(), [stream._edge() for stream in (self, *others)])
        return self._stream(node)

    def get_side_output(self, tag: OutputTag[O]) -> DataStream[O]:
        """The records that the operator emitted to the tag."""
        check_tag(tag)
        known = self.environment.graph.tags.setdefault(tag.tag_id, tag.output_type)
        if known != tag.output_type:
            raise InvalidArgument(
                what=f"the type of side output {tag.tag_id!r}",
                value=repr(tag.output_type),
                allowed=f"{known!r}, as it was used before, or another id",
            )
        return DataStream(self.environment, self.node, tag=tag.tag_id)

    # --- partitioning

    def rebalance(self) -> DataStream[T]:
        """Deals records out to all subtasks of the next operator in turn."""
        return self._repartitioned(Partitioning("rebalance"))

    def rescale(self) -> DataStream[T]:
        """Deals records out to a few neighbouring subtasks in turn."""
        return self._repartitioned(Partitioning("rescale"))

    def broadcast(self) -> DataStream[T]:
        """Sends every record to every subtask."""
        return self._repartitioned(Partitioning("broadcast"))

    def forward(self) -> DataStream[T]:
        """Keeps records in their subtask; an error when the next operator has another parallelism."""
        return self._repartitioned(Partitioning("forward", strict=True))

    def global_(self) -> DataStream[T]:
        """Sends all records to the first subtask."""
        return self._repartitioned(Partitioning("global"))

    def shuffle(self) -> DataStream[T]:
        """Sends each record to a subtask drawn at random."""
        return self._repartitioned(Partitioning("shuffle"))

    def partition_custom(self, partitioner: Callable[[K, int], int], key: Callable[[T], K]) -> DataStream[T]:
        """Sends each record to the subtask that `partitioner(key, subtasks)` names."""
        check_callable("the custom partitioner", partitioner)
        check_callable("the key of the custom partitioner", key)
        return self._repartitioned(Partitioning("custom", selector=partitioner, key=key))

    # --- ends

    def sink_to(self, sink: BaseSink[T], *, name: str | None = None, uid: str | None = None, on_error: OnError = "fail") -> DataStreamSink:
        """Writes the records to a sink.

        Args:
            on_error: what happens to a record that the sink cannot write for the record's own fault, such as a value that its format
                does not carry: `fail`, `skip` (counted) or `dead_letter(sink)`. A target that does not answer is never skipped.
        """
        check_sink(sink)
        return self._sink(sink.resolve(), name or function_name("sink", sink), uid, keeps_state=True, on_error=on_error)

    def print(self, label: str = "") -> DataStreamSink:
        """Prints each record on standard output, behind `label` and, with several subtasks, the subtask's number."""
        from millstream.api.sinks import PrintSink

        return self._sink(PrintSink(label), "print", None, keeps_state=False)

    def _sink(self, sink: AnySink, name: str, uid: str | None, *, keeps_state: bool, on_error: OnError = "fail") -> DataStreamSink:
        spec = SinkSpec(sink, keeps_state, check_on_error(on_error))
        node = self.environment.graph.add(name, spec, [self._edge()], uid=uid, sink=sink)
        if isinstance(on_error, DeadLetter) and on_error.sink is None:
            raise InvalidArgument(
                what="on_error of a sink", value="dead_letter(tag)", allowed="dead_letter(sink): a sink has no side outputs to read"
            )
        self._connect_dead_letters(node, on_error)
        return DataStreamSink(node)

    def execute_and_collect(self, job_name: str | None = None) -> CollectedRows[T]:
        """Runs the job and gives the records of this stream as they come. Close it, or use it in a `with` block."""
        from millstream.api.collected import CollectedRows

        return CollectedRows.start(self, job_name)


class DataStreamSink:
    """The end of a stream."""

    def __init__(self, node: StreamNode) -> None:
        self.node = node

    def name(self, name: str) -> Self:
        """Names the sink, for people."""
        self.node.name = name
        return self

    def uid(self, uid: str) -> Self:
        """Names the sink in checkpoints, and in the lanes of its target."""
        self.node.uid = uid
        return self

    def set_parallelism(self, parallelism: int) -> Self:
        """Number of writers, >= 1."""
        if not isinstance(parallelism, int) or parallelism < 1:
            raise InvalidArgument(what="parallelism", value=repr(parallelism), allowed="an int, 1 or more")
        self.node.parallelism = parallelism
        return self

    def disable_chaining(self) -> Self:
        """Runs the sink in a task of its own."""
        self.node.chaining = "never"
        return self

    def slot_sharing_group(self, name: str) -> Self:
        """Puts the sink into a group whose subtasks share slots with each other only."""
        self.node.slot_sharing_group = checked_group(name)
        return self


def checked_group(name: object) -> str:
    """The name of a slot sharing group.

    Raises:
        InvalidArgument: it is none.
    """
    if not isinstance(name, str) or not name:
        raise InvalidArgument(what="slot_sharing_group", value=repr(name), allowed="a string that is not empty")
    return name
