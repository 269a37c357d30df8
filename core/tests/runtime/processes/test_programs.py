"""Programs of several processes: what travels, and what is said of what cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent, indent

import pytest

BEGIN = """
import sys
from dataclasses import dataclass
from millstream import *
from millstream.api.sinks import CollectSink

def environment(processes=2):
    return StreamExecutionEnvironment.get_execution_environment().set_parallelism(2).configure("execution.processes", processes)
"""


class Folder:
    """Where a program lies and runs."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, text: str, name: str = "job.py") -> None:
        file = self.path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(BEGIN + dedent(text))

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MILLSTREAM_")}
        return subprocess.run([sys.executable, *command], env=environment, cwd=self.path, capture_output=True, text=True, timeout=50)

    def prints(self, *command: str) -> list[str]:
        """Sorted lines of the output of a program that succeeds."""
        done = self.run(*(command or ("job.py",)))
        assert done.returncode == 0, done.stderr
        return sorted(done.stdout.splitlines())

    def fails(self) -> str:
        done = self.run("job.py")
        assert done.returncode == 1, done.stdout
        return done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


WITH_CLASSES = """
    FACTOR = int(sys.argv[1])

    @dataclass(frozen=True)
    class Order:
        user: int
        amount: int

    def make(number):
        return Order(number % 3, number * FACTOR)

    class Count(MapFunction):
        def open(self, context):
            self.seen = context.accumulator("orders", 0, lambda one, other: one + other)
        def map(self, order):
            self.seen.add(1)
            return order

    def user(order):
        return order.user

    def plus(one, other):
        return Order(one.user, one.amount + other.amount)

    def main():
        orders = environment().generate(lambda number: number, 30).map(make).map(Count())
        last = lambda order: f"{order} {type(order) is Order}" if order.amount > 100 * FACTOR else None
        orders.key_by(user).reduce(plus).map(last).filter(lambda text: text is not None).print()
        result = orders.environment.execute("classes")
        print(result.accumulators, result.counts["generator.numRecordsOut"])
"""
EXPECTED = {"{'orders': 30} 30", "Order(user=0, amount=270) True", "Order(user=1, amount=290) True", "Order(user=2, amount=310) True"}


def totals(lines: list[str]) -> set[str]:
    """The lines without the writer's number, and of each key only the last total."""
    return {line.partition("> ")[2] or line for line in lines} & EXPECTED


@pytest.mark.parametrize("way", ["script", "module", "command line"])
def test_classes_functions_and_lambdas_of_a_script_work_in_all_processes(folder: Folder, way: str) -> None:
    folder.write(WITH_CLASSES + "\n    if __name__ == '__main__':\n        main()\n", "package/job.py" if way == "module" else "job.py")
    command = {
        "script": ["job.py", "2"],
        "module": ["-m", "package.job", "2"],
        "command line": ["-m", "millstream", "run", "--processes", "2", "job.py", "--", "2"],
    }[way]
    assert totals(folder.prints(*command)) == EXPECTED


def test_an_interactive_session_sends_its_classes_along(folder: Folder) -> None:
    assert totals(folder.prints("-c", BEGIN + dedent(WITH_CLASSES) + "\nmain()\n", "2")) == EXPECTED


def test_a_record_may_be_of_a_class_that_the_receiving_process_has_not_needed_before(folder: Folder) -> None:
    folder.write("@dataclass(frozen=True)\nclass Shape:\n    sides: int\n", "shapes.py")
    folder.write(
        """
        def main():
            env = environment()
            def shape(number):
                import shapes
                return shapes.Shape(number)
            env.generate(lambda number: number, 4).map(shape).rebalance().map(str).print()
            env.execute("shapes")
        if __name__ == "__main__":
            main()
        """
    )
    assert [line.partition("> ")[2] for line in folder.prints()] != []
    assert {line.partition("> ")[2] for line in folder.prints()} == {f"Shape(sides={number})" for number in range(4)}


def test_what_workers_print_goes_where_the_program_prints(folder: Folder) -> None:
    folder.write(
        """
        import io
        from contextlib import redirect_stderr, redirect_stdout

        def say(number):
            print(f"said {number} \u00fc", file=sys.stderr)
            return f"printed {number} \u00fc"

        def main():
            out, errors = io.StringIO(), io.StringIO()
            env = environment()
            env.generate(lambda number: number, 200).map(say).print()
            with redirect_stdout(out), redirect_stderr(errors):
                env.execute("redirected")
            print(sorted(line.partition("> ")[2] for line in out.getvalue().splitlines()) == sorted(f"printed {n} \u00fc" for n in range(200)))
            print(sorted(errors.getvalue().splitlines()) == sorted(f"said {n} \u00fc" for n in range(200)))
        if __name__ == "__main__":
            main()
        """
    )
    assert folder.prints() == ["True", "True"]


def test_a_script_without_the_guard_is_refused_with_the_fix_and_started_once(folder: Folder) -> None:
    folder.write("env = environment()\nenv.generate(lambda number: number, 3).print()\nprint('once')\nenv.execute('bare')\n")
    done = folder.run("job.py")
    assert done.returncode == 1
    assert f"{folder.path}/job.py executes a job when it is imported" in done.stderr
    assert 'if __name__ == "__main__":\n        main()' in done.stderr
    assert "> " not in done.stdout


def test_the_script_of_one_process_needs_no_guard(folder: Folder) -> None:
    folder.write("env = environment(None)\nenv.generate(lambda number: number, 1).print()\nenv.execute('bare')\n")
    assert folder.prints() == ["1> 0"]


GUARDED = """
    def main():
        env = environment()
        {body}
        env.execute("wrong")
    if __name__ == "__main__":
        {inside}
        main()
"""


def wrong(body: str, inside: str = "pass") -> str:
    return GUARDED.format(body=body, inside=inside)


def test_a_function_inside_of_the_guard_is_refused_with_the_fix(folder: Folder) -> None:
    folder.write(wrong("env.generate(late, 3).print()", "late = eval('lambda number: number'); late.__qualname__ = late.__name__ = 'late'"))
    said = folder.fails()
    assert "AttributeError: the script has no late at its top level" in said
    assert 'functions and classes belong at the top level of a module, outside of `if __name__ == "__main__":`' in said


def test_a_module_that_only_the_program_has_is_named(folder: Folder) -> None:
    folder.write(
        wrong(
            "import types; gone = sys.modules['gone'] = types.ModuleType('gone'); exec('def f(number): return number', gone.__dict__); env.generate(gone.f, 3).print()"
        )
    )
    said = folder.fails()
    assert "ModuleNotFoundError: No module named 'gone'" in said
    assert "loaded task 'generator -> print'" in said


def test_a_script_that_cannot_be_imported_again_is_reported_with_its_line(folder: Folder) -> None:
    folder.write("if __name__ == '__mp_main__':\n    raise RuntimeError('only once')\n" + dedent(wrong("env.generate(abs, 3).print()")))
    said = folder.fails()
    assert "RuntimeError: only once" in said
    assert "raise RuntimeError('only once')" in said
    assert "loaded the script of the job" in said


def test_a_function_that_holds_a_lock_is_refused_before_anything_runs(folder: Folder) -> None:
    folder.write(wrong("import threading; lock = threading.Lock(); env.generate(lambda number: lock and number, 3).print()"))
    said = folder.fails()
    assert "Task 'generator -> print' of job 'wrong' cannot be sent to another process: TypeError: cannot pickle '_thread.lock' object" in said
    assert "make them in open() of a rich function" in said


def test_a_record_that_is_no_data_is_refused_with_the_task_that_emitted_it(folder: Folder) -> None:
    folder.write(wrong("env.generate(lambda number: iter([number]), 3).rebalance().map(next).print()"))
    said = folder.fails()
    assert "cannot be sent to another process: value cannot be stored or sent: list_iterator" in said
    assert "It was emitted by task 'generator'" in said
    assert "execution.processes=none" in said


def test_a_sink_into_a_list_of_the_program_is_refused(folder: Folder) -> None:
    folder.write(wrong("env.generate(abs, 3).sink_to(CollectSink([]))"))
    assert "CollectSink cannot be sent to another process" in folder.fails()


def test_an_accumulator_that_cannot_be_sent_fails_the_job_instead_of_making_it_wait(folder: Folder) -> None:
    folder.write(
        """

        class Counting(MapFunction):
            def open(self, context):
                self.odd = context.accumulator("odd", None, lambda one, other: (number for number in ()))
            def map(self, number):
                self.odd.add(1)
                return number
        """
        + indent(dedent(wrong("env.generate(lambda number: number, 3).map(Counting()).print()")), " " * 8)
    )
    said = folder.fails()
    assert "cannot pickle 'generator' object" in said
    assert "an accumulator or an error, cannot be sent to the JobManager's process" in said
    assert "subtask 0 of job 'wrong'" in said or "subtask 1 of job 'wrong'" in said


def test_a_process_that_a_function_ends_is_a_task_manager_lost_with_what_is_known(folder: Folder) -> None:
    folder.write(wrong("import os, signal; env.generate(lambda number: os.kill(os.getpid(), signal.SIGKILL), 3).print()"))
    said = folder.fails()
    assert "was lost: its process was killed by SIGKILL. If nobody ended it, see the log of the system: where memory runs out" in said
    folder.write(wrong("env.generate(lambda number: sys.exit(7), 3).print()"))
    assert "was lost: its process was ended by SystemExit: 7" in folder.fails()


def test_checkpoints_in_memory_are_those_of_the_program_and_outlive_its_processes(folder: Folder) -> None:
    folder.write(
        """
        import os
        from datetime import timedelta
        from pathlib import Path

        def main():
            env = environment()
            env.configure("checkpoint.interval", "50ms").configure("checkpoint.storage", "memory")
            env.set_restart_strategy(RestartStrategies.fixed_delay(1, timedelta(0)))
            died = Path("died")
            def die(pair):
                if pair[1] > 300 and not died.exists():
                    died.touch()
                    os.kill(os.getpid(), 9)
                return pair
            numbers = env.generate(lambda number: number, 1_000, 1_000, uid="in")
            counts = numbers.map(lambda number: (number % 2, 1)).key_by(lambda pair: pair[0]).reduce(lambda a, b: (a[0], a[1] + b[1]), uid="count")
            counts.map(die).filter(lambda pair: pair[1] == 500).print()
            result = env.execute("memory")
            print(result.restarts, result.counts["generator.numRecordsOut"] < 2_000)
        if __name__ == "__main__":
            main()
        """
    )
    lines = folder.prints()
    assert "1 True" in lines
    assert {line.partition("> ")[2] for line in lines if "> " in line} == {"(0, 500)", "(1, 500)"}
