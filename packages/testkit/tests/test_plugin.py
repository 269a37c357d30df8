"""The pytest plugin, seen from a pytest that somebody else runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

SUITE = """
from dataclasses import dataclass
import pytest
from millstream_testkit import ConformanceSuite, Harness, demand
from millstream_testkit.demands import declares


@dataclass(frozen=True)
class Declared:
    kind: str = "box"
    colour: bool = False
    lid: bool = True


class BoxHarness(Harness):
    def declared(self):
        return Declared()

    def connector(self):
        return dict

    def guarantee(self):
        return "exactly_once"


class BoxSuite(ConformanceSuite):
    subject = "box"
    complete = True

    @demand("A box is closed.", when=declares("lid"))
    def test_closed(self):
        pass

    @demand("A box is red.", when=declares("colour"))
    def test_red(self):
        raise AssertionError("never run")

    @demand("A box holds numbers.", cases=lambda harness, sampling: [1, 2, 3] if sampling.full else [sampling.seed % 3 + 1])
    def test_holds(self, case, note):
        note(f"held {case}")
        assert case != 3, "three is too many"


class TestBox(BoxSuite):
    harness = BoxHarness
"""


def run_pytest(folder: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_box.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "test_box.py", "-p", "no:cacheprovider", f"--basetemp={folder / 'tmp'}", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_what_was_run_and_what_was_not_is_shown_and_written_in_three_formats_also_by_several_processes(tmp_path: Path) -> None:
    paths = [tmp_path / "out" / f"report.{ending}" for ending in ("txt", "json", "xml")]
    done = run_pytest(tmp_path, SUITE, "-n", "2", "--millstream-full", *(f"--millstream-report={path}" for path in paths))
    assert done.returncode == 1, done.stdout
    shown = " ".join(done.stdout.split())
    assert "box Box declares kind=box, lid demands 1 of 2 met in 4 cases; 1 not run guarantee not proved" in shown
    assert "FAILED holds rule: A box holds numbers. case: 3 AssertionError: three is too many" in shown
    assert "not run colour is declared closed: red" in shown
    assert "1 failed, 3 passed, 1 not demanded" in shown

    text = " ".join(paths[0].read_text().split())
    assert "rule: A box is closed." in text
    (box,) = json.loads(paths[1].read_text())["connectors"]
    assert {demand["demand"]: (demand["outcome"], demand["cases"], demand["rule"]) for demand in box["demands"]} == {
        "closed": ("passed", 1, "A box is closed."),
        "holds": ("failed", 3, "A box holds numbers."),
        "red": ("not run", 0, "A box is red."),
    }
    assert box["demands"][1]["notes"] == ["held 1", "held 2", "held 3"]
    (suite,) = ET.parse(paths[2]).getroot()  # noqa: S314 - written a moment ago
    counts = [suite.get(name) for name in ("name", "tests", "failures", "skipped")]
    assert counts == ["Box (box)", "3", "1", "1"]
    assert {case.get("name"): [child.tag for child in case] for case in suite.iter("testcase")} == {
        "closed": ["system-out"],
        "holds": ["failure", "system-out"],
        "red": ["skipped", "system-out"],
    }


def test_a_guarantee_is_called_proved_only_when_all_demands_were_run(tmp_path: Path) -> None:
    whole = run_pytest(tmp_path, SUITE, "--millstream-seed=1")
    assert "guarantee exactly_once" in " ".join(whole.stdout.split())
    part = run_pytest(tmp_path, SUITE, "-k", "closed")
    assert "guarantee not proved: 2 demands were left out of this run" in " ".join(part.stdout.split())


def test_a_failure_that_is_expected_proves_nothing(tmp_path: Path) -> None:
    known = (
        SUITE
        + """
    @pytest.fixture(autouse=True)
    def known(self, request):
        if request.function.__name__ == "test_holds":
            request.applymarker(pytest.mark.xfail(reason="numbers are large", strict=True))
"""
    )
    done = run_pytest(tmp_path, known.replace("case != 3", "False"), "--millstream-report=report.json")
    assert done.returncode == 0, done.stdout
    (box,) = json.loads((tmp_path / "report.json").read_text())["connectors"]
    holds = next(each for each in box["demands"] if each["demand"] == "holds")
    assert (holds["outcome"], list(holds["failures"].values()), box["guarantee"]) == ("failed", ["expected: numbers are large"], "not proved")


def test_a_run_without_suites_says_nothing(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, "def test_nothing():\n    pass\n")
    assert done.returncode == 0
    assert "Millstream" not in done.stdout


def test_a_report_of_an_unknown_format_is_refused_before_anything_is_run(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, SUITE, "--millstream-report=report.html")
    assert done.returncode == 4
    assert "the ending says what is written. Name a file that ends with .txt, .json, .xml." in done.stderr


SINK = """
from millstream_testkit import SinkHarness, SinkSuite
from millstream_testkit.ledger import SqliteLedgerSink
from millstream.contracts.guarantee import SinkCapabilities

class LedgerHarness(SinkHarness):
    def sink(self, target):
        return SqliteLedgerSink(target, "results", ("number", "key", "place"))

    def read(self, target):
        return []
"""


@pytest.mark.parametrize(
    ("tail", "sentence"),
    [
        ("class TestSink(SinkSuite): ...", "TestSink cannot be used: the suite's attribute harness is None, not a class. Write `harness ="),
        ("class TestSink(SinkSuite):\n    harness = LedgerHarness()", "not a class. Write `harness = YourHarness` in class TestSink"),
        (
            "class Half(SinkHarness):\n    def sink(self, target): ...\n\nclass TestSink(SinkSuite):\n    harness = Half",
            "Implement what is missing",
        ),
        (
            (
                "class Picky(LedgerHarness):\n    def sink(self, target):\n        raise ValueError('no URL')\n\n"
                "class TestSink(SinkSuite):\n    harness = Picky"
            ),
            "raised ValueError: no URL. A sink is a description that connects in open(); if it needs a target of another form, set example_target",
        ),
        (
            (
                "class Odd(SqliteLedgerSink):\n    def __post_init__(self):\n        super().__post_init__()\n"
                "        object.__setattr__(self, 'capabilities', SinkCapabilities(kind='idempotent'))\n\n"
                "class OddHarness(LedgerHarness):\n    def sink(self, target):\n        return Odd(target, 't', ('a',))\n\n"
                "class TestSink(SinkSuite):\n    harness = OddHarness"
            ),
            "declares kind='idempotent', which is not the contract it implements. Declare the kind of the class that the sink extends",
        ),
        (
            "def make():\n    class Inner(LedgerHarness): ...\n    return Inner\n\nclass TestSink(SinkSuite):\n    harness = make()",
            "Inner cannot be used: it is defined inside of a function or class, where the process that is killed cannot find it. Move it",
        ),
        (
            "class Wordy(LedgerHarness):\n    def read(self, target):\n        return ['1 2 3']\n\nclass TestSink(SinkSuite):\n    harness = Wordy",
            "Wordy cannot be used: read() returned '1 2 3' for a row. Return a sequence of three integers for each record",
        ),
    ],
    ids=["no harness", "an instance", "a method is missing", "another form of target", "another kind", "not at the top level", "no rows"],
)
def test_a_harness_that_cannot_be_used_is_answered_with_the_fix(tail: str, sentence: str, tmp_path: Path) -> None:
    done = run_pytest(tmp_path, f"{SINK}\n{tail}\n", "-k", "the_harness_reads_from_outside or the_harness_finds or crash_at", "-x")
    assert done.returncode in (1, 2), done.stdout
    assert sentence in " ".join(done.stdout.replace("\nE  ", "").split()), done.stdout
