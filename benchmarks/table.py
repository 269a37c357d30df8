"""What is compared with what, the figures to reach, and the tables that show them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any


@dataclass(frozen=True)
class Case:
    """One way to do a workload.

    Attributes:
        workload: W1, W2, W3 or W6.
        label: for the table.
        path: `module.function` that prepares it.
        repeats: it goes over the input again and again for a given time.
    """

    workload: str
    label: str
    path: str
    repeats: bool = False

    @property
    def question(self) -> str:
        """Cases with the same question have the same answer: W6 is W2 once more."""
        return "W2" if self.workload == "W6" else self.workload


@dataclass(frozen=True)
class Target:
    """The speed of one case as a multiple of another's.

    Attributes:
        case, against: paths of the two.
        must, aim: multiples to reach; None where none is set.
    """

    title: str
    case: str
    against: str
    must: float | None
    aim: float | None


CASES = (
    Case("W1", "plain Python, inline (the limit)", "limits.w1_inline"),
    Case("W1", "plain Python, user functions called", "limits.w1_calls"),
    Case("W1", "Millstream", "millstream_jobs.w1"),
    Case("W1", "plain Python, map_batch's function, filter", "limits.w1_map_batch"),
    Case("W1", "Millstream flat_map_batch", "millstream_jobs.w1_batch"),
    Case("W1", "Millstream map_batch, filter", "millstream_jobs.w1_map_batch"),
    Case("W1", "bytewax", "bytewax_jobs.w1"),
    Case("W1", "bytewax flat_map_batch", "bytewax_jobs.w1_batch"),
    Case("W2", "plain Python, inline (the limit)", "limits.w2_inline"),
    Case("W2", "plain Python, user functions called", "limits.w2_calls"),
    Case("W2", "Millstream reduce", "millstream_jobs.w2_reduce"),
    Case("W2", "Millstream fold", "millstream_jobs.w2_fold"),
    Case("W2", "Millstream process", "millstream_jobs.w2_process"),
    Case("W2", "Millstream process, timestamps", "millstream_jobs.w2_process_timed"),
    Case("W2", "Millstream process, state of no type", "millstream_jobs.w2_process_data"),
    Case("W2", "Millstream process, typed state", "millstream_jobs.w2_process_typed"),
    Case("W2", "Millstream process, state that expires", "millstream_jobs.w2_process_ttl"),
    Case("W2", "bytewax", "bytewax_jobs.w2"),
    Case("W3", "plain Python, inline (the limit)", "limits.w3_inline"),
    Case("W3", "plain Python, user functions called", "limits.w3_calls"),
    Case("W3", "Millstream", "millstream_jobs.w3"),
    Case("W3", "bytewax", "bytewax_jobs.w3"),
    Case("W6", "Millstream, no checkpoints", "millstream_jobs.w6_without", repeats=True),
    Case("W6", "Millstream, one each second", "millstream_jobs.w6", repeats=True),
    Case("W6", "bytewax, no snapshots", "bytewax_jobs.w6_without", repeats=True),
    Case("W6", "bytewax, one each second", "bytewax_jobs.w6", repeats=True),
)

TARGETS = (
    Target("W1 map, filter, map / loop with the same calls", "millstream_jobs.w1", "limits.w1_calls", 0.80, 0.90),
    Target("W1 / bytewax", "millstream_jobs.w1", "bytewax_jobs.w1", 1.7, None),
    Target("W1 flat_map_batch / limit", "millstream_jobs.w1_batch", "limits.w1_inline", None, 0.70),
    Target("W1 flat_map_batch / bytewax flat_map_batch", "millstream_jobs.w1_batch", "bytewax_jobs.w1_batch", 0.9, None),
    # One result per record asks for a None where bytewax's function leaves the record out, and for a filter behind it: the
    # hand-written loop that does both says how much of the difference is the engine's.
    Target("W1 map_batch, filter / the same by hand", "millstream_jobs.w1_map_batch", "limits.w1_map_batch", None, None),
    Target("W1 map_batch, filter / bytewax flat_map_batch", "millstream_jobs.w1_map_batch", "bytewax_jobs.w1_batch", None, 0.9),
    Target("W1 map_batch, filter by hand / bytewax flat_map_batch", "limits.w1_map_batch", "bytewax_jobs.w1_batch", None, None),
    Target("W2 map and reduce / limit", "millstream_jobs.w2_reduce", "limits.w2_inline", 0.45, 0.53),
    Target("W2 map and reduce / loop with the same calls", "millstream_jobs.w2_reduce", "limits.w2_calls", None, None),
    Target("W2 map and reduce / bytewax", "millstream_jobs.w2_reduce", "bytewax_jobs.w2", 6.0, None),
    Target("W2 fold / limit", "millstream_jobs.w2_fold", "limits.w2_inline", 0.60, 0.68),
    Target("W2 process / limit", "millstream_jobs.w2_process", "limits.w2_inline", 0.38, 0.43),
    Target("W2 process with timestamps / limit", "millstream_jobs.w2_process_timed", "limits.w2_inline", 0.27, 0.32),
    # What a declared type and a time to live cost while records flow; a type makes its difference at checkpoints.
    Target("W2 process, typed state / state of no type", "millstream_jobs.w2_process_typed", "millstream_jobs.w2_process_data", None, None),
    Target("W2 process, state that expires / state of no type", "millstream_jobs.w2_process_ttl", "millstream_jobs.w2_process_data", None, None),
    Target("W3 tumbling minimum / limit", "millstream_jobs.w3", "limits.w3_inline", 0.70, 0.80),
    Target("W3 / loop with the same calls", "millstream_jobs.w3", "limits.w3_calls", None, None),
    Target("W3 / bytewax", "millstream_jobs.w3", "bytewax_jobs.w3", 25.0, None),
    Target("W6 checkpoint each second / the same without", "millstream_jobs.w6", "millstream_jobs.w6_without", 0.95, 0.98),
    Target("W6 bytewax: snapshot each second / without", "bytewax_jobs.w6", "bytewax_jobs.w6_without", None, None),
)

MEMORY_MUST_MB = 100.0
LATENCY_MUST_MS, LATENCY_AIM_MS = 2.0, 0.5
EXCHANGE_MUST = 2.0
"""M small tuples a second between two processes."""

SECOND_PROCESS_MUST = 1.6
"""Two processes against one, for a function that costs 5 us, on a machine with two processors that does nothing else."""

RECOVERY_MUST_S = 3.0
"""Median time from a kill of a TaskManager to new output, with 100 MB of state."""

GAP_MUST_MS = 60.0
SNAPSHOT_LATENCY_MUST_MS, SNAPSHOT_LATENCY_AIM_MS = 20.0, 5.0

Timings = Mapping[str, Sequence[Mapping[str, float]]]
"""Per case the results of its rounds, as measure.py prints them."""


def ns_per_record(rounds: Iterable[Mapping[str, float]], clock: str) -> float:
    """Median cost of one record in ns; `clock` is cpu_s or wall_s."""
    return median(result[clock] / result["records"] for result in rounds) * 1e9


def mark(value: float, must: float | None, aim: float | None, larger_is_better: bool = True) -> str:
    """How a figure stands to what is asked for."""
    sign = 1 if larger_is_better else -1
    if must is not None and value * sign < must * sign:
        return "BELOW" if larger_is_better else "ABOVE"
    if aim is not None:
        return "pass, aim reached" if value * sign >= aim * sign else "pass" if must is not None else "below aim"
    return "pass" if must is not None else ""


def ratios(timings: Timings) -> list[dict[str, Any]]:
    """The targets for which both cases were measured."""
    rows = []
    for target in TARGETS:
        if target.case in timings and target.against in timings:
            of, against = timings[target.case], timings[target.against]
            by_cpu = ns_per_record(against, "cpu_s") / ns_per_record(of, "cpu_s")
            rows.append(
                {
                    "title": target.title,
                    "cpu": by_cpu,
                    "wall": ns_per_record(against, "wall_s") / ns_per_record(of, "wall_s"),
                    "must": target.must,
                    "aim": target.aim,
                    "mark": mark(by_cpu, target.must, target.aim),
                }
            )
    return rows


def memory(timings: Timings, input_mb: float) -> list[dict[str, Any]]:
    """Peak memory above a process that only builds the input, for everything that runs over it once."""
    rows = []
    for case in CASES:
        if case.path in timings and not case.repeats:
            above_mb = max(result["peak_mb"] for result in timings[case.path]) - input_mb
            must = MEMORY_MUST_MB if case.path.startswith("millstream") else None
            rows.append({"workload": case.workload, "case": case.label, "mb": above_mb, "must": must, "mark": mark(above_mb, must, None, False)})
    return rows


def latency(taken_ms: Sequence[float]) -> dict[str, Any]:
    """Median and 99th percentile, and the greatest."""
    percentiles = quantiles(taken_ms, n=100, method="inclusive")
    p99 = percentiles[98]
    return {
        "records": len(taken_ms),
        "p50_ms": percentiles[49],
        "p99_ms": p99,
        "max_ms": max(taken_ms),
        "must_ms": LATENCY_MUST_MS,
        "aim_ms": LATENCY_AIM_MS,
        "mark": mark(p99, LATENCY_MUST_MS, LATENCY_AIM_MS, larger_is_better=False),
    }


def snapshots(keys: int, measured: Mapping[str, Any]) -> dict[str, Any]:
    """Gaps and latencies from the triggers of checkpoints until they are durable."""
    percentiles = quantiles(measured["latency_ms"], n=1000, method="inclusive")
    gap_ms, p99 = max(measured["gap_ms"]), percentiles[989]
    return {
        "keys": keys,
        "checkpoints": measured["checkpoints"],
        "duration_ms": median(measured["duration_ms"]),
        "median_gap_ms": median(measured["gap_ms"]),
        "longest_gap_ms": gap_ms,
        "gap_must_ms": GAP_MUST_MS,
        "gap_mark": mark(gap_ms, GAP_MUST_MS, None, larger_is_better=False),
        "records": len(measured["latency_ms"]),
        "p50_ms": percentiles[499],
        "p99_ms": p99,
        "p999_ms": percentiles[998],
        "latency_must_ms": SNAPSHOT_LATENCY_MUST_MS,
        "latency_aim_ms": SNAPSHOT_LATENCY_AIM_MS,
        "latency_mark": mark(p99, SNAPSHOT_LATENCY_MUST_MS, SNAPSHOT_LATENCY_AIM_MS, larger_is_better=False),
    }


def processes(measured: Mapping[str, Any]) -> dict[str, Any]:
    """Records that one process moves to another, and what a second process gives to a function that costs 5 us."""
    moved = 1e3 / measured["exchange"]["wall_ns"]
    gained = measured["keyed_inline"]["wall_ns"] / measured["keyed_two"]["wall_ns"]
    return {
        "measured": dict(measured),
        "exchange_m_per_s": moved,
        "exchange_must": EXCHANGE_MUST,
        "exchange_mark": mark(moved, EXCHANGE_MUST, None),
        "second_process": gained,
        "second_process_must": SECOND_PROCESS_MUST,
        "second_process_mark": mark(gained, SECOND_PROCESS_MUST, None),
        # What two free processors would make of it, if nothing were waited for: both share the work, and its cost is in CPU time.
        "second_process_by_cpu": 2 * measured["keyed_inline"]["cpu_ns"] / measured["keyed_two"]["cpu_ns"],
        "cpu_of_two": measured["keyed_two"]["cpu_ns"] / measured["keyed_inline"]["cpu_ns"],
    }


def recovery(measured: Mapping[str, Any]) -> dict[str, Any]:
    """How long a job puts out nothing after a TaskManager was killed."""
    seconds = sorted(measured["seconds"])
    return {
        "kills": len(seconds),
        "state_mb": measured["state_mb"],
        "p50_s": median(seconds),
        "longest_s": seconds[-1],
        "must": RECOVERY_MUST_S,
        "mark": mark(median(seconds), RECOVERY_MUST_S, None, larger_is_better=False),
    }


def show(rows: Sequence[Sequence[str]], header: Sequence[str]) -> None:
    """Prints a table; all columns but the first and the last are right-aligned."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    for row in (header, ["-" * width for width in widths], *rows):
        first, *middle, last = (cell.ljust(width) for cell, width in zip(row, widths))
        print("  ".join([first, *(cell.strip().rjust(len(cell)) for cell in middle), last.rstrip()]))
    print()


def show_timings(timings: Timings) -> None:
    """Prints what each case takes."""
    rows = [
        [
            f"{case.workload} {case.label}",
            f"{1e3 / ns_per_record(timings[case.path], 'cpu_s'):.2f}",
            f"{ns_per_record(timings[case.path], 'cpu_s'):.0f}",
            f"{ns_per_record(timings[case.path], 'wall_s'):.0f}",
            f"{median(result['cpu_s'] for result in timings[case.path]):.2f}",
            f"{median(result['wall_s'] for result in timings[case.path]):.2f}",
            f"{median(result['startup_s'] for result in timings[case.path]) * 1e3:.0f}",
            str(len(timings[case.path])),
        ]
        for case in CASES
        if case.path in timings
    ]
    show(rows, ["case (medians)", "M records per CPU s", "CPU ns/record", "wall ns/record", "CPU s", "wall s", "start-up ms", "rounds"])


def show_ratios(rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints the ratios beside what is asked for."""

    def number(value: float | None) -> str:
        return "" if value is None else f"{value:.2f}"

    cells = [[row["title"], *(number(row[column]) for column in ("cpu", "wall", "must", "aim")), row["mark"]] for row in rows]
    show(cells, ["ratio of speeds", "by CPU s", "by wall s", "must", "aim", ""])


def show_memory(rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints peak memory."""
    cells = [
        [f"{row['workload']} {row['case']}", f"{row['mb']:.0f}", "" if row["must"] is None else f"{row['must']:.0f}", row["mark"]] for row in rows
    ]
    show(cells, ["peak memory above the input, MB", "worst round", "must", ""])


def show_latency(figures: Mapping[str, Any]) -> None:
    """Prints the latency of lone records."""
    cells = [*(f"{figures[name]:.2f}" for name in ("p50_ms", "p99_ms", "max_ms", "must_ms", "aim_ms")), figures["mark"]]
    show([[f"{figures['records']} records on a quiet stream", *cells]], ["source to sink, ms", "p50", "p99", "max", "must p99", "aim", ""])


def show_snapshots(figures: Mapping[str, Any]) -> None:
    """Prints what checkpoints of much state did to the records that came meanwhile."""
    taken = f"{figures['checkpoints']} checkpoints of {figures['keys']:,} keys, {figures['duration_ms']:.0f} ms each"
    gaps = [f"{figures[name]:.1f}" for name in ("median_gap_ms", "longest_gap_ms", "gap_must_ms")]
    show([[taken, *gaps, figures["gap_mark"]]], ["from trigger to durable", "median gap, ms", "longest", "must", ""])
    cells = [f"{figures[name]:.2f}" for name in ("p50_ms", "p99_ms", "p999_ms", "latency_must_ms", "latency_aim_ms")]
    row = [f"{figures['records']:,} records meanwhile", *cells, figures["latency_mark"]]
    show([row], ["source to sink, ms", "p50", "p99", "p99.9", "must p99", "aim", ""])


def show_processes(figures: Mapping[str, Any]) -> None:
    """Prints what processes move and gain. Wall time: on a machine that does other things, the CPU time beside it says more."""
    measured = figures["measured"]
    cpu = f"{measured['exchange']['cpu_ns']:.0f}"
    moved = ["tuples of three, from source to sink", f"{figures['exchange_m_per_s']:.2f}", f"{figures['exchange_must']:.1f}", cpu]
    show([[*moved, figures["exchange_mark"]]], ["between two processes", "M records/s by wall", "must", "CPU ns of both", ""])
    rows = [
        [f"{clock} ns a record", *[f"{measured[name][f'{clock}_ns']:.0f}" for name in ("keyed_inline", "keyed_one", "keyed_two")], *gained]
        for clock, gained in (
            ("wall", [f"{figures['second_process']:.2f}", f"{figures['second_process_must']:.1f}", figures["second_process_mark"]]),
            ("cpu", [f"{figures['second_process_by_cpu']:.2f}", f"{figures['second_process_must']:.1f}", "at most, by CPU time"]),
        )
    ]
    show(rows, ["function of 5 us, keyed", "inline", "1 process", "2", "times as fast", "must", ""])


def show_recovery(figures: Mapping[str, Any]) -> None:
    """Prints how long recoveries took."""
    seconds = [f"{figures[name]:.2f}" for name in ("p50_s", "longest_s", "must")]
    row = [f"{figures['state_mb']:.0f} MB of state", str(figures["kills"]), *seconds, figures["mark"]]
    show([row], ["kill of a TaskManager to new output, s", "kills", "p50", "longest", "must", ""])
