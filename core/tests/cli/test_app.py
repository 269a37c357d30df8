"""Commands as such: help, wrong names, and what plugins add."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import click
import pytest

from millstream.plugins import CliCommandEntry, PluginManager, hookimpl


@click.command()
@click.argument("word")
def echo(word: str) -> None:
    """Says it again."""
    click.echo(f"{word} {word}")


not_a_command = "a text"


class Plugin:
    def __init__(self, **entries: str) -> None:
        self.entries = entries

    @hookimpl
    def millstream_cli_commands(self) -> list[CliCommandEntry]:
        return [CliCommandEntry(name=name, factory=target, description=f"What {name} does") for name, target in self.entries.items()]


@pytest.fixture
def with_commands(monkeypatch: pytest.MonkeyPatch) -> Any:
    def install(**entries: str) -> None:
        manager = PluginManager.with_plugins([Plugin(**entries)])
        monkeypatch.setattr("millstream.plugins.default_manager", lambda: manager)

    return install


def test_help_lists_all_commands_and_exit_codes(invoke: Any) -> None:
    result = invoke("--help")
    assert result.exit_code == 0
    for command in ("run", "plan", "check", "plugins", "config", "checkpoints"):
        assert f"\n  {command} " in result.output
    assert "130" in result.output


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["plugin"], "Did you mean 'plugins'?"),
        (["chekpoints", "list", "x"], "Did you mean 'checkpoints'?"),
        (["frobnicate"], "There is no command 'frobnicate'."),
        (["run", "--paralelism", "2", "job.py"], "--parallelism"),
        (["checkpoints", "verfy", "x"], "verfy"),
        (["run"], "SCRIPT"),
    ],
)
def test_wrong_usage_says_what_is_meant_and_exits_with_2(invoke: Any, arguments: list[str], hint: str) -> None:
    result = invoke(*arguments)
    assert (result.exit_code, hint in result.stderr) == (2, True), result.stderr


def test_a_command_of_a_plugin_is_mounted_and_imported_only_when_it_is_called(invoke: Any, with_commands: Any, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "commands_of_a_plugin", sys.modules[__name__])
    with_commands(again="commands_of_a_plugin:echo", broken="module_that_does_not_exist:command", wrong="commands_of_a_plugin:not_a_command")
    assert "What broken does" in invoke("--help").output
    assert invoke("again", "well").output == "well well\n"
    result = invoke("broken")
    assert (result.exit_code, result.exception.__class__) == (1, SystemExit)
    assert "importing module_that_does_not_exist:command failed" in result.stderr
    assert invoke("agian", "well").stderr.endswith("There is no command 'agian'. Did you mean 'again'?\n")


@pytest.mark.parametrize(("command", "dist"), [("new", "millstream-testkit"), ("kafka", "millstream-kafka")])
def test_a_command_of_a_distribution_that_is_not_installed_says_how_to_get_it(
    invoke: Any, with_commands: Any, monkeypatch: Any, command: str, dist: str
) -> None:
    with_commands()
    result = invoke(command, "connector", "x")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (
        2,
        f"Error: There is no command {command!r}. It comes with {dist}: pip install {dist}",
    )


def test_what_is_no_command_is_refused(invoke: Any, with_commands: Any, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "commands_of_a_plugin", sys.modules[__name__])
    with_commands(wrong="commands_of_a_plugin:echo_twice")
    assert invoke("wrong").exit_code == 1


def test_a_plugin_cannot_take_the_name_of_a_command_of_core(invoke: Any, with_commands: Any) -> None:
    with_commands(config="module_that_does_not_exist:command")
    assert "checkpoint.interval" in invoke("config").output


def test_help_imports_no_command() -> None:
    program = "import sys; from millstream.cli.app import app\ntry: app(['--help'])\nexcept SystemExit: pass\nprint('millstream.api' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.endswith("False\n")
