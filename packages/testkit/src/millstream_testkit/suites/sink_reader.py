"""Whether a harness reads as a stranger would: what all other demands rest on."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections import Counter
from types import CodeType, FrameType
from typing import TYPE_CHECKING, Any

from millstream_testkit.case import CrashCase
from millstream_testkit.demands import demand
from millstream_testkit.errors import HarnessUnusable, ReadsFromInside
from millstream_testkit.job_folder import JobFolder
from millstream_testkit.job_process import AttemptOptions
from millstream_testkit.killed_job import KilledJob, described
from millstream_testkit.loading import PATH_VARIABLE
from millstream_testkit.suites.attempts import Attempts, opening, rows
from millstream_testkit.suites.sink_contract import SinkContractBase

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from millstream_testkit.harness import SinkHarness
    from millstream_testkit.oracle import Row

_READ_TIMEOUT_S = 60


def read_in_another_process(harness: SinkHarness, target: str) -> list[Row]:
    """What the harness finds in a process that knows nothing but the target.

    Raises:
        HarnessUnusable: it raised there.
    """
    environment = {**os.environ, PATH_VARIABLE: os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "millstream_testkit.read_target", harness.reference(), target]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_READ_TIMEOUT_S, check=False)
    if done.returncode != 0:
        raise HarnessUnusable(
            harness=type(harness).__name__,
            reason=f"read({target!r}) failed in a process of its own: {done.stderr.strip()[-1000:]}",
            fix="Let read() need nothing but the target, so that it works in any process and before there is anything to read",
        )
    return sorted(tuple(row) for row in json.loads(done.stdout))


def functions_called(harness: SinkHarness, target: str) -> tuple[list[Row], set[CodeType]]:
    """What `read` finds, and the Python functions that it ran."""
    called: set[CodeType] = set()

    def profile(frame: FrameType, event: str, argument: object) -> None:
        if event == "call":
            called.add(frame.f_code)

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        found: Sequence[Row] = harness.seen(target)
    finally:
        sys.setprofile(before)
    return sorted(found), called


def code_of(*objects: Any) -> dict[CodeType, str]:
    """The methods of the objects' classes that a connector wrote, by their code."""
    found: dict[CodeType, str] = {}
    for each in objects:
        for base in type(each).__mro__:
            if base.__module__.startswith("millstream.") or base.__module__ == "builtins":
                continue
            for name, member in vars(base).items():
                function = getattr(member, "fget", None) or getattr(member, "__func__", None) or member
                code = getattr(function, "__code__", None)
                if isinstance(code, CodeType) and not name.startswith("__"):
                    found[code] = f"{base.__name__}.{name}"
    return found


def follow_each_other(*readings: Sequence[Row]) -> bool:
    """Whether each of these readings, taken one after the other, has what the one before had: a target may show a moment later what was sent."""
    counted = [Counter(reading) for reading in readings]
    return all(earlier <= later for earlier, later in itertools.pairwise(counted))


def assert_reads_from_outside(attempts: Attempts) -> None:
    """Opens the sink beside the reader, and looks whether the reader sees, or uses, any of it.

    Raises:
        ReadsFromInside: it does.
    """
    harness, target, name = attempts.harness, attempts.target, type(attempts.harness).__name__
    writer = attempts.open()
    inside = {**code_of(harness.resolved(target), writer.client), **code_of(harness.sink(target))}
    for state in ("open", "sealed", "committed"):
        if state == "open":
            writer.write(rows(0, 6))
        elif state == "sealed":
            sealed = writer.seal(1)
        else:
            writer.commit(sealed)
        found, called = functions_called(harness, target)
        used = sorted((inside[code] for code in called if code in inside), key=lambda name: ("._" in name, name))
        if used:
            raise ReadsFromInside(harness=name, evidence=f"it calls the connector's own {', '.join(used[:3])}")
        stranger = read_in_another_process(harness, target)
        if not follow_each_other(found, stranger, sorted(harness.seen(target))):
            evidence = f"in the process that wrote an epoch, now {state}, it finds {len(found)} records, and in another process {len(stranger)}"
            raise ReadsFromInside(harness=name, evidence=evidence)


class SinkReader(SinkContractBase):
    """The harness itself."""

    @demand("The harness reads the target as a stranger would, not what the sink keeps of it.")
    def test_the_harness_reads_from_outside(self, attempts: Attempts) -> None:
        assert_reads_from_outside(attempts)

    @demand("The harness finds everything that a job in another process has written, and nothing before.", kills=True)
    def test_the_harness_finds_what_another_process_wrote(self, tmp_path: Path) -> None:
        harness: SinkHarness = self.made_harness()
        job = KilledJob(harness, JobFolder.make(harness, tmp_path, records=CrashCase.records))
        before = harness.seen(job.folder.target)
        assert not before, f"a new target has {len(before)} records: create_target must return one of its own for each call"
        code = job.attempt(AttemptOptions())
        assert code == 0, f"the undisturbed job ended with {described(code)}:\n{job.folder.last_words()}"
        if not harness.seen(job.folder.target):
            evidence = "it finds nothing of what a job in another process has written and committed"
            raise ReadsFromInside(harness=type(harness).__name__, evidence=evidence)
        assert job.final_problems() == []
        with opening(harness, job.folder.target) as attempts:
            assert attempts.seen() == read_in_another_process(harness, job.folder.target)
        job.drop_target()
