"""`millstream.toml`: where it is found, what it says, and on which line."""

from __future__ import annotations

import os
import tomllib
from bisect import bisect_left
from typing import TYPE_CHECKING, Any, Final

from millstream.errors import SettingsFileInvalid

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FILE_NAME: Final = "millstream.toml"

_MOST_LINES: Final = 1_000
"""Files longer than this are named in errors without the line: finding it parses parts of the file several times."""


def find_settings_file(start: Path) -> Path | None:
    """The nearest `millstream.toml` in `start` or a folder above it."""
    absolute = start.absolute()
    for folder in (absolute, *absolute.parents):
        # os.path answers False where Path.is_file raises, for example in a folder above that this user may not read.
        if os.path.isfile(candidate := folder / FILE_NAME):
            return candidate
    return None


class TomlFile:
    """A settings file that was read.

    Args:
        path: the file.

    Raises:
        SettingsFileInvalid: it cannot be read, or is not TOML.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._text = path.read_bytes().decode()
            self.tables: dict[str, Any] = tomllib.loads(self._text)
        except OSError as error:
            raise SettingsFileInvalid(path=str(path), reason=error.strerror or type(error).__name__) from error
        except UnicodeDecodeError as error:
            raise SettingsFileInvalid(path=str(path), reason=f"byte {error.start} is not UTF-8") from error
        except ValueError as error:
            raise SettingsFileInvalid(path=str(path), reason=str(error)) from error
        except RecursionError as error:
            raise SettingsFileInvalid(path=str(path), reason="its lists or tables are nested too deeply") from error

    def line_of(self, key: Sequence[str]) -> int | None:
        """The 1-based line on which a key is set, or None if that cannot be told.

        tomllib gives no positions. But the key is missing in what stands before its statement and there in what ends behind it,
        so the statement is found by parsing beginnings of the file.
        """
        lines = self._text.split("\n")
        if len(lines) > _MOST_LINES:
            return None
        numbers = range(len(lines) + 1)
        last = bisect_left(numbers, True, key=lambda count: _has(_tables_of(lines, count)[1], key))
        return _tables_of(lines, last - 1)[0] + 1 if last in numbers else None


def _tables_of(lines: list[str], count: int) -> tuple[int, dict[str, Any]]:
    """What the first `count` lines say, without a statement that goes on behind them; and how many lines that leaves."""
    while count > 0:
        try:
            return count, tomllib.loads("\n".join(lines[:count]))
        except ValueError:
            count -= 1
    return 0, {}


def _has(tables: Any, key: Sequence[str]) -> bool:
    for part in key:
        if not isinstance(tables, dict) or part not in tables:
            return False
        tables = tables[part]
    return True
