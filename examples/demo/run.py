"""The main job, killed again and again, and a verdict on what it wrote.

    python examples/demo/run.py [--kills 6] [--readings 240000] [--seed 7] [--workdir DIR]
    python examples/demo/run.py --parallelism 2
    python examples/demo/run.py --no-exactly-once

Generates sensor readings, runs job.py on them as a process of its own, kills it with SIGKILL after new completed checkpoints and starts it
again, until it has come to its end. Then verdict.py, which knows nothing of the engine, compares the output with the input.

Most kills come at random moments. One comes when the sink has prepared its output and the checkpoint is not yet complete, one when the
checkpoint is complete and the output not yet committed; there the job kills itself (MILLSTREAM_CRASH). With --no-exactly-once the sink
writes at once, without waiting for checkpoints, under the same kills: the windows it wrote twice or half are shown.

With --parallelism N above 1 the job runs over N TaskManager processes, and its JobManager in one more. It is started once; TaskManagers and the
JobManager are killed in turn, and replaced by the job itself.

Exit code: 0 exact; 1 not exact, as is to be expected with --no-exactly-once; 2 the job failed or ended before all kills were done.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random

import generate
import processes
from progress import Progress, newest_checkpoint

HERE = Path(__file__).parent
PATIENCE_S = 30.0
"""How long an attempt may go on without a new checkpoint, or beyond its planned end."""


@dataclass(frozen=True)
class Moment:
    """A moment between prepare and commit.

    Attributes:
        point: the crash point there of a sink that commits.
        plain_point: one that is passed at the same moment of a checkpoint when the sink does not commit.
        state: what is done by then, and what is not.
    """

    point: str
    plain_point: str
    state: str


BETWEEN_PREPARE_AND_COMMIT = (
    Moment("sink.prepare.after", "task.snapshot.acknowledged", "output written, checkpoint not complete"),
    Moment("sink.commit.before", "checkpoint.durable.before_notify", "checkpoint complete, no commit yet"),
)


class DemoFailed(Exception):
    """The demonstration could not be done; the message says why."""


@dataclass(frozen=True)
class Kill:
    """When one attempt is killed.

    Attributes:
        after_s: seconds after the first new checkpoint of the attempt.
        moment: where the job kills itself instead; None for a random moment.
        occurrence: at which pass of that point, 1-based.
    """

    after_s: float
    moment: Moment | None = None
    occurrence: int = 0


def plan(options: argparse.Namespace) -> list[Kill]:
    """The kills, spread over the first three quarters of the work so that none comes too late."""
    random = Random(options.seed)
    attempt_s = 0.75 * options.readings / options.rate / max(options.kills, 1)
    interval_s = options.checkpoint_interval_ms / 1000
    kills = [Kill(random.uniform(0, max(attempt_s - interval_s, 0))) for _ in range(options.kills)]
    for place, moment in zip(random.sample(range(len(kills)), min(2, len(kills))), BETWEEN_PREPARE_AND_COMMIT):
        # The first pass belongs to the first new checkpoint; a later one comes after a complete checkpoint.
        kills[place] = Kill(0.0, moment, random.randint(2, max(2, int(attempt_s / interval_s))))
    return kills


class Supervisor:
    """Starts the job, kills it as planned and starts it again."""

    def __init__(self, workdir: Path, options: argparse.Namespace) -> None:
        self.options = options
        self.input, self.output, self.checkpoints = workdir / "readings", workdir / "windows", workdir / "checkpoints"
        self.log = workdir / "job.log"
        self.progress = Progress(self.output, self.checkpoints)
        self.killed = 0
        self.killed_between = 0

    def run(self) -> None:
        """Runs the job to its end. Raises DemoFailed when it fails, or ends too soon."""
        for kill in plan(self.options):
            self._attempt(kill)
        self._attempt(None)

    def _attempt(self, kill: Kill | None) -> None:
        before = newest_checkpoint(self.checkpoints)
        self.progress.attempt += 1
        process = self._start(kill)
        try:
            if kill is None:
                self._wait_for_end(process)
            elif kill.moment:
                self._wait_for_own_death(process, self._point(kill.moment), kill.moment.state, before)
            else:
                self._kill_after_checkpoint(process, kill, before)
        finally:
            process.kill()
            process.wait()

    def _start(self, kill: Kill | None) -> subprocess.Popen[bytes]:
        options = self.options
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MILLSTREAM_")}
        if kill and kill.moment:
            environment["MILLSTREAM_CRASH"] = f"{self._point(kill.moment)}#{kill.occurrence}=kill"
        command = [sys.executable, str(HERE / "job.py"), f"--input={self.input}", f"--output={self.output}"]
        command += [f"--checkpoints={self.checkpoints}", f"--checkpoint-interval-ms={options.checkpoint_interval_ms}"]
        command += [
            f"--parallelism={options.parallelism}",
            f"--rate={options.rate}",
            f"--delivery={'at_least_once' if options.no_exactly_once else 'exactly_once'}",
        ]
        with self.log.open("ab") as log:
            return subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)

    def _point(self, moment: Moment) -> str:
        return moment.plain_point if self.options.no_exactly_once else moment.point

    def _wait_for_end(self, process: subprocess.Popen[bytes]) -> None:
        limit_s = time.monotonic() + self.options.readings / self.options.rate + PATIENCE_S
        while process.poll() is None:
            self._pass_time(limit_s, "the job has not come to its end")
        if process.returncode != 0:
            raise DemoFailed(f"the last attempt ended with exit code {process.returncode}{self._last_words()}")
        self.progress.say("the job has come to its end")

    def _wait_for_own_death(self, process: subprocess.Popen[bytes], point: str, state: str, before: int) -> None:
        limit_s = time.monotonic() + self.options.readings / self.options.rate + PATIENCE_S
        while process.poll() is None:
            self._pass_time(limit_s, f"the job did not die at {point}")
        self._expect_death_by_sigkill(process, before)
        self.killed_between += 1
        self._say_killed(f"it killed itself at {point}: {state}")

    def _kill_after_checkpoint(self, process: subprocess.Popen[bytes], kill: Kill, before: int) -> None:
        limit_s = time.monotonic() + PATIENCE_S
        while process.poll() is None and newest_checkpoint(self.checkpoints) <= before:
            self._pass_time(limit_s, "no new checkpoint was completed")
        moment_s = time.monotonic() + kill.after_s
        while process.poll() is None and time.monotonic() < moment_s:
            self._pass_time(moment_s + PATIENCE_S, "")
        process.send_signal(signal.SIGKILL)
        process.wait()
        self._expect_death_by_sigkill(process, before)
        self._say_killed(f"SIGKILL {kill.after_s:.3f} s after the first new checkpoint")

    def _expect_death_by_sigkill(self, process: subprocess.Popen[bytes], before: int) -> None:
        if process.returncode == 0:
            raise DemoFailed(f"the job ended before kill {self.killed + 1}. Give it more --readings, a lower --rate or fewer --kills.")
        if process.returncode != -signal.SIGKILL:
            raise DemoFailed(f"the job ended with exit code {process.returncode} before it was killed{self._last_words()}")
        if newest_checkpoint(self.checkpoints) <= before:
            raise DemoFailed(f"the job died before it completed a new checkpoint{self._last_words()}")

    def _say_killed(self, how: str) -> None:
        self.killed += 1
        self.progress.say(f"kill {self.killed} of {self.options.kills} after checkpoint {newest_checkpoint(self.checkpoints)}: {how}")

    def _pass_time(self, limit_s: float, problem: str) -> None:
        if time.monotonic() > limit_s:
            raise DemoFailed(f"{problem} within the time it may take{self._last_words()}")
        self.progress.show()
        time.sleep(0.01)

    def _last_words(self) -> str:
        return "\n" + "\n".join(self.log.read_text(errors="replace").splitlines()[-25:])


class ProcessesSupervisor(Supervisor):
    """Starts the job once, over several processes, and kills those as planned: the job replaces them."""

    def run(self) -> None:
        self.progress.attempt = 1
        process = self._start(None)
        try:
            newest, before = 0, 0
            random = Random(self.options.seed)
            for number, kill in enumerate(plan(self.options)):
                victims = self._wait_for_processes(process, before)
                self._wait_for_checkpoint(process, newest)
                moment_s = time.monotonic() + kill.after_s
                while time.monotonic() < moment_s:
                    self._pass_time(moment_s + PATIENCE_S, "")
                before, name = (victims[0], "the JobManager") if number % 3 == 1 else (random.choice(victims[1:]), "a TaskManager")
                self._kill_one(process, before, name, kill.after_s)
                newest = newest_checkpoint(self.checkpoints)
            self._wait_for_end(process)
        finally:
            process.kill()
            process.wait()

    def _wait_for_processes(self, process: subprocess.Popen[bytes], gone: int) -> list[int]:
        """The JobManager, and behind it all TaskManagers; not among them the one that was killed last."""
        limit_s = time.monotonic() + PATIENCE_S
        while True:
            job_manager = processes.job_manager_of(process.pid)
            found = [job_manager, *processes.task_managers_of(job_manager)] if job_manager is not None else []
            if len(found) == 1 + self.options.parallelism and gone not in found:
                return found
            self._expect_alive(process)
            self._pass_time(limit_s, "not all processes were there")

    def _wait_for_checkpoint(self, process: subprocess.Popen[bytes], before: int) -> None:
        limit_s = time.monotonic() + PATIENCE_S
        while newest_checkpoint(self.checkpoints) <= before:
            self._expect_alive(process)
            self._pass_time(limit_s, "no new checkpoint was completed")

    def _kill_one(self, process: subprocess.Popen[bytes], victim: int, name: str, after_s: float) -> None:
        self._expect_alive(process)
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            raise DemoFailed(f"{name} ended before it was killed{self._last_words()}") from None
        self.progress.attempt += 1
        self._say_killed(f"SIGKILL of {name} (process {victim}) {after_s:.3f} s after a new checkpoint")

    def _expect_alive(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() == 0:
            raise DemoFailed(f"the job ended before kill {self.killed + 1}. Give it more --readings, a lower --rate or fewer --kills.")
        if process.returncode is not None:
            raise DemoFailed(f"the job ended with exit code {process.returncode}{self._last_words()}")


def demonstrate(workdir: Path, options: argparse.Namespace) -> int:
    """Runs everything in `workdir`; returns the exit code."""
    started_s = time.monotonic()
    supervisor = (Supervisor if options.parallelism == 1 else ProcessesSupervisor)(workdir, options)
    generate.write(supervisor.input, options.readings, options.seed)
    delivery = "at least once, without commits" if options.no_exactly_once else "exactly once"
    print(f"{options.readings:,} readings in {supervisor.input}, at {options.rate:,.0f} a second; sink: {delivery}; seed {options.seed}")
    try:
        supervisor.run()
    finally:
        supervisor.progress.clear()
    between = f", {supervisor.killed_between} of them between prepare and commit" if options.parallelism == 1 else ""
    print(
        f"{supervisor.killed} kills{between}; "
        f"{supervisor.progress.attempt} attempts; {time.monotonic() - started_s:.0f} s\n\nVerdict of an independent reader (verdict.py):",
        flush=True,
    )
    return subprocess.run([sys.executable, str(HERE / "verdict.py"), str(supervisor.input), str(supervisor.output)], check=False).returncode


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-exactly-once", action="store_true", help="show what a sink that does not commit leaves under the same kills")
    parser.add_argument("--readings", type=int, default=240_000)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--seed", type=int, default=7, help="of the readings and of the kills")
    parser.add_argument("--rate", type=float, default=10_000, help="readings per second (default 10,000)")
    parser.add_argument("--parallelism", type=int, default=1, help="above 1: kill TaskManagers and the JobManager, each a process")
    parser.add_argument("--checkpoint-interval-ms", type=int, default=500)
    parser.add_argument("--workdir", type=Path, help="new folder, kept (default: a temporary one, removed when the output is exact)")
    return parser.parse_args()


def main() -> int:
    options = parse()
    if options.workdir:
        if options.workdir.exists() and any(options.workdir.iterdir()):
            print(f"demo: {options.workdir} is not empty. Name a new folder.", file=sys.stderr)
            return 2
        options.workdir.mkdir(parents=True, exist_ok=True)
    workdir = options.workdir or Path(tempfile.mkdtemp(prefix="millstream-demo-"))
    try:
        code = demonstrate(workdir, options)
    except DemoFailed as error:
        print(f"demo: {error}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        code = 130
    if code == 0 and not options.workdir:
        shutil.rmtree(workdir)
    else:
        print(f"All files are in {workdir}")
    return code


if __name__ == "__main__":
    sys.exit(main())
