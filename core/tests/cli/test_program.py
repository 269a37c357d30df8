"""`millstream plan` and `millstream check`: what can be said of a job before it runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

JOB = """
@dataclass(frozen=True)
class Reading:
    sensor: str
    value: int

class Last(KeyedProcessFunction):
    def process_element(self, value, ctx, out):
        out.collect(value)

def sensor(reading):
    return reading.sensor

env.enable_checkpointing(timedelta(seconds=10))
env.checkpoint_config.set_checkpoint_storage("chk")
readings = env.generate(lambda n: Reading(str(n), n), count=3, uid="readings")
newest = readings.key_by(sensor, key_type=str).reduce(lambda a, b: b, output_type=Reading, uid="newest")
newest.sink_to(FileSink("out", delivery="{delivery}"), name="files", uid="files")
readings.key_by(lambda r: (r.sensor, r.value)).process(Last(), uid="last").set_parallelism(2).print()
print("built")
env.execute("readings")
print("executed")
"""


def test_a_plan_shows_vertices_chains_edges_and_serializers(invoke: Any, script: Any) -> None:
    result = invoke("plan", script(JOB.format(delivery="exactly_once")), "-p", "3")
    assert result.exit_code == 0, result.stderr
    assert "executed" not in result.stdout
    head, *vertices = result.stdout.split("\n\n")
    assert head.startswith("built\nJob 'readings': 4 vertices, 11 tasks")
    assert "every 10s, exactly_once, kept in chk" in head
    source, reduce, process, printing = vertices
    assert "  parallelism 3\n  source 'generator': uid 'readings', 128 key groups" in source
    assert "from vertex 0 (generator): hash by sensor, 128 key groups" in reduce
    assert "state: one value per key: typed job:Reading; keys: typed str" in reduce
    assert "sink 'files': uid 'files'" in reduce
    assert "committables" in reduce
    assert "  parallelism 2\n  from vertex 0 (generator): hash by <lambda>, 128 key groups" in process
    assert "keys, also of timers: data codec" in process
    assert "from vertex 2" in printing
    assert "sink 'print': no uid" in printing


BEHIND_KEYS = """
class Numbered(MapFunction):
    def open(self, context):
        pass

    def map(self, value):
        return value

def word(pair):
    return pair[0]

words = env.from_collection([("a", 1)], uid="in").key_by(word, key_type=str)
words.map(lambda pair: pair, name="plain").print()
words.map(Numbered(), name="numbered", uid="numbered").set_parallelism(2).print()
env.execute("job")
"""


def test_a_plan_shows_keyed_edges_to_plain_operators_and_what_functions_behind_them_keep(invoke: Any, script: Any) -> None:
    _, source, plain, numbered, _ = invoke("plan", script(BEHIND_KEYS), "-p", "3").stdout.split("\n\n")
    assert "Vertex 0: collection" in source
    assert "from vertex 0 (collection): hash by word, 128 key groups\n    records: " in plain
    assert "\n  operator 'plain': no uid, 128 key groups\n  sink 'print'" in plain
    assert "from vertex 0 (collection): hash by word, 128 key groups" in numbered
    assert "    state: keys: typed str\n    state: what the function declares in open()" in numbered


ANNOTATED = """
def word(pair: tuple[str, int]) -> str:
    return pair[0]

class Mean(AggregateFunction):
    def create_accumulator(self) -> list[int]:
        return [0, 0]

    def add(self, value, accumulator):
        return accumulator

    def get_result(self, accumulator):
        return accumulator

words = env.from_collection([("a", 1)], uid="in").key_by(word)
words.aggregate(Mean(), uid="told").print()
words.aggregate(Mean(), accumulator_type=dict[str, int], uid="declared").print()
words.reduce(lambda a, b: b, uid="untold").print()
env.execute("job")
"""


def test_a_plan_shows_slot_sharing_groups_that_the_program_has_made(invoke: Any, script: Any) -> None:
    apart = script(BEHIND_KEYS.replace('name="plain")', 'name="plain").slot_sharing_group("own")'))
    _, source, plain, numbered, _ = invoke("plan", apart).stdout.split("\n\n")
    assert "  slot sharing group 'own'\n" in plain
    assert "slot sharing group" not in source + numbered


def test_a_plan_tells_which_serializer_comes_from_an_annotation_and_of_what(invoke: Any, script: Any) -> None:
    shown = invoke("plan", script(ANNOTATED)).stdout
    keys = "keys: typed str (annotation of word)"
    assert f"uid 'told', 128 key groups\n    state: one value per key: typed list[int] (annotation of Mean.create_accumulator); {keys}" in shown
    assert f"uid 'declared', 128 key groups\n    state: one value per key: typed dict[str, int]; {keys}" in shown
    assert f"uid 'untold', 128 key groups\n    state: one value per key: data codec; {keys}" in shown


@pytest.mark.parametrize("ending", ["env.execute()", "env.execute_async().result()", "list(numbers.execute_and_collect())"])
@pytest.mark.parametrize("command", ["plan", "check"])
def test_nothing_runs_however_the_job_would_be_started(invoke: Any, script: Any, folder: Path, ending: str, command: str) -> None:
    path = script(
        f"""
        numbers = env.from_collection([1], uid="numbers").map(lambda n: __import__("pathlib").Path("ran").write_text("x"))
        numbers.print()
        try:
            {ending}
        except Exception:
            print("swallowed")
        print("went on")
        """
    )
    result = invoke(command, path)
    assert (result.exit_code, "swallowed" in result.stdout, "went on" in result.stdout) == (0, False, False), result.output
    assert sorted(entry.name for entry in folder.iterdir()) == ["job.py"]
    run = invoke("run", path)  # and afterwards jobs run again
    assert (run.exit_code, (folder / "ran").exists(), "went on" in run.stdout) == (0, True, True)


@pytest.mark.parametrize("command", ["plan", "check"])
def test_a_program_that_cannot_run_as_it_is_fails(invoke: Any, script: Any, command: str) -> None:
    path = script("env.enable_checkpointing(timedelta(seconds=1))\nenv.from_collection([1]).print()\nenv.execute()")
    result = invoke(command, path, "--checkpoint-dir", "chk")
    assert (result.exit_code, "has no uid" in result.stderr) == (1, True)


def test_a_type_that_cannot_be_written_is_refused_by_the_plan(invoke: Any, script: Any) -> None:
    path = script("env.from_collection([1]).key_by(str).reduce(max, output_type=complex).print()\nenv.execute()")
    result = invoke("plan", path)
    assert (result.exit_code, "complex" in result.stderr) == (1, True)


@pytest.mark.parametrize("command", ["plan", "check"])
def test_a_script_without_a_job_says_so(millstream: Any, script: Any, command: str) -> None:
    for body, built in [("", "It built no program"), ("env.from_collection([1]).print()", "'print'")]:
        done = millstream(command, script(body))
        assert (done.returncode, "executed no job" in done.stderr, built in done.stderr) == (1, True, True), done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("command", ["plan", "check"])
def test_a_script_that_fails_or_exits_does_so_here_too(invoke: Any, script: Any, command: str) -> None:
    failed = invoke(command, script("raise ValueError('no input')"))
    assert (failed.exit_code, failed.stderr.endswith("ValueError: no input\n")) == (1, True)
    assert invoke(command, script("raise SystemExit(7)")).exit_code == 7


def lines_of(result: Any) -> list[list[str]]:
    return [re.split(" {2,}", line) for line in result.stdout.splitlines()]


def test_a_check_shows_every_way_from_source_to_sink(invoke: Any, script: Any) -> None:
    result = invoke("check", script(JOB.format(delivery="exactly_once")))
    assert result.exit_code == 0, result.stderr
    rows = lines_of(result)
    assert rows[1][:3] == ["source", "sink", "guarantee"]
    assert rows[2] == ["'generator' (uid 'readings')", "'files' (uid 'files')", "exactly_once"]
    assert rows[3][:3] == ["'generator' (uid 'readings')", "'print'", "at_least_once"]
    assert "written again after a failure" in rows[3][3]
    assert "delivery='exactly_once'" in rows[3][4]
    assert result.stdout.endswith("\nThe job as a whole: at_least_once\n")


def test_a_job_that_asks_for_more_than_a_way_gives_is_refused(invoke: Any, script: Any) -> None:
    path = script(JOB.format(delivery="exactly_once"))
    result = invoke("check", path, "--guarantee", "exactly_once")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("Refused: job.guarantee asks for exactly_once, but from source 'generator' (uid 'readings') to sink 'print'")
    assert invoke("check", path, "--guarantee", "at_least_once").exit_code == 0


@pytest.mark.parametrize(
    ("more", "why", "fix"),
    [
        (["-s", "checkpoint.mode=at_least_once"], "at-least-once mode", "Set checkpoint.mode"),
        ([], "", ""),
    ],
)
def test_a_sink_with_exactly_once_delivery_asks_for_it(invoke: Any, script: Any, more: list[str], why: str, fix: str) -> None:
    body = 'env.from_collection([1], uid="one").sink_to(FileSink("out", delivery="exactly_once"), uid="files")\nenv.execute()'
    result = invoke("check", script(body), "--checkpoint-dir", "chk", "-s", "checkpoint.interval=1s", *more)
    assert result.exit_code == (1 if why else 0)
    if why:
        assert "Refused: sink 'sink(FileSink)' (uid 'files') asks for exactly_once" in result.stderr
        assert why in result.stderr
        assert fix in result.stderr


def test_without_checkpoints_an_exactly_once_sink_is_refused_and_a_plain_one_is_not(invoke: Any, script: Any) -> None:
    body = 'env.from_collection([1], uid="one").sink_to(FileSink("out", delivery="{}"), uid="files")\nenv.execute()'
    refused = invoke("check", script(body.format("exactly_once")))
    assert (refused.exit_code, "enable_checkpointing" in refused.stderr) == (1, True)
    accepted = invoke("check", script(body.format("at_least_once")))
    assert (accepted.exit_code, "The job as a whole: at_most_once" in accepted.stdout) == (0, True)


EXCHANGES = """
from typing import NamedTuple
from millstream import OutputTag, StreamExecutionEnvironment

class Order(NamedTuple):
    user: str
    amount: int

def order(number: int) -> Order:
    return Order(str(number), number)

env = StreamExecutionEnvironment.get_execution_environment()
numbers = env.from_collection([1], uid="in")
numbers.map(order).rebalance().print()
numbers.map(lambda n: Order("a", n), output_type=Order).rebalance().print()
numbers.map(lambda n: {"n": n}, output_type=dict[str, int]).rebalance().print()
numbers.map(lambda n: Order("a", n)).rebalance().print()
env.execute("job")
"""


def test_a_plan_shows_how_each_exchange_writes_its_records(invoke: Any, script: Any) -> None:
    lines = invoke("plan", script(EXCHANGES), "-p", "2").stdout.splitlines()
    typed = "Order{}, data codec for what is not that"
    unknown = "data codec, or typed where all of a batch are of one class whose fields have plain types"
    found = [line.removeprefix("    records: ") for line in lines if line.startswith("    records: ")]
    assert [text.replace("job:", "").replace("typed ", "") for text in found if text != unknown] == [
        typed.format(" (annotation of order)"),
        typed.format(""),
        "data codec",
    ]
    assert unknown in found
