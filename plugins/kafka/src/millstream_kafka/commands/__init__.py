"""Commands of `millstream kafka`, imported when they are called."""

from __future__ import annotations
