"""Conformance suites, crash points and fault injection: proves that a connector keeps its promise.

The names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millstream_testkit.demands import demand as demand
    from millstream_testkit.errors import HarnessUnusable as HarnessUnusable
    from millstream_testkit.errors import ReadsFromInside as ReadsFromInside
    from millstream_testkit.exactly_once import ExactlyOnceTest as ExactlyOnceTest
    from millstream_testkit.exactly_once import exactly_once_test as exactly_once_test
    from millstream_testkit.harness import Harness as Harness
    from millstream_testkit.harness import SinkHarness as SinkHarness
    from millstream_testkit.oracle import Row as Row
    from millstream_testkit.pairing_harness import PairingHarness as PairingHarness
    from millstream_testkit.source_harness import SourceHarness as SourceHarness
    from millstream_testkit.state_harness import StateBackendDeclaration as StateBackendDeclaration
    from millstream_testkit.state_harness import StateBackendHarness as StateBackendHarness
    from millstream_testkit.storage_harness import CheckpointStorageDeclaration as CheckpointStorageDeclaration
    from millstream_testkit.storage_harness import CheckpointStorageHarness as CheckpointStorageHarness
    from millstream_testkit.suites.base import ConformanceSuite as ConformanceSuite
    from millstream_testkit.suites.checkpoint_storage import CheckpointStorageSuite as CheckpointStorageSuite
    from millstream_testkit.suites.pairing import PairingSuite as PairingSuite
    from millstream_testkit.suites.sink import SinkSuite as SinkSuite
    from millstream_testkit.suites.source import SourceSuite as SourceSuite
    from millstream_testkit.suites.state_backend import StateBackendSuite as StateBackendSuite

_HOMES = {
    "demands": ("demand",),
    "errors": ("HarnessUnusable", "ReadsFromInside"),
    "exactly_once": ("ExactlyOnceTest", "exactly_once_test"),
    "harness": ("Harness", "SinkHarness"),
    "oracle": ("Row",),
    "pairing_harness": ("PairingHarness",),
    "source_harness": ("SourceHarness",),
    "state_harness": ("StateBackendDeclaration", "StateBackendHarness"),
    "storage_harness": ("CheckpointStorageDeclaration", "CheckpointStorageHarness"),
    "suites.base": ("ConformanceSuite",),
    "suites.checkpoint_storage": ("CheckpointStorageSuite",),
    "suites.pairing": ("PairingSuite",),
    "suites.sink": ("SinkSuite",),
    "suites.source": ("SourceSuite",),
    "suites.state_backend": ("StateBackendSuite",),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
