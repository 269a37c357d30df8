"""Writes docs/testkit/demands.md from the suites of the test kit; a test compares the two.

python tools/demands_table.py
"""

from __future__ import annotations

from pathlib import Path

from millstream_testkit import CheckpointStorageSuite, ConformanceSuite, PairingSuite, SinkSuite, SourceSuite, StateBackendSuite
from millstream_testkit.demands import demand_of

PAGE = Path(__file__).parents[1] / "docs/testkit/demands.md"
SUITES: dict[str, type[ConformanceSuite]] = {
    "Sinks": SinkSuite,
    "Sources": SourceSuite,
    "State backends": StateBackendSuite,
    "Checkpoint storages": CheckpointStorageSuite,
    "A state backend with a checkpoint storage": PairingSuite,
}
HEAD = """# What the test kit demands

Each demand is a test of a suite (`test_` and the name). Which of them are made of a connector follows from what it declares; what is not made
is printed with the reason. Demands with a star kill processes: they take seconds, and run in a sample unless `--millstream-full` is given.

<!-- written by tools/demands_table.py, checked by integration-tests/docs -->
"""


def page() -> str:
    """The whole page."""
    return HEAD + "".join(f"\n## {name}\n\n{table(suite)}" for name, suite in SUITES.items())


def table(suite: type[ConformanceSuite]) -> str:
    """The demands of a suite, in the order in which its parts define them."""
    rows = ["| demand | made of | rule |", "|---|---|---|"]
    for part in suite.__mro__:
        for name, function in vars(part).items():
            made = demand_of(function)
            if name.startswith("test_") and made is not None:
                of = "; ".join(condition.text for condition in made.conditions) or "all"
                star = r" \*" if made.kills else ""
                rows.append(f"| `{made.name}`{star} | {of} | {made.rule} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
