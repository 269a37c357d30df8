"""What plugins offer, as frozen records that import nothing until they are used."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

from millstream.contracts.guarantee import Guarantee, SinkCapabilities, SourceCapabilities
from millstream.errors import PluginEntryInvalid, PluginLoadFailed
from millstream.plugins.failure import describe

if TYPE_CHECKING:
    from collections.abc import Callable

_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}", re.ASCII)
_TARGET: Final = re.compile(r"\w+(\.\w+)*:\w+(\.\w+)*")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing that a plugin offers by name in one role.

    Attributes:
        name: how jobs and settings ask for it: lower-case letters, digits, `_` and `-`; usually the system's name.
        factory: "module:callable", imported on `load()` only.
        description: one line for `millstream plugins`.
        options: the class of its options, or "module:Class".
        capabilities: a frozen dataclass, or "module:NAME" of one; that module must not import the client library.
        guarantees: what a job can reach with it, of "exactly_once", "at_least_once", "at_most_once".
        contract: number of the plugin contract it was written for.
        dist: distribution that offers it, and its version; filled in when the plugin is loaded.

    Raises:
        PluginEntryInvalid: a field makes no sense.
    """

    role: ClassVar[str]
    """The role as hooks spell it: `millstream_<role>s` yields these entries."""

    capabilities_type: ClassVar[type | None] = None

    name: str
    factory: str
    description: str
    options: str | type | None = None
    capabilities: object | str | None = None
    guarantees: tuple[str, ...] = ()
    contract: int = 1
    dist: str = ""
    dist_version: str = ""

    def __post_init__(self) -> None:
        self._require("name", _matches(_NAME, self.name), "lower-case letters, digits, _ and -, at most 64, a letter first")
        self._require("factory", _matches(_TARGET, self.factory), "a text of the form 'module:callable'")
        one_line = isinstance(self.description, str) and self.description.strip() != "" and self.description.isprintable()
        self._require("description", one_line, "one line of text")
        options = self.options
        self._require("options", options is None or isinstance(options, type) or _matches(_TARGET, options), "a class, 'module:Class', or None")
        self._require("capabilities", self._capabilities_fit(), f"{self._capabilities_name()}, 'module:NAME' of one, or None")
        labels = [guarantee.label for guarantee in Guarantee]
        known = isinstance(self.guarantees, tuple) and all(guarantee in labels for guarantee in self.guarantees)
        self._require("guarantees", known, f"a tuple of {', '.join(labels)}")
        number = isinstance(self.contract, int) and not isinstance(self.contract, bool) and self.contract >= 1
        self._require("contract", number, "a whole number from 1")

    @property
    def label(self) -> str:
        """Role and name as people read them: `checkpoint storage 'filesystem'`."""
        return f"{spoken(self.role)} {self.name!r}"

    def load(self) -> Callable[..., Any]:
        """Imports the factory.

        Raises:
            PluginLoadFailed: the import fails, for example because a client library is missing, or finds nothing callable.
        """
        factory = self._import(self.factory)
        if not callable(factory):
            raise self._failed(self.factory, f"{type(factory).__name__} instead of something callable")
        return factory  # type: ignore[no-any-return]  # what is imported by name has no static type

    def load_options(self) -> type | None:
        """Imports the class of the options, if it has any.

        Raises:
            PluginLoadFailed: the import fails, or finds no class.
        """
        options = self._import(self.options) if isinstance(self.options, str) else self.options
        if options is not None and not isinstance(options, type):
            raise self._failed(str(self.options), f"{type(options).__name__} instead of a class")
        return options

    def load_capabilities(self) -> Any:
        """The capabilities, imported if they are given by name; None if the entry declares none.

        Raises:
            PluginLoadFailed: the import fails, or finds something else.
        """
        if not isinstance(self.capabilities, str):
            return self.capabilities
        capabilities = self._import(self.capabilities)
        if not self._is_capabilities(capabilities):
            raise self._failed(self.capabilities, f"{type(capabilities).__name__} instead of {self._capabilities_name()}")
        return capabilities

    def _import(self, target: str) -> Any:
        module, _, path = target.partition(":")
        try:
            found: Any = importlib.import_module(module)
            for attribute in path.split("."):
                found = getattr(found, attribute)
        except (Exception, SystemExit) as error:  # an import runs foreign code: whatever it raises, the job's author needs to know where
            raise self._failed(target, describe(error)) from error
        return found

    def _failed(self, target: str, reason: str) -> PluginLoadFailed:
        return PluginLoadFailed(entry=self.label, dist=self.dist or "an unnamed distribution", target=target, reason=reason)

    def _require(self, field: str, fits: bool, allowed: str) -> None:
        if not fits:
            raise PluginEntryInvalid(entry=f"{type(self).__name__} {self.name!r}", field=field, value=repr(getattr(self, field)), allowed=allowed)

    def _capabilities_fit(self) -> bool:
        given = self.capabilities
        return given is None or _matches(_TARGET, given) or self._is_capabilities(given)

    def _is_capabilities(self, value: object) -> bool:
        if self.capabilities_type is not None:
            return isinstance(value, self.capabilities_type)
        params = getattr(value, "__dataclass_params__", None)
        return params is not None and not isinstance(value, type) and bool(params.frozen)

    def _capabilities_name(self) -> str:
        return f"a {self.capabilities_type.__name__}" if self.capabilities_type else "a frozen dataclass object"


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def spoken(role: str) -> str:
    """A role as people read it: `cli_command` is `CLI command`."""
    return role.replace("_", " ").replace("cli ", "CLI ")


@dataclass(frozen=True, kw_only=True)
class SourceEntry(Entry):
    """A source."""

    role: ClassVar[str] = "source"
    capabilities_type: ClassVar[type | None] = SourceCapabilities

    capabilities: SourceCapabilities | str | None = None


@dataclass(frozen=True, kw_only=True)
class SinkEntry(Entry):
    """A sink."""

    role: ClassVar[str] = "sink"
    capabilities_type: ClassVar[type | None] = SinkCapabilities

    capabilities: SinkCapabilities | str | None = None


@dataclass(frozen=True, kw_only=True)
class StateBackendEntry(Entry):
    """A state backend: where working state lives."""

    role: ClassVar[str] = "state_backend"


@dataclass(frozen=True, kw_only=True)
class CheckpointStorageEntry(Entry):
    """A checkpoint storage: where checkpoints are kept."""

    role: ClassVar[str] = "checkpoint_storage"


@dataclass(frozen=True, kw_only=True)
class ClusterBackendEntry(Entry):
    """A cluster backend: where worker processes come from."""

    role: ClassVar[str] = "cluster_backend"


@dataclass(frozen=True, kw_only=True)
class FormatEntry(Entry):
    """A format: bytes to records and back."""

    role: ClassVar[str] = "format"


@dataclass(frozen=True, kw_only=True)
class MetricsReporterEntry(Entry):
    """A metrics reporter."""

    role: ClassVar[str] = "metrics_reporter"


@dataclass(frozen=True, kw_only=True)
class CliCommandEntry(Entry):
    """A command of `millstream`; the factory is a click command."""

    role: ClassVar[str] = "cli_command"


ENTRY_TYPES: Final[tuple[type[Entry], ...]] = (
    SourceEntry,
    SinkEntry,
    StateBackendEntry,
    CheckpointStorageEntry,
    ClusterBackendEntry,
    FormatEntry,
    MetricsReporterEntry,
    CliCommandEntry,
)
ROLES: Final = tuple(entry_type.role for entry_type in ENTRY_TYPES)
