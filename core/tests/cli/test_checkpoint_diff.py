"""`millstream checkpoints diff`: what changed between two checkpoints."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from millstream.checkpoint.manifest import Manifest, decode_manifest, encode_manifest


def folders(root: Path) -> list[Path]:
    """Folders of the checkpoints of job `readings`, oldest first."""
    return sorted(root.glob("readings/chk-*"), key=lambda path: int(path.name[4:]))


def manifest_of(folder: Path) -> Manifest:
    return decode_manifest((folder / "_metadata").read_bytes(), str(folder))


def rewrite(folder: Path, change: Any) -> None:
    (folder / "_metadata").write_bytes(encode_manifest(change(manifest_of(folder))))


def differences(invoke: Any, first: Path, second: Path) -> dict[str, Any]:
    result = invoke("checkpoints", "diff", first, second, "--json")
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.output)
    return found


def section(text: str, title: str) -> list[list[str]]:
    """Rows below a title, without the columns' names."""
    found = re.search(rf"^{title}\n(.*?)(?:\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
    assert found is not None, text
    return [re.split(" {2,}", line.strip()) for line in found[1].splitlines() if line.strip()][1:]


def test_two_checkpoints_of_a_run_differ_in_positions_and_watermarks_only(invoke: Any, checkpoints: Path) -> None:
    older, newer = folders(checkpoints)
    result = invoke("checkpoints", "diff", older, newer)
    assert result.exit_code == 0, result.stderr
    assert result.output.startswith(f"From  {older}: ")
    assert f"\nTo    {newer}: " in result.output
    position = next(row for row in section(result.output, "Positions of sources") if row[0] == "readings")
    assert position[2] == ("moved" if " -> " in position[3] else "done or elsewhere")
    assert re.match(r"next=\d+, step=1, count=300", position[3])
    assert any(row[0] == "last" and " -> " in row[1] for row in section(result.output, "Watermarks"))
    assert "Operators\n" not in result.output
    found = differences(invoke, older, newer)
    assert (found["before"]["path"], found["after"]["checkpoint_id"]) == (str(older), int(newer.name[4:]))
    assert found["before"]["run_id"] == found["after"]["run_id"]
    assert {one["change"] for one in found["operators"]} == {"changed"}
    assert [one["before"]["parallelism"] for one in found["operators"]] == [one["after"]["parallelism"] for one in found["operators"]]


def test_a_checkpoint_does_not_differ_from_itself(invoke: Any, checkpoints: Path) -> None:
    newest = folders(checkpoints)[-1]
    result = invoke("checkpoints", "diff", checkpoints, newest)
    assert result.exit_code == 0, result.stderr
    assert "Both hold the same" in result.output
    found = differences(invoke, newest, newest)
    assert [found[name] for name in ("operators", "states", "positions", "enumerators", "pending")] == [[], [], [], [], []]


def test_added_removed_and_changed_operators_are_told_apart(invoke: Any, checkpoints: Path) -> None:
    older, newer = folders(checkpoints)

    def change(manifest: Manifest) -> Manifest:
        operators = [info for info in manifest.operators if info.uid != "last"]
        index = next(number for number, info in enumerate(operators) if info.uid == "files")
        operators[index] = type(operators[index])("files", "files", 4, operators[index].max_parallelism, True)
        operators.append(type(operators[index])("fresh", "map(fresh)", 2, 128, True))
        return replaced(manifest, operators=operators)

    rewrite(newer, change)
    rows = {row[0]: row[1:] for row in section(invoke("checkpoints", "diff", older, newer).output, "Operators")}
    assert rows["last"][:2] == ["removed", "process(Last)"]
    assert rows["fresh"] == ["added", "map(fresh)", "2", "128"]
    assert (rows["files"][0], rows["files"][2]) == ("changed", "1 -> 4")
    assert set(rows) == {"last", "fresh", "files"}


def test_a_state_of_another_type_is_retyped_also_when_only_its_structure_differs(invoke: Any, checkpoints: Path) -> None:
    older, newer = folders(checkpoints)

    def retype(table: str, **values: Any) -> Any:
        def change(manifest: Manifest) -> Manifest:
            data = plain_of(manifest)
            for task in data["tasks"]:
                for operator in task["operators"]:
                    if table in operator["tables"]:
                        operator["tables"][table]["values"].update(values)
            return manifest_from(data)

        return change

    rewrite(newer, retype("last", schema={"fields": ["another"]}))
    rewrite(newer, retype("@rolling", type_name="float"))
    rows = {row[1]: row for row in section(invoke("checkpoints", "diff", older, newer).output, "States")}
    assert rows["last"][2] == "retyped"
    assert rows["last"][-1].endswith("(another structure)")
    assert rows["@rolling"][2] == "retyped"
    assert "values typed job:Reading -> rolling" in rows["@rolling"][-1]
    assert rows["@rolling"][-1].endswith("values typed float")
    by_change = {one["key"][1]: one["change"] for one in differences(invoke, older, newer)["states"]}
    assert (by_change["last"], by_change["@rolling"]) == ("retyped", "retyped")


def test_entries_and_bytes_of_each_state_are_compared_over_all_subtasks(invoke: Any, checkpoints: Path) -> None:
    older, newer = folders(checkpoints)

    def drop_a_chunk_and_a_table(manifest: Manifest) -> Manifest:
        data = plain_of(manifest)
        for task in data["tasks"]:
            for operator in task["operators"]:
                if operator["uid"] == "last":
                    operator["chunks"] = operator["chunks"][1:]
                if operator["uid"] == "newest":
                    operator["tables"], operator["chunks"] = {}, []
        return manifest_from(data)

    before = differences(invoke, older, newer)
    assert all(one["before"]["entries"] == one["after"]["entries"] for one in before["states"] if one["key"][1] in ("last", "@rolling"))
    rewrite(newer, drop_a_chunk_and_a_table)
    rows = {row[1]: row for row in section(invoke("checkpoints", "diff", older, newer).output, "States")}
    assert (rows["last"][2], rows["@rolling"][2]) == ("changed", "removed")
    assert re.fullmatch(r"5 -> [34] \(-[12]\)", rows["last"][3])
    states = {one["key"][1]: one for one in differences(invoke, older, newer)["states"]}
    assert states["@rolling"]["after"] is None
    assert states["last"]["after"]["size_bytes"] < states["last"]["before"]["size_bytes"]


PENDING = """
import sys
from datetime import timedelta
from millstream import *
from millstream_filesystem import FileSink

env = StreamExecutionEnvironment.get_execution_environment()
env.enable_checkpointing(timedelta(milliseconds=20))
env.configure("checkpoint.keep_on_finish", True)
env.configure("checkpoint.retained", 100)
env.checkpoint_config.set_checkpoint_storage("chk")
numbers = env.generate(lambda index: {"n": index}, count=200, rate_per_s=1_000, uid="readings")
numbers.sink_to(FileSink("out", format="json", delivery="exactly_once"), uid="files")
env.execute("readings")
"""


@pytest.fixture(scope="module")
def of_a_two_phase_sink(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pending")
    (folder / "job.py").write_text(PENDING)
    subprocess.run([sys.executable, "job.py"], cwd=folder, timeout=50, check=True, capture_output=True)
    return folder / "chk"


def test_work_that_a_sink_has_sealed_is_named_by_the_checkpoints_that_sealed_it(invoke: Any, of_a_two_phase_sink: Path) -> None:
    nothing_yet, *_, first, last = folders(of_a_two_phase_sink)[:4]
    (row,) = section(invoke("checkpoints", "diff", first, last).output, "Work that sinks have yet to commit")
    assert row[:3] == ["files", "two-phase-commit", f"{first.name[4:]} -> {last.name[4:]}"]
    (row,) = section(invoke("checkpoints", "diff", nothing_yet, last).output, "Work that sinks have yet to commit")
    assert row[2].endswith(f" -> {last.name[4:]}")
    (pending,) = differences(invoke, first, last)["pending"]
    assert pending["before"]["checkpoints"] == [int(first.name[4:])]
    assert pending["after"]["checkpoints"] == [int(last.name[4:])]


def test_checkpoints_of_different_runs_and_jobs_are_said_to_be_so(invoke: Any, checkpoints: Path) -> None:
    older, newer = folders(checkpoints)
    rewrite(newer, lambda manifest: replaced(manifest, run_id="f" * 32))
    assert f"different runs: {manifest_of(older).run_id} and {'f' * 32}." in invoke("checkpoints", "diff", older, newer).output
    rewrite(newer, lambda manifest: replaced(manifest, job_name="others"))
    assert "different jobs: 'readings' and 'others'." in invoke("checkpoints", "diff", older, newer).output


def test_damage_and_missing_checkpoints_are_errors(invoke: Any, checkpoints: Path) -> None:
    older, newer = folders(checkpoints)
    missing = invoke("checkpoints", "diff", older, "nowhere")
    assert (missing.exit_code, "no checkpoints at nowhere" in missing.stderr) == (1, True)
    next(path for path in newer.iterdir() if path.name.startswith("task")).unlink()
    damaged = invoke("checkpoints", "diff", older, newer)
    assert (damaged.exit_code, "is missing" in damaged.stderr, damaged.stdout) == (1, True, "")


def test_a_root_with_several_jobs_is_not_guessed_at(invoke: Any, checkpoints: Path) -> None:
    (checkpoints / "others").mkdir()
    newest = folders(checkpoints)[-1]
    target = checkpoints / "others" / newest.name
    target.mkdir()
    for path in newest.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    result = invoke("checkpoints", "diff", checkpoints, newest)
    assert (result.exit_code, "checkpoints of 2 jobs" in result.stderr, str(target) in result.stderr) == (2, True, True)


def replaced(manifest: Manifest, **changes: Any) -> Manifest:
    return msgspec.structs.replace(manifest, **changes)


def plain_of(manifest: Manifest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(msgspec.json.encode(manifest))
    return found


def manifest_from(data: dict[str, Any]) -> Manifest:
    return msgspec.json.decode(json.dumps(data).encode(), type=Manifest)
