"""`millstream completion`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click
from click.shell_completion import ShellComplete, get_completion_class

if TYPE_CHECKING:
    from collections.abc import Mapping

_VARIABLE: Final = "_MILLSTREAM_COMPLETE"
"""What click reads before anything else of the command runs; fixed by the command's name."""

_INSTALL: Final[Mapping[str, str]] = {
    "bash": 'Put this line at the end of ~/.bashrc:\n  eval "$(millstream completion bash)"',
    "zsh": 'Put this line at the end of ~/.zshrc, behind compinit:\n  eval "$(millstream completion zsh)"',
    "fish": "Run this once:\n  millstream completion fish > ~/.config/fish/completions/millstream.fish",
}


@click.command(short_help="Print the script that completes commands in bash, zsh or fish.")
@click.argument("shell", type=click.Choice(list(_INSTALL)))
def completion(shell: str) -> None:
    """Prints the script that lets SHELL complete commands, options, settings, scripts and folders of checkpoints. Its first lines say how to
    install it.

    At each Tab the shell asks `millstream` itself, so commands of plugins are completed as soon as they are installed.
    """
    kind = get_completion_class(shell)
    assert kind is not None  # noqa: S101 - the choices are click's own shells
    script = kind(click.get_current_context().find_root().command, {}, "millstream", _VARIABLE)
    click.echo("".join(f"# {line}\n" for line in _INSTALL[shell].splitlines()) + "# Then open a new shell.")
    # As the base class does it: bash's own would first start a bash to ask for its version.
    click.echo(ShellComplete.source(script))
