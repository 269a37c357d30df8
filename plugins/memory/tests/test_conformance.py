"""The memory state backend passes the suite of the test kit."""

from __future__ import annotations

from pathlib import Path

from millstream_memory import MemoryStateBackend
from millstream_testkit import StateBackendDeclaration, StateBackendHarness, StateBackendSuite


class MemoryBackendHarness(StateBackendHarness):
    name = "MemoryStateBackend"
    declares = StateBackendDeclaration(sliced=True)

    def backend(self, folder: Path) -> MemoryStateBackend:
        return MemoryStateBackend()


class TestMemoryStateBackend(StateBackendSuite):
    harness = MemoryBackendHarness
