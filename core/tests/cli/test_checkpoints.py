"""`millstream checkpoints`: what a job left, seen from outside."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from millstream.checkpoint.manifest import decode_manifest


def rows_of(output: str) -> list[list[str]]:
    return [re.split(" {2,}", line.strip()) for line in output.splitlines()]


def folders(root: Path) -> list[Path]:
    """Folders of the checkpoints, oldest first."""
    return sorted(root.glob("readings/chk-*"), key=lambda path: int(path.name[4:]))


def test_a_root_a_job_and_a_checkpoint_can_be_listed(invoke: Any, checkpoints: Path) -> None:
    older, newer = folders(checkpoints)
    for path, expected in [(checkpoints, [older, newer]), (checkpoints / "readings", [older, newer]), (older, [older]), (f"file://{newer}", [newer])]:
        result = invoke("checkpoints", "list", path)
        assert result.exit_code == 0, result.stderr
        head, *rows = rows_of(result.output)
        assert head == ["job", "id", "kind", "completed", "took", "size", "run", "path"]
        assert [(row[0], row[1], row[7]) for row in rows] == [("readings", folder.name[4:], str(folder)) for folder in expected]
        manifest = decode_manifest((expected[-1] / "_metadata").read_bytes(), "")
        assert (rows[-1][2], rows[-1][6]) == (manifest.kind, manifest.run_id)


def test_a_relative_path_will_do(invoke: Any, checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(checkpoints)
    assert str(folders(checkpoints)[0]) in invoke("checkpoints", "list", "readings").output


@pytest.mark.parametrize("command", ["list", "inspect", "verify"])
def test_a_path_without_checkpoints_says_why(invoke: Any, folder: Path, command: str) -> None:
    for path, why in [("nowhere", "there is no such folder"), (".", "no checkpoint in it was completed")]:
        result = invoke("checkpoints", command, path)
        assert result.exit_code == 1
        assert result.stderr.startswith(f"Error: There are no checkpoints at {path}: {why}")


def test_inspect_shows_operators_states_and_positions(invoke: Any, checkpoints: Path) -> None:
    older = folders(checkpoints)[0]
    result = invoke("checkpoints", "inspect", older)
    assert result.exit_code == 0, result.stderr
    assert result.output.startswith(f"Checkpoint {older.name[4:]} of job 'readings'\n  path       {older}\n")
    operators, states, positions = (
        rows_of(section)[1:] for section in re.split(r"^(?:Operators|States|Positions of sources)\n", result.output, flags=re.MULTILINE)[1:]
    )
    assert [row[0] for row in operators if row[0]] == ["readings", "1:map", "last", "newest", "files"]
    assert operators[2][:4] == ["last", "process(Last)", "1", "128"]
    assert re.fullmatch(r"1970-01-01 00:0\d:\d\d\.999Z", operators[2][4])
    by_name = {(row[0], row[1]): row[2:] for row in states if len(row) > 1}
    assert by_name["last", "last"][:4] == ["value", "typed str", "typed job:Reading", "5"]
    assert by_name["newest", "@rolling"][:4] == ["rolling", "data codec", "typed job:Reading", "5"]
    # The generator's only split: `next` is the number of the record that is read next.
    assert re.fullmatch(r"next=\d+, step=1, count=300", positions[0][2])
    assert positions[0][0] == "readings"


def test_inspect_takes_the_newest_of_a_job_and_gives_json(invoke: Any, checkpoints: Path) -> None:
    newest = folders(checkpoints)[-1]
    manifest = json.loads(invoke("checkpoints", "inspect", checkpoints, "--json").output)
    assert (manifest["job_name"], manifest["checkpoint_id"]) == ("readings", int(newest.name[4:]))
    assert f"path       {newest}\n" in invoke("checkpoints", "inspect", checkpoints / "readings").output


def test_whole_checkpoints_verify(invoke: Any, checkpoints: Path) -> None:
    result = invoke("checkpoints", "verify", checkpoints)
    assert result.exit_code == 0
    for path, line in zip(folders(checkpoints), result.output.splitlines(), strict=True):
        assert line.startswith(f"whole    {path}: ")


def damage_state(folder: Path) -> str:
    file = next(path for path in folder.iterdir() if path.name.startswith("task"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))
    return f"file {file.name} does not match its checksum"


def cut_state(folder: Path) -> str:
    file = next(path for path in folder.iterdir() if path.name.startswith("task"))
    file.write_bytes(file.read_bytes()[:-1])
    return f"file {file.name} has "


def lose_state(folder: Path) -> str:
    file = next(path for path in folder.iterdir() if path.name.startswith("task"))
    file.unlink()
    return f"file {file.name} is missing"


def damage_manifest(folder: Path) -> str:
    manifest = folder / "_metadata"
    manifest.write_bytes(manifest.read_bytes().replace(b"readings", b"seadings", 1))
    return "does not match its own checksum"


def empty_manifest(folder: Path) -> str:
    (folder / "_metadata").write_bytes(b"")
    return "does not begin as one"


def swap_manifest(folder: Path) -> str:
    other = folders(folder.parent.parent)[-1]
    (folder / "_metadata").write_bytes((other / "_metadata").read_bytes())
    return f"its manifest is that of checkpoint {other.name[4:]}"


def future_manifest(folder: Path) -> str:
    manifest = folder / "_metadata"
    manifest.write_bytes(manifest.read_bytes().replace(b" 2 ", b" 99 ", 1))
    return "has format 99"


@pytest.mark.parametrize("damage", [damage_state, cut_state, lose_state, damage_manifest, empty_manifest, swap_manifest, future_manifest])
def test_a_damaged_checkpoint_is_named_with_what_is_damaged(invoke: Any, checkpoints: Path, damage: Any) -> None:
    older, newer = folders(checkpoints)
    what = damage(older)
    result = invoke("checkpoints", "verify", checkpoints)
    assert result.exit_code == 1
    damaged, whole = result.stdout.splitlines()
    assert damaged.startswith(f"DAMAGED  {older}: ")
    assert what in damaged
    assert whole.startswith(f"whole    {newer}: ")
    assert "--resume PATH" in result.stderr
    assert invoke("checkpoints", "verify", newer).exit_code == 0
    listed = invoke("checkpoints", "list", checkpoints)
    assert listed.exit_code == 0
    if "manifest" in damage.__name__:
        assert "damaged: " in listed.output
        assert what in listed.output
        assert invoke("checkpoints", "inspect", older).exit_code == 1


def test_looking_changes_nothing(invoke: Any, checkpoints: Path) -> None:
    def contents() -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in checkpoints.rglob("*") if path.is_file()}

    before = contents()
    for command in ("list", "inspect", "verify"):
        invoke("checkpoints", command, checkpoints)
    assert contents() == before


@pytest.mark.parametrize("command", ["list", "inspect", "verify"])
def test_a_path_that_cannot_be_looked_at_is_an_error_with_a_fix(invoke: Any, command: str) -> None:
    result = invoke("checkpoints", command, "x" * 300)
    assert result.exit_code == 1
    assert re.match(r"Error: The checkpoint folder x+ cannot be used: File name too long \(.*\)\. Make it readable", result.stderr), result.stderr
