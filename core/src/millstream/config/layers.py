"""The places that settings come from: what each of them gives, and how its origin is named to people."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from millstream.config.sections import (
    CheckpointConfig,
    ControlConfig,
    ExecutionConfig,
    JobConfig,
    LoggingConfig,
    MetricsConfig,
    RestartConfig,
    StateConfig,
)
from millstream.config.toml_file import TomlFile
from millstream.errors import SettingInvalid, UnknownSetting

if TYPE_CHECKING:
    from pathlib import Path

    from millstream.config.section import Section, SettingSpec

ENVIRONMENT_PREFIX: Final = "MILLSTREAM__"

SECTIONS: Final[dict[str, type[Section]]] = {
    section.section: section
    for section in (JobConfig, CheckpointConfig, StateConfig, ExecutionConfig, RestartConfig, MetricsConfig, ControlConfig, LoggingConfig)
}
SPECS: Final[dict[str, SettingSpec]] = {spec.key: spec for section in SECTIONS.values() for spec in section.specs().values()}
"""Every setting by its dotted key, in the order in which people read them."""


class Layer(Enum):
    """A place that settings come from. The value is what people call it."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    CLI = "command line"
    CODE = "code"


@dataclass(frozen=True)
class Origin:
    """Where a value is from. `str()` names it: `environment MILLSTREAM__JOB__NAME`, `conf/millstream.toml:3`, `code`."""

    layer: Layer
    key: str
    file: TomlFile | None = None

    def __str__(self) -> str:
        if self.layer is Layer.ENVIRONMENT:
            return f"environment {variable_of(self.key)}"
        if self.file is not None:
            # The line is looked for here and not before: most jobs never ask.
            line = self.file.line_of(self.key.split("."))
            return f"{self.file.path}:{line}" if line else f"file {self.file.path}"
        return str(self.layer.value)


@dataclass(frozen=True)
class Given:
    """A value as one layer gives it, not yet checked."""

    key: str
    value: object
    origin: Origin


def variable_of(key: str) -> str:
    """The environment variable of a setting: `job.name` is `MILLSTREAM__JOB__NAME`."""
    return ENVIRONMENT_PREFIX + key.upper().replace(".", "__")


def from_mapping(layer: Layer, values: Mapping[str, Any]) -> Iterator[Given]:
    """Settings that code or the command line gives: dotted keys, mappings by section, or whole section objects.

    Raises:
        UnknownSetting: a key does not exist.
        SettingInvalid: a section is neither a mapping nor an object of that section.
    """
    for key, value in values.items():
        yield from _given(layer, str(key), value, None)


def from_file(path: Path) -> Iterator[Given]:
    """Settings of a `millstream.toml`, one table for each section.

    Raises:
        SettingsFileInvalid: the file cannot be read.
        UnknownSetting, SettingInvalid: as `from_mapping`.
    """
    file = TomlFile(path)
    yield from from_tables(file, file.tables)


def from_tables(file: TomlFile, tables: Mapping[str, object]) -> Iterator[Given]:
    """Settings of some tables of a file. Raises as `from_mapping`."""
    for key, value in tables.items():
        yield from _given(Layer.FILE, key, value, file)


def from_environment(environ: Mapping[str, str]) -> Iterator[Given]:
    """Settings of the variables that begin with MILLSTREAM__; all other variables are somebody else's.

    Raises:
        UnknownSetting: a variable stands for no setting.
    """
    keys = {variable_of(key): key for key in SPECS}
    for variable, value in environ.items():
        if not variable.startswith(ENVIRONMENT_PREFIX):
            continue
        if variable not in keys:
            near = get_close_matches(variable.upper(), keys, n=1)
            raise UnknownSetting(key=variable, origin=Layer.ENVIRONMENT.value, suggestion=near[0] if near else None)
        yield Given(keys[variable], value, Origin(Layer.ENVIRONMENT, keys[variable]))


def _given(layer: Layer, key: str, value: object, file: TomlFile | None) -> Iterator[Given]:
    """The settings below one top-level key. In a file a dotted key is a table already, and cannot arrive here."""
    section = SECTIONS.get(key)
    if section is None:
        inside: dict[str, object] = {key: value} if "." in key or not isinstance(value, Mapping) else _dotted(key, value)
    elif isinstance(value, section):
        inside = {f"{key}.{field.name}": getattr(value, field.name) for field in dataclasses.fields(value)}
    elif isinstance(value, Mapping):
        inside = _dotted(key, value)
    else:
        allowed = f"a table with settings ({', '.join(section.specs())})"
        raise SettingInvalid(key=key, value=f"of type {type(value).__name__}", origin=str(Origin(layer, key, file)), allowed=allowed)
    for full_key, inner in inside.items():
        origin = Origin(layer, full_key, file)
        if full_key not in SPECS:
            raise UnknownSetting(key=full_key, origin=str(origin), suggestion=_nearest(full_key))
        yield Given(full_key, inner, origin)


def _dotted(section: str, values: Mapping[Any, object]) -> dict[str, object]:
    # An empty table of an unknown section is still a mistake to name.
    return {f"{section}.{name}": value for name, value in values.items()} or ({} if section in SECTIONS else {section: None})


def _nearest(key: str) -> str | None:
    """What was meant, most likely: a setting, or `[section]` when it can only be told which section."""
    head, _, name = key.lower().partition(".")
    section = next(iter(get_close_matches(head, SECTIONS, n=1)), None)
    if section is not None and name in SECTIONS[section].specs():
        return f"{section}.{name}"
    same_name = [known for known in SPECS if known.endswith(f".{key.lower().rpartition('.')[2]}")]
    if same_name:
        return get_close_matches(key.lower(), same_name, n=1, cutoff=0.0)[0]
    if section is not None:
        near = get_close_matches(name, SECTIONS[section].specs(), n=1)
        if near or head != section:
            return f"{section}.{near[0]}" if near else f"[{section}]"
    return next(iter(get_close_matches(key, SPECS, n=1)), None)
