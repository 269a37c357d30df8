"""Runs one case in this process and prints what it took as one line of JSON; started by run.py, afresh for every measurement.

    python measure.py answer limits.w2_inline --records 20000         count and checksum of the outputs, untimed
    python measure.py time millstream_jobs.w3 --records 2000000       CPU and wall seconds of the run, peak memory
    python measure.py input --records 2000000                         peak memory of a process that only builds the input
    python measure.py latency --records 500                           source to sink, for records that come alone
    python measure.py processes --records 2000000                     what two TaskManager processes do
    python measure.py recovery --records 20                           new output after so many kills of a TaskManager
    python measure.py snapshots --records 1000000 --seconds 15        gaps and latency during checkpoints of so many keys

Before the clock starts every case runs once over the first 1,000 records, so that imports and caches are not counted with the records; how
long that first run takes is reported apart, as start-up. A short run is repeated in the same process, up to three times, and the one with
the least CPU time counts: what disturbs a run only ever makes it longer. Garbage collection is the same for all: the input is collected and frozen
(`gc.freeze`), then the collector runs with the interpreter's defaults, unless the engine changes them itself.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any
from zlib import crc32

from input import Run, readings

WARM_UP_RECORDS = 1_000
MOST_REPEATS = 3
ENOUGH_S = 3.0
SNAPSHOT_RATE = 10_000
"""Records a second while checkpoints of much state are taken."""

RECOVERY_KEYS = 470_000
"""Of some 212 bytes each: 100 MB of state."""


class Counter:
    """Counts outputs: the null sink of the timed runs."""

    def __init__(self) -> None:
        self.outputs = 0

    def write(self, batch: Sequence[Any]) -> None:
        self.outputs += len(batch)


class Checksum(Counter):
    """Counts and sums up outputs, in whatever order they come: engines differ in it between keys."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def write(self, batch: Sequence[Any]) -> None:
        super().write(batch)
        self.total += sum(crc32(repr(value).encode()) for value in batch)


def find(case: str) -> Callable[..., Run]:
    """The function that prepares a case, from `module.function`."""
    module, _, function = case.partition(".")
    prepare: Callable[..., Run] = getattr(importlib.import_module(module), function)
    return prepare


def answer(case: str, records: int) -> dict[str, Any]:
    """What the case puts out, once over the input."""
    sink = Checksum()
    find(case)(readings(records), sink.write)()
    return {"outputs": sink.outputs, "checksum": sink.total}


def timing(case: str, records: int, seconds: float | None) -> dict[str, Any]:
    """What the run took. `seconds`: how long a case that repeats its input goes on."""
    values = readings(records)
    startup_s = time.perf_counter()
    prepare = find(case)
    prepare(values[:WARM_UP_RECORDS], Counter().write)()
    startup_s = time.perf_counter() - startup_s
    best: dict[str, Any] = {}
    spent_s = 0.0
    for _ in range(MOST_REPEATS):
        sink = Counter()
        run = prepare(values, sink.write, **({} if seconds is None else {"seconds": seconds}))
        gc.collect()
        gc.freeze()
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        figures = run()
        cpu_s, wall_s = time.process_time() - cpu_s, time.perf_counter() - wall_s
        # A case that repeats its input has one output per record.
        done = records if seconds is None else sink.outputs
        if not best or cpu_s < best["cpu_s"]:
            best = {"cpu_s": cpu_s, "wall_s": wall_s, "records": done, "outputs": sink.outputs, **(figures or {})}
        spent_s += wall_s
        if spent_s > ENOUGH_S:
            break
    return {**best, "startup_s": startup_s, "peak_mb": peak_mb()}


def peak_mb() -> float:
    """The most memory that this process has had, in MB of 10^6 bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("answer", "time", "input", "latency", "snapshots", "processes", "recovery"))
    parser.add_argument("case", nargs="?", default="")
    parser.add_argument("--records", type=int, required=True)
    parser.add_argument("--seconds", type=float)
    options = parser.parse_args()
    result: dict[str, Any]
    if options.what == "answer":
        result = answer(options.case, options.records)
    elif options.what == "time":
        result = timing(options.case, options.records, options.seconds)
    elif options.what == "latency":
        result = {"latency_ms": find("millstream_jobs.latency")(options.records)}
    elif options.what == "snapshots":
        figures: Any = find("snapshots.snapshots")(options.records, SNAPSHOT_RATE, options.seconds)
        result = figures
    elif options.what == "processes":
        measure: Any = find("processes.processes")  # no case of a workload: it takes no sink
        figures = measure(options.records)
        result = figures
    elif options.what == "recovery":
        recover: Any = find("recovery.recovery")
        result = recover(RECOVERY_KEYS, options.records)
    else:
        values = readings(options.records)
        gc.collect()
        result = {"records": len(values), "peak_mb": peak_mb()}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
