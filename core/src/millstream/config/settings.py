"""All settings of a job, put together from where they were given."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

from millstream.config.layers import SECTIONS, SPECS, Given, Layer, Origin, from_environment, from_file, from_mapping
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
from millstream.errors import SettingsConflict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from millstream.config.section import SettingSpec


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a job runs with. `Settings()` is every default."""

    job: JobConfig = field(default_factory=JobConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    state: StateConfig = field(default_factory=StateConfig)
    execution: ExecutionConfig = field(default_factory=ExecutionConfig)
    restart: RestartConfig = field(default_factory=RestartConfig)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    control: ControlConfig = field(default_factory=ControlConfig)
    logging: LoggingConfig = field(default_factory=LoggingConfig)

    @staticmethod
    def resolve(
        code: Mapping[str, Any] | None = None,
        cli: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
        toml_path: Path | None = None,
    ) -> Resolved:
        """Puts the settings together: code over command line over environment over file over default.

        Every value is checked, also one that a higher layer replaces: a mistake in the file is found before it matters.

        Args:
            code: `{"job.name": "orders"}`, `{"job": {"name": "orders"}}`, or `{"job": JobConfig(...)}`. A section object gives
                all its settings, also those it has by default. None is a value here where the setting allows it.
            cli: the same, as texts. None is an option that was not given.
            environ: variables; those that begin with `MILLSTREAM__` count, for example `MILLSTREAM__JOB__NAME`.
            toml_path: the file, usually what `find_settings_file(Path.cwd())` finds.

        Raises:
            UnknownSetting: a key that does not exist.
            SettingInvalid: a value that is not allowed.
            SettingsConflict: values that do not go together.
            SettingsFileInvalid: the file cannot be read.
        """
        layers = chain(
            from_file(toml_path) if toml_path else (),
            from_environment(environ or {}),
            (given for given in from_mapping(Layer.CLI, cli or {}) if given.value is not None),
            from_mapping(Layer.CODE, code or {}),
        )
        values = _merge(layers)
        sections = {name: _build(name, values) for name in SECTIONS}
        return Resolved(Settings(**sections), tuple(values.values()))


@dataclass(frozen=True)
class ResolvedValue:
    """A setting's value and where it is from. `text` is the value as people may see it: no password of a URL is in it."""

    spec: SettingSpec
    value: Any
    origin: Origin

    @property
    def key(self) -> str:
        return self.spec.key

    @property
    def text(self) -> str:
        return self.spec.text(self.value)


@dataclass(frozen=True)
class Resolved:
    """Settings that know where each value is from; one value for each setting there is, in the order of the reference."""

    settings: Settings
    values: tuple[ResolvedValue, ...]

    def __getitem__(self, key: str) -> ResolvedValue:
        """The value of a dotted key, for example `checkpoint.interval`.

        Raises:
            KeyError: there is no such setting.
        """
        for value in self.values:
            if value.key == key:
                return value
        raise KeyError(key)


def _merge(layers: Iterable[Given]) -> dict[str, ResolvedValue]:
    """The values of the last layer that gives each, in the order of SPECS."""
    values = {key: ResolvedValue(spec, spec.default, Origin(Layer.DEFAULT, key)) for key, spec in SPECS.items()}
    for given in layers:
        spec = SPECS[given.key]
        value = spec.read(given.value, given.origin, in_code=given.origin.layer is Layer.CODE)
        values[given.key] = ResolvedValue(spec, value, given.origin)
    return values


def _build(section: str, values: Mapping[str, ResolvedValue]) -> Any:
    inside = {name: values[spec.key] for name, spec in SECTIONS[section].specs().items()}
    try:
        return SECTIONS[section](**{name: value.value for name, value in inside.items()})
    except SettingsConflict as conflict:
        origins = {value.key: str(value.origin) for value in inside.values() if value.key in conflict.values}
        raise SettingsConflict(values=conflict.values, reason=conflict.reason, fix=conflict.fix, origins=origins) from None
