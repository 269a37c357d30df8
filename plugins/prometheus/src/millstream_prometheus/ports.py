"""The ports that a reporter may listen on, as they are written."""

from __future__ import annotations

import re
from typing import Final

from millstream.errors import InvalidArgument

DEFAULT: Final = "9249"
"""The port of Flink's reporter."""

_TEXT: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", re.ASCII)


def read_ports(text: str) -> range:
    """A port, or several as `FIRST-LAST`; 0 is any free one.

    Raises:
        InvalidArgument: it is none of these.

    >>> read_ports("9249"), read_ports("9250-9252"), read_ports("0")
    (range(9249, 9250), range(9250, 9253), range(0, 1))
    """
    match = _TEXT.fullmatch(text)
    if match:
        first = int(match[1])
        last = int(match[2]) if match[2] else first
        if first <= last <= 65_535 and (first > 0 or last == 0):
            return range(first, last + 1)
    allowed = "a port from 1 to 65535, two of them as FIRST-LAST, or 0 for any free one, for example prometheus:9250-9260"
    raise InvalidArgument(what="the port of metrics reporter prometheus", value=repr(text), allowed=allowed)
