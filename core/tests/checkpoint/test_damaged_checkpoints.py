"""A checkpoint with one wrong byte anywhere is refused, and never restored as something else."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millstream import (
    KeyedProcessFunction,
    ListStateDescriptor,
    MapFunction,
    MapStateDescriptor,
    RestartStrategies,
    RuntimeContext,
    StreamExecutionEnvironment,
    TumblingEventTimeWindows,
    ValueStateDescriptor,
    WatermarkStrategy,
)
from millstream.checkpoint.manifest import FORMAT, decode_manifest
from millstream.errors import DamagedCheckpoint, JobFailedError, MillstreamError, UnknownCheckpointFormat
from millstream.ports import InlineExecutor, LocalStorage, LocalTransport, ManualClock, SeededRandom
from millstream.runtime.deployment import Ports

COUNT = 120


class QuickStorage(LocalStorage):
    """Files that need not outlive the machine."""

    def sync_file(self, file: BinaryIO) -> None:
        file.flush()

    def sync_folder(self, path: str) -> None:
        pass


class Everything(KeyedProcessFunction[int, int, Any]):
    """Uses each kind of keyed state, and timers."""

    def open(self, context: RuntimeContext) -> None:
        self.n = context.get_state(ValueStateDescriptor("n", int, 0))
        self.untyped = context.get_state(ValueStateDescriptor("untyped"))
        self.list = context.get_list_state(ListStateDescriptor("list", int))
        self.map = context.get_map_state(MapStateDescriptor("map", str, int))

    def process_element(self, value: int, ctx: Any, out: Any) -> None:
        self.n.update((self.n.value() or 0) + 1)
        self.untyped.update({"last": value})
        self.list.add(value)
        self.map.put(str(value), value)
        ctx.timer_service().register_event_time_timer(10**6)
        out.collect((ctx.get_current_key(), self.n.value()))


class Buffer(MapFunction[int, int]):
    """Uses operator list state."""

    def open(self, context: RuntimeContext) -> None:
        self.seen = context.get_operator_list_state(ListStateDescriptor("seen", int))

    def map(self, value: int) -> int:
        self.seen.add(value)
        return value


def environment(folder: Path, resume: str) -> StreamExecutionEnvironment:
    ports = Ports(ManualClock(0), SeededRandom(), LocalTransport(), QuickStorage(), InlineExecutor())
    env = StreamExecutionEnvironment(ports=ports).set_parallelism(2).enable_checkpointing(timedelta(milliseconds=10))
    env.set_restart_strategy(RestartStrategies.no_restart()).configure("job.resume", resume)
    env.checkpoint_config.set_checkpoint_storage(folder)
    env.configure("checkpoint.incremental_from", 0)  # some of the files are shared ones
    return env


def rows(folder: Path, resume: str = "never", fail: bool = False) -> Iterator[Any]:
    """The job over numbers 0 to 119, which fails at 100 the first time."""

    def failing(value: int) -> int:
        if fail and value == 100:
            raise ValueError("power cut")
        return value

    env = environment(folder, resume)
    strategy: WatermarkStrategy[Any] = WatermarkStrategy.for_monotonous_timestamps().with_timestamp_assigner(lambda n: n)
    stream = env.generate(lambda index: index, count=COUNT, rate_per_s=1000.0, watermark_strategy=strategy, uid="numbers")
    stream = stream.map(failing).map(Buffer(), uid="buffer")
    stream.key_by(lambda n: n % 3).window(TumblingEventTimeWindows(1000)).reduce(max, uid="windows").sink_to(discarding(), uid="sink")
    return iter(stream.key_by(lambda n: n % 5).process(Everything(), uid="everything").execute_and_collect("damaged"))


def discarding() -> Any:
    from millstream import DiscardingSink

    return DiscardingSink()


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a crashed run left."""
    folder = tmp_path_factory.mktemp("crashed")
    with pytest.raises(JobFailedError, match="power cut"):
        list(rows(folder, fail=True))
    return folder


def checkpoint_files(folder: Path) -> list[Path]:
    """The files of the one checkpoint: manifest and state, shared files included."""
    (manifest,) = folder.rglob("_metadata")
    shared = (manifest.parent.parent / "shared").iterdir()
    return sorted(path for path in manifest.parent.iterdir() if path.is_file()) + sorted(shared)


def test_the_undamaged_checkpoint_restores(crashed: Path, tmp_path: Path) -> None:
    shutil.copytree(crashed, tmp_path / "copy")
    last: dict[int, int] = {}
    for key, n in rows(tmp_path / "copy", "auto"):
        last[key] = max(n, last.get(key, 0))
    assert last == dict.fromkeys(range(5), COUNT // 5)
    assert len(checkpoint_files(crashed)) >= 4
    assert {path.parent.name[:4] for path in checkpoint_files(crashed)} == {"chk-", "shar"}


def refused(crashed: Path, folder: Path, number: int, damage: Any) -> MillstreamError:
    """Damages one file of a copy; the error of whoever restores it. Nothing may have been emitted."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(crashed, folder)
    path = checkpoint_files(folder)[number]
    damage(path)
    emitted: list[Any] = []
    with pytest.raises((JobFailedError, MillstreamError)) as raised:
        emitted.extend(rows(folder, "auto"))
    assert emitted == []
    error = raised.value.__cause__ if isinstance(raised.value, JobFailedError) else raised.value
    assert isinstance(error, DamagedCheckpoint | UnknownCheckpointFormat), error
    assert checkpoint_files(folder) or not path.exists(), "the damaged checkpoint is still there, for whoever looks into it"
    return error


def write(data: bytes) -> Any:
    return lambda path: path.write_bytes(data)


def regions(data: bytes, manifest: bool) -> dict[str, int]:
    """One position of each kind of place in a file."""
    found = {"first byte": 0, "last byte": len(data) - 1, "middle": len(data) // 2}
    if manifest:
        head = data.index(b"\n")
        checksum = data.index(b" ", data.index(b" ") + 1) + 1
        found |= {"magic": 5, "space": data.index(b" "), "format number": data.index(b" ") + 1, "checksum": checksum, "end of head": head}
        for name in (b"job_name", b"run_id", b"checkpoint_id", b"max_parallelism", b"watermark", b"sha256", b"offset", b"enumerators", b"key_group"):
            match = re.search(rb'"%s": *' % name, data)
            assert match is not None, name
            found[f"value of {name.decode()}"] = match.end() + 1
    return found


def test_a_flipped_bit_in_any_region_of_any_file_is_found(crashed: Path, tmp_path: Path) -> None:
    checked = 0
    for number, path in enumerate(checkpoint_files(crashed)):
        data = path.read_bytes()
        for region, position in regions(data, path.name == "_metadata").items():
            for bit in (0, 7):
                damaged = bytearray(data)
                damaged[position] ^= 1 << bit
                error = refused(crashed, tmp_path / "copy", number, write(bytes(damaged)))
                assert "chk-" in str(error), region
                checked += 1
    assert checked > 40


@pytest.mark.parametrize("cut", ["empty", "one byte", "half", "all but one byte"])
def test_a_truncated_file_is_found(crashed: Path, tmp_path: Path, cut: str) -> None:
    for number, path in enumerate(checkpoint_files(crashed)):
        data = path.read_bytes()
        length = {"empty": 0, "one byte": 1, "half": len(data) // 2, "all but one byte": len(data) - 1}[cut]
        refused(crashed, tmp_path / "copy", number, write(data[:length]))


def test_bytes_behind_the_end_are_found(crashed: Path, tmp_path: Path) -> None:
    for number, path in enumerate(checkpoint_files(crashed)):
        refused(crashed, tmp_path / "copy", number, write(path.read_bytes() + b"\0"))


def test_a_missing_state_file_is_named(crashed: Path, tmp_path: Path) -> None:
    for number, path in enumerate(checkpoint_files(crashed)):
        if path.name != "_metadata":
            error = refused(crashed, tmp_path / "copy", number, Path.unlink)
            assert path.name in str(error)


def test_two_state_files_in_each_others_place_are_found(crashed: Path, tmp_path: Path) -> None:
    files = checkpoint_files(crashed)
    states = [number for number, path in enumerate(files) if path.name != "_metadata"]
    other = files[states[1]].read_bytes()
    refused(crashed, tmp_path / "copy", states[0], write(other))


def test_the_manifest_of_another_checkpoint_is_found(crashed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(crashed, folder)
    chk = checkpoint_files(folder)[0].parent
    chk.rename(chk.with_name("chk-900"))
    with pytest.raises(DamagedCheckpoint, match="its manifest is that of checkpoint"):
        list(rows(folder, "auto"))


def test_a_manifest_of_a_later_format_is_refused_by_name(crashed: Path, tmp_path: Path) -> None:
    (manifest,) = crashed.rglob("_metadata")
    data = manifest.read_bytes().replace(b" %d " % FORMAT, b" %d " % (FORMAT + 1), 1)
    error = refused(crashed, tmp_path / "copy", checkpoint_files(crashed).index(manifest), write(data))
    assert isinstance(error, UnknownCheckpointFormat)
    assert (error.found, error.known) == (FORMAT + 1, FORMAT)
    assert "later one" in str(error)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_flipped_bit_anywhere_is_found(crashed: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    files = checkpoint_files(crashed)
    number = data.draw(st.integers(0, len(files) - 1))
    content = bytearray(files[number].read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    refused(crashed, tmp_path_factory.getbasetemp() / "flipped", number, write(bytes(content)))


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.binary(max_size=100).map(lambda tail: b"millstream-checkpoint 1 " + tail)))
def test_bytes_that_are_no_manifest_are_refused(data: bytes) -> None:
    with pytest.raises((DamagedCheckpoint, UnknownCheckpointFormat)):
        decode_manifest(data, "here")
