"""`exactly_once_test` on jobs that cannot be tested, or are wrong. The main job under it is in examples/demo/tests."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from millstream import KeyedProcessFunction, RuntimeContext, StreamExecutionEnvironment, ValueStateDescriptor
from millstream_filesystem import FileSink
from millstream_testkit import HarnessUnusable, exactly_once_test
from millstream_testkit.case import LAST, Crash

pytestmark = pytest.mark.timeout(180)  # some kill a job many times


def words(source: str, sink: str) -> StreamExecutionEnvironment:
    env = StreamExecutionEnvironment.get_execution_environment()
    env.enable_checkpointing(timedelta(milliseconds=20))
    lines = env.read_text_file(source, records_per_second=100, uid="lines")
    lines.sink_to(FileSink(sink, delivery="exactly_once"), uid="words")
    return env


def no_job(source: str, sink: str) -> Any:
    env = words(source, sink)
    env.checkpoint_config.set_checkpoint_storage("memory")
    return env.execute("too early")


def without_checkpoints(source: str, sink: str) -> StreamExecutionEnvironment:
    env = words(source, sink)
    return env.configure("checkpoint.interval", None)


def failing(source: str, sink: str) -> StreamExecutionEnvironment:
    return words(source + " is not there", sink)


class Careless(KeyedProcessFunction[str, str, str]):
    """Changes what it read, and writes only the first time."""

    def open(self, context: RuntimeContext) -> None:
        self.seen = context.get_state(ValueStateDescriptor[Any]("seen"))

    def process_element(self, value: str, ctx: Any, out: Any) -> None:
        seen = self.seen.value()
        if seen is None:
            self.seen.update([value])
        else:
            seen.append(value)
        out.collect(value)


def careless(source: str, sink: str) -> StreamExecutionEnvironment:
    env = StreamExecutionEnvironment.get_execution_environment()
    env.enable_checkpointing(timedelta(milliseconds=20))
    lines = env.read_text_file(source, uid="lines").key_by(lambda line: line, key_type=str).process(Careless(), uid="careless")
    lines.sink_to(FileSink(sink, delivery="exactly_once"), uid="words")
    return env


def careless_and_known(source: str, sink: str) -> StreamExecutionEnvironment:
    return careless(source, sink).configure("state.strict", False)


def stamped(source: str, sink: str) -> StreamExecutionEnvironment:
    env = StreamExecutionEnvironment.get_execution_environment()
    env.enable_checkpointing(timedelta(milliseconds=20))
    lines = env.read_text_file(source, records_per_second=100, uid="lines").map(lambda line: f"{line} {time.time_ns()}")
    lines.sink_to(FileSink(sink, delivery="exactly_once"), uid="words")
    return env


def write_words(folder: Path) -> Path:
    path = folder / "words.txt"
    path.write_text("to\nbe\nor\nnot\n" * 5)
    return path


def read_words(sink: str) -> Iterator[str]:
    for path in Path(sink).glob("[!.]*"):
        yield from path.read_text().splitlines()


def read_nothing(sink: str) -> list[str]:
    return []


@pytest.mark.parametrize(
    ("job", "reader", "sentence"),
    [
        (lambda source, sink: None, read_words, "Move it to the top level of its file"),
        (no_job, read_words, "it returned JobExecutionResult, not a StreamExecutionEnvironment. Let it build the job and return the environment"),
        (without_checkpoints, read_words, "the job takes no checkpoints, so that it begins anew after each kill. Call env.enable_checkpointing"),
        (failing, read_words, "left alone, the job ended with exit code 1"),
        (careless, read_words, "function Careless, was changed at key 'to' without being written back"),
        (words, read_nothing, "left alone, the job wrote nothing that sink= can read"),
    ],
    ids=["not to be found", "executes itself", "no checkpoints", "fails by itself", "loses changes of state", "another place"],
)
def test_a_job_that_cannot_be_tested_is_answered_with_the_fix(job: Any, reader: Any, sentence: str, tmp_path: Path) -> None:
    tested = exactly_once_test(job, source=write_words, sink=reader, folder=tmp_path)
    with pytest.raises(HarnessUnusable) as error, tested:
        pass
    assert sentence in str(error.value)


def test_a_job_may_say_that_its_state_is_not_to_be_strict(tmp_path: Path) -> None:
    with exactly_once_test(careless_and_known, source=write_words, sink=read_words, folder=tmp_path) as t:
        assert t.survived == []


def test_an_answer_that_is_wrong_without_any_kill_is_said_to_be_so(tmp_path: Path) -> None:
    tested = exactly_once_test(words, source=write_words, sink=read_words, expected=["to"] * 5, folder=tmp_path)
    with pytest.raises(AssertionError, match="left alone, the job is wrong already: 15 wrong: be, be"), tested:
        pass


def test_its_folder_is_removed_when_the_job_is_right_and_kept_when_a_log_in_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with exactly_once_test(words, source=write_words, sink=read_words):
        assert list(tmp_path.glob("millstream-test-*"))
    assert not list(tmp_path.glob("millstream-test-*"))
    with pytest.raises(AssertionError, match="already"), exactly_once_test(words, source=write_words, sink=read_words, expected=[]):
        pass
    assert list(tmp_path.glob("millstream-test-*/**/log"))


@pytest.mark.faults
def test_a_job_that_never_writes_the_same_is_told_from_one_that_crashes_make_wrong(tmp_path: Path) -> None:
    with (
        exactly_once_test(stamped, source=write_words, sink=read_words, folder=tmp_path) as t,
        pytest.raises(AssertionError, match=r"Left alone a second time.*20 missing.*not determined by its input\. Keep the time"),
    ):
        t.crash_at("checkpoint.durable.before_notify")


@pytest.mark.faults
def test_one_case_is_the_one_that_tells_most(tmp_path: Path) -> None:
    with exactly_once_test(words, source=write_words, sink=read_words, folder=tmp_path) as t:
        t.crash_everywhere(at_most=1)
        assert [crash.partition("#")[0] for crash in t.survived] == ["checkpoint.durable.before_notify"]


@pytest.mark.faults
def test_what_the_job_came_through_is_listed_and_a_point_it_never_passes_is_named(tmp_path: Path) -> None:
    with exactly_once_test(words, source=write_words, sink=read_words, folder=tmp_path) as t:
        t.crash_at("sink.commit.before")
        t.crash(Crash("sink.commit.before", LAST), Crash("recovery.after"))
        assert t.survived[0] == "sink.commit.before#1"
        assert len(t.survived) == 2
        t.passes["sink.commit.before"] = 1_000  # as many as the next run will not have
        t.crash(Crash("sink.commit.before", LAST))
        assert t.survived[2:] == ["sink.commit.before#1"]
        with pytest.raises(AssertionError, match="the job never passes task.timers.firing. It passes checkpoint.durable.before_notify, "):
            t.crash_at("task.timers.firing")
