"""The records of a stream, in the program that runs the job."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from millstream.api.execution import Execution
from millstream.api.sinks import CollectSink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millstream.api.data_stream import DataStream
    from millstream.runtime.job_status import JobExecutionResult

T = TypeVar("T")


class CollectedRows(Generic[T]):
    """An iterator that drives the job while it is read. After the last record the job is over.

    Records come as the stream emits them: after a failure those behind the last checkpoint come again.
    """

    def __init__(self, execution: Execution, buffer: deque[T]) -> None:
        self._execution = execution
        self._buffer = buffer

    @classmethod
    def start(cls, stream: DataStream[Any], job_name: str | None) -> CollectedRows[Any]:
        """Adds a collecting sink to the stream and starts the job."""
        buffer: deque[Any] = deque()
        environment = stream.environment
        stream._sink(CollectSink(buffer), "collect", None, keeps_state=False)
        execution = Execution(environment.launch(job_name), environment.settings(job_name))
        execution.job.start()
        return cls(execution, buffer)

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        job = self._execution.job
        if not self._buffer:
            job.run(lambda: bool(self._buffer))
        if self._buffer:
            return self._buffer.popleft()
        job.close()
        self._execution.raise_failure()
        raise StopIteration

    def result(self) -> JobExecutionResult:
        """The job's result so far."""
        return self._execution.job.result()

    def close(self) -> None:
        """Cancels the job if it still runs."""
        job = self._execution.job
        if job.job_manager is not None:
            job.job_manager.cancel()
        job.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
