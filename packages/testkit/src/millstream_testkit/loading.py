"""Finds in another process what is named by `module:name` or `/path/of/file.py:name`.

Environment: MILLSTREAM_TESTKIT_PATH has the import path of the process that named it, which pytest may have extended.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any, Final

PATH_VARIABLE: Final = "MILLSTREAM_TESTKIT_PATH"


def load(reference: str) -> Any:
    """What the reference names.

    Raises:
        ImportError, AttributeError: there is no such thing.
    """
    where, _, name = reference.rpartition(":")
    if where.endswith(".py"):
        spec = importlib.util.spec_from_file_location(Path(where).stem, where)
        if spec is None or spec.loader is None:
            raise ImportError(name=where)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    else:
        module = importlib.import_module(where)
    return getattr(module, name)


def take_over_import_path() -> None:
    """Extends the import path of this process by that of the one that started it."""
    inherited = os.environ.get(PATH_VARIABLE, "").split(os.pathsep)
    sys.path += [entry for entry in inherited if entry and entry not in sys.path]
