"""Errors as the person at the command line sees them: what happened and what to do about it, without the engine's own frames."""

from __future__ import annotations

import logging
import sys
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from millstream.errors import JobFailedError, MillstreamError, UserFunctionFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType


def report(error: MillstreamError, script: str | None = None) -> None:
    """Writes the error's sentence to stderr; with debug logging every frame first.

    Args:
        script: the job's script; the line of it that led to the error is named.
    """
    if _debugging():
        _write("".join(traceback.format_exception(error)))
    function_failed = next((cause for cause in _causes(error) if isinstance(cause, UserFunctionFailed)), None)
    if function_failed is not None:
        if function_failed.traceback.count("\n  File ") > 0:  # one frame is the line that the sentence names anyway
            _write(f"Traceback (most recent call last):\n{function_failed.traceback}")
        _write(f"{error}\n")
        return
    # Why a job failed has nothing to do with the line that started it.
    line = _line_of(error, script) if script and not isinstance(error, JobFailedError) else ""
    _write(f"Error: {error}\n{line}")


@contextmanager
def script_errors_reported(script: str) -> Iterator[None]:
    """Turns what ends a script into output and an exit code. A SystemExit of the script passes.

    Args:
        script: path of the script, as its frames name it.
    """
    try:
        yield
    except KeyboardInterrupt as interrupt:
        _ended_by(interrupt)
        _write("Interrupted.\n")
        raise SystemExit(130) from None
    except MillstreamError as error:
        _ended_by(error)
        report(error, script)
        raise SystemExit(1) from None
    except Exception as error:  # noqa: BLE001 - the user's program: whatever it raises is shown as Python would show it
        _ended_by(error)
        frames = error.__traceback__ if _debugging() else _from_script(error.__traceback__, script)
        _write("".join(traceback.format_exception(type(error), error, frames)))
        raise SystemExit(1) from None


def _debugging() -> bool:
    return logging.getLogger().isEnabledFor(logging.DEBUG)


def _ended_by(error: BaseException) -> None:
    # What Python itself does for an exception that ends a program. A program that was built and then not executed is no surprise then,
    # and is not warned of.
    sys.last_value = error


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _from_script(frames: TracebackType | None, script: str) -> TracebackType | None:
    """The traceback from the script's first frame on; None when it never came there, as with a syntax error."""
    while frames is not None and frames.tb_frame.f_code.co_filename != script:
        frames = frames.tb_next
    return frames


def _line_of(error: BaseException, script: str) -> str:
    """The script's last line on the way to the error."""
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == script]
    return f"  at {lines[-1].filename}:{lines[-1].lineno}: {lines[-1].line}\n" if lines else ""


def _write(text: str) -> None:
    click.echo(text, err=True, nl=False)
