"""The simulated cases of the fault gate: a seed stands for a job, its parallelism, its processes, a target, and everything that goes wrong.

    python integration-tests/faults/simulated_cases.py SEED ...

runs the cases of these seeds again, and says what happened.
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from millstream import (
    JobStatus,
    KeyedProcessFunction,
    MapStateDescriptor,
    StreamExecutionEnvironment,
    TumblingEventTimeWindows,
    WatermarkStrategy,
)
from millstream.api.data_stream import DataStream
from millstream.testing import At, Faults, LedgerTarget, ScriptedSource, SimulationResult, Target, TransactionalTarget, Wait, simulate

SPLITS, RECORDS_PER_SPLIT, WINDOW_MS = 4, 45, 50
LATE_MS = 30
"""How much out of order the records of one split are, at most."""

REPLAY = "python integration-tests/faults/simulated_cases.py {seed}"

Reading = tuple[str, int]


def _split(number: int) -> list[Reading]:
    return [(f"key-{(7 * number + i) % 6}", i * 10 + (i * 37) % 25) for i in range(RECORDS_PER_SPLIT)]


READINGS = [reading for number in range(SPLITS) for reading in _split(number)]


def _script(number: int) -> list[Any]:
    """Each split has its own pauses: there are checkpoints between its records, and its end comes at a time of its own."""
    script: list[Any] = []
    for index, reading in enumerate(_split(number)):
        script.append(At(reading[1], reading))
        if index % 9 == 8:
            script.append(Wait(0.05 + 0.03 * number))
    return script


SOURCE = ScriptedSource(*[_script(number) for number in range(SPLITS)], fetch_records=3)


def readings(environment: StreamExecutionEnvironment) -> DataStream[Reading]:
    strategy: WatermarkStrategy[Reading] = WatermarkStrategy.for_bounded_out_of_orderness(timedelta(milliseconds=LATE_MS))
    return environment.from_source(SOURCE, strategy, uid="in")


# --- the jobs, and what a plain loop makes of the same input


def windows(environment: StreamExecutionEnvironment) -> DataStream[Any]:
    """The highest time of each key and window."""
    keyed = readings(environment).key_by(lambda reading: reading[0])
    return keyed.window(TumblingEventTimeWindows.of(timedelta(milliseconds=WINDOW_MS))).reduce(
        lambda a, b: max(a, b, key=lambda reading: reading[1]), uid="highest"
    )


def windows_model() -> list[Any]:
    highest: dict[tuple[str, int], int] = {}
    for key, time in READINGS:
        window = key, time // WINDOW_MS
        highest[window] = max(time, highest.get(window, time))
    return [(key, time) for (key, _), time in highest.items()]


def rolling(environment: StreamExecutionEnvironment) -> DataStream[Any]:
    """Numbers the records of each key, behind an exchange that deals them out anew."""
    ones = readings(environment).map(lambda reading: (reading[0], 1)).rebalance().map(lambda one: one)
    return ones.key_by(lambda one: one[0]).reduce(lambda a, b: (a[0], a[1] + b[1]), uid="counts")


def rolling_model() -> list[Any]:
    totals = Counter(key for key, _ in READINGS)
    return [(key, number + 1) for key, total in totals.items() for number in range(total)]


class CountPerBucket(KeyedProcessFunction[str, Reading, Any]):
    """Counts the records of a key and a stretch of event time, and tells at its end."""

    def open(self, context: Any) -> None:
        self.counts = context.get_map_state(MapStateDescriptor("counts", int, int))

    def process_element(self, value: Reading, ctx: Any, out: Any) -> None:
        end = value[1] // WINDOW_MS * WINDOW_MS + WINDOW_MS - 1
        self.counts.put(end, (self.counts.get(end) or 0) + 1)
        ctx.timer_service().register_event_time_timer(end)

    def on_timer(self, timestamp: int, ctx: Any, out: Any) -> None:
        out.collect((ctx.get_current_key(), timestamp, self.counts.get(timestamp)))
        self.counts.remove(timestamp)


def timers(environment: StreamExecutionEnvironment) -> DataStream[Any]:
    """The same by hand, with timers."""
    return readings(environment).key_by(lambda reading: reading[0]).process(CountPerBucket(), uid="buckets")


def timers_model() -> list[Any]:
    counts = Counter((key, time // WINDOW_MS * WINDOW_MS + WINDOW_MS - 1) for key, time in READINGS)
    return [(key, end, count) for (key, end), count in counts.items()]


Job = Callable[[StreamExecutionEnvironment], DataStream[Any]]
JOBS: Sequence[tuple[Job, list[Any]]] = [
    (windows, sorted(windows_model())),
    (rolling, sorted(rolling_model())),
    (timers, sorted(timers_model())),
]
PROCESSES = (None, 1, 2, 3, 2, 3)


@dataclass(frozen=True)
class SimulatedCase:
    """What a seed stands for."""

    seed: int

    @property
    def job(self) -> Job:
        return JOBS[self.seed % 3][0]

    @property
    def expected(self) -> list[Any]:
        return JOBS[self.seed % 3][1]

    @property
    def parallelism(self) -> int:
        return 1 + self.seed // 3 % 3

    @property
    def processes(self) -> int | None:
        return PROCESSES[self.seed // 18 % len(PROCESSES)]

    @property
    def faults(self) -> Faults:
        return Faults.mixed(self.seed)

    def target(self) -> Target[Any]:
        """A target that answers as one in trouble now and then, on every other seed."""
        if self.seed // 9 % 2:
            return LedgerTarget(busy=0.02 * (self.seed % 2), seed=self.seed, max_commit_records=(None, 3)[self.seed % 2])
        return TransactionalTarget(busy=0.1 * (self.seed % 2), seed=self.seed)

    def run(self) -> SimulationResult:
        """One run.

        Raises:
            AssertionError: something was lost, doubled, visible too early, or left behind. A note says how to see it again.
        """
        target = self.target()

        def program(environment: StreamExecutionEnvironment) -> None:
            environment.set_parallelism(self.parallelism)
            self.job(environment).sink_to(target.sink(), uid="out")  # type: ignore[attr-defined]  # both kinds have it

        settings = {
            "checkpoint.interval": timedelta(milliseconds=20),
            # Without the default limit: a busy target may well give the same answer three times in a row.
            "restart.strategy": "exponential_delay",
            **({"checkpoint.incremental_from": 0} if self.seed % 5 else {}),
        }
        try:
            result = simulate(
                program,
                seed=self.seed,
                faults=self.faults,
                processes=self.processes,
                targets=[target],
                settings=settings,
            )
            self._check(result, target)
        except Exception as error:
            error.add_note(f"{self}\nagain: {REPLAY.format(seed=self.seed)}")
            raise
        return result

    def _check(self, result: SimulationResult, target: Target[Any]) -> None:
        assert result.status is JobStatus.FINISHED, repr(result.error)
        seen, expected = Counter(target.visible()), Counter(self.expected)
        assert seen == expected, f"lost: {expected - seen}, doubled or wrong: {seen - expected}"
        assert target.leftovers() == [], target.leftovers()
        # A failing call may be the very one that removes something, and what a process writes that was replaced while it stood still the next
        # start removes.
        if not any(result.injected[fault] for fault in ("storage error", "takeover", "stop")):
            left = [path for path in result.disk.files() if "/chk-" in path or "/shared/" in path]
            assert left == [], left

    def __str__(self) -> str:
        parts = f"{self.job.__name__}, parallelism {self.parallelism}, processes {self.processes}, {type(self.target()).__name__}"
        return f"seed {self.seed}: {parts}, {self.faults}"


def main(seeds: Sequence[str]) -> int:
    """Runs the cases of these seeds. The number of those that failed, at most 1."""
    logging.disable(logging.CRITICAL)
    failed = 0
    for seed in map(int, seeds):
        case = SimulatedCase(seed)
        print(case, flush=True)
        try:
            result = case.run()
        except Exception as error:  # noqa: BLE001 - any failure is to be shown, and the next seed run
            failed = 1
            print("FAILED", type(error).__name__, error, *getattr(error, "__notes__", ()), sep="\n")
        else:
            print(f"exact; {result.virtual_s:.1f} virtual s, {result.steps} turns, {dict(result.injected)}, trace {result.trace_hash}")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
