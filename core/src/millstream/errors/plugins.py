"""Plugins that cannot be used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from millstream.errors.base import MillstreamError, did_you_mean


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
