"""Millstream: a stateful stream processor in Python with Apache Flink's semantics.

The names a job author imports. Each is loaded when it is first used, so that `import millstream` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from millstream.__about__ import __version__

if TYPE_CHECKING:
    from millstream.api.data_stream import DataStream as DataStream
    from millstream.api.environment import StreamExecutionEnvironment as StreamExecutionEnvironment
    from millstream.api.job_client import JobClient as JobClient
    from millstream.api.keyed_stream import KeyedStream as KeyedStream
    from millstream.api.restart_strategies import RestartStrategies as RestartStrategies
    from millstream.api.side_output import OutputTag as OutputTag
    from millstream.api.sinks import DiscardingSink as DiscardingSink
    from millstream.api.sinks import PrintSink as PrintSink
    from millstream.api.sources import CollectionSource as CollectionSource
    from millstream.api.sources import GeneratorSource as GeneratorSource
    from millstream.api.sources import SocketSource as SocketSource
    from millstream.api.windowed_stream import WindowedStream as WindowedStream
    from millstream.config import CheckpointConfig as CheckpointConfig
    from millstream.config import Secret as Secret
    from millstream.contracts.context import Accumulator as Accumulator
    from millstream.contracts.context import Collector as Collector
    from millstream.contracts.context import KeyedProcessContext as KeyedProcessContext
    from millstream.contracts.context import OnTimerContext as OnTimerContext
    from millstream.contracts.context import ProcessContext as ProcessContext
    from millstream.contracts.context import RuntimeContext as RuntimeContext
    from millstream.contracts.context import TimerService as TimerService
    from millstream.contracts.functions import AggregateFunction as AggregateFunction
    from millstream.contracts.functions import FilterFunction as FilterFunction
    from millstream.contracts.functions import FlatMapFunction as FlatMapFunction
    from millstream.contracts.functions import KeyedProcessFunction as KeyedProcessFunction
    from millstream.contracts.functions import KeySelector as KeySelector
    from millstream.contracts.functions import MapFunction as MapFunction
    from millstream.contracts.functions import ProcessFunction as ProcessFunction
    from millstream.contracts.functions import ProcessWindowFunction as ProcessWindowFunction
    from millstream.contracts.functions import ReduceFunction as ReduceFunction
    from millstream.contracts.functions import WindowContext as WindowContext
    from millstream.contracts.guarantee import Guarantee as Guarantee
    from millstream.contracts.on_error import DeadLetterRecord as DeadLetterRecord
    from millstream.contracts.on_error import dead_letter as dead_letter
    from millstream.contracts.schema_evolution import schema_evolution as schema_evolution
    from millstream.contracts.state_descriptors import AggregatingStateDescriptor as AggregatingStateDescriptor
    from millstream.contracts.state_descriptors import ListStateDescriptor as ListStateDescriptor
    from millstream.contracts.state_descriptors import MapStateDescriptor as MapStateDescriptor
    from millstream.contracts.state_descriptors import ReducingStateDescriptor as ReducingStateDescriptor
    from millstream.contracts.state_descriptors import ValueStateDescriptor as ValueStateDescriptor
    from millstream.contracts.state_handles import AggregatingState as AggregatingState
    from millstream.contracts.state_handles import BroadcastState as BroadcastState
    from millstream.contracts.state_handles import ListState as ListState
    from millstream.contracts.state_handles import MapState as MapState
    from millstream.contracts.state_handles import ReducingState as ReducingState
    from millstream.contracts.state_handles import ValueState as ValueState
    from millstream.contracts.state_ttl import StateTtlConfig as StateTtlConfig
    from millstream.contracts.watermarks import TimestampAssigner as TimestampAssigner
    from millstream.contracts.watermarks import WatermarkGenerator as WatermarkGenerator
    from millstream.contracts.watermarks import WatermarkStrategy as WatermarkStrategy
    from millstream.runtime.job_status import JobExecutionResult as JobExecutionResult
    from millstream.runtime.job_status import JobStatus as JobStatus
    from millstream.state.serializers import register_serializer as register_serializer
    from millstream.windowing.assigners import TimeWindow as TimeWindow
    from millstream.windowing.assigners import TumblingEventTimeWindows as TumblingEventTimeWindows

_HOMES = {
    "api.data_stream": ["DataStream"],
    "api.environment": ["StreamExecutionEnvironment"],
    "api.job_client": ["JobClient"],
    "api.keyed_stream": ["KeyedStream"],
    "api.restart_strategies": ["RestartStrategies"],
    "api.side_output": ["OutputTag"],
    "api.sinks": ["DiscardingSink", "PrintSink"],
    "api.sources": ["CollectionSource", "GeneratorSource", "SocketSource"],
    "api.windowed_stream": ["WindowedStream"],
    "config": ["CheckpointConfig", "Secret"],
    "contracts.context": [
        "Accumulator",
        "Collector",
        "KeyedProcessContext",
        "OnTimerContext",
        "ProcessContext",
        "RuntimeContext",
        "TimerService",
    ],
    "contracts.functions": [
        "AggregateFunction",
        "FilterFunction",
        "FlatMapFunction",
        "KeySelector",
        "KeyedProcessFunction",
        "MapFunction",
        "ProcessFunction",
        "ProcessWindowFunction",
        "ReduceFunction",
        "WindowContext",
    ],
    "contracts.guarantee": ["Guarantee"],
    "contracts.on_error": ["DeadLetterRecord", "dead_letter"],
    "contracts.schema_evolution": ["schema_evolution"],
    "contracts.state_descriptors": [
        "AggregatingStateDescriptor",
        "ListStateDescriptor",
        "MapStateDescriptor",
        "ReducingStateDescriptor",
        "ValueStateDescriptor",
    ],
    "contracts.state_handles": ["AggregatingState", "BroadcastState", "ListState", "MapState", "ReducingState", "ValueState"],
    "contracts.state_ttl": ["StateTtlConfig"],
    "contracts.watermarks": ["TimestampAssigner", "WatermarkGenerator", "WatermarkStrategy"],
    "runtime.job_status": ["JobExecutionResult", "JobStatus"],
    "state.serializers": ["register_serializer"],
    "windowing.assigners": ["TimeWindow", "TumblingEventTimeWindows"],
}
_MODULES = {name: f"millstream.{module}" for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_MODULES)]


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        msg = f"module 'millstream' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
