"""Printing, dropping and collecting, as the engine drives them."""

from __future__ import annotations

import io
import pickle
from collections import deque
from typing import Any

import cloudpickle
import pytest

from millstream import StreamExecutionEnvironment
from millstream.api.sinks import CollectSink, DiscardingSink, PrintSink
from millstream.contracts.guarantee import Guarantee
from millstream.contracts.sink import Sink, SinkContext
from millstream.errors import InvalidArgument, JobFailedError, RecordRefused, SinkFailed, SinkNotPortable
from millstream.plugins.builtin import millstream_sinks
from millstream.ports import InlineExecutor, LocalStorage, ManualClock, SeededRandom


def context(subtask: int = 0, parallelism: int = 1) -> SinkContext:
    metrics: Any = None
    return SinkContext(
        job_name="job",
        run_id="0" * 32,
        sink_uid="out",
        subtask=subtask,
        parallelism=parallelism,
        attempt=0,
        lane=subtask,
        owned_lanes=(subtask,),
        clock=ManualClock(),
        random=SeededRandom(0),
        storage=LocalStorage(),
        executor=InlineExecutor(),
        metrics=metrics,
    )


def write(sink: Sink[Any], *batches: list[Any], subtask: int = 0, parallelism: int = 1) -> None:
    writer = sink.open(context(subtask, parallelism))
    for batch in batches:
        writer.write(batch, None)
    writer.flush()
    writer.close()


def test_print_writes_each_record_on_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    write(PrintSink(), [1, "zwei"], [], [None, ("a", 3)])
    assert capsys.readouterr().out == "1\nzwei\nNone\n('a', 3)\n"


@pytest.mark.parametrize(
    ("identifier", "parallelism", "line"), [("", 3, "2> x\n"), ("words", 3, "words:2> x\n"), ("words", 1, "words> x\n"), ("", 1, "x\n")]
)
def test_print_tells_writers_and_sinks_apart(identifier: str, parallelism: int, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    write(PrintSink(identifier), ["x"], subtask=1 if parallelism > 1 else 0, parallelism=parallelism)
    assert capsys.readouterr().out == line


def test_print_shows_a_batch_at_once_even_when_output_is_buffered(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out"
    with path.open("w", encoding="utf-8") as file:
        monkeypatch.setattr("sys.stdout", file)
        PrintSink().open(context()).write(["now"], None)
        assert path.read_text() == "now\n"


class Speechless:
    def __str__(self) -> str:
        raise LookupError("no words")

    __repr__ = object.__repr__


@pytest.mark.parametrize(("value", "reason"), [(Speechless(), "LookupError: no words"), ("\ud800", "UnicodeEncodeError: .* surrogates not allowed")])
def test_print_takes_a_record_without_text_for_the_records_fault(value: object, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It was retried three times, as if the output were to blame, and blamed on the sink's target."""
    env = StreamExecutionEnvironment().configure("checkpoint.storage", "memory").configure("checkpoint.interval", "1s")
    env.from_collection(["a", value, "b"], uid="in").sink_to(PrintSink(), uid="shown", name="Shown")
    place = r"sink 'Shown' \(uid 'shown'\), subtask 0 of job 'talk', cannot write record .* in the collection, elements 0 to 2\. Make it one"
    with pytest.raises(JobFailedError, match=f"(?s)^{reason}\n{place}") as raised:
        env.execute("talk")
    assert isinstance(raised.value.__cause__, RecordRefused)
    assert raised.value.restarts == 0
    assert capsys.readouterr().out == ""


def test_print_with_a_policy_shows_the_records_that_have_text(capsys: pytest.CaptureFixture[str]) -> None:
    env = StreamExecutionEnvironment()
    env.from_collection(["a", Speechless(), "\ud800", "ä"]).sink_to(PrintSink(), on_error="skip")
    env.execute("talk")
    assert capsys.readouterr().out == "a\nä\n"


def test_an_output_that_fails_is_no_records_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("sys.stdout", Full())
    env = StreamExecutionEnvironment()
    env.from_collection(["a"]).sink_to(PrintSink(), on_error="skip")
    with pytest.raises(JobFailedError, match="No space left") as raised:
        env.execute("talk")
    assert isinstance(raised.value.__cause__, SinkFailed)


def test_collect_appends_to_the_buffer_of_the_caller() -> None:
    rows: list[int] = []
    latest: deque[int] = deque(maxlen=2)
    write(CollectSink(rows), [1, 2], [3])
    write(CollectSink(latest), [1, 2], [3])
    assert rows == [1, 2, 3]
    assert list(latest) == [2, 3]


@pytest.mark.parametrize("dumps", [pickle.dumps, cloudpickle.dumps])
def test_collect_refuses_to_go_to_another_process(dumps: Any) -> None:
    with pytest.raises(SinkNotPortable, match="CollectSink cannot be sent to another process"):
        dumps(CollectSink([]))


def test_collect_needs_something_to_append_to() -> None:
    with pytest.raises(InvalidArgument, match=r"CollectSink\(buffer=...\) is 3"):
        CollectSink(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("sink", [PrintSink("id"), DiscardingSink()])
def test_the_others_are_the_same_in_another_process(sink: Sink[Any]) -> None:
    assert pickle.loads(pickle.dumps(sink)) == sink


def test_discarding_leaves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    write(DiscardingSink(), [1, 2])
    assert capsys.readouterr() == ("", "")


def test_plugin_entries_name_the_classes_and_their_capabilities() -> None:
    for entry in millstream_sinks():
        sink: Any = entry.load()()
        assert isinstance(sink, Sink)
        assert sink.resolve() is sink
        assert entry.load_capabilities() is sink.capabilities
        assert sink.capabilities.strongest() is Guarantee.AT_LEAST_ONCE
        assert entry.guarantees == ("at_least_once",)
