"""Kafka -> windows of event time per key -> Kafka, exactly once, on a real broker, while everything is killed.

    python integration-tests/kafka_e2e/run.py [--records 1000000] [--delivery exactly_once] [--kafka 4.1.0] [--seed N]
    python integration-tests/kafka_e2e/run.py --gate   both deliveries, over 1 M records (CI)
    python integration-tests/kafka_e2e/run.py --long   both deliveries on Kafka 4.1 and 3.9, 3 M records each

One process feeds a topic. The job runs over two TaskManager processes and a JobManager process; they, the job's program and the broker are
killed with SIGKILL at random moments, and processes of the job kill themselves at named crash points. A reader outside, which knows the
plan of the input and nothing of the engine, reads the output with read_committed during the run and once more afterwards: each window of each
key must be there once, with exactly its readings, and the windows of a key in order.

Needs a container engine: the broker is killed. Exit code: 0 exact; 1 not; 2 it could not be tried.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from glob import glob
from pathlib import Path
from random import Random

from confluent_kafka.admin import AdminClient, NewTopic
from faults import NAMED, Processes, kill, named_faults, random_kills
from outside import Watching, read_all, verdict
from readings import Plan

from millstream_testkit.processes.armed import FAULTS_VARIABLE
from millstream_testkit.processes.strikes import Strikes
from millstream_testkit.services import KafkaService, ServiceUnavailable, running_kafka

HERE = Path(__file__).parent
PATIENCE_S = 90.0
"""How long nothing may go forward: a broker that is started again takes some ten seconds on a busy machine."""


class Failed(Exception):
    """It could not be tried; the message says why."""


@dataclass(frozen=True)
class Case:
    """One run."""

    kafka: str
    delivery: str
    records: int
    per_s: float
    seed: int
    kills: int
    named: int


class Run:
    """A job, its broker, and what is done to them."""

    def __init__(self, case: Case, broker: KafkaService, folder: Path) -> None:
        self.case, self.broker, self.folder = case, broker, folder
        self.plan = Plan(case.records)
        self.random = Random(case.seed)
        self.log = folder / "log"
        self.checkpoints = folder / "checkpoints"
        (folder / "faults").mkdir()
        self.strikes = Strikes(folder / "faults")
        self.strikes.plan(named_faults(case.named, case.delivery, self.random))
        self.killed: Counter[str] = Counter()
        self.starts = 0
        self.job: subprocess.Popen[bytes] | None = None
        self.feeding: subprocess.Popen[bytes] | None = None
        self._seen = 0

    def result(self) -> list[str]:
        """What is wrong with the output, after everything."""
        topics = [NewTopic(name, self.plan.partitions, 1, config={"retention.ms": "-1"}) for name in ("in", "out")]
        admin = AdminClient({"bootstrap.servers": self.broker.bootstrap, "log_level": 0})  # must live as long as the answers
        for made in admin.create_topics(topics).values():
            made.result(60)
        watching = Watching(self.broker.bootstrap, "out", self.plan.partitions)
        begun_s = time.monotonic()
        try:
            self.feeding = self._program("feed.py", self.broker.bootstrap, "in", str(self.case.records), str(self.case.per_s))
            self._start_job()
            pause_s = self.case.records / self.case.per_s / (self.case.kills + 2)
            for number, victim in enumerate(random_kills(self.case.kills, self.random)):
                self._wait(begun_s + (number + 1) * pause_s)
                self._kill(victim)
            self._to_the_end()
            during = watching.stop()
        finally:
            for process in (self.job, self.feeding):
                if process is not None:
                    process.kill()
                    process.wait()
        self._check_what_was_fed()
        after = read_all(self.broker.bootstrap, "out", self.plan.partitions)
        print(
            f"  {time.monotonic() - begun_s:.0f} s; {self._done()}; the reader saw {len(during.windows):,} of {len(after.windows):,} windows while it ran"
        )
        return verdict(self.plan, during, after)

    def _program(self, name: str, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MILLSTREAM_")}
        with self.log.open("ab") as log:
            command = [sys.executable, str(HERE / name), *arguments]
            return subprocess.Popen(command, env={**inherited, **variables}, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)

    def _start_job(self) -> None:
        self.starts += 1
        if self.starts > self.case.kills + self.case.named + 2:
            raise Failed(f"the job was started {self.starts} times{self._last_words()}")
        ends = json.dumps(self.plan.in_partition())
        arguments = [f"--bootstrap={self.broker.bootstrap}", "--input=in", "--output=out", f"--ends={ends}", f"--checkpoints={self.checkpoints}"]
        self.job = self._program("job.py", *arguments, f"--delivery={self.case.delivery}", **{FAULTS_VARIABLE: str(self.strikes.folder)})

    def _newest(self) -> int:
        found = glob(f"{self.checkpoints}/**/chk-*/_metadata", recursive=True)
        return max((int(Path(path).parent.name.removeprefix("chk-")) for path in found), default=0)

    def _attend(self) -> bool:
        """Starts the job again if it was killed. True when it has come to its end.

        Raises:
            Failed: it ended in another way.
        """
        assert self.job is not None
        code = self.job.poll()
        if code == -9:
            self._start_job()
        elif code is not None and code != 0:
            raise Failed(f"the job ended with exit code {code}{self._last_words()}")
        return code == 0

    def _wait(self, until_s: float) -> None:
        """For the moment, and for a checkpoint behind the last kill: else nothing would ever go forward."""
        limit_s = max(until_s, time.monotonic()) + PATIENCE_S
        while time.monotonic() < until_s or self._newest() <= self._seen:
            if self._attend():
                raise Failed("the job came to its end before everything had been killed: give it more records")
            if time.monotonic() > limit_s:
                raise Failed(f"no checkpoint was completed within {PATIENCE_S:.0f} s{self._last_words()}")
            time.sleep(0.02)  # between two looks at the job and its checkpoints, within the limit
        self._seen = self._newest()

    def _kill(self, victim: str) -> None:
        assert self.job is not None
        self.killed[victim] += 1
        if victim == "the broker":
            self.broker.kill()
            self.broker.start()
        elif victim == "the program":
            self.job.kill()
            self.job.wait()
        else:
            found = self._wait_for(victim)
            kill(self.random.choice(found))

    def _wait_for(self, victim: str) -> list[int]:
        limit_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < limit_s:
            assert self.job is not None
            found = list(Processes.of(self.job.pid).of_kind(victim))
            if found:
                return found
            self._attend()
            time.sleep(0.05)  # between two looks at the list of processes, within the limit
        raise Failed(f"there is no process of {victim} to kill{self._last_words()}")

    def _to_the_end(self) -> None:
        limit_s = time.monotonic() + self.case.records / self.case.per_s + PATIENCE_S
        while not self._attend():
            if time.monotonic() > limit_s:
                raise Failed(f"the job has not come to its end{self._last_words()}")
            time.sleep(0.05)  # between two looks at the job, within the limit

    def _check_what_was_fed(self) -> None:
        assert self.feeding is not None
        code = self.feeding.wait(120)
        if code:
            raise Failed(f"the program that feeds the topic ended with exit code {code}{self._last_words()}")

    def _done(self) -> str:
        at = Counter(self.strikes.planned()[strike.fault].point for strike in self.strikes.struck())
        kills = ", ".join(f"{victim} {times}x" for victim, times in sorted(self.killed.items()))
        return f"killed: {kills}; at named points {at.total()} of {self.case.named}: {', '.join(at)}; the program was started {self.starts} times"

    def _last_words(self) -> str:
        return ":\n" + "\n".join(self.log.read_text(errors="replace").splitlines()[-40:]) if self.log.exists() else ""


def run(case: Case, folder: Path) -> list[str]:
    """One case, on a broker of its own."""
    print(f"{case}", flush=True)
    with running_kafka(version=case.kafka) as broker:
        return Run(case, broker, folder).result()


def cases(options: argparse.Namespace) -> list[Case]:
    """What the command line asks for."""
    seed = options.seed if options.seed is not None else secrets.randbelow(1_000_000)
    if options.long:
        return [
            Case(kafka, delivery, 3_000_000, 15_000, seed, 40, len(NAMED))
            for kafka in ("4.1.0", "3.9.1")
            for delivery in ("exactly_once", "exactly_once_2pc")
        ]
    if options.gate:
        return [
            Case(options.kafka, "exactly_once", 1_000_000, 14_000, seed, 14, 14),
            Case(options.kafka, "exactly_once_2pc", 400_000, 10_000, seed, 8, 8),
        ]
    return [Case(options.kafka, options.delivery, options.records, options.per_s, seed, options.kills, options.named)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--per-s", type=float, default=14_000, help="pace at which they are written")
    parser.add_argument("--delivery", choices=("exactly_once", "exactly_once_2pc"), default="exactly_once")
    parser.add_argument("--kafka", default="4.1.0", metavar="VERSION")
    parser.add_argument("--seed", type=int, help="of the faults; by default drawn, and printed")
    parser.add_argument("--kills", type=int, default=14, help="at random moments")
    parser.add_argument("--named", type=int, default=14, help="at named crash points")
    parser.add_argument("--gate", action="store_true")
    parser.add_argument("--long", action="store_true")
    wrong = 0
    for case in cases(parser.parse_args()):
        folder = Path(tempfile.mkdtemp(prefix="millstream-kafka-e2e-"))
        try:
            problems = run(case, folder)
        except (Failed, ServiceUnavailable) as error:
            print(f"  it could not be tried: {error}\n  {folder}", file=sys.stderr)
            return 2
        wrong += bool(problems)
        for problem in problems:
            print(f"  WRONG: {problem}")
        print(f"  {folder}" if problems else f"  exact: every window of {case.records:,} readings once, in order for each key", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
