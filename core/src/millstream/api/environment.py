"""Where a program begins: settings, sources, and execute."""

from __future__ import annotations

import atexit
import inspect
import os
import sys
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from millstream.api.checkpointing import CheckpointOptions
from millstream.api.data_stream import DataStream
from millstream.api.execution import Execution
from millstream.api.functions import check_strategy, function_name
from millstream.api.restart_strategies import RestartOptions
from millstream.api.sources import CollectionSource, GeneratorSource, SocketSource
from millstream.config import Settings, find_settings_file
from millstream.contracts.guarantee import Guarantee
from millstream.contracts.on_error import OnError, check_on_error
from millstream.contracts.source import Source
from millstream.contracts.watermarks import WatermarkStrategy
from millstream.errors import InvalidArgument, UnknownOption, shorten
from millstream.formats.csv import CsvFormat
from millstream.formats.json import JsonLinesFormat
from millstream.formats.text import TextFormat
from millstream.graph.guarantee import Leg, legs, require
from millstream.graph.job_graph import JobGraph, JobGraphBuilder
from millstream.graph.prepared import check_prepared
from millstream.graph.stream_graph import StreamGraph
from millstream.graph.validate import validate
from millstream.plugins import PluginManager, default_manager
from millstream.runtime import user_code
from millstream.runtime.launch import Launcher
from millstream.runtime.operators.source import SourceSpec
from millstream.runtime.storages import find_checkpoint_storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import timedelta

    from millstream.api.job_client import JobClient
    from millstream.config import Resolved
    from millstream.runtime.deployment import Ports
    from millstream.runtime.job_status import JobExecutionResult
    from millstream.runtime.launch import LocalJob

T = TypeVar("T")

DEFAULT_JOB_NAME = "millstream-job"


class CommandLine:
    """What `millstream run` adds to every environment that the script makes."""

    settings: Mapping[str, Any] = {}
    """Settings of the command line, by dotted name."""

    intercept: Callable[[StreamExecutionEnvironment, str | None], None] | None = None
    """Called with the environment and the job's name before a program is launched; what it raises ends the script instead."""


class StreamExecutionEnvironment:
    """Holds a program while it is being built, and runs it.

    Make one with `get_execution_environment` or `create_local_environment`.

    Args:
        code: settings given in code, by dotted name; they win over the command line, the environment and millstream.toml.
        plugins: what is installed; found by itself when None.
        ports: the outside world; the real one when None. For tests.
    """

    def __init__(self, code: Mapping[str, Any] | None = None, *, plugins: PluginManager | None = None, ports: Ports | None = None) -> None:
        self._program = [StreamGraph()]
        _programs[id(self._program)] = self._program
        weakref.finalize(self, _let_go, self._program).atexit = False
        self._code: dict[str, Any] = dict(code or {})
        self._plugins = plugins
        self._ports = ports

    @staticmethod
    def get_execution_environment() -> StreamExecutionEnvironment:
        """The environment that fits where the program runs: this machine, with settings of the command line, the variables
        `MILLSTREAM__SECTION__KEY` and the nearest millstream.toml. Parallelism is 1 unless they say otherwise."""
        return StreamExecutionEnvironment()

    @staticmethod
    def create_local_environment(parallelism: int = 1) -> StreamExecutionEnvironment:
        """An environment on this machine with a parallelism."""
        return StreamExecutionEnvironment().set_parallelism(parallelism)

    @property
    def graph(self) -> StreamGraph:
        """The program so far; empty again once it was launched."""
        return self._program[0]

    @graph.setter
    def graph(self, graph: StreamGraph) -> None:
        self._program[0] = graph

    # --- settings

    def configure(self, key: str, value: Any) -> StreamExecutionEnvironment:
        """Gives a setting by its dotted name, for example `configure("job.resume", "auto")`.

        Raises:
            UnknownSetting, SettingInvalid: there is no such setting, or the value is not allowed.
        """
        Settings.resolve(code={key: value})
        self._code[key] = value
        return self

    def set_parallelism(self, parallelism: int) -> StreamExecutionEnvironment:
        """Subtasks of operators that do not say otherwise, >= 1."""
        return self.configure("job.parallelism", parallelism)

    def set_max_parallelism(self, max_parallelism: int) -> StreamExecutionEnvironment:
        """Key groups of operators that do not say otherwise; fixed once the job has taken its first checkpoint."""
        return self.configure("job.max_parallelism", max_parallelism)

    def enable_checkpointing(self, interval: timedelta, mode: str = "exactly_once") -> StreamExecutionEnvironment:
        """Takes a checkpoint every `interval`, in mode `exactly_once` or `at_least_once`."""
        return self.configure("checkpoint.interval", interval).configure("checkpoint.mode", mode)

    @property
    def checkpoint_config(self) -> CheckpointOptions:
        """The other options of checkpoints."""
        return CheckpointOptions(self.configure)

    def set_state_backend(self, name: str) -> StreamExecutionEnvironment:
        """Where working state lives, by the name of a state backend (`millstream plugins` lists them)."""
        return self.configure("state.backend", name)

    def set_restart_strategy(self, strategy: RestartOptions) -> StreamExecutionEnvironment:
        """What happens after a failure: one of RestartStrategies."""
        given: Any = strategy
        if not isinstance(given, RestartOptions):
            allowed = "what RestartStrategies makes, such as RestartStrategies.no_restart()"
            raise InvalidArgument(what="the restart strategy", value=shorten(given), allowed=allowed)
        for key, value in strategy.settings.items():
            self._code[f"restart.{key}"] = value
        self.settings()
        return self

    def resolved_settings(self, job_name: str | None = None) -> Resolved:
        """All settings with where each is from."""
        code = dict(self._code)
        if job_name is not None:
            code["job.name"] = job_name
        return Settings.resolve(code, CommandLine.settings, os.environ, find_settings_file(Path.cwd()))

    def settings(self, job_name: str | None = None) -> Settings:
        """All settings."""
        return self.resolved_settings(job_name).settings

    @property
    def plugins(self) -> PluginManager:
        """The plugins of this environment."""
        return self._plugins or default_manager()

    # --- sources

    def from_source(
        self,
        source: Source[T],
        watermark_strategy: WatermarkStrategy[T] | None = None,
        *,
        name: str | None = None,
        uid: str | None = None,
        on_error: OnError = "fail",
    ) -> DataStream[T]:
        """Reads a source.

        Args:
            watermark_strategy: event time per split; None keeps the timestamps of the origin and makes no watermarks.
            on_error: what happens to input that cannot be decoded: `fail`, `skip` (counted) or `dead_letter(sink)`.
        """
        return self._source(source, watermark_strategy, name or function_name("source", source), uid, on_error)

    def _source(
        self, source: Source[Any], strategy: WatermarkStrategy[Any] | None, name: str, uid: str | None, on_error: OnError, *, parallel: bool = True
    ) -> DataStream[Any]:
        if not isinstance(source, Source):
            raise InvalidArgument(what="the source", value=shorten(source), allowed="a source object")
        if strategy is None:
            strategy = WatermarkStrategy.no_watermarks()
        check_strategy(strategy)
        spec = SourceSpec(source, strategy, check_on_error(on_error))
        node = self.graph.add(name, spec, [], uid=uid, source=source, parallelism=None if parallel else 1, parallel_source=parallel)
        stream: DataStream[Any] = DataStream(self, node)
        stream._connect_dead_letters(node, on_error)
        return stream

    def from_collection(
        self, values: Iterable[T], watermark_strategy: WatermarkStrategy[T] | None = None, *, name: str | None = None, uid: str | None = None
    ) -> DataStream[T]:
        """The elements of a collection: bounded, read by one subtask, replayable by position."""
        return self._source(CollectionSource(values), watermark_strategy, name or "collection", uid, "fail", parallel=False)

    def generate(
        self,
        function: Callable[[int], T],
        count: int | None = None,
        rate_per_s: float | None = None,
        watermark_strategy: WatermarkStrategy[T] | None = None,
        *,
        name: str | None = None,
        uid: str | None = None,
    ) -> DataStream[T]:
        """What a pure function gives for 0, 1, 2, ...

        Args:
            count: how many; None for no end.
            rate_per_s: no more than so many records a second, over all subtasks; None for as many as can be.
        """
        return self._source(GeneratorSource(function, count, rate_per_s), watermark_strategy, name or "generator", uid, "fail")

    def socket_text_stream(self, host: str, port: int, *, delimiter: str = "\n", name: str | None = None, uid: str | None = None) -> DataStream[str]:
        """Lines of text from a TCP server. It cannot be read again: the job gives at most once."""
        return self._source(SocketSource(host, port, delimiter), None, name or "socket", uid, "fail", parallel=False)

    def read_text_file(
        self, path: str | os.PathLike[str], watermark_strategy: WatermarkStrategy[str] | None = None, *, uid: str | None = None, **options: Any
    ) -> DataStream[str]:
        """Lines of a file, of the files of a folder, or of those that match a pattern. Options are FileSource's, and `on_error`."""
        return self._files("read_text_file", path, TextFormat(), watermark_strategy, uid, options)

    @overload
    def read_csv_file(
        self,
        path: str | os.PathLike[str],
        watermark_strategy: WatermarkStrategy[Any] | None = None,
        *,
        record_type: type[T],
        has_header: bool = False,
        delimiter: str = ",",
        uid: str | None = None,
        **options: Any,
    ) -> DataStream[T]: ...

    @overload
    def read_csv_file(
        self,
        path: str | os.PathLike[str],
        watermark_strategy: WatermarkStrategy[Any] | None = None,
        *,
        types: Mapping[str, Any] | None = None,
        has_header: bool = False,
        delimiter: str = ",",
        uid: str | None = None,
        **options: Any,
    ) -> DataStream[Any]: ...

    def read_csv_file(
        self,
        path: str | os.PathLike[str],
        watermark_strategy: WatermarkStrategy[Any] | None = None,
        *,
        types: Mapping[str, Any] | None = None,
        record_type: type[Any] | None = None,
        has_header: bool = False,
        delimiter: str = ",",
        uid: str | None = None,
        **options: Any,
    ) -> DataStream[Any]:
        """Rows of CSV files: tuples by `types`, or objects of `record_type`. Other options are FileSource's, and `on_error`."""
        file_format: CsvFormat[Any] = CsvFormat(types=types, record_type=record_type, has_header=has_header, delimiter=delimiter)
        return self._files("read_csv_file", path, file_format, watermark_strategy, uid, options)

    @overload
    def read_json_lines(
        self,
        path: str | os.PathLike[str],
        watermark_strategy: WatermarkStrategy[Any] | None = None,
        *,
        record_type: type[T],
        uid: str | None = None,
        **options: Any,
    ) -> DataStream[T]: ...

    @overload
    def read_json_lines(
        self,
        path: str | os.PathLike[str],
        watermark_strategy: WatermarkStrategy[Any] | None = None,
        *,
        record_type: Any = None,
        uid: str | None = None,
        **options: Any,
    ) -> DataStream[Any]: ...

    def read_json_lines(
        self,
        path: str | os.PathLike[str],
        watermark_strategy: WatermarkStrategy[Any] | None = None,
        *,
        record_type: Any = None,
        uid: str | None = None,
        **options: Any,
    ) -> DataStream[Any]:
        """Lines of JSON: plain values, or objects of `record_type`. Other options are FileSource's, and `on_error`."""
        file_format: JsonLinesFormat[Any] = JsonLinesFormat(record_type) if record_type is not None else JsonLinesFormat()
        return self._files("read_json_lines", path, file_format, watermark_strategy, uid, options)

    def _files(
        self, method: str, path: Any, file_format: Any, strategy: WatermarkStrategy[Any] | None, uid: str | None, options: dict[str, Any]
    ) -> DataStream[Any]:
        on_error = options.pop("on_error", "fail")
        name = options.pop("name", None) or f"files({Path(path).name})"
        factory = self.plugins.find("source", "file").load()
        known = {*inspect.signature(getattr(self, method)).parameters, *inspect.signature(factory).parameters, "name", "on_error"}
        for option in options:
            if option not in known:
                raise UnknownOption(what=f"{method}()", option=option, known=tuple(sorted(known - {"format", "options"})))
        source = factory(path, format=file_format, **options)
        return self._source(source, strategy, name, uid, on_error)

    # --- execution

    def job_graph(self, job_name: str | None = None) -> JobGraph:
        """The program as it would be deployed, after all checks.

        Raises:
            EmptyJob, MissingUid, DuplicateUid, InvalidParallelism: the program cannot run as it is.
            GuaranteeNotMet: it asks for more than its legs give.
            PreparedTooShort: a sink's target drops prepared work before a checkpoint has to be complete.
        """
        settings = self.settings(job_name)
        builder = JobGraphBuilder(self.graph, settings.job.parallelism, settings.job.max_parallelism)
        validate(
            self.graph,
            checkpointing=settings.checkpoint.interval is not None,
            parallelism_of=builder.parallelism_of,
            max_parallelism_of=builder.max_parallelism_of,
        )
        check_prepared(self.graph, settings.checkpoint)
        if settings.job.guarantee is not None:
            require(self._legs(settings), Guarantee[settings.job.guarantee.upper()])
        return builder.build(settings.job.name or DEFAULT_JOB_NAME)

    def guarantee_legs(self) -> list[Leg]:
        """What every way from a source to a sink gives."""
        return self._legs(self.settings())

    def _legs(self, settings: Settings) -> list[Leg]:
        config = settings.checkpoint
        durable = config.storage is not None and find_checkpoint_storage(self.plugins, config.storage).durable
        return legs(self.graph, checkpointing=config.interval is not None, mode=config.mode, durable=durable)

    def launch(self, job_name: str | None = None) -> LocalJob:
        """The job, made but not started; the program is taken out of the environment."""
        graph = self._taken(job_name)
        return Launcher(self.settings(job_name), self.plugins, self._ports).launch(graph)

    def _taken(self, job_name: str | None) -> JobGraph:
        try:
            if CommandLine.intercept is not None:
                CommandLine.intercept(self, job_name)
            return self.job_graph(job_name)
        finally:
            self.graph = StreamGraph()

    def execute(self, job_name: str | None = None) -> JobExecutionResult:
        """Runs the program until it ends.

        The first Ctrl-C or SIGTERM stops it with a last checkpoint, which is kept; the second ends it at once.

        Raises:
            JobFailedError: the job failed and was not, or no longer, started again.
        """
        settings = self.settings(job_name)
        if settings.execution.job_manager == "process" and self._ports is None:
            from millstream.api.dispatcher import Dispatcher  # jobs in one process need none of this

            return Dispatcher(self._taken(job_name), settings, self.plugins).run()
        return Execution(self.launch(job_name), settings).run()

    def execute_async(self, job_name: str | None = None) -> JobClient:
        """Starts the program on a thread of its own and returns at once."""
        from millstream.api.job_client import JobClient

        if self.settings(job_name).execution.job_manager == "process":
            raise InvalidArgument(what="execution.job_manager", value="'process'", allowed="'client' for execute_async and execute_and_collect")
        client = JobClient(Execution(self.launch(job_name), self.settings(job_name)))
        client.start()
        return client


_programs: dict[int, list[StreamGraph]] = {}
"""Programs of all environments, by identity: equal ones are not the same. One that was built and never executed outlives its environment here."""


def _let_go(program: list[StreamGraph]) -> None:
    if not program[0].nodes:
        del _programs[id(program)]


def take_forgotten() -> list[str]:
    """Names of the operators of programs that were built and never executed; they are asked for once."""
    programs = list(_programs.values())  # environments come and go on other threads, and whenever garbage is collected
    names = [node.name for program in programs for node in program[0].nodes]
    for program in programs:
        program[0] = StreamGraph()
    return names


@atexit.register
def _warn_of_forgotten_programs() -> None:
    names = take_forgotten()
    if not user_code.is_program():
        return  # a script that is only imported executes nothing
    if names and getattr(sys, "last_value", None) is None:  # a script that failed has more to worry about
        built = ", ".join(repr(name) for name in names[-3:])
        sys.stderr.write(f"millstream: a program was built ({built}) but never executed. Call env.execute().\n")
