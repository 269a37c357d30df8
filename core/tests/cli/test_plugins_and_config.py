"""`millstream plugins` and `millstream config`: what is there, and what is set."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from millstream.config import SPECS
from millstream.plugins import PluginManager, SinkEntry, hookimpl


def rows_of(output: str) -> list[list[str]]:
    return [re.split(" {2,}", line) for line in output.splitlines()]


def test_plugins_of_this_installation_are_listed_by_role_with_what_they_can(invoke: Any) -> None:
    result = invoke("plugins")
    assert result.exit_code == 0
    by_first = {row[0]: row for row in rows_of(result.output) if len(row) > 1}
    assert by_first["socket"][2:4] == ["at_most_once", "not replayable, why not: what was read from a socket cannot be read again"]
    assert by_first["filesystem"][1].startswith("millstream-filesystem ")
    titles = [row[0] for row in rows_of(result.output) if len(row) == 1 and row[0]]
    assert titles[:6] == ["Sources", "Sinks", "State backends", "Checkpoint storages", "Cluster backends", "Formats"]
    file_sink = next(row for row in rows_of(result.output) if row[0] == "file" and "two-phase-commit" in row[3])
    assert file_sink[2] == "exactly_once, at_least_once"
    assert "fencing" in file_sink[3]
    assert "prepared survives disconnect" in file_sink[3]


class Twice:
    def __init__(self, capabilities: str) -> None:
        self.capabilities = capabilities

    @hookimpl
    def millstream_sinks(self) -> list[SinkEntry]:
        return [SinkEntry(name="queue", factory="some_client:Sink", description="A queue", capabilities=self.capabilities)]


class Broken:
    @hookimpl
    def millstream_sinks(self) -> list[SinkEntry]:
        raise ImportError("no module named 'client'")


def test_failures_duplicates_and_unusable_capabilities_are_shown(invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plugins: list[Any] = [("one", Twice("missing_module:C")), ("two", Twice("missing_module:C")), ("three", Broken())]
    manager = PluginManager.with_plugins(plugins)
    monkeypatch.setattr("millstream.cli.plugins.default_manager", lambda: manager)
    result = invoke("plugins")
    assert result.exit_code == 0
    assert "cannot be used: ModuleNotFoundError: No module named 'missing_module'" in result.output
    assert "Not loaded: three 0, plugin 'three': ImportError: no module named 'client'.\n    Traceback" in result.output
    assert "Duplicate: The sink 'queue' is offered by one and by two." in result.output


def test_listing_plugins_imports_no_client_and_not_the_readers_and_writers() -> None:
    program = (
        "import sys; from millstream.cli.app import app\ntry: app(['plugins'])\nexcept SystemExit: pass\n"
        "print([name for name in ('sqlalchemy', 'confluent_kafka', 'redis', 'cloudpickle', 'sqlite3') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.splitlines()[-1] == "[]"


def test_every_setting_is_shown_with_its_value_and_origin(invoke: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "millstream.toml").write_text('[checkpoint]\ninterval = "10s"\nstorage = "https://me:secret@host/x"\n')
    monkeypatch.setenv("MILLSTREAM__JOB__PARALLELISM", "4")
    result = invoke("config", "-s", "job.name=orders")
    assert result.exit_code == 0
    found = {row[0]: row[1:] for row in rows_of(result.output)}
    assert set(SPECS) <= set(found)
    assert found["job.name"] == ["orders", "command line"]
    assert found["job.parallelism"] == ["4", "environment MILLSTREAM__JOB__PARALLELISM"]
    assert found["checkpoint.interval"] == ["10s", f"{folder}/millstream.toml:2"]
    assert found["checkpoint.mode"] == ["exactly_once", "default"]
    assert "secret" not in result.output
    assert result.output.endswith(f"File: {folder}/millstream.toml\n")


def test_all_adds_meaning_allowed_values_and_variable(invoke: Any) -> None:
    output = invoke("config", "--all").output
    assert re.search(r"checkpoint.mode = exactly_once  \(default\)\n    .*\n    Allowed: exactly_once, at_least_once.\n", output)
    assert output.count("Variable: MILLSTREAM__") == len(SPECS)


def test_a_mistake_in_the_file_is_named_with_its_line(invoke: Any, folder: Path) -> None:
    (folder / "millstream.toml").write_text("[job]\n\nparallelism = 0\n")
    result = invoke("config")
    assert result.exit_code == 1
    assert f"Error: job.parallelism is 0 ({folder}/millstream.toml:3)" in result.stderr
