"""A user's own job under the faults of the conformance suites, in a few lines of pytest:

def test_my_job(tmp_path):
    with exactly_once_test(build, source=write_input, sink=read_output, folder=tmp_path) as t:
        t.crash_everywhere()
"""

from __future__ import annotations

import inspect
import json
import shutil
import signal
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, runtime_checkable

from millstream.ports import CRASH_POINTS
from millstream_testkit.case import Crash, CrashCase
from millstream_testkit.demands import DEFAULT_SEED
from millstream_testkit.errors import HarnessUnusable
from millstream_testkit.harness import reference_of
from millstream_testkit.job_folder import last_lines
from millstream_testkit.job_process import AttemptOptions, JobProcess
from millstream_testkit.oracle import compare
from millstream_testkit.plan import SECOND_POINTS, sample

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from millstream import StreamExecutionEnvironment

Job: TypeAlias = "Callable[[str, str], StreamExecutionEnvironment]"
"""Builds the job for a source and a sink, named by texts (a path, a URL, ...), and returns it without executing it."""

SourceOf: TypeAlias = "str | Path | Callable[[Path], object]"
"""Where the input is; or a function that writes it into a folder and returns where it is."""

SinkOf: TypeAlias = "Output | type[Output] | Callable[[str], Iterable[Any]]"
"""Reads the output as a stranger would: a function of the sink's text; or what also makes and removes it, such as a SinkHarness."""

_TELLING: Final = "checkpoint.durable.before_notify"


@runtime_checkable
class Output(Protocol):
    """Makes what a job writes to, reads and removes it. Every SinkHarness does, and so does `services.KafkaOutput`."""

    def create_target(self, folder: Path) -> str:
        """Makes one, and returns how the job finds it."""

    def read(self, target: str) -> Iterable[Any]:
        """What a stranger finds there."""

    def leftovers(self, target: str) -> Iterable[str]:
        """What must not be left when the job is done."""

    def drop_target(self, target: str) -> None:
        """Removes it."""


@contextmanager
def exactly_once_test(
    job: Job,
    *,
    source: SourceOf,
    sink: SinkOf,
    expected: Iterable[Any] | None = None,
    folder: Path | None = None,
    attempt_timeout_s: float = 60.0,
) -> Iterator[ExactlyOnceTest]:
    """Puts a job under test. Nothing is killed before the test says so.

    Args:
        job: at the top level of a module or test file, so that other processes find it.
        source: its input, or what writes it.
        sink: reads its output, as records that can be hashed. Called while the job runs, and before there is anything.
        expected: the records that must be there, each once, when the job is done; by default those of a run that nobody disturbs.
        folder: for everything that the test writes, kept; by default a temporary one, removed at the end unless the test fails.
        attempt_timeout_s: how long one process of the job may take.

    Raises:
        HarnessUnusable: the job cannot be found by other processes, or the undisturbed run fails or writes nothing.
    """
    reader: Any = sink() if inspect.isclass(sink) else sink
    root = folder if folder is not None else Path(tempfile.mkdtemp(prefix="millstream-test-"))
    test = ExactlyOnceTest(_Subject(_reference(job), source, reader, root, attempt_timeout_s))
    test._start(expected)
    yield test
    if folder is None:  # a failure has not come here: what it says of a log is still true
        shutil.rmtree(root, ignore_errors=True)


def _reference(job: Job) -> str:
    if not inspect.isfunction(job):
        raise HarnessUnusable(
            harness=repr(job),
            reason="it is not a function, so that other processes cannot find it by its name",
            fix="Pass a function job(source, sink) that builds the job and returns the environment",
        )
    return reference_of(job)


@dataclass(frozen=True)
class _Subject:
    """What is tested, and where."""

    job: str
    source: SourceOf
    sink: Any
    root: Path
    timeout_s: float


class _Run:
    """One life of the job, over all its attempts. Is what a process is started from."""

    program = "millstream_testkit.user_job"

    def __init__(self, subject: _Subject, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._subject = subject
        self._output = subject.sink if isinstance(subject.sink, Output) else None
        self.log = folder / "log"
        self._checkpoints = folder / "checkpoints"
        source = subject.source
        self.source = str(source(folder)) if callable(source) else str(source)
        self.target = self._output.create_target(folder) if self._output else str(folder / "output")
        self.problems: list[str] = []

    def arguments(self) -> list[str]:
        subject = self._subject
        return [f"--job={subject.job}", f"--source={self.source}", f"--sink={self.target}", f"--checkpoints={self._checkpoints}"]

    def read(self) -> list[Any]:
        """What a stranger finds."""
        return list(self._output.read(self.target) if self._output else self._subject.sink(self.target))

    def attempt(self, options: AttemptOptions, expected: Sequence[Any] | None) -> int | None:
        """Runs one process to its end, reading all the while."""
        process = JobProcess(self, options)
        try:
            return process.wait(self._subject.timeout_s, lambda: self.look(expected))
        finally:
            process.kill()

    def look(self, expected: Sequence[Any] | None) -> None:
        """What is visible may be a part of what is expected, never more."""
        if expected is not None and not self.problems:
            seen = compare(expected, self.read())
            if seen.doubled or seen.wrong:
                self.problems.append(f"while it ran: {replace(seen, missing=[])}")

    def judge(self, expected: Sequence[Any]) -> None:
        """What must hold when the job is done."""
        verdict = compare(expected, self.read())
        if not verdict.exact:
            self.problems.append(str(verdict))
        if self._output is not None:
            self.problems += [f"left behind: {left}" for left in self._output.leftovers(self.target)]

    def drop(self) -> None:
        """Removes the target."""
        if self._output is not None:
            self._output.drop_target(self.target)


class ExactlyOnceTest:
    """A job that can be killed. Made by `exactly_once_test`.

    Attributes:
        expected: the records that must be there when the job is done.
        passes: how often an undisturbed run passes each crash point.
        survived: what the job has come through so far.
    """

    def __init__(self, subject: _Subject) -> None:
        self._subject = subject
        self._runs = 0
        self._expected_is_given = False
        self.expected: list[Any] = []
        self.passes: dict[str, int] = {}
        self.survived: list[str] = []

    def _start(self, expected: Iterable[Any] | None) -> None:
        run = self._new_run()
        count_to = run.log.parent / "passes"
        code = run.attempt(AttemptOptions(count_to=count_to), None)
        found = run.read()
        name = self._subject.job.rpartition(":")[2]
        if code != 0:
            reason = f"left alone, the job ended with exit code {code}:\n{last_lines(run.log)}\n"
            raise HarnessUnusable(harness=name, reason=reason, fix="Make it run before it is killed")
        if not found:
            raise HarnessUnusable(harness=name, reason="left alone, the job wrote nothing that sink= can read", fix="Check the reader, and the input")
        self._expected_is_given = expected is not None
        self.expected = list(expected) if expected is not None else found
        run.judge(self.expected)
        run.drop()
        assert not run.problems, f"left alone, the job is wrong already: {'; '.join(run.problems)}"
        self.passes = json.loads(count_to.read_text())

    def crash_everywhere(self, *, at_most: int | None = None, seed: int = DEFAULT_SEED) -> None:
        """Kills the job at every crash point that it passes, and some of the times again while it recovers.

        Args:
            at_most: this many cases, chosen so that every point comes up as often as any other; None for all. One of them dies when a
                checkpoint is complete and nobody knows of it yet: a job that is wrong shows it there rather than in most others.
            seed: of the choice.

        Raises:
            AssertionError: the output was not exactly right; says after which crash, what was lost, doubled or wrong.
        """
        points = [name for name in CRASH_POINTS if name in self.passes]
        singles = [CrashCase((Crash(name, number),)) for name in points for number in sorted({1, (self.passes[name] + 1) // 2})]
        seconds = [name for name in SECOND_POINTS if name in self.passes]
        pairs = sample([CrashCase((*case.crashes, Crash(second))) for case in singles for second in seconds], len(points) // 3, seed)
        cases = [*singles, *pairs]
        if at_most is not None:
            telling = [case for case in singles if case.crashes[0].point == _TELLING][-1:]
            cases = [*telling, *sample([case for case in cases if case not in telling], at_most - len(telling), seed)]
        for case in cases:
            self.crash(*case.crashes)

    def crash_at(self, point: str, occurrence: int = 1) -> None:
        """Kills the job at one pass of one point, and starts it again."""
        self.crash(Crash(point, occurrence))

    def crash(self, *crashes: Crash) -> None:
        """Kills the job at each of these in turn, a process each, then lets it come to its end.

        Raises:
            AssertionError: as above; or the job cannot be killed there, because it never passes the point.
        """
        first = crashes[0]
        if first.point not in self.passes:
            known = ", ".join(sorted(self.passes))
            raise AssertionError(f"the job never passes {first.point}. It passes {known}.")
        wanted = first.occurrence or self.passes[first.point]
        # Timing makes some runs longer than others, so the chosen pass may not come: then an earlier one is tried.
        for occurrence in (wanted, max(1, wanted // 2), 1):
            if self._killed(Crash(first.point, occurrence), *crashes[1:]):
                return
        raise AssertionError(f"the job did not come to {first.point}, although it did when it was left alone")

    def _killed(self, *crashes: Crash) -> bool:
        """One case. False when the process ended before it came to the first point."""
        run, died = self._new_run(), 0
        for crash in (*crashes, None):
            code = run.attempt(AttemptOptions(crash=str(crash) if crash else ""), self.expected)
            if code == 0:
                break
            if crash is None or code != -signal.SIGKILL:
                run.problems += [f"the process that was started again ended with exit code {code}", last_lines(run.log)]
                break
            died += 1
        else:
            run.problems.append("it never came to its end")
        self._conclude(run, " then ".join(map(str, crashes)), came_through=" then ".join(map(str, crashes[:died])))
        return died > 0

    def zombie_at(self, point: str, occurrence: int = 1) -> None:
        """Stops the job's process at a point, runs another in its place, then lets the old one go on.

        Raises:
            AssertionError: as above, or the process never came to the point.
        """
        run = self._new_run()
        old = JobProcess(run, AttemptOptions(crash=f"{point}#{occurrence}=stop"))
        try:
            assert old.wait_until_stopped(self._subject.timeout_s), f"the job never came to {point}:\n{last_lines(run.log)}"
            code = run.attempt(AttemptOptions(), self.expected)
            if code != 0:
                run.problems += [f"the process that took over ended with exit code {code}", last_lines(run.log)]
            old.resume()
            old.wait(self._subject.timeout_s, lambda: run.look(self.expected))
        finally:
            old.kill()
        woken = f"a process that woke up at {point}#{occurrence}"
        self._conclude(run, woken, came_through=woken)

    def _conclude(self, run: _Run, what: str, came_through: str) -> None:
        run.judge(self.expected)
        run.drop()
        if run.problems:
            listed = "\n  ".join([*run.problems, *self._differences_without_a_kill()])
            raise AssertionError(f"after {what}:\n  {listed}\nLog: {run.log}")
        if came_through:
            self.survived.append(came_through)

    def _differences_without_a_kill(self) -> list[str]:
        """Whether the job writes something else each time: then its answer after a crash proves nothing."""
        if self._expected_is_given:
            return []
        run = self._new_run()
        if run.attempt(AttemptOptions(), None) != 0:
            return []
        verdict = compare(self.expected, run.read())
        run.drop()
        if verdict.exact:
            return []
        determined = "its output is not determined by its input"
        fix = "Keep the time, random numbers and the order between keys out of what sink= reads, or give expected="
        return [f"Left alone a second time, the job differs from the first time as well ({verdict}): {determined}. {fix}."]

    def _new_run(self) -> _Run:
        self._runs += 1
        return _Run(self._subject, self._subject.root / f"run-{self._runs}")
