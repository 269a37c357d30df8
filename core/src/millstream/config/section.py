"""What all sections of the settings share: fields that know their kind, checked however the object comes about.

A field is written `name: Annotated[type, kind, "one line about it"] = default`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from reprlib import Repr
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, get_type_hints

from millstream.config.kinds import Kind, Refused
from millstream.config.secrets import redact_url
from millstream.errors import SettingInvalid, SettingsConflict

if TYPE_CHECKING:
    from collections.abc import Mapping

_MOST_SHOWN = 80
_repr = Repr()
_repr.maxstring = _repr.maxother = 10_000


def shown(value: object) -> str:
    """A value as errors show it: shortened, and without the passwords of URLs."""
    try:
        # Redacted before it is cut: the cut could take away the @ by which a password is known.
        text = redact_url(_repr.repr(value))
    except ValueError:  # Python refuses to write integers of more than 4300 digits
        text = f"a very large {type(value).__name__}"
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 3]}..."


@dataclass(frozen=True)
class SettingSpec:
    """What is known of one setting."""

    key: str
    kind: Kind[Any]
    default: Any
    about: str

    def read(self, value: object, origin: object, *, in_code: bool) -> Any:
        """The setting's value. `origin` is written out only if it has to be named.

        Raises:
            SettingInvalid: the value is not allowed.
        """
        try:
            return self.kind.read(value, in_code=in_code)
        except Refused as error:
            raise SettingInvalid(key=self.key, value=shown(value), origin=str(origin), allowed=self.kind.allowed) from error

    def text(self, value: object) -> str:
        """The value as people may see it."""
        return redact_url(self.kind.write(value))


@dataclass(frozen=True, kw_only=True)
class Section:
    """Settings that belong together. Every object is valid: a bad value raises SettingInvalid, a bad pair SettingsConflict."""

    section: ClassVar[str]

    def __post_init__(self) -> None:
        for name, spec in self.specs().items():
            value = spec.read(getattr(self, name), "code", in_code=True)
            object.__setattr__(self, name, value)
        self._check()

    @classmethod
    def specs(cls) -> Mapping[str, SettingSpec]:
        """The settings by their names inside the section, in the order in which they are declared."""
        return _specs(cls)

    def _check(self) -> None:
        """Refuses values that do not go together."""

    def _conflict(self, *names: str, reason: str, fix: str) -> SettingsConflict:
        specs = self.specs()
        return SettingsConflict(
            values={specs[name].key: specs[name].text(getattr(self, name)) for name in names},
            reason=reason,
            fix=fix,
        )


_known_specs: dict[type[Section], Mapping[str, SettingSpec]] = {}


def _specs(section: type[Section]) -> Mapping[str, SettingSpec]:
    if section not in _known_specs:
        hints = get_type_hints(section, include_extras=True)
        specs: dict[str, SettingSpec] = {}
        for field in dataclasses.fields(section):
            kind, about = hints[field.name].__metadata__
            specs[field.name] = SettingSpec(f"{section.section}.{field.name}", kind, field.default, about)
        _known_specs[section] = MappingProxyType(specs)
    return _known_specs[section]
