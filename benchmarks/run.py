"""Measures the engine against hand-written loops and bytewax, and prints ratios.

    python benchmarks/run.py                                     this Python, 2 M records, 3 rounds: about 10 minutes
    python benchmarks/run.py --quick                             300,000 records, 5 s of W6, one round: a smoke run
    python benchmarks/run.py --python PATH --python PATH         one table for each interpreter
    python benchmarks/run.py --only W3 --rounds 5 --json out.json

Every measurement is a fresh process; the cases of a workload take turns, round by round, so that a busy machine hits all alike. Timed
is the run alone, not the making of the input or of the job, nor the imports. First all cases of a workload run untimed over the first
200,000 records, and nothing is timed unless their outputs are equal. Ratios are of CPU seconds, medians over the rounds; wall seconds
stand beside them. measure.py says what is done within a process.

bytewax is compared when it is installed (`pip install bytewax`; it has no wheels for Python 3.13). The exit code is 1 only if answers
differ or a run fails: figures depend on the machine, so they are reported and not enforced.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import table
from table import CASES, Case

MEASURE = Path(__file__).parent / "measure.py"
CHECKED_RECORDS = 200_000

ENVIRONMENT = """
import importlib.metadata, json, os, platform, sys
def version(dist):
    try: return importlib.metadata.version(dist)
    except importlib.metadata.PackageNotFoundError: return None
print(json.dumps({"python": platform.python_version(), "implementation": platform.python_implementation(), "cpus": os.cpu_count(),
    "machine": platform.machine(), "system": platform.system(), "millstream": version("millstream-core"), "bytewax": version("bytewax")}))
"""


class Failed(Exception):
    """A measurement that cannot be used; the message says which and why."""


def output_of(python: str, *arguments: str) -> Any:
    """What a fresh process prints on its last line, as JSON."""
    done = subprocess.run([python, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        message = f"`{python} {' '.join(arguments[:3])[:120]}` ended with exit code {done.returncode}:\n{done.stderr.strip()[-3000:]}"
        raise Failed(message)
    return json.loads(done.stdout.splitlines()[-1])


class Bench:
    """All measurements on one interpreter."""

    def __init__(self, python: str, options: argparse.Namespace) -> None:
        self.python = python
        self.options = options
        self.environment: dict[str, Any] = output_of(python, "-c", ENVIRONMENT)
        if self.environment["millstream"] is None:
            dists = "-e core -e plugins/memory -e plugins/filesystem"
            message = f"Millstream is not installed for {python}. Install the checkout there: {python} -m pip install {dists}"
            raise Failed(message)
        self.cases = [case for case in CASES if self._wanted(case)]

    def _wanted(self, case: Case) -> bool:
        if case.path.startswith("bytewax") and self.environment["bytewax"] is None:
            return False
        return case.workload in self.options.only

    def _measure(self, what: str, *arguments: str) -> Any:
        print(f"  {self.environment['python']}  {what} {' '.join(arguments)} ...", file=sys.stderr)
        return output_of(self.python, str(MEASURE), what, *arguments)

    def check_answers(self) -> None:
        """Runs every case and compares the outputs within each workload. Raises Failed when they differ."""
        records = min(self.options.records, CHECKED_RECORDS)
        for workload, cases in grouped(self.cases, by="question"):
            answers = {case.path: self._measure("answer", case.path, "--records", str(records)) for case in cases}
            refuse_different(f"{workload}, {records} records", answers)

    def time(self) -> dict[str, list[dict[str, float]]]:
        """The results of all rounds."""
        timings: dict[str, list[dict[str, float]]] = defaultdict(list)
        for workload, cases in grouped(self.cases, by="workload"):
            for _ in range(self.options.rounds):
                for case in cases:
                    seconds = ["--seconds", str(self.options.seconds)] if case.repeats else []
                    result = self._measure("time", case.path, "--records", str(self.options.records), *seconds)
                    self._refuse_too_few_checkpoints(case, result)
                    timings[case.path].append(result)
            if not cases[0].repeats:
                refuse_different(f"{workload}, timed", {case.path: timings[case.path][-1]["outputs"] for case in cases})
        return timings

    def _refuse_too_few_checkpoints(self, case: Case, result: dict[str, float]) -> None:
        least = int(self.options.seconds * 0.75)
        if result.get("checkpoints", least) < least:
            message = f"{case.path} completed {result['checkpoints']:.0f} checkpoints in {result['wall_s']:.1f} s, {least} were expected."
            raise Failed(message)

    def run(self) -> dict[str, Any]:
        """Measures and prints everything; returns the figures."""
        options, environment = self.options, self.environment
        print(
            f"\nPython {environment['python']} on {environment['system']} {environment['machine']}, {environment['cpus']} CPUs; "
            f"Millstream {environment['millstream']}, bytewax {environment['bytewax'] or 'not installed'}; "
            f"{options.records:,} records, {options.rounds} rounds, W6 {options.seconds:g} s\n",
            flush=True,
        )
        self.check_answers()
        figures: dict[str, Any] = {"environment": environment, "answers_equal": True}
        if not options.check_only:
            timings = self.time()
            figures |= {"timings": timings, "ratios": table.ratios(timings)}
            input_mb = self._measure("input", "--records", str(options.records))["peak_mb"]
            figures["memory_above_input"] = table.memory(timings, input_mb)
            table.show_timings(timings)
            table.show_ratios(figures["ratios"])
            table.show_memory(figures["memory_above_input"])
            if "latency" in options.only:
                figures["latency"] = table.latency(self._measure("latency", "--records", str(options.lone_records))["latency_ms"])
                table.show_latency(figures["latency"])
            if "snapshots" in options.only:
                measured = self._measure("snapshots", "--records", str(options.keys), "--seconds", str(options.seconds))
                figures["snapshots"] = table.snapshots(options.keys, measured)
                table.show_snapshots(figures["snapshots"])
            if "processes" in options.only:
                figures["processes"] = table.processes(self._measure("processes", "--records", str(options.records)))
                table.show_processes(figures["processes"])
            if "recovery" in options.only:
                figures["recovery"] = table.recovery(self._measure("recovery", "--records", str(options.kills)))
                table.show_recovery(figures["recovery"])
        else:
            print(f"Equal answers: {', '.join(case.path for case in self.cases)}")
        return figures


def grouped(cases: Iterable[Case], by: str) -> Iterable[tuple[str, list[Case]]]:
    """The cases by one of their attributes."""
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        groups[getattr(case, by)].append(case)
    return groups.items()


def refuse_different(what: str, answers: dict[str, Any]) -> None:
    """Raises Failed unless all answers are equal."""
    (first, expected), *others = answers.items()
    for path, answer in others:
        if answer != expected:
            message = f"{what}: {path} gives {answer}, {first} gives {expected}. Nothing is compared that does not do the same."
            raise Failed(message)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parts = (*dict.fromkeys(case.workload for case in CASES), "latency", "snapshots", "processes", "recovery")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", metavar="PATH", help="interpreter to measure on; may be repeated (default: this one)")
    parser.add_argument("--rounds", type=int, help="times that each case is measured (default 3)")
    parser.add_argument("--records", type=int, help="size of the input (default 2,000,000)")
    parser.add_argument("--seconds", type=float, help="length of a W6 run, and of the one with much state (default 20)")
    parser.add_argument("--quick", action="store_true", help="300,000 records, W6 for 5 s, one round")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts, metavar="PART", help=f"some of {', '.join(parts)}")
    parser.add_argument("--check-only", action="store_true", help="compare the answers, time nothing")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write all figures there")
    options = parser.parse_args(arguments)
    options.records = options.records or (300_000 if options.quick else 2_000_000)
    options.seconds = options.seconds or (5.0 if options.quick else 20.0)
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.keys = 100_000 if options.quick else 1_000_000
    options.kills = 3 if options.quick else 20
    options.lone_records = 200 if options.quick else 1_000
    options.python = options.python or [sys.executable]
    return options


def main() -> int:
    options = parse()
    report = {"platform": platform.platform(), "records": options.records, "rounds": options.rounds, "w6_seconds": options.seconds}
    try:
        report["runs"] = [Bench(python, options).run() for python in options.python]
    except Failed as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
