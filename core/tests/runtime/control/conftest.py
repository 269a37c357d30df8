"""A folder whose path is short enough for sockets."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator

import pytest


@pytest.fixture
def sockets() -> Iterator[str]:
    path = tempfile.mkdtemp(prefix="ms-", dir="/tmp")
    yield path
    shutil.rmtree(path, ignore_errors=True)
