"""Faults of jobs that run over several processes: kills, stops and exceptions at named points, in the program or in one TaskManager.

The names are loaded when they are first used: the processes under test import this package, too.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millstream_testkit.processes.case import ProcessCase as ProcessCase
    from millstream_testkit.processes.case import ProcessResult as ProcessResult
    from millstream_testkit.processes.fault import InjectedFault as InjectedFault
    from millstream_testkit.processes.fault import ProcessFault as ProcessFault
    from millstream_testkit.processes.plan import bystanders as bystanders
    from millstream_testkit.processes.plan import double_faults as double_faults
    from millstream_testkit.processes.plan import single_faults as single_faults
    from millstream_testkit.processes.plan import zombies as zombies
    from millstream_testkit.processes.runner import ProcessFaultRunner as ProcessFaultRunner

_HOMES = {
    "case": ("ProcessCase", "ProcessResult"),
    "fault": ("InjectedFault", "ProcessFault"),
    "plan": ("bystanders", "double_faults", "single_faults", "zombies"),
    "runner": ("ProcessFaultRunner",),
}
_MODULES = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{module}"), name)
