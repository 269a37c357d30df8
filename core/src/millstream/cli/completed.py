"""What a shell may complete an argument with. Called at a Tab: returns at once and never raises."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from collections.abc import Callable

    import click

Completer: TypeAlias = "Callable[[click.Context, click.Parameter, str], list[CompletionItem]]"


def files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Files, which the shell knows best."""
    return [CompletionItem(incomplete, type="file")]


def folders(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Folders."""
    return [CompletionItem(incomplete, type="dir")]


def settings(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of settings, with the sign that follows."""
    from millstream.config import SPECS  # the one import that costs something

    return [CompletionItem(f"{key}=", help=spec.about) for key, spec in SPECS.items() if key.startswith(incomplete)]


def choices(*words: str) -> Completer:
    """Words of which an option takes one."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(word) for word in words if word.startswith(incomplete)]

    return complete


def words_or_folders(*words: str) -> Completer:
    """Words, and folders where none of them begins so."""
    words_only = choices(*words)
    return lambda ctx, param, incomplete: words_only(ctx, param, incomplete) or folders(ctx, param, incomplete)


def running(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of running jobs; with the process where a name is not enough."""
    from millstream.cli.running import all_running
    from millstream.errors import MillstreamError

    try:
        jobs = all_running()
    except MillstreamError:
        return []
    names = [job.note.job_name for job in jobs]
    words = [job.note.job_name if names.count(job.note.job_name) == 1 else job.label for job in jobs]
    return [CompletionItem(word, help=f"process {job.note.pid}") for word, job in zip(words, jobs, strict=True) if word.startswith(incomplete)]
