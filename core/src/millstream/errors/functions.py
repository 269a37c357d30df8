"""What users' functions raise, return and do."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import ClassVar, Self

from millstream.errors.base import MillstreamError, shorten
from millstream.errors.frames import user_frames


@dataclass(kw_only=True, eq=False)
class UserFunctionFailed(MillstreamError):
    """A user function raised.

    Attributes:
        error: type and message of the user's exception.
        line: the user's own line that raised, `file:line in function`.
        traceback: the user's frames, without the engine's.
    """

    code: ClassVar[str] = "user-function-failed"
    permanent: ClassVar[bool] = False
    job: str
    operator: str
    uid: str
    subtask: int
    function: str
    record: str
    position: str
    error: str
    line: str
    traceback: str
    advice: ClassVar[str] = "Correct the function, or give the operator on_error='skip' or dead_letter(...)."

    @classmethod
    def of(
        cls,
        error: BaseException,
        *,
        function: object,
        job: str,
        operator: str,
        uid: str,
        subtask: int,
        value: object,
        position: str = "",
    ) -> Self:
        """From the exception, with the user's own frames first."""
        own = user_frames(error)
        last = own[-1] if own else None
        made = cls(
            job=job,
            operator=operator,
            uid=uid,
            subtask=subtask,
            function=getattr(function, "__qualname__", type(function).__qualname__),
            record=shorten(value),
            position=position,
            error=f"{type(error).__name__}: {error}",
            line=f"{last.filename}:{last.lineno} in {last.name}: {last.line}" if last else "",
            traceback="".join(traceback.format_list(own)),
        )
        made.__cause__ = error
        return made

    def sentence(self) -> str:
        at = f" {self.position}" if self.position else ""
        on = f", on record {self.record}{at}. {self.advice}" if self.record else ". Correct it."
        return (
            f"{self.error}\n  {self.line}\n"
            f"raised by {self.function} in operator {self.operator!r} (uid {self.uid!r}), subtask {self.subtask} of job {self.job!r}{on}"
        )


@dataclass(kw_only=True, eq=False)
class KeySelectorFailed(UserFunctionFailed):
    """The function that gives a record's key raised."""

    code: ClassVar[str] = "key-selector-failed"
    advice: ClassVar[str] = (
        "Correct the key selector, or drop such records with a filter in front of key_by: on_error does not apply, as a record without a "
        "key belongs to no subtask."
    )


@dataclass(kw_only=True, eq=False)
class BatchFunctionFailed(UserFunctionFailed):
    """A function that is given whole batches raised."""

    code: ClassVar[str] = "batch-function-failed"
    advice: ClassVar[str] = "Correct the function, or let it deal with such records itself: on_error does not reach inside a batch."


@dataclass(kw_only=True, eq=False)
class WrongBatchLength(MillstreamError):
    """A batch function returned something else than the list that it promises.

    Attributes:
        given: number of records that it got.
        returned: number of results, or what else it was.
        wanted: what it has to return.
    """

    code: ClassVar[str] = "wrong-batch-length"
    operator: str
    function: str
    given: int
    returned: str
    wanted: str

    def sentence(self) -> str:
        return (
            f"batch function {self.function} of operator {self.operator!r} was given {self.given} records and returned {self.returned}. "
            f"Return {self.wanted}."
        )


@dataclass(kw_only=True, eq=False)
class NotCopyable(MillstreamError):
    """A function object that cannot be given to each subtask."""

    code: ClassVar[str] = "not-copyable"
    function: str
    reason: str

    def sentence(self) -> str:
        return (
            f"Function object {self.function} cannot be copied for each subtask: {self.reason}. "
            "Make connections, locks and files in open(), not in __init__."
        )


@dataclass(kw_only=True, eq=False)
class TimerLoop(MillstreamError):
    """on_timer registers timers in the past without end."""

    code: ClassVar[str] = "timer-loop"
    time: int
    until: int

    def sentence(self) -> str:
        if self.until == 2**63 - 1:
            return (
                f"on_timer keeps registering timers (now at {self.time}) at the end of the input, where every time has come: it would never end. "
                "Register no more once ctx.timer_service().current_watermark() is 2**63 - 1."
            )
        return (
            f"on_timer keeps registering timers at or before the time that is firing (at {self.time}, while time is {self.until}): it would never "
            "end. Register only timers after ctx.timer_service().current_watermark()."
        )


@dataclass(kw_only=True, eq=False)
class UnknownSideOutput(MillstreamError):
    """A side output that is no OutputTag."""

    code: ClassVar[str] = "unknown-side-output"
    operator: str
    tag: str

    def sentence(self) -> str:
        return f"Operator {self.operator!r} emitted to side output {self.tag}, which is neither an OutputTag nor a tag's id. Pass the OutputTag."
