"""Jobs whose checkpoints refer to earlier ones, as somebody sees them who looks into the folder, and who resumes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from millstream import RestartStrategies, StreamExecutionEnvironment
from millstream.checkpoint.manifest import Manifest, decode_manifest
from millstream.cli.app import app
from millstream.errors import JobFailedError
from millstream.ports import InlineExecutor, LocalStorage, LocalTransport, ManualClock, SeededRandom
from millstream.runtime.deployment import Ports

KEYS, COUNT = 400, 2_000


def key_of(number: int) -> int:
    """Every key once, then the same few again and again."""
    return number if number < KEYS else number % 5


def run(folder: Path, *, fail_at: int | None = None, parallelism: int = 1, **options: Any) -> list[tuple[int, int]]:
    """Counts per key."""

    def checked(number: int) -> int:
        if number == fail_at:
            raise ValueError("power cut")
        return number

    ports = Ports(ManualClock(0), SeededRandom(), LocalTransport(), LocalStorage(), InlineExecutor())
    env = StreamExecutionEnvironment(ports=ports).set_parallelism(parallelism).enable_checkpointing(timedelta(milliseconds=100))
    env.set_restart_strategy(RestartStrategies.no_restart()).configure("job.resume", "auto").set_max_parallelism(64)
    env.checkpoint_config.set_checkpoint_storage(folder)
    for name, value in {"checkpoint.incremental_from": 0, "checkpoint.retained": 3, **options}.items():
        env.configure(name, value)
    numbers = env.generate(lambda index: index, count=COUNT, rate_per_s=1000.0, uid="numbers").map(checked)
    counts = numbers.map(lambda number: (key_of(number), 1)).key_by(lambda pair: pair[0]).reduce(lambda a, b: (a[0], a[1] + b[1]), uid="counts")
    return list(counts.execute_and_collect("incremental"))


def manifests(folder: Path) -> list[Manifest]:
    paths = sorted(folder.rglob("_metadata"), key=lambda path: int(path.parent.name[4:]))
    return [decode_manifest(path.read_bytes(), str(path)) for path in paths]


def crash(folder: Path, **options: Any) -> list[Manifest]:
    with pytest.raises(JobFailedError, match="power cut"):
        run(folder, fail_at=1_500, **options)
    return manifests(folder)


def test_a_checkpoint_stores_what_has_changed_since_the_one_before(tmp_path: Path) -> None:
    for manifest in crash(tmp_path):
        assert 0 < manifest.stored_bytes < manifest.state_bytes / 3
        groups = [chunk for task in manifest.tasks for state in task.operators for chunk in state.chunks]
        assert sum(chunk.entries for chunk in groups) == KEYS


def test_the_folder_of_shared_files_holds_what_checkpoints_refer_to_and_nothing_else(tmp_path: Path) -> None:
    kept = crash(tmp_path)
    assert len(kept) == 3
    assert {path.name for path in tmp_path.rglob("shared/*")} == {name for manifest in kept for name in manifest.shared_files()}


@pytest.mark.parametrize("parallelism", [1, 3])
def test_a_job_resumes_from_an_incremental_checkpoint(tmp_path: Path, parallelism: int) -> None:
    crash(tmp_path)
    highest: dict[int, int] = {}
    for key, count in run(tmp_path, parallelism=parallelism):
        highest[key] = max(count, highest.get(key, 0))
    repeated = (COUNT - KEYS) // 5
    assert {key: highest[key] for key in range(5)} == dict.fromkeys(range(5), repeated + 1)
    assert not list(tmp_path.rglob("shared/*"))  # the run has ended, and nothing of it is left


@pytest.mark.parametrize("options", [{"checkpoint.incremental": False}, {"checkpoint.incremental_from": 10**9}])
def test_checkpoints_are_whole_when_they_are_to_be_or_the_state_is_small(tmp_path: Path, options: dict[str, Any]) -> None:
    for manifest in crash(tmp_path, **options):
        assert manifest.stored_bytes == manifest.state_bytes
        assert not manifest.shared_files()
    assert not list(tmp_path.rglob("shared/*"))


def test_tools_tell_what_earlier_checkpoints_stored_and_verify_it(tmp_path: Path) -> None:
    crash(tmp_path)
    inspected = CliRunner().invoke(app, ["checkpoints", "inspect", str(tmp_path)])
    assert "were stored by earlier checkpoints" in inspected.output
    assert CliRunner().invoke(app, ["checkpoints", "verify", str(tmp_path)]).exit_code == 0
    newest = manifests(tmp_path)[-1]
    lost = min(newest.shared_files())
    next(tmp_path.rglob(f"shared/{lost}")).unlink()
    verified = CliRunner().invoke(app, ["checkpoints", "verify", str(tmp_path)])
    assert verified.exit_code == 1
    assert f"file {lost} is missing" in verified.output
