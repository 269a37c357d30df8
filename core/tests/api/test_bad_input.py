"""What a job author sees of mistakes: wrong arguments when the job is built, and failures that name who failed."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from millstream import (
    DiscardingSink,
    KeyedProcessFunction,
    MapFunction,
    OutputTag,
    ProcessFunction,
    RestartStrategies,
    StreamExecutionEnvironment,
    TumblingEventTimeWindows,
    WatermarkStrategy,
    dead_letter,
)
from millstream.api.sinks import DISCARDING_CAPABILITIES, CollectSink
from millstream.contracts.guarantee import SinkCapabilities
from millstream.contracts.sink import Sink, SinkContext, SinkWriter
from millstream.errors import (
    InvalidArgument,
    InvalidTimestamp,
    JobFailedError,
    MissingTimestamps,
    NoDurableStorage,
    PathUnusable,
    SettingInvalid,
    SinkFailed,
    UnknownOption,
    UnknownPlugin,
    UnknownSetting,
    UserFunctionFailed,
)


def numbers() -> Any:
    return StreamExecutionEnvironment().from_collection([1, 2, 3])


class Double(MapFunction[int, int]):
    def map(self, value: int) -> int:
        return 2 * value


WRONG_ARGUMENTS: list[tuple[str, Any, str]] = [
    ("map of a value", lambda: numbers().map(5), "the function of map is 5.*Give a callable, or a MapFunction"),
    ("map of a class", lambda: numbers().map(Double), r"the function of map is Double.*Give an object: Double\(\)"),
    ("filter", lambda: numbers().filter("x > 1"), "the function of filter is 'x > 1'"),
    ("flat_map", lambda: numbers().flat_map(None), "the function of flat_map is None"),
    ("map_batch", lambda: numbers().map_batch(5), "the function of map_batch is 5.*Give a function"),
    ("restart strategy", lambda: StreamExecutionEnvironment().set_restart_strategy("none"), r"the restart strategy is 'none'.*RestartStrategies\.no_restart\(\)"),
    ("union", lambda: numbers().union([1, 2]), r"a stream to unite is \[1, 2\].*Give a DataStream"),
    ("union with another environment", lambda: numbers().union(numbers()), "Give a DataStream of the same environment"),
    ("side output", lambda: numbers().get_side_output("late"), r"the side output is 'late'.*Give an OutputTag"),
    ("late side output", lambda: numbers().key_by(str).window(TumblingEventTimeWindows(5)).side_output_late_data("late"), "Give an OutputTag"),
    ("sink", lambda: numbers().sink_to("out.csv"), "the sink is 'out.csv'.*Give a sink object"),
    ("sink class", lambda: numbers().sink_to(DiscardingSink), "the sink is .*Give a sink object"),
    ("watermarks", lambda: numbers().assign_timestamps_and_watermarks(5), "Give a WatermarkStrategy"),
    ("watermarks of a source", lambda: StreamExecutionEnvironment().from_collection([1], lambda n: n), "Give a WatermarkStrategy"),
    ("source", lambda: StreamExecutionEnvironment().from_source("file.csv"), "the source is 'file.csv'.*Give a source object"),
    ("collection", lambda: StreamExecutionEnvironment().from_collection(5), "Give"),
    ("generator", lambda: StreamExecutionEnvironment().generate(5), "Give"),
    ("window", lambda: numbers().key_by(str).window(timedelta(seconds=5)), r"the window assigner is .*TumblingEventTimeWindows.of\(...\)"),
    ("window size", lambda: TumblingEventTimeWindows.of(5), "size is 5.*datetime.timedelta"),
    ("window size zero", lambda: TumblingEventTimeWindows.of(timedelta(0)), "size of a tumbling window is 0 ms.*above zero"),
    ("window size in us", lambda: TumblingEventTimeWindows.of(timedelta(microseconds=1500)), "a whole number of milliseconds"),
    ("window offset", lambda: TumblingEventTimeWindows.of(timedelta(seconds=5), timedelta(seconds=5)), "offset .* is 5000 ms.*shorter than the size"),
    ("window offset type", lambda: TumblingEventTimeWindows.of(timedelta(seconds=5), 3), "offset is 3"),
    ("lateness", lambda: numbers().key_by(str).window(TumblingEventTimeWindows(5)).allowed_lateness(5), "lateness is 5"),
    ("negative lateness", lambda: numbers().key_by(str).window(TumblingEventTimeWindows(5)).allowed_lateness(timedelta(-1)), "not negative"),
    ("bound", lambda: WatermarkStrategy.for_bounded_out_of_orderness(3), "bound is 3"),
    ("idleness", lambda: WatermarkStrategy.for_monotonous_timestamps().with_idleness(timedelta(0)), "above zero"),
    ("assigner", lambda: WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner("time"), "the timestamp assigner is 'time'"),
    ("generator of watermarks", lambda: WatermarkStrategy.for_generator(5), "Give"),
    ("window function", lambda: numbers().key_by(str).window(TumblingEventTimeWindows(5)).process(lambda *_: []), "Give a ProcessWindowFunction object"),
    ("custom partitioner", lambda: numbers().partition_custom(3, str), "Give a function"),
    ("custom partitioner's key", lambda: numbers().partition_custom(lambda key, n: 0, 3), "Give a function"),
    ("max_parallelism", lambda: numbers().map(str).set_max_parallelism(40_000), "an int from 1 to 32768"),
    ("dead letter sink", lambda: numbers().map(str, on_error=dead_letter("bad.csv")), "the sink is 'bad.csv'"),
    ("collect sink", lambda: CollectSink(5), "Give a list"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("build", "message"), [(build, message) for _, build, message in WRONG_ARGUMENTS], ids=[name for name, _, _ in WRONG_ARGUMENTS]
)
def test_a_wrong_argument_is_refused_when_the_job_is_built_with_what_would_be_right(build: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        build()


@pytest.mark.parametrize(
    ("key", "value", "error", "message"),
    [
        ("job.paralelism", 2, UnknownSetting, "Did you mean 'job.parallelism'"),
        ("job.parallelism", "many", SettingInvalid, "job.parallelism is"),
        ("checkpoint.interval", -1, SettingInvalid, "checkpoint.interval is"),
        ("checkpoint.mode", "exactly-once-ish", SettingInvalid, "exactly_once"),
        ("execution.batch_size", 0, SettingInvalid, "execution.batch_size is"),
    ],
)
def test_a_wrong_setting_is_refused_at_once(key: str, value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        StreamExecutionEnvironment().configure(key, value)


def test_a_user_functions_own_error_comes_first_and_the_cause_is_kept() -> None:
    def parse(text: str) -> int:
        return int(text)

    env = StreamExecutionEnvironment()
    env.from_collection(["1", "two"]).map(parse).sink_to(DiscardingSink())
    with pytest.raises(JobFailedError) as raised:
        env.execute("parsing")
    first, second, *rest = str(raised.value).splitlines()
    assert first == "ValueError: invalid literal for int() with base 10: 'two'"
    assert second.endswith("in parse: return int(text)")
    assert "test_bad_input.py" in second
    assert "parse in operator 'map(parse)'" in rest[0]
    assert rest[-1] == "Job 'parsing' failed."
    failure = raised.value.__cause__
    assert isinstance(failure, UserFunctionFailed)
    assert isinstance(failure.__cause__, ValueError)
    assert "in parse" in failure.traceback
    assert "millstream/runtime" not in failure.traceback


def test_a_function_that_cannot_be_seen_in_a_traceback_is_still_named() -> None:
    with pytest.raises(JobFailedError, match=r"\ATypeError: .*\n.*\nraised by len in operator 'map\(len\)'"):
        list(numbers().map(len).execute_and_collect())


def test_a_record_is_shortened_and_one_whose_repr_raises_hides_nothing() -> None:
    class Nasty:
        def __repr__(self) -> str:
            raise RuntimeError("no repr either")

    def fail(value: Any) -> None:
        raise KeyError("gone")

    for record, shown in [("x" * 5000, "…"), (Nasty(), "whose repr raised RuntimeError")]:
        with pytest.raises(JobFailedError, match="KeyError: 'gone'") as raised:
            list(StreamExecutionEnvironment().from_collection([record]).map(fail).execute_and_collect())
        assert shown in str(raised.value)
        assert len(str(raised.value)) < 2000


def test_windows_without_timestamps_say_how_to_get_them() -> None:
    stream = numbers().key_by(str).window(TumblingEventTimeWindows(10)).reduce(lambda a, b: a)
    with pytest.raises(JobFailedError, match=r"carry no timestamps\. Put assign_timestamps_and_watermarks") as raised:
        list(stream.execute_and_collect())
    assert isinstance(raised.value.__cause__, MissingTimestamps)


@pytest.mark.parametrize("stamp", [1.5, None, "1", 2**63 - 1, 2**70, -(2**63), True, timedelta(1)])
@pytest.mark.parametrize("strategy", ["no_watermarks", "for_monotonous_timestamps"])
def test_a_timestamp_that_is_no_event_time_is_refused_with_the_record(stamp: Any, strategy: str) -> None:
    built = getattr(WatermarkStrategy, strategy)().with_timestamp_assigner(lambda _: stamp)
    with pytest.raises(JobFailedError, match=r"The timestamp assigner gave .* for record 'row'.*ms|milliseconds") as raised:
        list(StreamExecutionEnvironment().from_collection(["row"]).assign_timestamps_and_watermarks(built).execute_and_collect())
    assert isinstance(raised.value.__cause__, InvalidTimestamp)


def test_a_bad_timestamp_between_good_ones_is_found() -> None:
    strategy: WatermarkStrategy[Any] = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(lambda n: n)
    for stamps in ([5, 2.5, 7], [5, -(2**63), 7], [3, None]):
        with pytest.raises(JobFailedError) as raised:
            list(StreamExecutionEnvironment().from_collection(stamps, strategy).execute_and_collect())
        assert isinstance(raised.value.__cause__, InvalidTimestamp)


def test_a_timestamp_assigner_that_raises_shows_its_own_line() -> None:
    strategy: WatermarkStrategy[Any] = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(lambda row: row["time"])
    for stream in (
        StreamExecutionEnvironment().from_collection([{}], strategy),
        StreamExecutionEnvironment().from_collection([{}]).assign_timestamps_and_watermarks(strategy),
    ):
        with pytest.raises(JobFailedError, match=r"\AKeyError: 'time'\n  .*test_bad_input\.py:\d+ in <lambda>") as raised:
            list(stream.execute_and_collect())
        assert isinstance(raised.value.__cause__, UserFunctionFailed)


@dataclass(frozen=True)
class BrokenSink(Sink[Any]):
    """Raises where it is told to."""

    at: str
    capabilities: SinkCapabilities = field(init=False, default=DISCARDING_CAPABILITIES)

    def open(self, context: SinkContext) -> SinkWriter[Any]:
        if self.at == "open":
            raise ConnectionRefusedError("nobody listens on port 1")
        return BrokenWriter(self.at)


class BrokenWriter(SinkWriter[Any]):
    def __init__(self, at: str) -> None:
        self.at = at

    def write(self, values: Any, timestamps: Any) -> None:
        if self.at == "write":
            raise OSError(28, "No space left on device")

    def flush(self) -> None:
        if self.at == "flush":
            raise TimeoutError("not delivered")


class Sidewards(ProcessFunction[int, int]):
    def process_element(self, value: int, ctx: Any, out: Any) -> None:
        ctx.output(OutputTag("side"), value)
        out.collect(value)


class KeyedSidewards(KeyedProcessFunction[int, int, int]):
    def process_element(self, value: int, ctx: Any, out: Any) -> None:
        ctx.output(OutputTag("side"), value)


@pytest.mark.parametrize(("at", "error"), [("open", "ConnectionRefusedError"), ("write", "OSError"), ("flush", "TimeoutError")])
@pytest.mark.parametrize("way", ["source", "map", "side output", "keyed side output", "dead letter", "own task"])
def test_a_sink_that_fails_is_named_and_never_taken_for_a_failing_record(at: str, error: str, way: str) -> None:
    """Operators of a chain call each other: what the sink raises must pass the error policies of all in front."""
    env = StreamExecutionEnvironment()
    sink: Any = BrokenSink(at)
    stream = env.from_collection([1, 2, 3])
    if way == "source":
        stream.sink_to(sink, name="target")
    elif way == "map":
        stream.map(lambda n: n, on_error="skip").sink_to(sink, name="target")
    elif way == "side output":
        stream.process(Sidewards(), on_error="skip").get_side_output(OutputTag("side")).sink_to(sink, name="target")
    elif way == "keyed side output":
        stream.key_by(lambda n: n).process(KeyedSidewards(), on_error="skip").get_side_output(OutputTag("side")).sink_to(sink, name="target")
    elif way == "dead letter":
        stream.map(lambda n: 1 // 0, name="divide", on_error=dead_letter(sink)).sink_to(DiscardingSink())
    else:
        stream.sink_to(sink, name="target").disable_chaining()
    with pytest.raises(JobFailedError, match=rf"\A{error}: ") as raised:
        env.execute("writing")
    failure = raised.value.__cause__
    assert isinstance(failure, SinkFailed)
    assert failure.sink == ("dead letters of divide" if way == "dead letter" else "target")
    assert "test_bad_input.py" in failure.line


def test_a_sink_that_fails_once_is_started_again_by_the_strategy() -> None:
    rows: deque[int] = deque()
    failures = [1]

    class FailsOnce:
        def extend(self, values: Any) -> None:
            if failures:
                failures.pop()
                raise OSError("not yet")
            rows.extend(values)

    env = StreamExecutionEnvironment().set_restart_strategy(RestartStrategies.fixed_delay(1, timedelta(0)))
    env.from_collection([1, 2]).sink_to(CollectSink(FailsOnce()))
    assert env.execute().restarts == 1
    assert list(rows) == [1, 2]


def test_checkpoints_need_a_place() -> None:
    env = StreamExecutionEnvironment().enable_checkpointing(timedelta(seconds=1))
    env.from_collection([1], uid="in").print()
    with pytest.raises(NoDurableStorage, match=r"set_checkpoint_storage\('./checkpoints'\)"):
        env.execute()


def test_a_checkpoint_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    env = StreamExecutionEnvironment().enable_checkpointing(timedelta(seconds=1))
    env.checkpoint_config.set_checkpoint_storage(tmp_path / "file")
    env.from_collection([1], uid="in").print()
    with pytest.raises(PathUnusable, match="it is a file"):
        env.execute()


def test_an_unknown_state_backend_is_answered_with_the_known_ones() -> None:
    env = StreamExecutionEnvironment().set_state_backend("memroy")
    env.from_collection([1]).print()
    with pytest.raises(UnknownPlugin, match="Did you mean 'memory'"):
        env.execute()


def test_an_unknown_checkpoint_storage_is_answered_with_the_known_ones() -> None:
    env = StreamExecutionEnvironment().enable_checkpointing(timedelta(seconds=1))
    env.checkpoint_config.set_checkpoint_storage("s3://bucket/checkpoints")
    env.from_collection([1], uid="in").print()
    with pytest.raises(UnknownPlugin, match="checkpoint storage 's3'"):
        env.execute()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    env = StreamExecutionEnvironment()
    env.read_text_file(tmp_path / "absent.txt").print()
    with pytest.raises((JobFailedError, PathUnusable), match=r"absent\.txt"):
        env.execute()


@pytest.mark.parametrize(
    ("read", "option", "hint"),
    [
        ("read_csv_file", "recod_type", r"Did you mean 'record_type'\?\Z"),
        ("read_csv_file", "record_per_second", r"Did you mean 'records_per_second'\?\Z"),
        ("read_json_lines", "on_eror", r"Did you mean 'on_error'\?\Z"),
        ("read_text_file", "zzz", r"There is monitor_interval, name, on_error, path, records_per_second, recursive, uid, watermark_strategy\.\Z"),
    ],
)
def test_an_unknown_option_of_a_file_source_is_answered_with_the_right_one(read: str, option: str, hint: str) -> None:
    with pytest.raises(UnknownOption, match=rf"\A{read}\(\) has no option '{option}'\. {hint}"):
        getattr(StreamExecutionEnvironment(), read)("folder", **{option: 1})


@pytest.mark.parametrize(("fail", "tolerated"), [(True, 0), (False, 2**31 - 1)])
def test_set_fail_on_checkpointing_errors_is_the_number_of_tolerated_failures(fail: bool, tolerated: int) -> None:
    env = StreamExecutionEnvironment()
    env.checkpoint_config.set_fail_on_checkpointing_errors(fail)
    assert env.settings().checkpoint.tolerable_failures == tolerated


@pytest.mark.parametrize("way", ["in the source", "behind it"])
def test_a_timestamp_assigner_that_raises_is_told_with_the_record_it_raised_on(way: str) -> None:
    strategy: WatermarkStrategy[Any] = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(lambda row: row["time"])
    rows = [{"time": 1}, {"tim": 2}, {"time": 3}]
    env = StreamExecutionEnvironment()
    stream = env.from_collection(rows, strategy) if way == "in the source" else env.from_collection(rows).assign_timestamps_and_watermarks(strategy)
    with pytest.raises(JobFailedError, match=r"(?s)\AKeyError: 'time'\n.*on record \{'tim': 2\} in the collection, elements 0 to 2\."):
        list(stream.execute_and_collect())
