"""What is said over a running job's socket: one request, and one answer or several. Each is a line of JSON."""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

from millstream.errors import ControlRequestInvalid
from millstream.runtime.job_report import JobReport

VERSION: Final = 1
"""Of the protocol. A field that is added with a default does not change it: unknown fields are ignored."""

MOST_REQUEST_BYTES: Final = 65_536
MOST_ANSWER_BYTES: Final = 1 << 26
"""A report of 32,768 subtasks of ten operators is some 60 MB."""


class _Request(msgspec.Struct, frozen=True, kw_only=True, tag_field="request"):
    version: int = VERSION


class Look(_Request, frozen=True, kw_only=True, tag="look"):
    """Answered by one `Reported`."""

    subtasks: bool = True


class Follow(_Request, frozen=True, kw_only=True, tag="follow"):
    """Answered by a `Reported` every so often, and a last one when the job is over.

    Attributes:
        every_s: 0.05 to 3,600.
    """

    every_s: float = 1.0
    subtasks: bool = True


class Cancel(_Request, frozen=True, kw_only=True, tag="cancel"):
    """Ends the job now. Answered by `Accepted`, and by a `Reported` when it is over."""


class Stop(_Request, frozen=True, kw_only=True, tag="stop"):
    """Ends the job with a last checkpoint. Answered by `Accepted`, by a `SavepointTaken` if there is one, and by a `Reported` when it is over.

    Attributes:
        drain: let event time end first.
        savepoint: take a savepoint as well, below this absolute folder or URL; True for where the job's settings say.
    """

    drain: bool = False
    savepoint: str | bool = False


class Savepoint(_Request, frozen=True, kw_only=True, tag="savepoint"):
    """Takes a savepoint, and the job runs on. Answered by `Accepted` and a `SavepointTaken`, or by a `Reported` if the job is over before.

    Attributes:
        target: absolute folder or URL below which it goes; None for where the job's settings say.
    """

    target: str | None = None


Request: TypeAlias = Look | Follow | Cancel | Stop | Savepoint


class Reported(msgspec.Struct, frozen=True, tag_field="answer", tag="report"):
    """A look at the job."""

    report: JobReport


class Accepted(msgspec.Struct, frozen=True, tag_field="answer", tag="accepted"):
    """The JobManager was told."""


class SavepointTaken(msgspec.Struct, frozen=True, tag_field="answer", tag="savepoint"):
    """It is durable.

    Attributes:
        path: where, for `--resume`.
    """

    path: str


class Waiting(msgspec.Struct, frozen=True, tag_field="answer", tag="waiting"):
    """What was asked for has not happened yet. After a look: a user function may keep the JobManager's thread.

    Attributes:
        for_s: since it was told.
    """

    for_s: float


class Refused(msgspec.Struct, frozen=True, tag_field="answer", tag="refused"):
    """It is not done."""

    reason: str


Answer: TypeAlias = Reported | Accepted | SavepointTaken | Waiting | Refused

_REQUESTS: Final[msgspec.json.Decoder[Request]] = msgspec.json.Decoder(Request)
_ANSWERS: Final[msgspec.json.Decoder[Answer]] = msgspec.json.Decoder(Answer)


def decode_request(line: bytes) -> Request:
    """The request of a line.

    Raises:
        ControlRequestInvalid: it is none, or of another version.
    """
    try:
        request = _REQUESTS.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ControlRequestInvalid(reason=str(error)) from error
    if request.version != VERSION:
        raise ControlRequestInvalid(reason=f"it is of version {request.version} of the protocol, and version {VERSION} is spoken here")
    if isinstance(request, Follow) and not 0.05 <= request.every_s <= 3_600:
        raise ControlRequestInvalid(reason=f"every_s is {request.every_s}, and must be 0.05 to 3600")
    return request


def decode_answer(line: bytes) -> Answer:
    """The answer of a line.

    Raises:
        ControlRequestInvalid: it is none.
    """
    try:
        return _ANSWERS.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ControlRequestInvalid(reason=str(error)) from error


def encode(message: Request | Answer) -> bytes:
    """The line of a message."""
    return msgspec.json.encode(message) + b"\n"
