"""What a person sees who resumes a job whose state cannot be taken over: one sentence with the fix, and no record processed."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

JOB = """
@dataclass
class Order:
    {fields}

class Total(KeyedProcessFunction):
    def open(self, context):
        self.total = context.get_state(ValueStateDescriptor("total", {declared}))

    def process_element(self, value, ctx, out):
        print("processed", value)
        self.total.update({value})
        out.collect(value)

def number(n):
    if n == {fail_at}:
        raise ValueError("power cut")
    return n

env.enable_checkpointing(timedelta(milliseconds=20))
env.set_restart_strategy(RestartStrategies.no_restart())
numbers = env.generate(lambda n: n, count=200, rate_per_s=1_000, uid="numbers").map(number)
numbers.key_by(lambda n: n % 3, key_type=int).process(Total(), uid="total", name="totals").print()
env.execute("orders")
"""
FIRST = {"fields": "shop: str; total: int", "declared": "Order", "value": 'Order("a", value)', "fail_at": 150}


@pytest.fixture
def left(invoke: Any, script: Any, folder: Path) -> Path:
    """The newest checkpoint of a run that failed."""
    result = invoke("run", script(JOB.format(**FIRST)), "--checkpoint-dir", "chk")
    assert "power cut" in result.stderr
    return max((path.parent for path in folder.glob("chk/orders/chk-*/_metadata")), key=lambda path: int(path.name[4:]))


@pytest.mark.parametrize("resume", ["auto", "path"])
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"fields": "shop: str; total: str", "value": 'Order("a", "1")'},
            [
                "State 'total' of operator 'totals'",
                "field 'total' of job:Order was int and is str now",
                "@schema_evolution(version=2, migrations={1: ...})",
            ],
        ),
        (
            {"fields": "shop: str; amount: int = 0", "value": 'Order("a", 1)'},
            ["field 'total' of job:Order is gone and field 'amount' is new", "declare @schema_evolution(renamed={'total': 'amount'}) on the class"],
        ),
        (
            {"declared": "int", "value": "1"},
            ["values of type job:Order (typed)", "values of type int (typed)", "was object with shop, total and is int now"],
        ),
        ({"declared": "None"}, ["was written with a declared or annotated type (job:Order), and there is none now", "output_type="]),
    ],
)
def test_state_that_cannot_be_taken_over(invoke: Any, script: Any, left: Path, resume: str, change: Any, says: list[str]) -> None:
    path = script(JOB.format(**{**FIRST, "fail_at": None, **change}))
    result = invoke("run", path, "--checkpoint-dir", "chk", "--resume", "auto" if resume == "auto" else str(left))
    assert result.exit_code == 1
    assert "processed" not in result.stdout
    for part in [*says, "No record has been processed", "--resume never"]:
        assert part in re.sub(r"\s+", " ", result.stderr)
    assert left.exists()


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("chk/orders/chk-9000", "there is no such folder; the newest checkpoint of the job is"),
        ("nowhere", "there is no such folder. Give the folder of one checkpoint"),
        ("chk/orders", "that is the folder of a job, whose newest checkpoint is"),
    ],
)
def test_a_checkpoint_that_is_not_there(invoke: Any, script: Any, left: Path, where: str, says: str) -> None:
    result = invoke("run", script(JOB.format(**{**FIRST, "fail_at": None})), "--checkpoint-dir", "chk", "--resume", where)
    assert (result.exit_code, "processed" in result.stdout) == (1, False)
    assert says in re.sub(r"\s+", " ", result.stderr), result.stderr


def test_a_checkpoint_that_has_expired(invoke: Any, script: Any, left: Path) -> None:
    """Deleted by the run that wrote it once there was a later one."""
    expired = left.parent / "chk-1"
    assert not expired.exists()
    result = invoke("run", script(JOB.format(**{**FIRST, "fail_at": None})), "--checkpoint-dir", "chk", "--resume", str(expired))
    assert (result.exit_code, "processed" in result.stdout) == (1, False)
    text = re.sub(r"\s+", " ", result.stderr)
    assert "any more, because older checkpoints are deleted (checkpoint.retained says how many stay)" in text
    assert f"the newest checkpoint of the job is {left}" in text


def test_a_checkpoint_whose_state_file_is_gone(invoke: Any, script: Any, left: Path) -> None:
    shutil.rmtree(left.parent / "shared", ignore_errors=True)
    [file] = [path for path in left.iterdir() if path.name.startswith("task-")][:1]
    file.unlink()
    result = invoke("run", script(JOB.format(**{**FIRST, "fail_at": None})), "--checkpoint-dir", "chk", "--resume", str(left))
    assert (result.exit_code, "processed" in result.stdout) == (1, False)
    assert f"file {file.name} is missing" in re.sub(r"\s+", " ", result.stderr)


def test_the_declared_rename_is_taken_over(invoke: Any, script: Any, left: Path) -> None:
    renamed = JOB.replace("@dataclass\n", '@schema_evolution(renamed={{"total": "amount"}})\n@dataclass\n').replace(
        'print("processed", value)', 'print("had", self.total.value())'
    )
    path = script(renamed.format(**{**FIRST, "fail_at": None, "fields": "shop: str; amount: int"}))
    result = invoke("run", path, "--checkpoint-dir", "chk", "--resume", "auto")
    assert result.exit_code == 0, result.stderr
    assert "had Order(shop='a', amount=1" in result.stdout
