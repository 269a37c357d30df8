"""Every exception Millstream raises: its fields, its code, and a sentence that ends with the fix.

Callers and tests read the fields; people read the sentence. A class builds its sentence from its fields, so the
two cannot disagree. `code` is stable across releases and is what logs and other tools should match on.
"""

from __future__ import annotations

from millstream.errors.base import MillstreamError, did_you_mean, shorten
from millstream.errors.checkpoints import (
    CheckpointFailed,
    CheckpointFileTooLarge,
    CheckpointStorageFailed,
    DamagedCheckpoint,
    LeaderFenced,
    NoCheckpoints,
    NoDurableStorage,
    UnknownCheckpointFormat,
    UnknownStateVersion,
)
from millstream.errors.event_time import InvalidTimestamp, MissingTimestamps, TimestampsLost
from millstream.errors.functions import (
    BatchFunctionFailed,
    KeySelectorFailed,
    NotCopyable,
    TimerLoop,
    UnknownSideOutput,
    UserFunctionFailed,
    WrongBatchLength,
)
from millstream.errors.graph import DuplicateUid, EmptyJob, InvalidParallelism, MissingUid, NoProgram
from millstream.errors.inputs import FileChanged, FileHeaderInvalid, MalformedRecord, PathUnusable, ServerUnreachable
from millstream.errors.jobs import (
    AmbiguousJob,
    ControlFolderUnusable,
    ControlRequestInvalid,
    JobFailedError,
    JobStillRunning,
    JobUnreachable,
    RequestRefused,
    UnknownJob,
)
from millstream.errors.keys import KeyedStreamFixed, NoCurrentKey, NotKeyed, UnsupportedKey
from millstream.errors.options import InvalidArgument, InvalidName, UnknownCrashPoint, UnknownOption
from millstream.errors.plugins import (
    DuplicatePlugin,
    PluginBroken,
    PluginContractMismatch,
    PluginEntryInvalid,
    PluginHooksInvalid,
    PluginLoadFailed,
    UnknownPlugin,
)
from millstream.errors.processes import (
    JobCodeUnusable,
    JobManagerLost,
    JobNotSendable,
    MissingMainGuard,
    RecordNotSendable,
    TaskFailed,
    TaskManagerLost,
)
from millstream.errors.restore import NoCheckpointToResume, RestoreMismatch, ResumeUndecided, StateIncompatible, UndeclaredState
from millstream.errors.savepoints import NoSavepointTarget, SavepointFailed, SavepointPending, SavepointsUnsupported, StopFailed
from millstream.errors.settings import SecretUnavailable, SettingInvalid, SettingsConflict, SettingsFileInvalid, UnknownSetting
from millstream.errors.sinks import (
    Fenced,
    GuaranteeNotMet,
    LostEpoch,
    PreparedTooShort,
    RecordRefused,
    RewoundTarget,
    SinkContractChanged,
    SinkFailed,
    SinkNotPortable,
    TargetLostData,
)
from millstream.errors.state import StateDeclaredTwice, StateNotEncodable, StateNotWrittenBack
from millstream.errors.values import (
    ChangedClass,
    DamagedState,
    SerializerAlreadyRegistered,
    TypeNotCarried,
    UnsupportedValue,
    ValueNotEvolved,
    ValueNotOfType,
)

__all__ = [
    "AmbiguousJob",
    "BatchFunctionFailed",
    "ChangedClass",
    "CheckpointFailed",
    "CheckpointFileTooLarge",
    "CheckpointStorageFailed",
    "ControlFolderUnusable",
    "ControlRequestInvalid",
    "DamagedCheckpoint",
    "DamagedState",
    "DuplicatePlugin",
    "DuplicateUid",
    "EmptyJob",
    "Fenced",
    "FileChanged",
    "FileHeaderInvalid",
    "GuaranteeNotMet",
    "InvalidArgument",
    "InvalidName",
    "InvalidParallelism",
    "InvalidTimestamp",
    "JobCodeUnusable",
    "JobFailedError",
    "JobManagerLost",
    "JobNotSendable",
    "JobStillRunning",
    "JobUnreachable",
    "KeySelectorFailed",
    "KeyedStreamFixed",
    "LeaderFenced",
    "LostEpoch",
    "MalformedRecord",
    "MillstreamError",
    "MissingMainGuard",
    "MissingTimestamps",
    "MissingUid",
    "NoCheckpointToResume",
    "NoCheckpoints",
    "NoCurrentKey",
    "NoDurableStorage",
    "NoProgram",
    "NoSavepointTarget",
    "NotCopyable",
    "NotKeyed",
    "PathUnusable",
    "PluginBroken",
    "PluginContractMismatch",
    "PluginEntryInvalid",
    "PluginHooksInvalid",
    "PluginLoadFailed",
    "PreparedTooShort",
    "RecordNotSendable",
    "RecordRefused",
    "RequestRefused",
    "RestoreMismatch",
    "ResumeUndecided",
    "RewoundTarget",
    "SavepointFailed",
    "SavepointPending",
    "SavepointsUnsupported",
    "SecretUnavailable",
    "SerializerAlreadyRegistered",
    "ServerUnreachable",
    "SettingInvalid",
    "SettingsConflict",
    "SettingsFileInvalid",
    "SinkContractChanged",
    "SinkFailed",
    "SinkNotPortable",
    "StateDeclaredTwice",
    "StateIncompatible",
    "StateNotEncodable",
    "StateNotWrittenBack",
    "StopFailed",
    "TargetLostData",
    "TaskFailed",
    "TaskManagerLost",
    "TimerLoop",
    "TimestampsLost",
    "TypeNotCarried",
    "UndeclaredState",
    "UnknownCheckpointFormat",
    "UnknownCrashPoint",
    "UnknownJob",
    "UnknownOption",
    "UnknownPlugin",
    "UnknownSetting",
    "UnknownSideOutput",
    "UnknownStateVersion",
    "UnsupportedKey",
    "UnsupportedValue",
    "UserFunctionFailed",
    "ValueNotEvolved",
    "ValueNotOfType",
    "WrongBatchLength",
    "did_you_mean",
    "shorten",
]

for _name in __all__:
    if isinstance(globals()[_name], type):
        globals()[_name].__module__ = __name__  # where it is imported from, and what tracebacks are to show
