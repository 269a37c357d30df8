"""Sinks: their contracts, and what goes wrong at a target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from millstream.errors.base import MillstreamError
from millstream.errors.frames import raised_at


@dataclass(kw_only=True, eq=False)
class Fenced(MillstreamError):
    """An older attempt tried to write where a newer one has taken over."""

    code: ClassVar[str] = "fenced"
    sink_uid: str
    lane: int
    attempt: int

    def sentence(self) -> str:
        return (
            f"Attempt {self.attempt} of sink {self.sink_uid!r} no longer owns lane {self.lane}: a newer attempt has fenced it, and nothing "
            "of this write was applied. If no other run of the job is meant to be alive, stop it; this process must end."
        )


@dataclass(kw_only=True, eq=False)
class LostEpoch(MillstreamError):
    """Prepared work of a durable checkpoint is gone from the target, without a proof that it was committed."""

    code: ClassVar[str] = "lost-epoch"
    sink_uid: str
    lane: int
    checkpoint_id: int
    what: str

    def sentence(self) -> str:
        return (
            f"Sink {self.sink_uid!r}, lane {self.lane}: what checkpoint {self.checkpoint_id} prepared can be found neither prepared nor "
            f"committed ({self.what}). Going on would lose it. Restore the target, or restart from an older checkpoint with --rewind."
        )


@dataclass(kw_only=True, eq=False)
class RewoundTarget(MillstreamError):
    """The target is ahead of the checkpoint that is being restored."""

    code: ClassVar[str] = "rewound-target"
    sink_uid: str
    lane: int
    marker: int
    restored: int

    def sentence(self) -> str:
        return (
            f"Sink {self.sink_uid!r}, lane {self.lane}: the target has committed checkpoint {self.marker}, but checkpoint {self.restored} is "
            "being restored. Records after it would be written again. Restore the newest checkpoint, or pass --rewind to produce them again."
        )


@dataclass(kw_only=True, eq=False)
class TargetLostData(MillstreamError):
    """The target is behind what a checkpoint knows to be committed."""

    code: ClassVar[str] = "target-lost-data"
    sink_uid: str
    lane: int
    marker: int | None
    confirmed: int

    def sentence(self) -> str:
        return (
            f"Sink {self.sink_uid!r}, lane {self.lane}: the checkpoint knows that checkpoint {self.confirmed} was committed, but the target's "
            f"marker is {self.marker}. The target has lost data (a restored backup, a lost write). Bring it back, or start afresh with "
            "--resume never."
        )


@dataclass(kw_only=True, eq=False)
class GuaranteeNotMet(MillstreamError):
    """A job asks for more than one of its legs gives."""

    code: ClassVar[str] = "guarantee-not-met"
    wanted: str
    source: str
    sink: str
    given: str
    reason: str
    fix: str

    def sentence(self) -> str:
        return f"The job asks for {self.wanted}, but from source {self.source} to sink {self.sink} it gives {self.given}. {self.reason} {self.fix}"


@dataclass(kw_only=True, eq=False)
class PreparedTooShort(MillstreamError):
    """The target of a two-phase sink drops what it has prepared sooner than a checkpoint may need to be complete."""

    code: ClassVar[str] = "prepared-too-short"
    sink: str
    kept_s: float
    begins_s: float
    timeout_s: float

    def sentence(self) -> str:
        fix = "Let the target keep it for longer, by an option of the sink (transaction_timeout, where it has that)"
        if self.kept_s > self.begins_s:
            fix += f", or set checkpoint.timeout below {self.kept_s - self.begins_s:g}s"
        else:
            fix += ", and take checkpoints more often (checkpoint.interval)"
        return (
            f"The target of sink {self.sink} keeps what is prepared for {self.kept_s:g} s. A checkpoint may take longer: {self.begins_s:g} s until "
            f"it begins (checkpoint.interval, checkpoint.min_pause) and {self.timeout_s:g} s until it is complete (checkpoint.timeout). Its records "
            f"would be lost. {fix}."
        )


@dataclass(kw_only=True, eq=False)
class SinkNotPortable(MillstreamError):
    """A sink that lives in the caller's process was about to be sent to another one."""

    code: ClassVar[str] = "sink-not-portable"
    sink: str
    reason: str

    def sentence(self) -> str:
        return f"{self.sink} cannot be sent to another process: {self.reason}. Run the job inside this process, or write to another sink."


@dataclass(kw_only=True, eq=False)
class SinkFailed(MillstreamError):
    """A sink could not do its work. `error` is type and message of what it raised, `line` where it did."""

    code: ClassVar[str] = "sink-failed"
    permanent: ClassVar[bool] = False
    error: str
    line: str
    sink: str
    uid: str
    subtask: int
    job: str

    @classmethod
    def of(cls, error: BaseException, *, sink: str, uid: str, subtask: int, job: str) -> SinkFailed:
        """From the exception."""
        return cls(error=f"{type(error).__name__}: {error}", line=raised_at(error), sink=sink, uid=uid, subtask=subtask, job=job)

    def sentence(self) -> str:
        return (
            f"{self.error}\n  {self.line}\nraised by sink {self.sink!r} (uid {self.uid!r}), subtask {self.subtask} of job {self.job!r}. See "
            "whether its target can be reached and has room, and whether the job may write to it."
        )


@dataclass(kw_only=True, eq=False)
class RecordRefused(MillstreamError):
    """A sink cannot write a record for the record's own fault. `error` is type and message of what says so."""

    code: ClassVar[str] = "record-refused"
    error: str
    sink: str
    uid: str
    subtask: int
    job: str
    record: str
    position: str

    def sentence(self) -> str:
        at = f" {self.position}" if self.position else ""
        return (
            f"{self.error}\nsink {self.sink!r} (uid {self.uid!r}), subtask {self.subtask} of job {self.job!r}, cannot write record "
            f"{self.record}{at}. Make it one that the sink can write, with a map in front of it, or give sink_to "
            "on_error='skip' or on_error=dead_letter(sink)."
        )


@dataclass(kw_only=True, eq=False)
class SinkContractChanged(MillstreamError):
    """A checkpoint holds uncommitted work of a sink that now has another contract."""

    code: ClassVar[str] = "sink-contract-changed"
    sink_uid: str
    stored: str
    now: str

    def sentence(self) -> str:
        return (
            f"The checkpoint holds work of sink {self.sink_uid!r} that is not committed yet and was prepared by a {self.stored} sink; now it is a "
            f"{self.now} sink, which cannot commit it. Run the job once with the old sink (delivery=...) and stop it, or give the sink a new uid."
        )
