"""The plugins: whether each can be loaded, and everything that it offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.cli.doctor.finding import ok, problem, warning
from millstream.errors import PluginContractMismatch, PluginLoadFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from millstream.cli.doctor.finding import Finding
    from millstream.plugins import Entry, LoadedPlugin, PluginFailure, PluginManager


def plugin_findings(plugins: PluginManager) -> Iterator[Finding]:
    """One for each plugin that works, and one for each thing that does not. Imports all factories."""
    for plugin in plugins.plugins:
        failed = [finding for entry in plugin.entries if (finding := _entry_finding(entry)) is not None]
        yield from failed or [ok("plugins", f"{plugin.dist} {plugin.version}: {_offers(plugin)} can be loaded.")]
    for failure in plugins.failures:
        yield _failure_finding(failure)
    for duplicate in plugins.duplicates:
        what = f"The {duplicate.role} {duplicate.name!r} is offered by {' and by '.join(duplicate.dists)}: a job that asks for it is refused."
        yield problem("plugins", what, f"Uninstall all but one: pip uninstall {duplicate.dists[-1]}")


def _offers(plugin: LoadedPlugin) -> str:
    return ", ".join(entry.label for entry in plugin.entries) or "its notices"


def _entry_finding(entry: Entry) -> Finding | None:
    try:
        entry.load()
        entry.load_options()
        entry.load_capabilities()
    except PluginLoadFailed as error:
        missing = _missing_library(error, entry)
        if missing:
            what = f"{entry.label} of {entry.dist} needs the library {missing!r}, which is not installed. Jobs that do not use it run all the same."
            return warning("plugins", what, f"Install what provides {missing!r}, for example with pip install {missing}")
        what = f"{entry.label} of {entry.dist} cannot be loaded: importing {error.target} failed with {error.reason}."
        return problem("plugins", what, f"pip install --upgrade --force-reinstall {entry.dist}")
    return None


def _missing_library(error: PluginLoadFailed, entry: Entry) -> str:
    """Name of a module that is not the plugin's own and not there; empty when that is not what is wrong."""
    cause = error.__cause__
    if not isinstance(cause, ModuleNotFoundError) or not cause.name:
        return ""
    library = cause.name.partition(".")[0]
    return "" if library == error.target.partition(":")[0].partition(".")[0] else library


def _failure_finding(failure: PluginFailure) -> Finding:
    what = f"{failure.dist} {failure.version}, plugin {failure.entry_point!r}, cannot be loaded: {failure.error}."
    if isinstance(failure.cause, PluginContractMismatch):
        return problem("plugins", what, "Upgrade the older side: pip install --upgrade millstream-core " + failure.dist)
    if isinstance(failure.cause, ModuleNotFoundError) and failure.cause.name:
        return problem("plugins", what, f"Install what provides {failure.cause.name!r}, or remove the plugin: pip uninstall {failure.dist}")
    return problem(
        "plugins", what, f"pip install --upgrade {failure.dist}, or pip uninstall {failure.dist}; `millstream plugins` shows the traceback"
    )
