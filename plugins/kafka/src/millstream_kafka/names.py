"""Names that Kafka takes for a topic."""

from __future__ import annotations

import re
from typing import Any, Final

_NAME: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")
ALLOWED: Final = "letters, digits, '.', '_' and '-', up to 249 of them, and not '.' or '..' alone"


def is_topic(name: Any) -> bool:
    """Whether brokers take it as the name of a topic."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None and name not in {".", ".."}
