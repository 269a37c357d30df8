"""The folder of a job, from its name and back.

Lower-case letters, digits, `-`, `_` and `.` stand for themselves, everything else for its UTF-8 bytes as `%2F`. A name with capital
letters ends with `~` and a checksum, because some file systems take `Orders` and `orders` for one folder. A long name goes on in
folders inside, all but the last marked with `+`.
"""

from __future__ import annotations

import hashlib
from typing import Final
from urllib.parse import quote, unquote

from millstream.errors import InvalidArgument, InvalidName

_PART_CHARACTERS: Final = 200
_MOST_CHARACTERS: Final = 3000
"""Paths of more than 4,096 bytes cannot be opened."""


def folder_of_job(name: str) -> str:
    """The relative path of a job's folder. Two names never share one, and none leads out of the root.

    Raises:
        InvalidName: the name is empty.
        InvalidArgument: it is too long, or not text.

    >>> folder_of_job("word count"), folder_of_job("../Orders")
    ('word%20count', '%2E.%2FOrders~04e40611')
    """
    if not name:
        raise InvalidName(what="job", name="An empty text")
    try:
        quoted = quote(name, safe="").replace("~", "%7E")
    except UnicodeEncodeError:
        raise InvalidArgument(what="the job's name", value=repr(name), allowed="text that can be written as UTF-8") from None
    if quoted.startswith("."):
        quoted = "%2E" + quoted[1:]
    if name.lower() != name:
        quoted += "~" + hashlib.blake2b(name.encode(), digest_size=4).hexdigest()
    if len(quoted) > _PART_CHARACTERS:
        quoted = quoted.replace(".", "%2E")  # no part may begin with a dot, least of all be two of them
    if len(quoted) > _MOST_CHARACTERS:
        raise InvalidArgument(what="the job's name", value=f"{name[:40]!r}... ({len(name):,} characters)", allowed="a shorter name")
    parts = [quoted[at : at + _PART_CHARACTERS] for at in range(0, len(quoted), _PART_CHARACTERS)]
    return "/".join([*(part + "+" for part in parts[:-1]), parts[-1]])


def job_of_folder(path: str) -> str:
    """The name of the job whose folder this is: what `folder_of_job` was given."""
    quoted = "".join(part.removesuffix("+") for part in path.split("/"))
    return unquote(quoted.partition("~")[0])
