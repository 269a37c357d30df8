"""Who needs the second client library."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Asker:
    """Who needs the second client, as errors name it.

    Attributes:
        what: needs it.
        purpose: for which it does, after "to".
        settings: the option that settings come from.
        otherwise: another way out when it is missing; may be empty.
        instead: what to do about a setting that it does not have.
    """

    what: str
    purpose: str
    settings: str
    otherwise: str
    instead: str


SINK: Final = Asker(
    what='KafkaSink(delivery="exactly_once_2pc")',
    purpose="finish transactions of a process that died",
    settings="KafkaSink(client=...)",
    otherwise=', or choose delivery="exactly_once"',
    instead='Choose delivery="exactly_once", or another way to log in',
)
