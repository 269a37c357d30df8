"""The settings: mistakes, where each value is from, and values that contradict each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.cli.doctor.finding import ok, problem, warning
from millstream.config import Layer
from millstream.errors import MillstreamError, SettingInvalid, SettingsConflict, UnknownSetting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millstream.cli.doctor.finding import Finding
    from millstream.config import Resolved, Settings
    from millstream.plugins import PluginManager, Role

_SET_STORAGE = "Set checkpoint.storage to a folder, for example with --checkpoint-dir checkpoints"


def mistake_finding(error: MillstreamError) -> Finding:
    """About a setting that is refused."""
    if isinstance(error, UnknownSetting):
        fix = f"Write {error.suggestion!r}" if error.suggestion else "Remove it; `millstream config` lists every setting"
        return problem("settings", f"There is no setting {error.key!r} ({error.origin}).", fix)
    if isinstance(error, SettingInvalid):
        return problem("settings", f"{error.key} is {error.value} ({error.origin}), which is not allowed.", f"Allowed: {error.allowed}")
    if isinstance(error, SettingsConflict):
        said = " and ".join(f"{key} is {value} ({error.origins.get(key, 'code')})" for key, value in error.values.items())
        return problem("settings", f"{said}: {error.reason}.", error.fix)
    return problem("settings", str(error), "Correct what is named here, or remove it")


def setting_findings(resolved: Resolved, plugins: PluginManager, *, of_job: bool) -> Iterator[Finding]:
    """About settings that are allowed.

    Args:
        of_job: what a program sets itself is among them; without a program it may still set what is missing.
    """
    given = [value for value in resolved.values if value.origin.layer is not Layer.DEFAULT]
    for value in given:
        yield ok("settings", f"{value.key} is {value.text} ({value.origin}).")
    if not given:
        yield ok("settings", "Every setting has its default.")
    yield from _contradictions(resolved.settings, of_job=of_job)
    yield from _names(resolved, plugins)


def _contradictions(settings: Settings, *, of_job: bool) -> Iterator[Finding]:
    checkpoint, wanted = settings.checkpoint, settings.job.guarantee
    if checkpoint.interval is not None and checkpoint.storage is None:
        what = "checkpoint.interval is set, but checkpoint.storage is not: a job that takes checkpoints and has nowhere to keep them is refused."
        yield problem("settings", what, _SET_STORAGE) if of_job else warning("settings", what, f"{_SET_STORAGE}, or in each program")
    if checkpoint.interval is not None and checkpoint.storage == "memory":
        what = "checkpoint.storage is memory: checkpoints end with the process, and a job that is killed starts afresh."
        yield warning("settings", what, _SET_STORAGE)
    if checkpoint.interval is None and checkpoint.storage is not None and of_job:
        what = "checkpoint.storage is set, but checkpoint.interval is not: the only checkpoint is the one at the end of the input."
        yield warning("settings", what, "Set checkpoint.interval, for example to 10s")
    if checkpoint.interval is not None and checkpoint.timeout < checkpoint.interval / 10:
        what = "checkpoint.timeout is less than a tenth of checkpoint.interval: checkpoints that there is time for are given up."
        yield warning("settings", what, "Raise checkpoint.timeout, or leave it out")
    if wanted == "exactly_once" and checkpoint.mode != "exactly_once":
        what = f"job.guarantee is exactly_once, but checkpoint.mode is {checkpoint.mode}: every job is refused."
        yield problem("settings", what, "Set checkpoint.mode to exactly_once, or job.guarantee to at_least_once")
    if wanted not in (None, "at_most_once") and checkpoint.interval is None and of_job:
        what = f"job.guarantee is {wanted}, but checkpoint.interval is not set: without checkpoints a job gives at_most_once, and is refused."
        yield problem("settings", what, "Set checkpoint.interval, for example to 10s")


def _names(resolved: Resolved, plugins: PluginManager) -> Iterator[Finding]:
    """Names of plugins that nobody offers."""
    settings = resolved.settings
    asked: list[tuple[str, Role, str]] = [("state.backend", "state_backend", settings.state.backend)]
    asked += [("metrics.reporters", "metrics_reporter", name.partition(":")[0]) for name in settings.metrics.reporters]
    for key, role, name in asked:
        try:
            plugins.find(role, name)
        except MillstreamError as error:
            what, _, fix = str(error).partition(". ")
            yield problem("settings", f"{key} is {name} ({resolved[key].origin}). {what}.", fix or f"Leave {key} out")
