"""What happens to a record that cannot be decoded, on which a user function raises, or that a sink cannot write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from millstream.errors import InvalidArgument, did_you_mean

Headers: TypeAlias = "tuple[tuple[str, bytes], ...]"
"""Name and value of each header of a message, in order; a name may come twice."""

DEAD_LETTER_TAG = "dead-letter"
"""Side output of an operator with a dead-letter policy."""


@dataclass(frozen=True)
class DeadLetter:
    """Sends what fails to a sink of its own, in the same checkpoint. Made by `dead_letter`.

    Attributes:
        sink: takes DeadLetterRecord objects; None when they go to a side output.
        uid: of the sink operator; None derives it from the failing operator's.
        tag: id of the side output.
    """

    sink: Any
    uid: str | None = None
    tag: str = DEAD_LETTER_TAG


@dataclass(frozen=True)
class DeadLetterRecord:
    """A record that failed.

    Attributes:
        operator: uid of the operator; its number and name, `1:map`, when it has none.
        position: where the record came from: exactly for input that could not be decoded; for functions and sinks in the task of the
            source, the stretch of input that holds it; empty behind an exchange.
        record: repr of the value, at most 10,000 characters, or the raw text that could not be decoded.
        error: type and message.
        headers: of the message that the record came in, where its origin has such and it could not be decoded.
    """

    operator: str
    position: str
    record: str
    error: str
    headers: Headers = ()


OnError: TypeAlias = "Literal['fail', 'skip'] | DeadLetter"


def dead_letter(target: Any, *, uid: str | None = None) -> DeadLetter:
    """The policy that sends failing records on as DeadLetterRecord objects.

    Args:
        target: a sink, or an OutputTag: then `get_side_output(tag)` of the operator's stream has them.
        uid: of the sink operator. By default the failing operator's with `/dead-letter` behind it.
    """
    tag_id = getattr(target, "tag_id", None)
    return DeadLetter(target, uid) if tag_id is None else DeadLetter(None, uid, tag_id)


def check_on_error(policy: object) -> OnError:
    """The policy, if it is one.

    Raises:
        InvalidArgument: it is neither `fail`, `skip` nor made by `dead_letter`.
    """
    if isinstance(policy, DeadLetter) or policy in ("fail", "skip"):
        return policy
    hint = did_you_mean(policy, ["fail", "skip"]) if isinstance(policy, str) else ""
    raise InvalidArgument(what="on_error", value=repr(policy), allowed="'fail', 'skip' or dead_letter(sink)", hint=hint)
