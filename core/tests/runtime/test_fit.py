"""What of a checkpoint does not fit a job is said at once, before anything is deployed or changed, and nothing is left behind unasked."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from millstream import (
    KeyedProcessFunction,
    ListStateDescriptor,
    MapFunction,
    RestartStrategies,
    RuntimeContext,
    StreamExecutionEnvironment,
    ValueStateDescriptor,
)
from millstream.errors import JobFailedError, RestoreMismatch, UndeclaredState
from millstream.ports import InlineExecutor, LocalStorage, LocalTransport, ManualClock, SeededRandom
from millstream.runtime.deployment import Ports
from millstream.testing import LedgerTarget, TransactionalTarget

JOB, COUNT = "fitting", 100


class QuickStorage(LocalStorage):
    """Files that need not outlive the machine."""

    def sync_file(self, file: BinaryIO) -> None:
        file.flush()

    def sync_folder(self, path: str) -> None:
        pass


class Numbered(KeyedProcessFunction[int, int, Any]):
    """Numbers the records of a key, in a state of that name."""

    def __init__(self, state: str = "n", clears: bool = False) -> None:
        self.state, self.clears = state, clears

    def open(self, context: RuntimeContext) -> None:
        self.n = context.get_state(ValueStateDescriptor(self.state, int, 0))

    def process_element(self, value: int, ctx: Any, out: Any) -> None:
        self.n.update((self.n.value() or 0) + 1)
        out.collect((ctx.get_current_key(), self.n.value()))
        if self.clears:
            self.n.clear()


class Listed(MapFunction[int, int]):
    """Keeps what it has seen."""

    def open(self, context: RuntimeContext) -> None:
        self.seen = context.get_operator_list_state(ListStateDescriptor("seen", int))

    def map(self, value: int) -> int:
        self.seen.add(value)
        return value


Build = Callable[[Any], Any]


def run(folder: Path, build: Build, fail_at: int | None = None, parallelism: int = 1, name: str = JOB, **job: Any) -> Any:
    """Numbers 0 to 99, one each ms, a checkpoint every 10 ms, in virtual time. `build` gets them and gives the stream to end with, or None."""
    ports = Ports(ManualClock(1_000_000), SeededRandom(), LocalTransport(), QuickStorage(), InlineExecutor())
    env = StreamExecutionEnvironment(ports=ports).set_parallelism(parallelism)
    env.enable_checkpointing(timedelta(milliseconds=10)).set_restart_strategy(RestartStrategies.no_restart())
    env.checkpoint_config.set_checkpoint_storage(folder)
    for key, value in job.items():
        env.configure(f"job.{key}", value)

    def failing(value: int) -> int:
        if value == fail_at:
            raise ValueError("power cut")
        return value

    build(env.generate(lambda index: index, count=COUNT, rate_per_s=1000.0, uid="numbers").map(failing))
    return env.execute(name)


def crash(folder: Path, build: Build, **options: Any) -> None:
    with pytest.raises(JobFailedError, match="power cut"):
        run(folder, build, 45, **options)


def refused(folder: Path, build: Build, **options: Any) -> tuple[str, ...]:
    """The reasons. Nothing in the folder has changed: no leader, no record of a run, no checkpoint."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(RestoreMismatch) as raised:
        run(folder, build, resume="auto", **options)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    return raised.value.mismatches


def numbered(uid: str = "numbered", function: Any = None) -> Build:
    return lambda numbers: numbers.key_by(lambda n: n % 5, key_type=int).process(function or Numbered(), uid=uid, name="numbering").print()


def summed(uid: str = "sum", typ: Any = int) -> Build:
    return lambda numbers: numbers.key_by(lambda n: n % 5, key_type=int).reduce(lambda a, b: a, uid=uid, output_type=typ).print()


def both(one: Build, other: Build) -> Build:
    return lambda numbers: (one(numbers), other(numbers))


def test_all_that_does_not_fit_is_said_at_once(tmp_path: Path) -> None:
    crash(tmp_path, both(numbered(), summed()), max_parallelism=16)
    reasons = refused(tmp_path, both(numbered("renumbered"), summed(typ=str)), max_parallelism=32)
    assert len(reasons) == 3
    assert "were saved with max_parallelism 16 and the job now asks for 32" in reasons[0]
    assert "'numbers'" in reasons[0]
    assert (
        "operator 'numbering' (uid 'numbered'), which the job no longer has. Is it operator 'numbering', whose uid 'renumbered' is new?" in reasons[1]
    )
    assert "state '@rolling' of operator 'reduce' (uid 'sum') was stored as values of type int (typed)" in reasons[2]


def test_a_uid_that_is_nearly_the_missing_one_is_suggested(tmp_path: Path) -> None:
    crash(tmp_path, summed("totals"))
    other: Build = lambda numbers: numbers.key_by(lambda n: n % 5).process(Numbered(), uid="total", name="new").print()  # noqa: E731
    assert "Is it operator 'new', whose uid 'total' is new? Give an operator uid='totals'" in refused(tmp_path, other)[0]


def test_the_checkpoint_of_another_job_is_refused_by_its_path(tmp_path: Path) -> None:
    crash(tmp_path, summed())
    (newest,) = tmp_path.rglob("_metadata")
    with pytest.raises(RestoreMismatch, match="it belongs to job 'fitting'"):
        run(tmp_path / "new", summed(), name="another", resume=str(newest.parent))
    assert not list((tmp_path / "new").rglob("leader-*"))


def test_an_operator_with_state_that_the_job_no_longer_has_is_left_behind_when_that_is_allowed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    crash(tmp_path, both(numbered(), summed()))
    assert "--allow-non-restored-state" in refused(tmp_path, summed())[0]
    with caplog.at_level(logging.WARNING):
        assert run(tmp_path, summed(), resume="auto", allow_non_restored_state=True).status.value == "finished"
    assert "state of operator 'numbering' (uid 'numbered'), which the job no longer has" in caplog.text


def test_an_operator_that_holds_nothing_may_go(tmp_path: Path) -> None:
    crash(tmp_path, both(numbered(function=Numbered(clears=True)), summed()))
    assert run(tmp_path, summed(), resume="auto").status.value == "finished"


def test_state_that_a_function_no_longer_declares_is_left_behind_when_that_is_allowed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    crash(tmp_path, numbered())
    with pytest.raises(JobFailedError) as raised:
        run(tmp_path, numbered(function=Numbered("m")), resume="auto")
    assert isinstance(raised.value.__cause__, UndeclaredState)
    assert "--allow-non-restored-state" in str(raised.value)
    with caplog.at_level(logging.WARNING):
        assert run(tmp_path, numbered(function=Numbered("m")), resume="auto", allow_non_restored_state=True).status.value == "finished"
    assert "state 'n' of operator numbering" in caplog.text


@pytest.mark.parametrize(
    ("now", "says"),
    [
        (
            lambda numbers: numbers.map(Listed()).uid("x").print(),
            "state '@rolling' (rolling) of operator 'reduce' (uid 'x'), but the operator has no",
        ),
        (lambda numbers: numbers.map(int).uid("x").print(), "the operator has no keyed state any more"),
        (numbered("x"), "state '@rolling' (rolling) of operator 'reduce' (uid 'x'), but the operator keeps no such state any more"),
    ],
    ids=["function without keys", "lambda", "process function"],
)
def test_keyed_state_of_an_operator_that_is_another_one_now_is_not_lost_unsaid(tmp_path: Path, now: Build, says: str) -> None:
    """Of an operator without keys nobody had looked at it: it was gone with the next checkpoint."""
    crash(tmp_path, summed("x"))
    (reason,) = refused(tmp_path, now)
    assert says in reason
    assert run(tmp_path, now, resume="auto", allow_non_restored_state=True).status.value == "finished"


def test_a_list_of_a_function_that_is_none_any_more_is_not_lost_unsaid(tmp_path: Path) -> None:
    crash(tmp_path, lambda numbers: numbers.map(Listed()).uid("x").print())
    assert "state 'seen' (list by split) of operator" in refused(tmp_path, lambda numbers: numbers.map(int).uid("x").print())[0]


# --- work of sinks that waits for its commit


def to(sink: Any, uid: str = "out") -> Build:
    return lambda numbers: numbers.map(str).sink_to(sink, uid=uid)


TARGETS: Any = pytest.mark.parametrize("make", [TransactionalTarget, LedgerTarget])


@TARGETS
def test_work_that_a_sink_may_not_have_committed_is_never_left_behind(tmp_path: Path, make: Any) -> None:
    target = make()
    crash(tmp_path, both(to(target.sink()), summed()))
    for allow in (False, True):
        (reason,) = refused(tmp_path, summed(), allow_non_restored_state=allow)
        assert "(uid 'out'), which the job no longer has, left" in reason
        assert "may not have committed" in reason
        assert "Let the job have that sink with uid='out' once more, if only without input" in reason
    # What it says helps: with the sink and no input for one run, then without it.
    idle: Build = lambda numbers: (summed()(numbers), numbers.filter(lambda n: False).map(str).sink_to(target.sink(), uid="out"))  # noqa: E731
    with pytest.raises(JobFailedError, match="power cut"):
        run(tmp_path, idle, 75, resume="auto")
    seen = target.visible()
    assert run(tmp_path, summed(), resume="auto", allow_non_restored_state=True).status.value == "finished"
    assert seen == target.visible() == [str(number) for number in range(len(seen))]
    assert seen


@TARGETS
def test_a_sink_of_another_contract_cannot_take_work_over(tmp_path: Path, make: Any) -> None:
    crash(tmp_path, to(make().sink()))
    other = LedgerTarget[Any]() if make is TransactionalTarget else TransactionalTarget[Any]()
    for sink in (other.sink(), "print"):
        build: Build = to(sink) if sink != "print" else lambda numbers: numbers.map(str).uid("out").print()
        (reason,) = refused(tmp_path, build, allow_non_restored_state=True)
        assert "what it is now cannot take them over" in reason


def test_records_that_a_write_ahead_sink_could_not_read_are_refused_before_anything_starts(tmp_path: Path) -> None:
    target = LedgerTarget[Any]()
    crash(tmp_path, to(target.sink(str)))
    (reason,) = refused(tmp_path, lambda numbers: numbers.sink_to(target.sink(int), uid="out"))
    assert "'write-ahead log' of operator" in reason
    assert "records of type str (typed)" in reason
