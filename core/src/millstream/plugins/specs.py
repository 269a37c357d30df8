"""The hooks of Millstream: what a plugin may offer, and what it is told.

A plugin is a module that a distribution names under the entry-point group `millstream`, with functions marked `@hookimpl`. The
first eight hooks yield frozen records of `millstream.plugins.entries`, which import nothing heavy. The notices are told, and what
they return is ignored.

A new fact becomes a new field of a record, never a new argument of a hook: that would break whoever implements it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pluggy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from millstream.plugins.entries import (
        CheckpointStorageEntry,
        CliCommandEntry,
        ClusterBackendEntry,
        FormatEntry,
        MetricsReporterEntry,
        SinkEntry,
        SourceEntry,
        StateBackendEntry,
    )
    from millstream.plugins.notices import CheckpointCompleted, JobFailed, JobStarted

PROJECT: Final = "millstream"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def millstream_sources() -> Iterable[SourceEntry]:
    """Offer sources by name.

    Called once, when plugins are listed or a job is built, in no promised order. Return entries rather than sources: an entry
    names a factory that is imported only if a job uses it, so a plugin whose native library is missing costs nothing to jobs that
    never mention it.

    Two entries with one name stop the job that asks for it; the error names both distributions.

    Since: contract 1.
    """
    return ()


@hookspec
def millstream_sinks() -> Iterable[SinkEntry]:
    """Offer sinks by name; otherwise as `millstream_sources`. Since: contract 1."""
    return ()


@hookspec
def millstream_state_backends() -> Iterable[StateBackendEntry]:
    """Offer state backends, for the setting `state.backend`; otherwise as `millstream_sources`. Since: contract 1."""
    return ()


@hookspec
def millstream_checkpoint_storages() -> Iterable[CheckpointStorageEntry]:
    """Offer checkpoint storages, for the setting `checkpoint.storage`; otherwise as `millstream_sources`. Since: contract 1."""
    return ()


@hookspec
def millstream_cluster_backends() -> Iterable[ClusterBackendEntry]:
    """Offer ways to get worker processes; otherwise as `millstream_sources`. Since: contract 1."""
    return ()


@hookspec
def millstream_formats() -> Iterable[FormatEntry]:
    """Offer formats, which turn bytes into records and back; otherwise as `millstream_sources`. Since: contract 1."""
    return ()


@hookspec
def millstream_metrics_reporters() -> Iterable[MetricsReporterEntry]:
    """Offer metrics reporters, for the setting `metrics.reporters`; otherwise as `millstream_sources`. Since: contract 1."""
    return ()


@hookspec
def millstream_cli_commands() -> Iterable[CliCommandEntry]:
    """Offer commands of `millstream`; the factory is a click command. Otherwise as `millstream_sources`. Since: contract 1."""
    return ()


@hookspec
def millstream_job_started(notice: JobStarted) -> None:
    """Told when all tasks of a job run, also after a restart. Return soon: the job waits.

    An exception is logged and changes nothing. Since: contract 1.
    """


@hookspec
def millstream_checkpoint_completed(notice: CheckpointCompleted) -> None:
    """Told when a checkpoint is durable; otherwise as `millstream_job_started`. Since: contract 1."""


@hookspec
def millstream_job_failed(notice: JobFailed) -> None:
    """Told when a job has failed for good, restarts included; otherwise as `millstream_job_started`. Since: contract 1."""
