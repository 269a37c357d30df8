"""Every exception Millstream raises: its fields, its code, and a sentence that ends with the fix.

Callers and tests read the fields; people read the sentence. A class builds its sentence from its fields, so the
two cannot disagree. `code` is stable across releases and is what logs and other tools should match on.
"""

from __future__ import annotations

import dataclasses
import os
import re
import traceback
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

_ENGINE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def did_you_mean(wanted: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the nearest known name, or nothing when none is near."""
    near = get_close_matches(wanted, list(known), n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""


@dataclass(kw_only=True, eq=False)
class MillstreamError(Exception):
    """Base of every error that Millstream raises on purpose.

    Goes from process to process by its fields, which are plain data; `__cause__` and traceback stay behind.

    Attributes:
        code: stable across releases.
        permanent: starting the job again would meet the same error, so the restart strategy is not asked.
        outage: something outside of the job does not answer, which says nothing about the job, however often it happens.
    """

    code: ClassVar[str] = "millstream"
    permanent: ClassVar[bool] = True
    outage: ClassVar[bool] = False

    def sentence(self) -> str:
        """What happened, with which values, where, and the fix."""
        raise NotImplementedError

    def likeness(self) -> str:
        """Equal for failures that have the same cause: what the restart strategy compares. Empty for an outage."""
        return "" if self.outage else f"{type(self).__name__}: {self}"

    def __str__(self) -> str:
        return self.sentence()

    def __reduce__(self) -> tuple[Any, ...]:
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return _rebuild, (type(self), fields)

    @classmethod
    def rebuild(cls, fields: dict[str, Any]) -> Self:
        """The same error in another process."""
        return cls(**fields)


def _rebuild(cls: type[MillstreamError], fields: dict[str, Any]) -> MillstreamError:
    return cls.rebuild(fields)


@dataclass(kw_only=True, eq=False)
class InvalidName(MillstreamError):
    """A name that cannot be used."""

    code: ClassVar[str] = "invalid-name"
    what: str
    name: str

    def sentence(self) -> str:
        return f"{self.name} cannot be the name of a {self.what}. Use a non-empty string of printable characters."


@dataclass(kw_only=True, eq=False)
class InvalidArgument(MillstreamError):
    """An argument of the wrong type or out of range."""

    code: ClassVar[str] = "invalid-argument"
    what: str
    value: str
    allowed: str
    hint: str = ""

    def sentence(self) -> str:
        return f"{self.what} is {self.value}, which cannot be used. Give {self.allowed}.{self.hint}"


@dataclass(kw_only=True, eq=False)
class SettingInvalid(MillstreamError):
    """A setting has a value that is not allowed. `value` is shortened and holds no password."""

    code: ClassVar[str] = "setting-invalid"
    key: str
    value: str
    origin: str
    allowed: str

    def sentence(self) -> str:
        return f"{self.key} is {self.value} ({self.origin}). Allowed: {self.allowed}."


@dataclass(kw_only=True, eq=False)
class UnknownOption(MillstreamError):
    """A keyword argument that does not exist, of something that passes its arguments on."""

    code: ClassVar[str] = "option-unknown"
    what: str
    option: str
    known: tuple[str, ...]

    def sentence(self) -> str:
        hint = did_you_mean(self.option, self.known) or f" There is {', '.join(self.known)}."
        return f"{self.what} has no option {self.option!r}.{hint}"


@dataclass(kw_only=True, eq=False)
class UnknownCrashPoint(MillstreamError):
    """A fault is to strike at a point that nothing declares, so that it never would."""

    code: ClassVar[str] = "crash-point-unknown"
    point: str
    origin: str
    known: tuple[str, ...] = dataclasses.field(repr=False)

    def sentence(self) -> str:
        hint = did_you_mean(self.point, self.known) or " docs/exactly-once.md lists those of the engine."
        return (
            f"{self.origin} names the crash point {self.point!r}, which nothing declares.{hint} A connector declares its own at the top level of "
            "its module: declare_crash_point(name, state)."
        )


@dataclass(kw_only=True, eq=False)
class UnknownSetting(MillstreamError):
    """Somebody sets what does not exist. The value is left out: it may be a secret under a misspelled name."""

    code: ClassVar[str] = "setting-unknown"
    key: str
    origin: str
    suggestion: str | None = None

    def sentence(self) -> str:
        hint = f" Did you mean {self.suggestion!r}?" if self.suggestion else " `millstream config` lists every setting."
        return f"There is no setting {self.key!r} ({self.origin}).{hint}"


@dataclass(kw_only=True, eq=False)
class SettingsConflict(MillstreamError):
    """Values that are allowed one by one do not go together. `origins` is empty where the values were set in code."""

    code: ClassVar[str] = "settings-conflict"
    values: dict[str, str]
    reason: str
    fix: str
    origins: dict[str, str] = dataclasses.field(default_factory=dict)

    def sentence(self) -> str:
        said = [f"{key} is {value}" + (f" ({self.origins[key]})" if key in self.origins else "") for key, value in self.values.items()]
        return f"{' and '.join(said)}: {self.reason}. {self.fix}."


@dataclass(kw_only=True, eq=False)
class SettingsFileInvalid(MillstreamError):
    """The settings file cannot be read as TOML."""

    code: ClassVar[str] = "settings-file-invalid"
    path: str
    reason: str

    def sentence(self) -> str:
        return f"The settings file {self.path} cannot be read: {self.reason}. Correct it, or move it away."


@dataclass(kw_only=True, eq=False)
class SecretUnavailable(MillstreamError):
    """A secret's reference leads nowhere. `reference` is the reference, never what it stands for."""

    code: ClassVar[str] = "secret-unavailable"
    reference: str
    reason: str
    fix: str

    def sentence(self) -> str:
        return f"The secret {self.reference} is not available: {self.reason}. {self.fix}."


@dataclass(kw_only=True, eq=False)
class PluginEntryInvalid(MillstreamError):
    """A plugin describes something with a field that makes no sense."""

    code: ClassVar[str] = "plugin-entry-invalid"
    entry: str
    field: str
    value: str
    allowed: str

    def sentence(self) -> str:
        return f"{self.entry}: {self.field} is {self.value}. Allowed: {self.allowed}."


@dataclass(kw_only=True, eq=False)
class PluginHooksInvalid(MillstreamError):
    """A plugin's hooks do not fit Millstream's: an unknown name, a wrong result, or nothing at all."""

    code: ClassVar[str] = "plugin-hooks-invalid"
    hook: str
    reason: str
    fix: str

    def sentence(self) -> str:
        return f"{self.hook} {self.reason}. {self.fix}."


@dataclass(kw_only=True, eq=False)
class PluginBroken(MillstreamError):
    """A job asks for something of a plugin that could not be loaded."""

    code: ClassVar[str] = "plugin-broken"
    wanted: str
    dist: str
    version: str
    entry_point: str
    reason: str

    def sentence(self) -> str:
        return (
            f"{self.wanted} belongs to {self.dist} {self.version}, whose plugin {self.entry_point!r} could not be loaded: {self.reason}. "
            f"`millstream plugins` shows the traceback. Try `pip install --upgrade {self.dist}`."
        )


@dataclass(kw_only=True, eq=False)
class PluginContractMismatch(MillstreamError):
    """A plugin was written against a plugin contract that this core does not keep."""

    code: ClassVar[str] = "plugin-contract-mismatch"
    entry: str
    dist: str
    version: str
    contract: int
    oldest: int
    newest: int

    def sentence(self) -> str:
        keeps = f"contract {self.newest}" if self.oldest == self.newest else f"contracts {self.oldest} to {self.newest}"
        upgrade = "millstream-core" if self.contract > self.newest else self.dist
        return (
            f"{self.entry} of {self.dist} {self.version} asks for plugin contract {self.contract}, but this millstream-core keeps {keeps}. "
            f"Upgrade with `pip install --upgrade {upgrade}`."
        )


@dataclass(kw_only=True, eq=False)
class UnknownPlugin(MillstreamError):
    """No installed plugin offers that name in that role. `role` is written as people read it, for example "state backend".

    `dist` is the distribution known to offer the name, `failures` the plugins whose names are unknown because they did not load.
    """

    code: ClassVar[str] = "plugin-unknown"
    role: str
    name: str
    known: tuple[str, ...] = ()
    other_roles: tuple[str, ...] = ()
    dist: str | None = None
    dist_installed: bool = False
    failures: tuple[str, ...] = ()

    def sentence(self) -> str:
        offers = f"Known: {', '.join(self.known)}." if self.known else "No plugin offers any."
        parts = [f"There is no {self.role} {self.name!r}. {offers}{did_you_mean(self.name, self.known)}"]
        if self.other_roles:
            parts.append(f"The name exists as: {', '.join(self.other_roles)}.")
        if self.dist and self.dist_installed:
            parts.append(f"{self.dist} is installed, but offers no {self.role} of that name.")
        elif self.dist:
            parts.append(f"Install it with `pip install {self.dist}`.")
        if self.failures:
            parts.append(f"Plugins that could not be loaded, and might offer it: {'; '.join(self.failures)}.")
        return " ".join(parts)


@dataclass(kw_only=True, eq=False)
class DuplicatePlugin(MillstreamError):
    """Several plugins offer one name in one role, so a job that uses the name could mean any of them."""

    code: ClassVar[str] = "plugin-duplicate"
    role: str
    name: str
    dists: tuple[str, ...]

    def sentence(self) -> str:
        if len(set(self.dists)) == 1:
            return f"The {self.role} {self.name!r} is offered {len(self.dists)} times by {self.dists[0]}. Report it to its authors."
        return (
            f"The {self.role} {self.name!r} is offered by {' and by '.join(self.dists)}. "
            f"Uninstall all but one, for example `pip uninstall {self.dists[-1]}`."
        )


@dataclass(kw_only=True, eq=False)
class PluginLoadFailed(MillstreamError):
    """A plugin described something well, but importing what stands behind it failed."""

    code: ClassVar[str] = "plugin-load-failed"
    entry: str
    dist: str
    target: str
    reason: str

    def sentence(self) -> str:
        return (
            f"{self.entry} of {self.dist} cannot be used: importing {self.target} failed with {self.reason}. "
            f"Install what it needs, or reinstall it with `pip install --force-reinstall {self.dist}`."
        )


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
class NotKeyed(MillstreamError):
    """Keyed state or timers outside a keyed operator."""

    code: ClassVar[str] = "not-keyed"
    operator: str
    what: str
    fix: str = "Put key_by(...) in front of it."

    def sentence(self) -> str:
        return f"Operator {self.operator!r} asked for {self.what}, which needs a key. {self.fix}"


@dataclass(kw_only=True, eq=False)
class KeyedStreamFixed(MillstreamError):
    """Something that a keyed stream does not have: another way of dealing out, or what operators have."""

    code: ClassVar[str] = "keyed-stream-fixed"
    what: str
    fix: str

    def sentence(self) -> str:
        return f"A keyed stream {self.what}. {self.fix}"


@dataclass(kw_only=True, eq=False)
class DamagedCheckpoint(MillstreamError):
    """A checkpoint that does not verify."""

    code: ClassVar[str] = "damaged-checkpoint"
    where: str
    what: str

    def sentence(self) -> str:
        return (
            f"Checkpoint {self.where} is damaged: {self.what}. Nothing was restored from it. Restore an older retained checkpoint with "
            "--resume PATH, or bring the file back from a copy."
        )


@dataclass(kw_only=True, eq=False)
class UnknownCheckpointFormat(MillstreamError):
    """A checkpoint of a format that this release does not read."""

    code: ClassVar[str] = "unknown-checkpoint-format"
    where: str
    found: int
    known: int

    def sentence(self) -> str:
        return (
            f"Checkpoint {self.where} has format {self.found}; this release reads format {self.known}. "
            "Restore it with the release that wrote it, or a later one."
        )


@dataclass(kw_only=True, eq=False)
class UnknownStateVersion(MillstreamError):
    """A part of a checkpoint in a layout that this release does not read."""

    code: ClassVar[str] = "unknown-state-version"
    what: str
    found: int
    known: int

    def sentence(self) -> str:
        return (
            f"{self.what} was written in version {self.found} of its layout; this release reads version {self.known}. "
            "Restore the checkpoint with the release that wrote it, or a later one."
        )


@dataclass(kw_only=True, eq=False)
class RestoreMismatch(MillstreamError):
    """A checkpoint that does not fit the job. `mismatches` has everything that does not fit, each with the fix."""

    code: ClassVar[str] = "restore-mismatch"
    where: str
    job_name: str
    mismatches: tuple[str, ...]

    def sentence(self) -> str:
        head = f"Checkpoint {self.where} does not fit job {self.job_name!r}"
        if len(self.mismatches) == 1:
            return f"{head}: {self.mismatches[0]}"
        return "\n".join([f"{head}, for {len(self.mismatches)} reasons:", *(f"  {n}. {each}" for n, each in enumerate(self.mismatches, 1))])


@dataclass(kw_only=True, eq=False)
class ResumeUndecided(MillstreamError):
    """Retained checkpoints of an unfinished run, and no word on what to do with them."""

    code: ClassVar[str] = "resume-undecided"
    job_name: str
    location: str
    checkpoint_id: int

    def sentence(self) -> str:
        return (
            f"An unfinished run of job {self.job_name!r} left checkpoint {self.checkpoint_id} at {self.location}. Say what to do with it: "
            "--resume auto goes on from it, --resume never starts afresh, --resume PATH takes another one (setting job.resume)."
        )


@dataclass(kw_only=True, eq=False)
class NoCheckpointToResume(MillstreamError):
    """A path given to resume from that holds no checkpoint."""

    code: ClassVar[str] = "no-checkpoint"
    path: str
    why: str

    def sentence(self) -> str:
        return f"There is no checkpoint to resume from at {self.path}: {self.why}. Give the folder of one checkpoint (…/chk-12), or --resume auto."


@dataclass(kw_only=True, eq=False)
class LeaderFenced(MillstreamError):
    """Another JobManager has taken over the job's checkpoints."""

    code: ClassVar[str] = "leader-fenced"
    job_name: str
    epoch: int
    newer: int

    def sentence(self) -> str:
        return (
            f"Leader {self.epoch} of job {self.job_name!r} has been replaced by leader {self.newer}, which owns the checkpoints now; this "
            "process wrote nothing and must end. Run one job of a name at a time, or give the second another name."
        )


@dataclass(kw_only=True, eq=False)
class CheckpointFailed(MillstreamError):
    """More checkpoints failed in a row than the job tolerates."""

    code: ClassVar[str] = "checkpoint-failed"
    permanent: ClassVar[bool] = False
    checkpoint_id: int
    reason: str
    tolerated: int

    def likeness(self) -> str:
        # Ids are never used again, and reasons name files, keys and addresses: with their numbers no two failures would be the same.
        return f"{type(self).__name__}: {re.sub(r'0x[0-9a-f]+|[0-9]+', '#', self.reason)}"

    def sentence(self) -> str:
        return (
            f"Checkpoint {self.checkpoint_id} failed: {self.reason.rstrip('.')}. The last completed checkpoint is intact. The job tolerates "
            f"{self.tolerated} failed checkpoints in a row (checkpoint.tolerable_failures); remove the cause or raise that number."
        )


@dataclass(kw_only=True, eq=False)
class SavepointFailed(MillstreamError):
    """A savepoint could not be taken, or the job could not be stopped as it was asked to. What was written of the savepoint is removed."""

    code: ClassVar[str] = "savepoint-failed"
    permanent: ClassVar[bool] = False
    job_name: str
    reason: str
    fix: str

    def sentence(self) -> str:
        return f"The savepoint of job {self.job_name!r} failed: {self.reason.rstrip('.')}. {self.fix}"


@dataclass(kw_only=True, eq=False)
class SavepointPending(MillstreamError):
    """A savepoint, or the end of a job with one, was not there within the time that somebody would wait."""

    code: ClassVar[str] = "savepoint-pending"
    job_name: str
    what: str
    timeout_s: float

    def sentence(self) -> str:
        return (
            f"The {self.what} of job {self.job_name!r} was not there after {self.timeout_s:g} s. It may still come; wait longer, or see what "
            "holds the job up."
        )


@dataclass(kw_only=True, eq=False)
class StopFailed(MillstreamError):
    """A job did not end in the way that `stop` asked for."""

    code: ClassVar[str] = "stop-failed"
    permanent: ClassVar[bool] = False
    job_name: str
    reason: str
    fix: str

    def sentence(self) -> str:
        return f"Job {self.job_name!r} was not stopped: {self.reason.rstrip('.')}. {self.fix}"


@dataclass(kw_only=True, eq=False)
class SavepointsUnsupported(MillstreamError):
    """A place for savepoints whose storage keeps none."""

    code: ClassVar[str] = "savepoints-unsupported"
    target: str
    storage: str

    def sentence(self) -> str:
        return (
            f"There can be no savepoint at {self.target}: {self.storage} does not keep any. Give a folder that every process of the job reaches, "
            "or the URL of a storage that outlives the job."
        )


@dataclass(kw_only=True, eq=False)
class NoSavepointTarget(MillstreamError):
    """A savepoint was asked for without saying where it goes."""

    code: ClassVar[str] = "savepoint-target-missing"
    job_name: str

    def sentence(self) -> str:
        return f"It is not known where the savepoint of job {self.job_name!r} goes. Give a folder, or set checkpoint.savepoint_dir."


@dataclass(kw_only=True, eq=False)
class CheckpointStorageFailed(MillstreamError):
    """What a job keeps beside its checkpoints, such as the record of its run, could not be read or written."""

    code: ClassVar[str] = "checkpoint-storage-failed"
    permanent: ClassVar[bool] = False
    job_name: str
    where: str
    reason: str

    def sentence(self) -> str:
        return (
            f"The checkpoint storage of job {self.job_name!r} at {self.where} cannot be used: {self.reason.rstrip('.')}. Checkpoints that are "
            "there are left as they are. See that the user who runs the job may write there and that there is room, or set "
            "checkpoint.storage to another place."
        )


@dataclass(kw_only=True, eq=False)
class NoCurrentKey(NotKeyed):
    """Keyed state of a keyed operator, used while no record and no timer is being processed."""

    code: ClassVar[str] = "no-current-key"
    operator: str = ""
    what: str = "keyed state"

    def sentence(self) -> str:
        return (
            f"{self.what.capitalize()} was used while no record and no timer was being processed (in open(), in close() or from a thread), "
            "so it belongs to no key. Use it while a record is processed or in on_timer()."
        )


@dataclass(kw_only=True, eq=False)
class StateDeclaredTwice(MillstreamError):
    """One name for two different states of an operator. `first` and `second` are descriptors as people read them."""

    code: ClassVar[str] = "state-declared-twice"
    operator: str
    state: str
    first: str
    second: str

    def sentence(self) -> str:
        return (
            f"Operator {self.operator!r} declares state {self.state!r} as {self.second}, but has declared it as {self.first} before. "
            "Give the two states different names."
        )


@dataclass(kw_only=True, eq=False)
class StateNotEncodable(MillstreamError):
    """A checkpoint could not be taken because something in a state has no encoded form. `entry` is the key, shortened, where known."""

    code: ClassVar[str] = "state-not-encodable"
    operator: str
    state: str
    entry: str
    reason: str

    def sentence(self) -> str:
        at = f" at key {self.entry}" if self.entry else ""
        return (
            f"State {self.state!r} of operator {self.operator!r} cannot be written to a checkpoint{at}: {self.reason} "
            "The state itself is intact; this checkpoint is declined."
        )


@dataclass(kw_only=True, eq=False)
class StateNotWrittenBack(MillstreamError):
    """Strict state: a function changed what it read from a state, or wrote to it, and did not write it back.

    Attributes:
        function: what the user's function is called.
        where: the key, and the entry or the window, in words; empty for the state of a subtask.
        before: what the state was given.
        after: what became of that.
        fix: the call that writes it back.
    """

    code: ClassVar[str] = "state-not-written-back"
    operator: str
    function: str
    state: str
    where: str
    before: str
    after: str
    fix: str

    def sentence(self) -> str:
        where = f" {self.where}" if self.where else ""
        return (
            f"State {self.state!r} of operator {self.operator!r}, function {self.function}, was changed{where} without being written back: "
            f"{self.before} became {self.after}. State that is kept as bytes loses such a change. "
            f"{self.fix}, or change a copy. If the function does so: a record that it stored or emitted was changed by who else has it; "
            "store and emit copies of such records."
        )


@dataclass(kw_only=True, eq=False)
class CheckpointFileTooLarge(MillstreamError, OSError):
    """A checkpoint file beyond what the memory checkpoint storage takes."""

    code: ClassVar[str] = "checkpoint-file-too-large"
    where: str
    limit_bytes: int

    def sentence(self) -> str:
        return (
            f"{self.where} is larger than {self.limit_bytes} bytes, the limit of the memory checkpoint storage. Keep checkpoints in files "
            "with set_checkpoint_storage('/path/to/folder'), or raise limit_bytes."
        )


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
        own = _user_frames(error)
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


def shorten(value: object, limit: int = 200) -> str:
    """repr of a value, cut in the middle when it is long; never raises."""
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 - a record's own __repr__ must not hide the real error
        text = f"<{type(value).__name__} whose repr raised {type(error).__name__}>"
    return text if len(text) <= limit else f"{text[: limit * 2 // 3]}…{text[-limit // 3 :]}"


def _raised_at(error: BaseException) -> str:
    """The line that raised, `file:line in function: code`; empty when it is not known."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}: {frames[-1].line}" if frames else ""


def _user_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Frames of the traceback that do not belong to the engine; all frames when none is left."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_ENGINE)]
    return own or list(frames)


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
class TimestampsLost(MillstreamError):
    """flat_map_batch on a stream with timestamps: nothing says which of them a result should have."""

    code: ClassVar[str] = "timestamps-lost"
    operator: str
    function: str

    def sentence(self) -> str:
        return (
            f"operator {self.operator!r} got records with timestamps, but nothing says which record a result of its flat_map_batch function "
            f"{self.function} comes from, so the results would have none. Use it in front of assign_timestamps_and_watermarks, or use "
            "map_batch or flat_map, which keep timestamps."
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
class MissingTimestamps(MillstreamError):
    """An event-time operator got records without event time."""

    code: ClassVar[str] = "missing-timestamps"
    operator: str

    def sentence(self) -> str:
        return (
            f"Operator {self.operator!r} works in event time, but its records carry no timestamps. Put "
            "assign_timestamps_and_watermarks(WatermarkStrategy...with_timestamp_assigner(...)) in front of it, or give the source a strategy."
        )


@dataclass(kw_only=True, eq=False)
class UnsupportedKey(MillstreamError):
    """A key that has no canonical bytes, or would not have the same ones each time."""

    code: ClassVar[str] = "unsupported-key"
    key: str
    type_name: str
    why: str
    fix: str
    operator: str | None = None

    def sentence(self) -> str:
        where = f" of operator {self.operator!r}" if self.operator else ""
        return f"The key {self.key}{where} cannot be used: {self.type_name} {self.why}. {self.fix}"


@dataclass(kw_only=True, eq=False)
class UnsupportedValue(MillstreamError):
    """A value, or a part of one, that the data codec cannot give back as it was."""

    code: ClassVar[str] = "unsupported-value"
    path: str
    type_name: str
    why: str
    fix: str

    def sentence(self) -> str:
        return f"{self.path} cannot be stored or sent: {self.type_name} {self.why}. {self.fix}"


@dataclass(kw_only=True, eq=False)
class DamagedState(MillstreamError):
    """Bytes that no serializer of this job wrote."""

    code: ClassVar[str] = "damaged-state"
    serializer: str
    reason: str

    def sentence(self) -> str:
        return (
            f"Bytes that should hold {self.serializer} were refused: {self.reason}. They were damaged or not written by Millstream; nothing "
            "in them was executed. Restore an older checkpoint (millstream checkpoints list)."
        )


@dataclass(kw_only=True, eq=False)
class ChangedClass(MillstreamError):
    """A stored object whose class is gone or has other fields now."""

    code: ClassVar[str] = "changed-class"
    class_name: str
    why: str

    def sentence(self) -> str:
        return (
            f"Stored objects of class {self.class_name} cannot be read: {self.why}. The data codec reads a class only as it was written. "
            "Bring the class back as it was. To change it, first run the job with its type declared (output_type=, or the type of the state's "
            "descriptor) until a checkpoint has completed: typed state can follow a class that changes."
        )


@dataclass(kw_only=True, eq=False)
class TypeNotCarried(MillstreamError):
    """A declared type that has no typed serializer."""

    code: ClassVar[str] = "type-not-carried"
    type_name: str
    reason: str

    def sentence(self) -> str:
        return (
            f"The declared type {self.type_name} cannot be written: {self.reason}. Declare a type that msgspec carries (for several classes "
            "in one place: Structs with tag=True), call register_serializer for the type in question, or declare none and use the data codec."
        )


@dataclass(kw_only=True, eq=False)
class ValueNotOfType(MillstreamError):
    """A value that its declared type would not give back as it was."""

    code: ClassVar[str] = "value-not-of-type"
    expected: str
    actual: str
    value: str
    detail: str

    def sentence(self) -> str:
        return (
            f"The value {self.value}, {self.actual}, does not come back equal from its declared type {self.expected}: {self.detail}. Make "
            "the function return what was declared, or correct the declaration (output_type=, or the type of the state's descriptor)."
        )


@dataclass(kw_only=True, eq=False)
class ValueNotEvolved(MillstreamError):
    """A stored value that the type which is declared now cannot take."""

    code: ClassVar[str] = "value-not-evolved"
    stored: str
    wanted: str
    value: str
    reason: str
    fix: str = "Bring the type back as it was, or declare a migration that takes such values (schema_evolution)."

    def sentence(self) -> str:
        return f"The stored value {self.value}, written as {self.stored}, cannot become {self.wanted}: {self.reason}. {self.fix}"


@dataclass(kw_only=True, eq=False)
class SerializerAlreadyRegistered(MillstreamError):
    """Two serializers for one type, or two of one name."""

    code: ClassVar[str] = "serializer-already-registered"
    name: str
    type_name: str
    other: str

    def sentence(self) -> str:
        return (
            f"Serializer {self.name!r} for {self.type_name} clashes with {self.other}, which is registered already. Register each type "
            "once, under a name of its own."
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


@dataclass(kw_only=True, eq=False)
class PathUnusable(MillstreamError):
    """A file or folder that a source, sink or checkpoint storage was given cannot be used."""

    code: ClassVar[str] = "path-unusable"
    what: str
    path: str
    reason: str
    fix: str

    def sentence(self) -> str:
        return f"{self.what} {self.path} cannot be used: {self.reason}. {self.fix}."


@dataclass(kw_only=True, eq=False)
class FileChanged(MillstreamError):
    """A file is no longer what it was when the source found it. The `now_` fields are None when it is gone."""

    code: ClassVar[str] = "file-changed"
    path: str
    size_bytes: int
    modified_ns: int
    now_size_bytes: int | None = None
    now_modified_ns: int | None = None

    def sentence(self) -> str:
        was = f"{self.size_bytes:,} bytes, modified at {self.modified_ns} ns"
        now = "is gone" if self.now_size_bytes is None else f"has {self.now_size_bytes:,} bytes, modified at {self.now_modified_ns} ns"
        return (
            f"{self.path} had {was}, when the source found it, and now {now}: positions in it, and what was read of it, do not hold any "
            "more. A file must not change once the source can see it: write it under a name that starts with '.' or '_', and rename it "
            "when it is complete. Put the old file back (with its modification time, as `cp -p` does), or start afresh with --resume never."
        )


@dataclass(kw_only=True, eq=False)
class FileHeaderInvalid(MillstreamError):
    """The first line of a file does not name the columns that the format needs."""

    code: ClassVar[str] = "file-header-invalid"
    path: str
    reason: str

    def sentence(self) -> str:
        stop = "" if self.reason.endswith("?") else "."
        return f"The first line of {self.path} is not the expected header: {self.reason}{stop} Correct the file, or the format's columns."


@dataclass(kw_only=True, eq=False)
class InvalidTimestamp(MillstreamError):
    """A timestamp assigner gave something that is no event time."""

    code: ClassVar[str] = "invalid-timestamp"
    record: str
    timestamp: str

    @classmethod
    def of(cls, value: object, stamp: object) -> InvalidTimestamp:
        """From the record and what the assigner gave for it."""
        return cls(record=shorten(value), timestamp=shorten(stamp))

    def sentence(self) -> str:
        return (
            f"The timestamp assigner gave {self.timestamp} for record {self.record}. Event time is an int: milliseconds since the epoch, UTC, "
            "in 64 bits. For a datetime use int(when.timestamp() * 1000)."
        )


@dataclass(kw_only=True, eq=False)
class MalformedRecord(MillstreamError):
    """Input that is not a record of its format."""

    code: ClassVar[str] = "malformed-record"
    source_uid: str
    position: str
    record: str
    error: str

    def sentence(self) -> str:
        return (
            f"{self.position}: {self.error}. The record is {self.record} (source {self.source_uid!r}). Correct it, or give the source "
            "on_error='skip' or on_error=dead_letter(sink)."
        )


@dataclass(kw_only=True, eq=False)
class StateIncompatible(MillstreamError):
    """A state of the checkpoint cannot be read as the job declares it now. `reason` ends with what to do about it."""

    code: ClassVar[str] = "state-incompatible"
    operator: str
    state: str
    stored: str
    wanted: str
    reason: str

    def sentence(self) -> str:
        return (
            f"State {self.state!r} of operator {self.operator!r} was stored as {self.stored} and is declared as {self.wanted} now, which "
            f"cannot read it: {self.reason} No record has been processed. To give the state up instead, start afresh with --resume never."
        )


@dataclass(kw_only=True, eq=False)
class UndeclaredState(MillstreamError):
    """A checkpoint holds a state that the operator no longer declares."""

    code: ClassVar[str] = "undeclared-state"
    operator: str
    uid: str
    state: str

    def sentence(self) -> str:
        return (
            f"The checkpoint holds state {self.state!r} of operator {self.operator!r} (uid {self.uid!r}), which the operator does not declare in "
            "open(). It would be lost. Declare it (and clear it where it is no longer needed), or leave it behind with --allow-non-restored-state "
            "(setting job.allow_non_restored_state)."
        )


@dataclass(kw_only=True, eq=False)
class NoDurableStorage(MillstreamError):
    """Checkpointing is on, but nobody said where checkpoints go."""

    code: ClassVar[str] = "no-checkpoint-storage"
    job_name: str

    def sentence(self) -> str:
        return (
            f"Job {self.job_name!r} takes checkpoints, but checkpoint.storage is not set. Give a folder, for example "
            "env.checkpoint_config.set_checkpoint_storage('./checkpoints'), or 'memory' for tests."
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
class EmptyJob(MillstreamError):
    """Nothing to execute."""

    code: ClassVar[str] = "empty-job"

    def sentence(self) -> str:
        return "The environment holds no stream that is consumed: there is nothing to execute. Add a source, and sink_to(...) or print()."


@dataclass(kw_only=True, eq=False)
class MissingUid(MillstreamError):
    """Something that is kept in checkpoints has no uid."""

    code: ClassVar[str] = "missing-uid"
    operator: str

    def sentence(self) -> str:
        return (
            f"Operator {self.operator!r} keeps something in checkpoints and has no uid, so a later version of the job could not find it again. "
            "Give it one: uid='...'."
        )


@dataclass(kw_only=True, eq=False)
class DuplicateUid(MillstreamError):
    """Two operators with one uid."""

    code: ClassVar[str] = "duplicate-uid"
    uid: str
    first: str
    second: str

    def sentence(self) -> str:
        return f"Operators {self.first!r} and {self.second!r} both have uid {self.uid!r}. Give each its own."


@dataclass(kw_only=True, eq=False)
class InvalidParallelism(MillstreamError):
    """A parallelism that cannot be."""

    code: ClassVar[str] = "invalid-parallelism"
    operator: str
    what: str
    fix: str

    def sentence(self) -> str:
        return f"Operator {self.operator} {self.what}. {self.fix}"


@dataclass(kw_only=True, eq=False)
class JobFailedError(MillstreamError):
    """A job ended as FAILED."""

    code: ClassVar[str] = "job-failed"
    job_name: str
    cause: str
    restarts: int
    last_checkpoint: str | None

    def sentence(self) -> str:
        kept = f" Its last checkpoint is kept at {self.last_checkpoint}." if self.last_checkpoint else ""
        again = f" after {self.restarts} restarts" if self.restarts else ""
        return f"{self.cause}\nJob {self.job_name!r} failed{again}.{kept}"


@dataclass(kw_only=True, eq=False)
class ServerUnreachable(MillstreamError):
    """A server does not accept connections, or broke one off, as often as it was tried. `tries` counts the last ones in a row."""

    code: ClassVar[str] = "server-unreachable"
    what: str
    host: str
    port: int
    reason: str
    tries: int
    fix: str

    def sentence(self) -> str:
        tried = f" after {self.tries} tries" if self.tries > 1 else ""
        return f"{self.what} cannot read from {self.host}:{self.port}{tried}: {self.reason}. {self.fix}"


@dataclass(kw_only=True, eq=False)
class SinkNotPortable(MillstreamError):
    """A sink that lives in the caller's process was about to be sent to another one."""

    code: ClassVar[str] = "sink-not-portable"
    sink: str
    reason: str

    def sentence(self) -> str:
        return f"{self.sink} cannot be sent to another process: {self.reason}. Run the job inside this process, or write to another sink."


@dataclass(kw_only=True, eq=False)
class JobStillRunning(MillstreamError):
    """A job did not end within the time that somebody would wait."""

    code: ClassVar[str] = "job-still-running"
    job_name: str
    timeout_s: float

    def sentence(self) -> str:
        return f"Job {self.job_name!r} did not end within {self.timeout_s:g} s. Wait longer, or end it with stop() or cancel()."


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
        return cls(error=f"{type(error).__name__}: {error}", line=_raised_at(error), sink=sink, uid=uid, subtask=subtask, job=job)

    def sentence(self) -> str:
        return (
            f"{self.error}\n  {self.line}\nraised by sink {self.sink!r} (uid {self.uid!r}), subtask {self.subtask} of job {self.job!r}. See "
            "whether its target can be reached and has room, and whether the job may write to it."
        )


@dataclass(kw_only=True, eq=False)
class TaskFailed(MillstreamError):
    """A task ended with an exception that nobody on its way knew: of a connector, a backend, the system.

    Attributes:
        error: type and message of the exception.
        notes: what was noted on it.
        line: where it was raised, `file:line in function: code`.
    """

    code: ClassVar[str] = "task-failed"
    permanent: ClassVar[bool] = False
    error: str
    notes: tuple[str, ...]
    line: str
    task: str
    subtask: int
    job: str

    @classmethod
    def of(cls, error: Exception, *, task: str, subtask: int, job: str) -> TaskFailed:
        """From the exception."""
        notes = tuple(getattr(error, "__notes__", ()))
        made = cls(error=f"{type(error).__name__}: {error}", notes=notes, line=_raised_at(error), task=task, subtask=subtask, job=job)
        made.__cause__ = error
        return made

    def likeness(self) -> str:
        # The same trouble of another subtask is the same trouble.
        return self.error

    def sentence(self) -> str:
        return (
            "\n".join([self.error, *self.notes, f"  {self.line}"])
            + f"\nraised in task {self.task!r}, subtask {self.subtask} of job {self.job!r}. See whether what the task reads and writes can be "
            "reached and used; correct what raised it, if that is code of your own."
        )


@dataclass(kw_only=True, eq=False)
class TaskManagerLost(MillstreamError):
    """A task manager that ran tasks of the job is gone. `reason` is what is known of its end."""

    code: ClassVar[str] = "task-manager-lost"
    permanent: ClassVar[bool] = False
    task_manager: str
    job: str
    reason: str

    def likeness(self) -> str:
        # The next one has another name. What a record does to each process that meets it must not look new each time.
        return f"{type(self).__name__}: {self.reason}"

    def sentence(self) -> str:
        return (
            f"Task manager {self.task_manager} of job {self.job!r} was lost: {self.reason.rstrip('.')}. If nobody ended it, see the log of the "
            "system: where memory runs out, the kernel kills processes. Give the job more of it, less state, or fewer processes then."
        )


@dataclass(kw_only=True, eq=False)
class JobManagerLost(MillstreamError):
    """The process with the JobManager of a job is gone. `end` is how it ended."""

    code: ClassVar[str] = "job-manager-lost"
    permanent: ClassVar[bool] = False
    job: str
    end: str

    def sentence(self) -> str:
        return (
            f"The JobManager of job {self.job!r} was lost: {self.end}. If nobody ended it, see the log of the system: where memory runs out, "
            "the kernel kills processes."
        )


@dataclass(kw_only=True, eq=False)
class RecordNotSendable(MillstreamError):
    """A record cannot go from one process to another."""

    code: ClassVar[str] = "record-not-sendable"
    record: str
    reason: str
    task: str
    subtask: int
    job: str

    def sentence(self) -> str:
        return (
            f"Record {self.record} cannot be sent to another process: {self.reason}\nIt was emitted by task {self.task!r}, subtask "
            f"{self.subtask} of job {self.job!r}. Or run the job in one process (execution.processes=none)."
        )


@dataclass(kw_only=True, eq=False)
class JobNotSendable(MillstreamError):
    """Something of a job cannot go to another process: a function of the user's, or what it refers to."""

    code: ClassVar[str] = "job-not-sendable"
    job: str
    task: str
    reason: str

    def sentence(self) -> str:
        return (
            f"Task {self.task!r} of job {self.job!r} cannot be sent to another process: {self.reason}. A function may not refer to open files, "
            "connections, locks or the like: make them in open() of a rich function. Or run the job in one process (execution.processes=none)."
        )


@dataclass(kw_only=True, eq=False)
class JobCodeUnusable(MillstreamError):
    """A TaskManager process cannot import the script of the job, or what the job's functions need.

    Attributes:
        what: that could not be loaded.
        error: type and message of what it raised.
        line: where, `file:line in function: code`.
    """

    code: ClassVar[str] = "job-code-unusable"
    what: str
    job: str
    error: str
    line: str

    @classmethod
    def of(cls, error: BaseException, *, what: str, job: str) -> JobCodeUnusable:
        """From the exception."""
        own = _user_frames(error)
        line = f"{own[-1].filename}:{own[-1].lineno} in {own[-1].name}: {own[-1].line}" if own else ""
        made = cls(what=what, job=job, error=f"{type(error).__name__}: {error}", line=line)
        made.__cause__ = error
        return made

    def sentence(self) -> str:
        return (
            f"{self.error}\n  {self.line}\nraised while a process of job {self.job!r} loaded {self.what}. Such a process imports the script and its "
            'modules anew: functions and classes belong at the top level of a module, outside of `if __name__ == "__main__":`, and '
            "modules where that process finds them. Or run the job in one process (execution.processes=none)."
        )


@dataclass(kw_only=True, eq=False)
class MissingMainGuard(MillstreamError):
    """The script starts its job also when it is only imported."""

    code: ClassVar[str] = "missing-main-guard"
    script: str

    def sentence(self) -> str:
        return (
            f"{self.script} executes a job when it is imported, which each process of a job with several processes does. Put what builds and "
            'executes the job into a function and call that at the end of the script, under\n\n    if __name__ == "__main__":\n        main()\n\n'
            "Or run the job in one process (execution.processes=none)."
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


@dataclass(kw_only=True, eq=False)
class NoCheckpoints(MillstreamError):
    """A path given to look at checkpoints that holds none."""

    code: ClassVar[str] = "no-checkpoints"
    path: str
    why: str

    def sentence(self) -> str:
        return (
            f"There are no checkpoints at {self.path}: {self.why}. Give a checkpoint folder, the folder of a job in it, or that of one "
            "checkpoint (…/chk-12)."
        )


@dataclass(kw_only=True, eq=False)
class NoProgram(MillstreamError):
    """A script was to be shown or checked, and executed no job."""

    code: ClassVar[str] = "no-program"
    script: str
    built: str

    def sentence(self) -> str:
        what = f"It built a program ({self.built}), but never called env.execute()" if self.built else "It built no program"
        return f"{self.script} executed no job. {what}. If it needs arguments to do so, give them behind `--`."


@dataclass(kw_only=True, eq=False)
class ControlFolderUnusable(MillstreamError):
    """The folder where running jobs have their sockets cannot be used, or others could reach into it."""

    code: ClassVar[str] = "control-folder-unusable"
    path: str
    reason: str

    def sentence(self) -> str:
        return (
            f"The folder {self.path}, where running jobs can be reached, cannot be used: {self.reason}. Remove it, or name another one that "
            "belongs to you alone with control.folder."
        )


@dataclass(kw_only=True, eq=False)
class ControlRequestInvalid(MillstreamError):
    """What came over the socket of a running job is no request, or no answer, of this version."""

    code: ClassVar[str] = "control-request-invalid"
    reason: str

    def sentence(self) -> str:
        return f"What was said over the socket of a running job is not understood: {self.reason}. Use the same version of millstream for both."


@dataclass(kw_only=True, eq=False)
class UnknownJob(MillstreamError):
    """No running job of this user has that name."""

    code: ClassVar[str] = "unknown-job"
    wanted: str
    running: list[str]

    def sentence(self) -> str:
        known = f"Running: {', '.join(self.running)}" if self.running else "No job of this user runs on this machine"
        return (
            f"There is no running job {self.wanted!r}.{did_you_mean(self.wanted, self.running)} {known}. `millstream jobs` lists them; a job with "
            "control.enabled = false is not among them."
        )


@dataclass(kw_only=True, eq=False)
class AmbiguousJob(MillstreamError):
    """Several running jobs have that name."""

    code: ClassVar[str] = "ambiguous-job"
    wanted: str
    running: list[str]

    def sentence(self) -> str:
        return f"{len(self.running)} running jobs are called {self.wanted!r}. Name one of them: {', '.join(self.running)}."


@dataclass(kw_only=True, eq=False)
class JobUnreachable(MillstreamError):
    """A running job did not answer, or its process ended meanwhile."""

    code: ClassVar[str] = "job-unreachable"
    job: str
    pid: int
    reason: str

    def sentence(self) -> str:
        return f"Job {self.job!r} (process {self.pid}) {self.reason}. `millstream jobs` says whether it still runs."


@dataclass(kw_only=True, eq=False)
class RequestRefused(MillstreamError):
    """A running job does not do what it was asked."""

    code: ClassVar[str] = "request-refused"
    job: str
    reason: str

    def sentence(self) -> str:
        return f"Job {self.job!r} refused: {self.reason}"
