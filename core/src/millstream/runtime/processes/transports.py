"""Messages between the JobManager and tasks in other processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from millstream.errors import TaskFailed
from millstream.graph.execution_graph import ExecutionState
from millstream.ports import LocalTransport
from millstream.runtime import user_code
from millstream.runtime.messages import TaskStateChanged
from millstream.runtime.processes.frames import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from millstream.graph.execution_graph import SubtaskId
    from millstream.runtime.processes.control import ControlLink


class RoutingTransport(LocalTransport):
    """The JobManager's side: who is not in this process is reached by a route."""

    def __init__(self) -> None:
        super().__init__()
        self._routes: dict[str, Callable[[bytes], None]] = {}

    def set_routes(self, routes: dict[str, Callable[[bytes], None]]) -> None:
        """How addresses are reached from now on; others are no longer."""
        self._routes = routes

    def route(self, address: str, send: Callable[[bytes], None]) -> None:
        """One more address."""
        self._routes[address] = send

    def deliver(self, payload: bytes) -> None:
        """A message that came from another process."""
        receiver, message = user_code.loads(payload)
        super().send("", receiver, message)

    def send(self, sender: str, receiver: str, message: Any) -> None:
        route = self._routes.get(receiver)
        if route is None:
            super().send(sender, receiver, message)
        else:
            route(user_code.dumps((receiver, message)))


class TaskTransport(LocalTransport):
    """The tasks' side: who is not in this process is the JobManager.

    Args:
        before_end: called before the last word of a task goes out.
        names_of: what the task and the job of a subtask are called.
    """

    def __init__(self, control: ControlLink, before_end: Callable[[], None], names_of: Callable[[SubtaskId], tuple[str, str]]) -> None:
        super().__init__()
        self._control = control
        self._before_end = before_end
        self._names_of = names_of

    def deliver(self, payload: bytes) -> Any:
        """A message that came from the JobManager; returned, too."""
        receiver, message = user_code.loads(payload)
        super().send("", receiver, message)
        return message

    def send(self, sender: str, receiver: str, message: Any) -> None:
        if isinstance(message, TaskStateChanged) and message.state in _ENDS:
            self._before_end()
        try:
            payload = user_code.dumps((receiver, message))
        except Exception as error:
            if not isinstance(message, TaskStateChanged):
                raise
            # A task that has ended must not be waited for because its accumulators, say, hold what cannot be sent.
            payload = user_code.dumps((receiver, self._failed(message, error)))
        self._control.send(Kind.MESSAGE, payload)

    def _failed(self, message: TaskStateChanged, error: Exception) -> TaskStateChanged:
        error.add_note("what the task had to say at its end, an accumulator or an error, cannot be sent to the JobManager's process")
        task, job = self._names_of(message.subtask)
        failed = TaskFailed.of(error, task=task, subtask=message.subtask.subtask, job=job)
        return msgspec.structs.replace(message, state=ExecutionState.FAILED, error=failed, accumulators={})


_ENDS: Final = frozenset({ExecutionState.FINISHED, ExecutionState.FAILED, ExecutionState.CANCELED})
