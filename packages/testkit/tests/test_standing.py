"""What counts as a change of a checkpoint store by a process that was replaced."""

from __future__ import annotations

import pytest

from millstream_testkit.processes.standing import Standing

MANIFEST = {"job/chk-3/_metadata": "1", "job/chk-3/task-0-0-1": "2", "job/run": "3"}


def changes(**files: str) -> list[str]:
    later = {**MANIFEST, **{name: digest for name, digest in files.items() if digest}}
    for name in [name for name, digest in files.items() if not digest]:
        del later[name]
    return Standing(MANIFEST, [], [], {}).changes(Standing(later, [], [], {}))


@pytest.mark.parametrize(
    "name", ["job/chk-3/task-0-0-0", "job/chk-4/.task-0-0-0.12-0.tmp", "job/chk-3/.3-1-0-0-3a25.259-0.tmp", "job/shared/3-1-0-0-3a25"]
)
def test_state_files_that_nobody_refers_to_are_no_change(name: str) -> None:
    assert changes(**{name: "9"}) == []


@pytest.mark.parametrize(
    ("name", "digest"),
    [("job/chk-3/_metadata", "9"), ("job/chk-3/_metadata", ""), ("job/chk-4/_metadata", "9"), ("job/chk-3/task-0-0-1", ""), ("job/run", "9")],
)
def test_all_else_is_one(name: str, digest: str) -> None:
    assert len(changes(**{name: digest})) == 1
