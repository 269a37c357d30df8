"""User code on its way to another process: the one place that pickles functions, and what goes with them.

Between the processes of one job only: JobManager and TaskManagers, over connections that nobody else has. What a module defines travels by
its name. The script of the job, `__main__`, is imported by each process under another name, so that its guard keeps it from starting the
job again; its top-level functions and classes travel by name, too. Lambdas, and what is defined inside functions or in an interactive
session, travel by value.
"""

from __future__ import annotations

import io
import multiprocessing.spawn
import os
import pickle
import sys
from functools import cached_property
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

import cloudpickle  # type: ignore[import-untyped]

from millstream.contracts.serializer import MAIN_MODULES

if TYPE_CHECKING:
    from collections.abc import Callable

_state: dict[str, Any] = {}


def main_module() -> dict[str, Any]:
    """What another process needs to import the script of this one; without a script, only where modules are found."""
    if "main" in _state:  # this process has imported it itself
        return dict(_state["main"])
    data: dict[str, Any] = multiprocessing.spawn.get_preparation_data("millstream")
    del data["authkey"]  # ours is the connection
    if not _is_imported(data):
        data.pop("init_main_from_name", None)
        data.pop("init_main_from_path", None)
    return data


def _is_imported(data: dict[str, Any]) -> bool:
    name = data.get("init_main_from_name")
    if name is not None:
        return name != "__main__" and not name.endswith(".__main__")
    path = data.get("init_main_from_path")
    return path is not None and os.path.splitext(os.path.basename(path))[0] != "ipython"


def import_main(data: dict[str, Any]) -> None:
    """Makes this process know the script of the other one, as `__main__`. Raises whatever the script raises."""
    _state["main"] = dict(data)
    _state["importing"] = data.get("init_main_from_path") or data.get("init_main_from_name") or "the script"
    try:
        multiprocessing.spawn.prepare(data)
    finally:
        del _state["importing"]


def script_being_imported() -> str | None:
    """The script that `import_main` is importing; None when it is not at it."""
    return _state.get("importing")


def enter_worker() -> None:
    """This process is a TaskManager."""
    _state["worker"] = True


def is_program() -> bool:
    """Whether this is the process of the program, not one that has the program of another."""
    return "worker" not in _state and "main" not in _state


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Cloudpickle, but for what the other process finds in its own `__main__`."""

    def __init__(self, file: io.BytesIO, classes: dict[str, type]) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self._classes = classes

    @cached_property
    def _imported(self) -> bool:
        # What a TaskManager sends goes to whoever it has it from.
        return "worker" in _state or _is_imported(main_module())

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, CodeType):
            # Cloudpickle forgets the file, and the user's line with it, which errors show.
            make, arguments = self.dispatch_table[CodeType](obj)[:2]
            return _placed, (obj.co_filename, make, arguments)
        if isinstance(obj, FunctionType | type) and getattr(obj, "__module__", None) in MAIN_MODULES:
            if self._imported and _found(obj.__qualname__) is obj:
                return _find, (obj.__qualname__,)
            if isinstance(obj, type) and _found(obj.__qualname__) is obj:
                self._classes[obj.__qualname__] = obj
        return super().reducer_override(obj)


def _placed(filename: str, make: Callable[..., CodeType], arguments: tuple[Any, ...]) -> CodeType:
    return make(*arguments).replace(co_filename=filename)


def _found(qualname: str) -> Any:
    found: Any = sys.modules.get("__main__")
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


def _find(qualname: str) -> Any:
    found = _found(qualname)
    if found is None:
        msg = f"the script has no {qualname} at its top level"
        raise AttributeError(msg)
    return found


def dumps(value: Any) -> bytes:
    """The bytes of a message, with the user code in it. Raises whatever it is that cannot be sent."""
    file = io.BytesIO()
    classes: dict[str, type] = {}
    # Classes of an interactive session are noted while the value is written, and written behind it.
    _Pickler(file, classes).dump((value, classes))
    return file.getvalue()


def loads(data: bytes) -> Any:
    """The message. Raises whatever importing the user's modules raises."""
    value, classes = pickle.loads(data)  # noqa: S301 - from a process of the same job, over a connection that only those two have
    for name, cls in classes.items():
        # Where records look for their class, as in the session that made it.
        setattr(sys.modules["__main__"], name, cls)
    return value
