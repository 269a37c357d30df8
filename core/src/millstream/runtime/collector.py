"""How the cyclic garbage collector is set while a job runs."""

from __future__ import annotations

from typing import Final

THRESHOLDS: Final = (20_000, 10, 1_000)
"""What is new is looked at in small portions, because nothing else goes on meanwhile, and once: the oldest generation is left alone."""
