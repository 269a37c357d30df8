"""A job: its uids, whether it can run as it is, what it guarantees, and how its script starts it."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from millstream.cli.check import findings_of
from millstream.cli.doctor.finding import ok, problem, problem_of, warning
from millstream.cli.plan_model import plan_of
from millstream.cli.texts import counted
from millstream.errors import DuplicateUid, GuaranteeNotMet, MillstreamError, MissingUid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from millstream.cli.doctor.finding import Finding
    from millstream.cli.program import Program
    from millstream.graph.stream_graph import StreamNode


def job_findings(program: Program, script: str) -> Iterator[Finding]:
    """About a program at the moment when its script would run it. Called below the script's own frames."""
    yield _guard_finding(script, _line_that_executes(script))
    checkpointing = program.environment.settings(program.job_name).checkpoint.interval is not None
    yield from uid_findings(program.environment.graph.nodes, checkpointing=checkpointing)
    try:
        plan = plan_of(program)
        yield ok("job", f"Job {plan.job!r} can be deployed: {counted(len(plan.operators), 'operator')} in {counted(plan.tasks, 'task')}.")
    except (MissingUid, DuplicateUid, GuaranteeNotMet):
        pass  # found above, and below
    except MillstreamError as error:
        yield problem_of("job", error)
    yield from _guarantee_findings(program)


def uid_findings(nodes: list[StreamNode], *, checkpointing: bool) -> Iterator[Finding]:
    """About the names of operators in checkpoints: all that are missing, and all that come twice."""
    seen: dict[str, StreamNode] = {}
    wrong = False
    for node in nodes:
        if node.uid is None and node.spec.keeps_state:
            wrong = True
            what = f"Operator {node.name!r} keeps something in checkpoints and has no uid: a later version of the job could not find it again."
            fix = "Give it one: uid='...'"
            yield problem("job", what, fix) if checkpointing else warning("job", f"{what} With checkpoints the job is refused.", fix)
        elif node.uid is not None and node.uid in seen:
            wrong = True
            yield problem("job", f"Operators {seen[node.uid].name!r} and {node.name!r} both have uid {node.uid!r}.", "Give each its own uid")
        elif node.uid is not None:
            seen[node.uid] = node
    if not wrong:
        yield ok("job", f"Every operator that keeps something in checkpoints has a uid of its own ({len(seen)} uids).")


def _guarantee_findings(program: Program) -> Iterator[Finding]:
    try:
        findings = findings_of(program)
    except MillstreamError as error:  # for example a checkpoint storage that is not installed
        yield problem_of("job", error)
        return
    for refusal in findings.refusals:
        what, _, fix = refusal.partition(". ")
        yield problem("job", f"{what}.", fix)
    if not findings.refusals:
        for leg in findings.legs:
            what = f"From source {leg.source} to sink {leg.sink} it gives {leg.guarantee.label}. {leg.reason}".rstrip()
            yield warning("job", what, leg.fix) if leg.fix else ok("job", what)


def _guard_finding(script: str, line: int | None) -> Finding:
    if line is None or is_guarded(Path(script).read_text(encoding="utf-8"), line):
        return ok("job", "The script runs its job under `if __name__ == '__main__':`, or in a module of its own.")
    what = (
        f"{script}:{line} runs the job whenever the script is imported. In this release a job has one process, and nothing comes of it; a worker "
        "process imports the script, and would run the job once more."
    )
    return warning("job", what, "Put that line under `if __name__ == '__main__':`")


def _line_that_executes(script: str) -> int | None:
    """The line of the script's own top level from which the job is executed; None when another module does it."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename == script and frame.f_code.co_name == "<module>":
            return frame.f_lineno
        frame = frame.f_back
    return None


def is_guarded(text: str, line: int) -> bool:
    """Whether a line of a script is reached only when the script is run, not when it is imported.

    >>> is_guarded("if __name__ == '__main__':\\n    run()\\n", 2), is_guarded("run()\\n", 1)
    (True, False)
    """
    return any(
        isinstance(node, ast.If) and _asks_for_main(node.test) and node.body[0].lineno <= line <= (node.body[-1].end_lineno or line)
        for node in ast.parse(text).body
    )


def _asks_for_main(test: ast.expr) -> bool:
    if not isinstance(test, ast.Compare) or len(test.ops) != 1 or not isinstance(test.ops[0], ast.Eq):
        return False
    return {ast.unparse(side) for side in (test.left, *test.comparators)} == {"__name__", "'__main__'"}
