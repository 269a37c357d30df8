"""Jobs over TaskManager processes: what the exchange moves, and what a second process gives."""

from __future__ import annotations

import resource
from typing import Any

from millstream import StreamExecutionEnvironment
from millstream.api.sinks import DiscardingSink

TUPLES = [(number, f"user{number % 7}", 1.5) for number in range(1_000)]
SMALL_PART = 5
"""A fifth of the records is run first: the difference of two runs leaves out the start of the processes."""


TRIES = 3


def burst(numbers: list[int]) -> list[tuple[int, str, float]]:
    """A thousand tuples for each number: as cheap as a source can be."""
    return TUPLES * len(numbers)


def work(number: int) -> int:
    """About 5 us on the machine of the recorded figures; what it costs here is measured beside it."""
    total = number
    for step in range(170):
        total ^= step
    return total % 1_009


def environment(processes: int | None, parallelism: int) -> StreamExecutionEnvironment:
    env = StreamExecutionEnvironment.get_execution_environment().set_parallelism(parallelism)
    return env.configure("execution.processes", processes)


def exchange(records: int) -> Any:
    """Every record goes to the other process, and stays in this one as well, in batches of 1,000."""
    env = environment(2, 2).configure("execution.batch_size", 1)
    tuples = env.generate(lambda number: number, records // len(TUPLES)).set_parallelism(1).flat_map_batch(burst).set_parallelism(1)
    tuples.broadcast().map_batch(lambda values: values).sink_to(DiscardingSink())
    return env.execute("exchange")


def keyed(records: int, processes: int | None, parallelism: int) -> Any:
    """A function that costs 5 us, and a count per key behind an exchange."""
    env = environment(processes, parallelism)
    counts = env.generate(lambda number: number, records).map(work).map(lambda value: (value, 1)).key_by(lambda pair: pair[0])
    counts.reduce(lambda a, b: (a[0], a[1] + b[1])).sink_to(DiscardingSink())
    return env.execute("keyed")


def per_record_ns(job: Any, records: int, *arguments: Any) -> dict[str, float]:
    """Wall and CPU time of a record, without the start."""
    (short_s, short_cpu_s), (long_s, long_cpu_s) = [least(job, count, *arguments) for count in (records // SMALL_PART, records)]
    more = records - records // SMALL_PART
    return {"wall_ns": (long_s - short_s) / more * 1e9, "cpu_ns": (long_cpu_s - short_cpu_s) / more * 1e9}


def least(job: Any, records: int, *arguments: Any) -> tuple[float, float]:
    """Wall and CPU time of the best of several runs: what disturbs a run only ever makes it longer."""
    taken = []
    for _ in range(TRIES):
        before = cpu_s()
        taken.append((job(records, *arguments).duration_s, cpu_s() - before))
    return min(wall_s for wall_s, _ in taken), min(used_s for _, used_s in taken)


def cpu_s() -> float:
    """Of this process and of all that have ended below it."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def processes(records: int) -> dict[str, Any]:
    """All figures."""
    fewer = max(records // 4, 10_000)
    return {
        "exchange": per_record_ns(exchange, records),
        "keyed_inline": per_record_ns(keyed, fewer, None, 1),
        "keyed_one": per_record_ns(keyed, fewer, 1, 1),
        "keyed_two": per_record_ns(keyed, fewer, 2, 2),
    }
