"""Settings: code over command line over environment (`MILLSTREAM__SECTION__KEY`) over `millstream.toml` over default.

Durations are a timedelta or a text with a unit (`"10s"`, `"500ms"`, `"5 min"`, `"1h 30min"`). Outside code a number without a
unit is seconds; in code it is refused, because the reader cannot tell seconds from milliseconds.
"""

from __future__ import annotations

from millstream.config.durations import format_duration, milliseconds, parse_duration
from millstream.config.layers import SPECS, Layer, Origin, variable_of
from millstream.config.mistakes import mistakes
from millstream.config.secrets import Secret, redact_url
from millstream.config.section import SettingSpec
from millstream.config.sections import (
    MOST_SUBTASKS,
    CheckpointConfig,
    CheckpointMode,
    ControlConfig,
    ExecutionConfig,
    GuaranteeName,
    JobConfig,
    LoggingConfig,
    LogLevel,
    MetricsConfig,
    RestartConfig,
    RestartStrategy,
    Retention,
    StateConfig,
)
from millstream.config.settings import Resolved, ResolvedValue, Settings
from millstream.config.toml_file import FILE_NAME, find_settings_file

__all__ = [
    "FILE_NAME",
    "MOST_SUBTASKS",
    "SPECS",
    "CheckpointConfig",
    "CheckpointMode",
    "ControlConfig",
    "ExecutionConfig",
    "GuaranteeName",
    "JobConfig",
    "Layer",
    "LogLevel",
    "LoggingConfig",
    "MetricsConfig",
    "Origin",
    "Resolved",
    "ResolvedValue",
    "RestartConfig",
    "RestartStrategy",
    "Retention",
    "Secret",
    "SettingSpec",
    "Settings",
    "StateConfig",
    "find_settings_file",
    "format_duration",
    "milliseconds",
    "mistakes",
    "parse_duration",
    "redact_url",
    "variable_of",
]
