"""Formats that need nothing but the standard library and msgspec: raw bytes, lines of text, CSV and JSON."""

from __future__ import annotations

from millstream.formats.csv import CsvFormat
from millstream.formats.json import JsonLinesFormat
from millstream.formats.lines import LineEncoder, LineFormat
from millstream.formats.raw import RawFormat
from millstream.formats.text import TextFormat

__all__ = ["CsvFormat", "JsonLinesFormat", "LineEncoder", "LineFormat", "RawFormat", "TextFormat"]
