from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest

from millstream_testkit.harness import reference_of
from millstream_testkit.loading import load
from millstream_testkit.sinks import FileSinkHarness, LedgerHarness


def test_a_connector_is_named_with_its_distribution_and_version() -> None:
    assert FileSinkHarness().distribution() == ("millstream-filesystem", metadata.version("millstream-filesystem"))
    assert LedgerHarness().distribution() == ("millstream-testkit", metadata.version("millstream-testkit"))


def test_a_class_of_an_importable_module_is_found_by_its_module_and_one_of_a_test_file_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reference_of(LedgerHarness) == "millstream_testkit.sinks:LedgerHarness"
    file = tmp_path / "test_mine.py"
    file.write_text("class Mine: ...\n")
    namespace: dict[str, type] = {"__name__": "some.where.test_mine"}
    module = ModuleType("some.where.test_mine")
    module.__file__ = str(file)
    monkeypatch.setitem(sys.modules, "some.where.test_mine", module)
    exec(compile(file.read_text(), str(file), "exec"), namespace)  # noqa: S102 - as pytest imports a test file
    reference = reference_of(namespace["Mine"])
    assert reference == f"{file}:Mine"
    assert load(reference).__name__ == "Mine"


def test_a_name_that_a_harness_does_not_give_is_made_from_its_class() -> None:
    class NotesHarness(LedgerHarness): ...

    class Notes(LedgerHarness): ...

    assert (NotesHarness.name, Notes.name) == ("Notes", "Notes")
