"""Settings and secrets."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from millstream.errors.base import MillstreamError


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
