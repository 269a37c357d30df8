"""`millstream completion`: what a shell offers at a Tab."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
import pytest

from millstream.plugins import CliCommandEntry, PluginManager, hookimpl

BASH = shutil.which("bash")
needs_bash = pytest.mark.skipif(BASH is None, reason="no bash")


@pytest.fixture
def on_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on PATH with the command as it would be installed."""
    command = folder / "bin" / "millstream"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m millstream.cli.entry "$@"\n')
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    return command


def completed_by_bash(*words: str) -> list[str]:
    """What bash offers for the last word, and the options that the script sets for it; nothing may be written to stderr."""
    program = f"""
    eval "$(millstream completion bash)"
    compopt() {{ echo "compopt $2"; }}
    COMP_WORDS=(millstream {" ".join(map(repr, words))})
    COMP_CWORD={len(words)}
    function=$(complete -p millstream | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
    $function millstream
    printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run([str(BASH), "--norc", "-c", program], capture_output=True, text=True, timeout=50, check=True)
    assert done.stderr == ""
    return done.stdout.split("\n")[:-1]


@needs_bash
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["che"], ["check", "checkpoints"]),
        (["run", "--res"], ["--resume"]),
        (["plan", "--format", ""], ["text", "mermaid", "json"]),
        (["run", "-s", "checkpoint.int"], ["checkpoint.interval="]),
        (["check", "--guarantee", "ex"], ["exactly_once"]),
        (["run", "job"], ["compopt default", ""]),
        (["checkpoints", "diff", "one", "tw"], ["compopt dirnames", ""]),
        (["frobnicate", "x"], [""]),
    ],
)
def test_bash_completes_commands_options_settings_and_paths(on_path: Path, words: list[str], expected: list[str]) -> None:
    assert completed_by_bash(*words) == expected


@needs_bash
def test_a_tab_in_an_interactive_bash_completes_the_command(on_path: Path) -> None:
    terminal, other_end = pty.openpty()
    process = subprocess.Popen(
        [str(BASH), "--norc", "--noprofile", "-i"], stdin=other_end, stdout=other_end, stderr=other_end, start_new_session=True
    )
    os.close(other_end)
    try:
        os.write(terminal, b'PS1="ready> "; eval "$(millstream completion bash)"; echo load""ed\n')
        read_until(terminal, b"loaded")
        os.write(terminal, b"millstream comple\t")
        read_until(terminal, b"millstream completion")
        os.write(terminal, b"fi\t\n")
        read_until(terminal, b"complete --no-files --command millstream")
    finally:
        process.kill()
        process.wait()
        os.close(terminal)


def read_until(terminal: int, text: bytes) -> None:
    """Reads what the shell prints until the text is there."""
    seen, deadline = b"", time.monotonic() + 40
    while text not in seen:
        ready, _, _ = select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"{text!r} never came, but {seen!r}"
        seen += os.read(terminal, 4096)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_says_first_how_to_install_it_and_is_one_that_the_shell_reads(invoke: Any, folder: Path, shell: str) -> None:
    result = invoke("completion", shell)
    assert (result.exit_code, result.stderr) == (0, "")
    first, command, *_ = result.stdout.splitlines()
    assert first.startswith("# Put this line" if shell != "fish" else "# Run this once")
    assert f"millstream completion {shell}" in command
    assert f"_MILLSTREAM_COMPLETE={shell}_complete" in result.stdout
    program = shutil.which(shell)
    if program is not None:
        (folder / "script").write_text(result.stdout)
        subprocess.run([program, "-n", "script"], timeout=30, check=True)


@pytest.mark.parametrize(
    ("shell", "expected"), [("zsh", "plain\ndoctor\nFind what is wrong with"), ("fish", "plain,doctor\tFind what is wrong with")]
)
def test_zsh_and_fish_are_answered_with_what_a_command_does(shell: str, expected: str) -> None:
    words = {"COMP_WORDS": "millstream doc", "COMP_CWORD": "doc" if shell == "fish" else "1", "_MILLSTREAM_COMPLETE": f"{shell}_complete"}
    command = [sys.executable, "-m", "millstream.cli.entry"]
    done = subprocess.run(command, env={**os.environ, **words}, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(expected)


def test_another_shell_is_refused_with_the_known_ones(invoke: Any) -> None:
    result = invoke("completion", "tcsh")
    assert (result.exit_code, "'bash', 'zsh', 'fish'" in result.stderr) == (2, True)


def test_completing_a_command_imports_none() -> None:
    program = (
        "import atexit, sys\natexit.register(lambda: print([name for name in sys.modules if name.startswith(('millstream.api', 'rich'))]))\n"
        "from millstream.cli.app import app\napp(prog_name='millstream')"
    )
    words = {"COMP_WORDS": "millstream che", "COMP_CWORD": "1", "_MILLSTREAM_COMPLETE": "bash_complete"}
    done = subprocess.run([sys.executable, "-c", program], env={**os.environ, **words}, capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.splitlines() == ["plain,check", "plain,checkpoints", "[]"], done.stderr


class Plugin:
    @hookimpl
    def millstream_cli_commands(self) -> list[CliCommandEntry]:
        return [CliCommandEntry(name="broken", factory="module_that_does_not_exist:command", description="What broken does")]


def test_a_command_of_a_plugin_is_offered_and_a_broken_one_completes_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from click.shell_completion import BashComplete

    from millstream.cli.app import app

    manager = PluginManager.with_plugins([Plugin()])
    monkeypatch.setattr("millstream.plugins.default_manager", lambda: manager)
    shell = BashComplete(app, {}, "millstream", "_MILLSTREAM_COMPLETE")
    assert isinstance(app, click.Group)
    assert [item.value for item in shell.get_completions([], "bro")] == ["broken"]
    assert shell.get_completions(["broken"], "x") == []
