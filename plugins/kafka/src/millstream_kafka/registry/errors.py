"""What can go wrong with a schema registry. None of it is the fault of a record: a record's own faults are DecodeErrors and ValueErrors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from millstream.errors import MillstreamError


@dataclass(kw_only=True, eq=False)
class RegistryError(MillstreamError):
    """Base of what a registry fails to do.

    Attributes:
        registry: its address.
        doing: what was to be done, after "to": `read schema 7`.
        reason: of the registry or of its client.
        place: topic, partition and offset of the message that it was for; empty where there is none.
    """

    registry: str
    doing: str
    reason: str
    place: str = ""

    @property
    def asked(self) -> str:
        """What was to be done, and for which message."""
        return f"{self.doing} for {self.place}" if self.place else self.doing


@dataclass(kw_only=True, eq=False)
class RegistryUnreachable(RegistryError):
    """The registry does not answer, or answers that it cannot do its work now. It may come back: the restart strategy decides."""

    code: ClassVar[str] = "kafka.registry_unreachable"
    permanent: ClassVar[bool] = False
    outage: ClassVar[bool] = True

    def sentence(self) -> str:
        return (
            f"The schema registry at {self.registry} cannot be reached to {self.asked}: {self.reason}. Check that it runs and that the address is "
            "its own; no record was skipped for it."
        )


@dataclass(kw_only=True, eq=False)
class RegistryRefused(RegistryError):
    """The registry refuses what the job asks of it, and will refuse it again.

    Attributes:
        fix: what to do.
    """

    code: ClassVar[str] = "kafka.registry_refused"

    fix: str

    def sentence(self) -> str:
        return f"The schema registry at {self.registry} refuses to {self.asked}: {self.reason}. {self.fix}."


@dataclass(kw_only=True, eq=False)
class SchemaIncompatible(RegistryError):
    """A schema cannot become the next version of its subject: readers or writers of the other versions would not understand it.

    Attributes:
        subject: where it was to be registered.
    """

    code: ClassVar[str] = "kafka.schema_incompatible"

    subject: str

    def sentence(self) -> str:
        return (
            f"The schema of the sink is not compatible with what the schema registry at {self.registry} has under subject {self.subject!r}: "
            f"{self.reason}. Change the schema so that it is (a new field needs a default), write into another topic or subject, or change the "
            "subject's compatibility level."
        )
