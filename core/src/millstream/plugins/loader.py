"""Loads one plugin, apart from all others.

Each plugin has a pluggy manager of its own. An exception inside one plugin then cannot keep a call from the next, and a hook
wrapper of one plugin does not see what another returns.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from typing import Any, Final

import pluggy

from millstream.errors import PluginHooksInvalid
from millstream.plugins import specs
from millstream.plugins.compat import check_contract
from millstream.plugins.entries import ENTRY_TYPES, Entry
from millstream.plugins.failure import PluginFailure, describe, traceback_text

_MOST_ENTRIES: Final = 1_000
"""Of one hook of one plugin. No system has so many; a generator that never ends would."""

_PREFIX: Final = f"{specs.PROJECT}_"
_HOOKS: Final = tuple(name for name in vars(specs) if name.startswith(_PREFIX))


@dataclass(frozen=True)
class Candidate:
    """A plugin not loaded yet: where it is from, and the call that imports it."""

    dist: str
    version: str
    entry_point: str
    load: Callable[[], object]


@dataclass(frozen=True)
class LoadedPlugin:
    """A plugin that works: where it is from, what it offers, and its hooks."""

    dist: str
    version: str
    entry_point: str
    entries: tuple[Entry, ...]
    hooks: pluggy.PluginManager = dataclasses.field(repr=False, compare=False)


def load_apart(candidate: Candidate) -> LoadedPlugin | PluginFailure:
    """Imports a plugin and asks it what it offers. Whatever it raises becomes a PluginFailure."""
    entries: list[Entry] = []
    try:
        hooks = _register(candidate.load(), candidate.entry_point)
        for entry in _offered(hooks):
            entries.append(dataclasses.replace(entry, dist=candidate.dist, dist_version=candidate.version))
        for entry in entries:
            check_contract(entry)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - foreign code: what it raises must not reach jobs that do not use it
        return PluginFailure(
            dist=candidate.dist,
            version=candidate.version,
            entry_point=candidate.entry_point,
            error=describe(error),
            traceback=traceback_text(error),
            offers=tuple((entry.role, entry.name) for entry in entries),
            cause=error,
        )
    return LoadedPlugin(candidate.dist, candidate.version, candidate.entry_point, tuple(entries), hooks)


def _register(plugin: object, name: str) -> pluggy.PluginManager:
    hooks = pluggy.PluginManager(specs.PROJECT)
    hooks.add_hookspecs(specs)
    hooks.register(plugin, name=name)
    try:
        hooks.check_pending()
    except pluggy.PluginValidationError as error:
        unknown = _pending(hooks)
        # Compared without the prefix, which makes any two hooks alike.
        near = get_close_matches(unknown.removeprefix(_PREFIX), [hook.removeprefix(_PREFIX) for hook in _HOOKS], n=1)
        fix = f"Call it {_PREFIX}{near[0]}" if near else f"The hooks are: {', '.join(_HOOKS)}"
        raise PluginHooksInvalid(hook=unknown, reason="is not a hook of this Millstream", fix=fix) from error
    if hooks.get_hookcallers(plugin):
        return hooks
    plain = next((hook for hook in _HOOKS if inspect.isroutine(getattr(plugin, hook, None))), None)
    raise PluginHooksInvalid(
        hook=plain or name,
        reason="is not marked as a hook" if plain else "implements no hook",
        fix="Put `@hookimpl` of millstream.plugins above each function that is one",
    )


def _pending(hooks: pluggy.PluginManager) -> str:
    """The first implementation that pluggy has no hook for."""
    callers: dict[str, pluggy.HookCaller] = vars(hooks.hook)
    return next(
        name
        for name, caller in callers.items()
        if not name.startswith("_") and not caller.has_spec() and any(not one.optionalhook for one in caller.get_hookimpls())
    )


def _offered(hooks: pluggy.PluginManager) -> Iterable[Entry]:
    for entry_type in ENTRY_TYPES:
        hook = f"{_PREFIX}{entry_type.role}s"
        caller: pluggy.HookCaller = getattr(hooks.hook, hook)
        implementations = [one for one in caller.get_hookimpls() if not (one.wrapper or one.hookwrapper)]
        results: list[Any] = caller() if implementations else []
        if len(results) < len(implementations):  # pluggy leaves out None
            raise _wrong(hook, "returned None", entry_type)
        for result in results:
            yield from _checked(hook, result, entry_type)


def _checked(hook: str, result: Any, entry_type: type[Entry]) -> Iterable[Entry]:
    if inspect.iscoroutine(result):
        result.close()  # or Python warns of a coroutine that nobody awaited
    if isinstance(result, str | bytes) or not isinstance(result, Iterable):
        raise _wrong(hook, f"returned a value of type {type(result).__name__}", entry_type)
    for count, entry in enumerate(islice(result, _MOST_ENTRIES + 1)):
        if not isinstance(entry, entry_type):
            raise _wrong(hook, f"yielded a value of type {type(entry).__name__}", entry_type)
        if count == _MOST_ENTRIES:
            raise _wrong(hook, f"yielded more than {_MOST_ENTRIES} entries", entry_type)
        yield entry


def _wrong(hook: str, reason: str, entry_type: type[Entry]) -> PluginHooksInvalid:
    return PluginHooksInvalid(hook=hook, reason=reason, fix=f"Return a list of {entry_type.__name__}, or yield them")
