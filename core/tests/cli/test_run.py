"""`millstream run`: a script, its job, and what the person sees of it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

CHECKPOINTED = """
@dataclass(frozen=True)
class Number:
    n: int

env.enable_checkpointing(timedelta(milliseconds=20))
env.configure("checkpoint.keep_on_finish", True)
numbers = env.generate(lambda n: Number(n), count=50, rate_per_s=1_000, uid="numbers")
numbers.key_by(lambda number: number.n % 2).reduce(lambda a, b: Number(a.n + b.n), uid="sum").print()
env.execute("readings")
"""
NUMBERS = 'env.from_collection(range(5), uid="numbers").map(lambda n: n * n).print()\n'


def test_records_go_to_stdout_and_everything_else_to_stderr(invoke: Any, script: Any) -> None:
    result = invoke("run", script(NUMBERS + 'env.execute("squares")'))
    assert (result.exit_code, result.stdout) == (0, "0\n1\n4\n9\n16\n")
    assert re.search(r"Job 'squares' finished after .*\n  records      5 in \(.*/s\), 5 out", result.stderr)


def test_the_script_finds_itself_as_python_would_run_it(invoke: Any, script: Any, folder: Path) -> None:
    (folder / "helper.py").write_text("name = 'a module beside the script'")
    path = script("import sys, helper\nprint(__name__, __file__, sys.argv, helper.name, sys.modules['__main__'].__file__)")
    before = (sys.argv, sys.path, sys.modules["__main__"])
    result = invoke("run", os.path.relpath(path), "--", "--input", "x", "-p")
    assert result.stdout == f"__main__ {path} {[path, '--input', 'x', '-p']} a module beside the script {path}\n"
    assert (sys.argv, sys.path, sys.modules["__main__"]) == before


def test_classes_of_the_script_are_stored_under_the_names_that_python_gives_them(invoke: Any, script: Any, folder: Path) -> None:
    """What `millstream run` has written, `python job.py` reads."""
    assert invoke("run", script(CHECKPOINTED), "--checkpoint-dir", "chk").exit_code == 0
    newest = max(folder.glob("chk/readings/chk-*"), key=lambda path: int(path.name[4:]))
    environ = {**os.environ, "MILLSTREAM__JOB__RESUME": str(newest), "MILLSTREAM__CHECKPOINT__STORAGE": "chk"}
    done = subprocess.run([sys.executable, "job.py"], capture_output=True, text=True, timeout=30, check=False, env=environ)
    assert done.returncode == 0, done.stderr


@pytest.mark.faults
@pytest.mark.parametrize("resume", [(), ("--resume", "ask"), ("--resume", "auto")], ids=" ".join)
def test_a_job_killed_while_it_cleans_up_is_cleaned_up_by_the_next_start_and_run_again_by_the_one_after(
    millstream: Any, script: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, resume: tuple[str, ...]
) -> None:
    """Whoever started it was not told that it had ended; with `ask` the next start wrote everything a second time."""
    body = CHECKPOINTED.replace('env.configure("checkpoint.keep_on_finish", True)\n', "")
    path = script(body.replace(".print()", '.sink_to(FileSink("out", format="json", delivery="exactly_once"), uid="files")'))
    command = ("run", path, "--checkpoint-dir", "chk", *resume)

    def lines() -> int:
        return sum(len(part.read_text().splitlines()) for part in folder.glob("out/part-*"))

    monkeypatch.setenv("MILLSTREAM_CRASH", "job.cleanup")
    assert millstream(*command).returncode == -signal.SIGKILL
    monkeypatch.delenv("MILLSTREAM_CRASH")
    assert lines() == 50
    assert list(folder.glob("chk/*/chk-*")) != []

    told = millstream(*command)
    assert told.returncode == 0, told.stderr
    assert re.search(r"had come to its end before; .*\nNothing was processed\. The same command once more begins a new run\.", told.stderr)
    assert (lines(), list(folder.glob("chk/*/chk-*"))) == (50, [])

    assert millstream(*command).returncode == 0
    assert (lines(), list(folder.glob("chk/*/chk-*"))) == (100, [])


@pytest.mark.parametrize(
    ("options", "key", "value"),
    [
        (["--parallelism", "3"], "job.parallelism", 3),
        (["-p", "3"], "job.parallelism", 3),
        (["--name", "other"], "job.name", "other"),
        (["--resume", "never"], "job.resume", "never"),
        (["--rewind"], "job.rewind", True),
        (["--checkpoint-dir", "chk"], "checkpoint.storage", "chk"),
        (["--log-level", "error"], "logging.level", "error"),
        (["-s", "execution.batch_size=7"], "execution.batch_size", 7),
        (["--set", "checkpoint.storage=a=b"], "checkpoint.storage", "a=b"),
        (["-p", "3", "-s", "job.parallelism=2"], "job.parallelism", 3),
    ],
)
def test_options_are_settings_of_the_environment(invoke: Any, script: Any, options: list[str], key: str, value: object) -> None:
    path = script(f"found = env.resolved_settings()[{key!r}]\nimport json; print(json.dumps([found.value, str(found.origin)]))")
    assert json.loads(invoke("run", path, *options).stdout) == [value, "command line"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["-p", "0"], "job.parallelism is '0' (command line)"),
        (["-s", "job.paralelism=2"], "Did you mean 'job.parallelism'?"),
        (["-s", "job.parallelism"], "'job.parallelism' is not KEY=VALUE"),
        (["--log-level", "loud"], "debug, info, warning, error, critical"),
    ],
)
def test_an_option_that_makes_no_sense_is_wrong_usage(invoke: Any, script: Any, options: list[str], message: str) -> None:
    result = invoke("run", script("print('started')"), *options)
    assert (result.exit_code, result.stdout, message in result.stderr) == (2, "", True), result.stderr


def test_a_setting_of_the_environment_that_makes_no_sense_fails(invoke: Any, script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLSTREAM__JOB__PARALLELISM", "many")
    result = invoke("run", script("print('started')"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "job.parallelism is 'many' (environment MILLSTREAM__JOB__PARALLELISM)" in result.stderr


def test_an_option_that_the_program_overrules_is_named(invoke: Any, script: Any) -> None:
    result = invoke("run", script(NUMBERS + 'env.execute("squares")'), "--name", "cubes", "-p", "1")
    assert "Note: job.name=cubes has no effect, because the program sets job.name itself." in result.stderr
    assert "job.parallelism" not in result.stderr


@pytest.mark.parametrize(("name", "message"), [("jop.py", "Did you mean 'job.py'?"), (".", "is a folder"), ("none/job.py", "there is no file")])
def test_a_script_that_is_not_there_is_wrong_usage(invoke: Any, script: Any, name: str, message: str) -> None:
    script("")
    result = invoke("run", name)
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr


def test_a_failing_function_is_shown_with_the_users_own_lines_first(invoke: Any, script: Any) -> None:
    path = script(
        """
        def inverse(n):
            return 1 // n

        def twice(n):
            return 2 * inverse(n)

        env.from_collection([2, 1, 0], uid="numbers").map(twice).print()
        env.execute("inverses")
        """
    )
    result = invoke("run", path)
    assert result.exit_code == 1
    failure = result.stderr[result.stderr.index("Traceback") :]
    assert re.findall(r'File "(.*)", line \d+, in (\w+)', failure) == [(path, "twice"), (path, "inverse")]
    assert "ZeroDivisionError" in failure
    assert "Job 'inverses' failed" in failure
    assert "millstream/" not in failure


def test_an_error_of_the_engine_is_a_sentence_and_the_users_line(invoke: Any, script: Any) -> None:
    path = script("env.enable_checkpointing(timedelta(seconds=1))\nenv.from_collection([1]).print()\nenv.execute()")
    result = invoke("run", path)
    assert result.exit_code == 1
    assert re.fullmatch(rf"Error: Operator 'collection' .* has no uid.*\n  at {re.escape(path)}:\d+: env.execute\(\)\n", result.stderr)
    assert "Traceback" in invoke("run", path, "--log-level", "debug").stderr


def test_an_error_of_the_script_is_shown_as_python_shows_it(invoke: Any, script: Any) -> None:
    path = script("def build():\n    raise ValueError('no input')\nbuild()")
    result = invoke("run", path)
    assert result.exit_code == 1
    assert re.findall(r'File "(.*)", line', result.stderr) == [path, path]
    assert result.stderr.endswith("ValueError: no input\n")
    broken = invoke("run", script("x = = 3"))
    assert (broken.exit_code, "SyntaxError" in broken.stderr, "runpy" in broken.stderr) == (1, True, False)


@pytest.mark.parametrize(("ending", "code"), [("7", 7), ("0", 0), ("None", 0), ("'bad input'", 1)])
def test_a_script_that_exits_decides_the_exit_code(invoke: Any, script: Any, ending: str, code: int) -> None:
    assert invoke("run", script(f"raise SystemExit({ending})")).exit_code == code


def test_a_program_that_is_built_and_never_executed_is_warned_of(millstream: Any, script: Any) -> None:
    done = millstream("run", script(NUMBERS))
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.count("never executed") == 1
    assert "'numbers'" not in done.stderr
    assert "'print'" in done.stderr


def test_a_program_that_failed_is_not_warned_of(millstream: Any, script: Any) -> None:
    done = millstream("run", script(NUMBERS + "raise ValueError('no input')"))
    assert (done.returncode, "never executed" in done.stderr) == (1, False)


ENDLESS = """
env.enable_checkpointing(timedelta(milliseconds=20))
env.generate(lambda n: n, rate_per_s=100, uid="numbers").print()
env.execute("endless")
"""


def interrupted(path: str, *signals: signal.Signals, options: Sequence[str] = ()) -> tuple[int, str]:
    """Runs a job, and sends it signals once it has printed a line; exit code and stderr."""
    command = [sys.executable, "-m", "millstream.cli.entry", "run", path, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        stop = threading.Timer(50, process.kill)  # only a bound: starting takes long on a busy machine
        stop.start()
        process.stdout.readline()
        for number in signals:
            process.send_signal(number)
        errors = process.communicate()[1]
        stop.cancel()
        return process.returncode, errors


def test_the_first_interrupt_stops_with_a_checkpoint_from_which_the_job_goes_on(invoke: Any, script: Any, folder: Path) -> None:
    path = script(ENDLESS)
    code, errors = interrupted(path, signal.SIGINT, options=["--checkpoint-dir", "chk"])
    assert code == 0, errors
    assert "Job 'endless' stopped" in errors
    assert re.search(rf"kept +{folder}/chk/endless/chk-\d+\nGo on from there: the same command with --resume auto\n", errors)
    undecided = invoke("run", path, "--checkpoint-dir", "chk")
    assert (undecided.exit_code, "--resume auto" in undecided.stderr) == (1, True)
    code, errors = interrupted(path, signal.SIGINT, options=["--checkpoint-dir", "chk", "--resume", "auto"])
    assert (code, "going on from checkpoint" in errors) == (0, True)


def test_the_second_interrupt_ends_the_job_at_once_with_130(millstream: Any, script: Any) -> None:
    path = script(
        """
        import os, signal

        def interrupt(n):
            if n == 3:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGINT)
            return n

        env.generate(lambda n: n, rate_per_s=100, uid="numbers").map(interrupt).print()
        env.execute("endless")
        """
    )
    done = millstream("run", path)
    assert (done.returncode, "Job 'endless' stopped" in done.stderr, "Traceback" in done.stderr) == (130, True, False), done.stderr


def test_the_second_interrupt_also_ends_a_job_whose_function_does_not_come_back(invoke: Any, script: Any) -> None:
    path = script(
        """
        import threading

        def stuck(n):
            if n == 3:
                print("stuck", flush=True)
                threading.Event().wait()
            return n

        env.generate(lambda n: n, rate_per_s=100, uid="numbers").map(stuck).filter(lambda n: False).print()
        env.execute("endless")
        """
    )
    code, errors = interrupted(path, signal.SIGINT, signal.SIGTERM)  # two of a kind could arrive as one
    assert (code, "Interrupted." in errors, "Traceback" in errors) == (130, True, False), errors


def test_a_script_interrupted_while_it_builds_exits_with_130(invoke: Any, script: Any) -> None:
    result = invoke("run", script("raise KeyboardInterrupt"))
    assert (result.exit_code, result.stderr) == (130, "Interrupted.\n")


def test_a_checkpoint_that_cannot_be_restored_is_not_offered_once_more(invoke: Any, script: Any, folder: Path) -> None:
    path = script(ENDLESS)
    interrupted(path, signal.SIGINT, options=["--checkpoint-dir", "chk"])
    (state,) = folder.glob("chk/endless/chk-*/task-0-0-*")
    state.write_bytes(b"")
    result = invoke("run", path, "--checkpoint-dir", "chk", "--resume", "auto")
    assert (result.exit_code, "is damaged" in result.stderr, "Restore an older retained checkpoint" in result.stderr) == (1, True, True)
    assert "Go on from there" not in result.stderr
