"""The plugins of this installation: what they offer, which of them are broken, and who is told of what happens to jobs."""

from __future__ import annotations

import logging
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import TYPE_CHECKING, Final, Literal

from millstream.__about__ import __version__
from millstream.errors import DuplicatePlugin, InvalidArgument
from millstream.plugins.entries import ROLES, Entry
from millstream.plugins.failure import PluginFailure
from millstream.plugins.loader import Candidate, LoadedPlugin, load_apart
from millstream.plugins.lookup import duplicates_among, find_entry
from millstream.plugins.specs import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from millstream.plugins.notices import CheckpointCompleted, JobFailed, JobStarted

Role = Literal["source", "sink", "state_backend", "checkpoint_storage", "cluster_backend", "format", "metrics_reporter", "cli_command"]

GROUP: Final = PROJECT
"""The entry-point group of plugins."""

CORE_DIST: Final = "millstream-core"

_log = logging.getLogger("millstream.plugins")


class PluginManager:
    """A set of plugins, each loaded apart: a broken one is kept as a failure and harms nobody who does not ask for it.

    What core itself ships is registered in the same way.
    """

    def __init__(self, candidates: Iterable[Candidate]) -> None:
        outcomes = [load_apart(candidate) for candidate in candidates]
        self._plugins = tuple(outcome for outcome in outcomes if isinstance(outcome, LoadedPlugin))
        self._failures = tuple(outcome for outcome in outcomes if isinstance(outcome, PluginFailure))

    @classmethod
    def discover(cls) -> PluginManager:
        """Core's own plugin and all that installed distributions name under the entry-point group `millstream`."""
        installed = [_candidate_of(point) for point in entry_points(group=GROUP)]
        return cls([_builtin(), *sorted(installed, key=lambda candidate: (candidate.dist, candidate.entry_point))])

    @classmethod
    def with_plugins(cls, plugins: Iterable[object | tuple[str, object]], *, builtins: bool = True) -> PluginManager:
        """The given plugins instead of the installed ones: for tests.

        Args:
            plugins: modules or objects with hooks, or pairs of a distribution's name and such a plugin.
            builtins: whether core's own plugin is among them.
        """
        return cls([*([_builtin()] if builtins else []), *(_candidate_for(plugin) for plugin in plugins)])

    @property
    def plugins(self) -> tuple[LoadedPlugin, ...]:
        """The plugins that work."""
        return self._plugins

    @property
    def failures(self) -> tuple[PluginFailure, ...]:
        """The plugins that do not."""
        return self._failures

    @property
    def duplicates(self) -> tuple[DuplicatePlugin, ...]:
        """What `find` refuses because several plugins offer it."""
        return duplicates_among([entry for plugin in self._plugins for entry in plugin.entries])

    def entries(self, role: Role) -> list[Entry]:
        """All that working plugins offer in a role, by name."""
        _check_role(role)
        offered = [entry for plugin in self._plugins for entry in plugin.entries if entry.role == role]
        return sorted(offered, key=lambda entry: (entry.name, entry.dist))

    def find(self, role: Role, name: str) -> Entry:
        """What a job or a setting asks for.

        Raises:
            UnknownPlugin: nobody offers it; the error says what to install, and which plugins could not be asked.
            DuplicatePlugin: several plugins offer it.
            PluginBroken, PluginContractMismatch: the plugin that would offer it could not be loaded.
        """
        _check_role(role)
        offered = [entry for plugin in self._plugins for entry in plugin.entries]
        return find_entry(role, name, offered, self._failures, [plugin.dist for plugin in self._plugins])

    def notice(self, notice: JobStarted | CheckpointCompleted | JobFailed) -> None:
        """Tells every plugin that listens. What a listener raises is logged, and neither the job nor other listeners see it."""
        for plugin in self._plugins:
            try:
                getattr(plugin.hooks.hook, notice.hook)(notice=notice)
            except (Exception, SystemExit):  # noqa: BLE001 - foreign code: a job does not fail because somebody who watches it does
                _log.exception("%s %s raised in %s; the job goes on", plugin.dist, plugin.version, notice.hook)


@cache
def default_manager() -> PluginManager:
    """The plugins of this installation, discovered at the first call. `default_manager.cache_clear()` forgets them."""
    return PluginManager.discover()


def _builtin() -> Candidate:
    # By name: built-in entries are a plugin like any other, and are loaded when plugins are.
    return Candidate(CORE_DIST, __version__, "builtin", lambda: import_module("millstream.plugins.builtin"))


def _candidate_of(point: EntryPoint) -> Candidate:
    name = _metadata(point, "Name", "an unnamed distribution")
    return Candidate(name, _metadata(point, "Version", "of unknown version"), point.name, point.load)


def _metadata(point: EntryPoint, field: str, otherwise: str) -> str:
    # A distribution with damaged metadata lacks fields that every distribution has.
    return point.dist.metadata[field] if point.dist is not None and field in point.dist.metadata else otherwise


def _candidate_for(plugin: object | tuple[str, object]) -> Candidate:
    if isinstance(plugin, tuple):
        dist, found = plugin
    else:
        dist, found = plugin.__name__ if isinstance(plugin, ModuleType) else type(plugin).__name__, plugin
    return Candidate(str(dist), "0", str(dist), lambda: found)


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise InvalidArgument(what="the role", value=repr(role), allowed=f"one of {', '.join(ROLES)}")
