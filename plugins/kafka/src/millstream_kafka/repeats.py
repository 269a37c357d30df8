"""Messages that a client repeats many times a second while a broker is away."""

from __future__ import annotations

import logging
import re
from typing import Final

AGAIN_S: Final = 30.0
"""How long a message is not repeated."""

_MOST: Final = 1000
_PASSES: Final = "Coordinator load in progress: retrying"
"""Whoever is the first to use a new broker hears this, and needs to do nothing."""
_VARIES: Final = re.compile(r"\d+")


class NoRepeats(logging.Filter):
    """Lets a message pass once in a while; messages that differ in numbers only are the same."""

    def __init__(self) -> None:
        super().__init__()
        self._passed_s: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        text = _VARIES.sub("", record.getMessage())
        passed_s = self._passed_s.get(text)
        if passed_s is not None and record.created - passed_s < AGAIN_S:
            return False
        if len(self._passed_s) >= _MOST:
            self._passed_s.clear()
        self._passed_s[text] = record.created
        # A broker that is away is no error of ours: what follows from it is raised where it matters.
        if record.levelno > logging.WARNING:
            record.levelno, record.levelname = logging.WARNING, "WARNING"
        if _PASSES in text:
            record.levelno, record.levelname = logging.INFO, "INFO"
        return True
