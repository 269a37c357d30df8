"""For tests of jobs and of operators: whole jobs in virtual time with crashes, one operator by hand, scripted input, targets that
survive crashes.

The names are loaded when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millstream.ports.crash import CRASH_POINTS as CRASH_POINTS
    from millstream.ports.crash import CrashPointReached as CrashPointReached
    from millstream.ports.crash import arm as arm
    from millstream.ports.crash import crash_point as crash_point
    from millstream.ports.crash import declare_crash_point as declare_crash_point
    from millstream.ports.crash import declare_crash_points as declare_crash_points
    from millstream.ports.crash import disarm as disarm
    from millstream.testing.disk import SimulatedDisk as SimulatedDisk
    from millstream.testing.durable import TooEarly as TooEarly
    from millstream.testing.faults import Faults as Faults
    from millstream.testing.faults import InjectedFailure as InjectedFailure
    from millstream.testing.harness import OperatorHarness as OperatorHarness
    from millstream.testing.ledger import LedgerTarget as LedgerTarget
    from millstream.testing.simulation import SimulationFailed as SimulationFailed
    from millstream.testing.simulation import SimulationResult as SimulationResult
    from millstream.testing.simulation import simulate as simulate
    from millstream.testing.sources import At as At
    from millstream.testing.sources import ScriptedSource as ScriptedSource
    from millstream.testing.sources import Wait as Wait
    from millstream.testing.storage import DiskStorage as DiskStorage
    from millstream.testing.targets import ContractBroken as ContractBroken
    from millstream.testing.targets import Target as Target
    from millstream.testing.targets import VisibleEpoch as VisibleEpoch
    from millstream.testing.transactional import TransactionalTarget as TransactionalTarget
    from millstream.testing.turns import Stuck as Stuck
    from millstream.testing.world import SimulatedClock as SimulatedClock
    from millstream.testing.world import World as World

_HOMES = {
    "ports.crash": ["CRASH_POINTS", "CrashPointReached", "arm", "crash_point", "declare_crash_point", "declare_crash_points", "disarm"],
    "testing.disk": ["SimulatedDisk"],
    "testing.durable": ["TooEarly"],
    "testing.faults": ["Faults", "InjectedFailure"],
    "testing.harness": ["OperatorHarness"],
    "testing.ledger": ["LedgerTarget"],
    "testing.turns": ["Stuck"],
    "testing.simulation": ["SimulationFailed", "SimulationResult", "simulate"],
    "testing.sources": ["At", "ScriptedSource", "Wait"],
    "testing.storage": ["DiskStorage"],
    "testing.targets": ["ContractBroken", "Target", "VisibleEpoch"],
    "testing.transactional": ["TransactionalTarget"],
    "testing.world": ["SimulatedClock", "World"],
}
_MODULES = {name: f"millstream.{module}" for module, names in _HOMES.items() for name in names}

__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        msg = f"module 'millstream.testing' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
