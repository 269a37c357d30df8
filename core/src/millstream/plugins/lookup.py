"""Finds what a job asks for by name, or says what to install."""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Final, NoReturn

from millstream.errors import DuplicatePlugin, PluginBroken, PluginContractMismatch, UnknownPlugin
from millstream.plugins.entries import Entry, spoken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millstream.plugins.failure import PluginFailure

KNOWN_DISTS: Final[dict[str, str]] = {
    "elasticsearch": "millstream-elasticsearch",
    "file": "millstream-filesystem",
    "filesystem": "millstream-filesystem",
    "jdbc": "millstream-jdbc",
    "kafka": "millstream-kafka",
    "kubernetes": "millstream-kubernetes",
    "mariadb": "millstream-jdbc",
    "memory": "millstream-memory",
    "mysql": "millstream-jdbc",
    "postgres": "millstream-jdbc",
    "postgresql": "millstream-jdbc",
    "prometheus": "millstream-prometheus",
    "ray": "millstream-ray",
    "redis": "millstream-redis",
    "rocksdb": "millstream-rocksdb",
    "s3": "millstream-s3",
}
"""The distribution that offers a name, for names that people ask for before they install it."""


def find_entry(role: str, name: str, entries: Sequence[Entry], failures: Sequence[PluginFailure], dists: Sequence[str]) -> Entry:
    """The one entry of that role and name.

    Args:
        role: as in `Entry.role`.
        name: as the job or a setting gives it.
        entries: what all loaded plugins offer.
        failures: the plugins that could not be loaded.
        dists: distributions of the loaded plugins.

    Raises:
        DuplicatePlugin: several plugins offer it.
        PluginContractMismatch, PluginBroken: the plugin that offers it, or is known to, could not be loaded.
        UnknownPlugin: nobody offers it.
    """
    found = [entry for entry in entries if entry.role == role and entry.name == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise DuplicatePlugin(role=spoken(role), name=name, dists=tuple(entry.dist for entry in found))
    dist = KNOWN_DISTS.get(name.lower())
    for failure in failures:
        if (role, name) in failure.offers or (dist is not None and normalized(failure.dist) == dist):
            _raise_failure(role, name, failure)
    raise UnknownPlugin(
        role=spoken(role),
        name=name,
        known=tuple(sorted({entry.name for entry in entries if entry.role == role})),
        other_roles=tuple(sorted({spoken(entry.role) for entry in entries if entry.name == name})),
        dist=dist,
        dist_installed=dist in {normalized(installed) for installed in dists},
        failures=tuple(f"{failure.dist} {failure.version} ({failure.error})" for failure in failures),
    )


def duplicates_among(entries: Sequence[Entry]) -> tuple[DuplicatePlugin, ...]:
    """What cannot be asked for, because several plugins offer it."""
    dists: dict[tuple[str, str], list[str]] = {}
    for entry in entries:
        dists.setdefault((entry.role, entry.name), []).append(entry.dist)
    return tuple(
        DuplicatePlugin(role=spoken(role), name=name, dists=tuple(offering)) for (role, name), offering in dists.items() if len(offering) > 1
    )


def normalized(dist: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", dist).lower()


def _raise_failure(role: str, name: str, failure: PluginFailure) -> NoReturn:
    if isinstance(failure.cause, PluginContractMismatch):
        # A copy: each raise adds to the traceback of its exception, and this one may be asked for often.
        raise dataclasses.replace(failure.cause) from failure.cause
    raise PluginBroken(
        wanted=f"The {spoken(role)} {name!r}",
        dist=failure.dist,
        version=failure.version,
        entry_point=failure.entry_point,
        reason=failure.error,
    ) from failure.cause
