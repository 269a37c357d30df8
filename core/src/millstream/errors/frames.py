"""Where an exception came from."""

from __future__ import annotations

import os
import traceback

_ENGINE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def raised_at(error: BaseException) -> str:
    """The line that raised, `file:line in function: code`; empty when it is not known."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}: {frames[-1].line}" if frames else ""


def user_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Frames of the traceback that do not belong to the engine; all frames when none is left."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_ENGINE)]
    return own or list(frames)
