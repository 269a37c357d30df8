"""Formats as options of connectors give them: an object, or a name that a plugin offers."""

from __future__ import annotations

from typing import TypeVar, cast

from millstream.contracts.format import Format
from millstream.errors import InvalidArgument
from millstream.plugins.manager import default_manager

T = TypeVar("T")


def format_of(what: str, wanted: Format[T] | str) -> Format[T]:
    """The format itself, or the one of that name with its default options.

    Args:
        what: the option, for errors: `FileSink(format=...)`.

    Raises:
        InvalidArgument: it is neither.
        UnknownPlugin: no plugin offers a format of that name.
    """
    if isinstance(wanted, str):
        return cast("Format[T]", default_manager().find("format", wanted).load()())
    if not isinstance(wanted, Format):
        raise InvalidArgument(what=what, value=repr(wanted), allowed='a Format, for example CsvFormat(...), or the name of one ("json")')
    return wanted
