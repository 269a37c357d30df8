"""The planted defects still fit the code; `nox -s planted` shows that they are found."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent


def _load() -> Any:
    spec = importlib.util.spec_from_file_location("planted_defects", HERE / "defects.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


DEFECTS = _load().defects()


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.name)
def test_a_planted_defect_fits_the_code_and_names_tests_that_are_there(defect: Any) -> None:
    root = HERE.parents[1]
    defect.apply(root, "--check")
    assert defect.what.endswith((".", "?"))
    assert defect.found_by
    for test in defect.found_by:
        assert (root / test.split(" ")[0].partition("::")[0]).exists(), test


def test_there_are_at_least_twelve() -> None:
    assert len(DEFECTS) >= 12
