"""`millstream doctor`: what is wrong, and what to do about it."""

from __future__ import annotations

import json
import sys
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from millstream.cli.doctor.environment import interpreter_finding, supported_minors, version_findings
from millstream.cli.doctor.file_system import kind_of
from millstream.cli.doctor.folder import file_system_finding, folder_findings, free_space_finding
from millstream.cli.doctor.requirement import Requirement
from millstream.config import mistakes
from millstream.plugins import PluginManager, SinkEntry, SourceEntry, hookimpl
from millstream.ports import LocalStorage, ManualClock

GOOD = """
def main():
    env.enable_checkpointing(timedelta(seconds=10))
    env.checkpoint_config.set_checkpoint_storage("chk")
    env.from_collection([1], uid="one").sink_to(FileSink("out", format="json", delivery="exactly_once"), uid="files")
    print("built")
    env.execute("good")

if __name__ == "__main__":
    main()
"""


def findings(invoke: Any, *arguments: str, exit_code: int) -> list[dict[str, str]]:
    result = invoke("doctor", *arguments, "--json")
    assert result.exit_code == exit_code, result.output
    answer = json.loads(result.stdout)
    found: list[dict[str, str]] = answer["findings"]
    assert answer["problems"] == sum(one["level"] == "problem" for one in found)
    assert answer["warnings"] == sum(one["level"] == "warning" for one in found)
    assert all(one["fix"] for one in found if one["level"] != "ok")
    return found


def of(found: list[dict[str, str]], section: str, level: str) -> list[str]:
    return [f"{one['what']} | {one['fix']}" for one in found if (one["section"], one["level"]) == (section, level)]


def one_of(found: list[dict[str, str]], section: str, level: str) -> str:
    (only,) = of(found, section, level)
    return only


def test_a_sound_installation_and_a_sound_job_have_no_problem(invoke: Any, script: Any, folder: Path) -> None:
    result = invoke("doctor", script(GOOD))
    assert result.exit_code == 0, result.output
    sections = [line for line in result.stdout.splitlines() if line and line[0].isupper()]
    assert sections == ["Environment", "Settings", "Storage", "Plugins", "Job"]
    for line in (
        "  ok       checkpoint.interval is 10s (code).",
        "  ok       Every operator that keeps something in checkpoints has a uid of its own (2 uids).",
        "it gives exactly_once.",
        "fsync works",
        "sink 'file'",
    ):
        assert line in result.stdout
    assert "\n0 problems, " in result.stdout
    assert sorted(path.name for path in folder.iterdir()) == ["job.py"]


def test_json_is_all_that_is_on_stdout(invoke: Any, script: Any) -> None:
    assert of(findings(invoke, script(GOOD), exit_code=0), "job", "problem") == []


# --- environment


@pytest.mark.parametrize(("version", "level"), [((3, 11), "ok"), ((3, 13), "ok"), ((3, 14), "warning"), ((4, 0), "warning")])
def test_a_python_that_this_release_was_not_tested_on_is_a_warning(version: tuple[int, int], level: str) -> None:
    assert supported_minors() == [11, 12, 13]
    assert interpreter_finding(version, supported_minors()).level == level


def test_another_implementation_and_a_free_threaded_build_are_warnings(invoke: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert interpreter_finding((3, 11), [11], "pypy").level == "warning"
    asked = "millstream.cli.doctor.environment.sysconfig.get_config_var"
    monkeypatch.setattr(asked, lambda name: 1 if name == "Py_GIL_DISABLED" else None)
    assert any("free-threaded" in text for text in of(findings(invoke, exit_code=0), "environment", "warning"))


def installed(root: Path, name: str, version: str, *requires: str) -> PathDistribution:
    folder = root / f"{name}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + "".join(f"Requires-Dist: {one}\n" for one in requires)
    )
    return PathDistribution(folder)


@pytest.mark.parametrize(
    ("requires", "said"),
    [
        (["millstream-core>=0.1,<1"], ""),
        (["millstream-core<1,>=0.3"], "millstream-core<1,>=0.3, but 0.2.0 is installed"),
        (["millstream-core>=1,<2"], "but 0.2.0"),
        (["absent>=1"], "absent, which is not installed"),
        (['absent>=1; extra == "more"'], ""),
        (["Millstream_Core ~=0.2"], ""),
        (["millstream-core @ https://host/x.whl"], ""),
    ],
)
def test_versions_that_do_not_fit_each_other_are_a_problem_with_the_upgrade(tmp_path: Path, requires: list[str], said: str) -> None:
    core = installed(tmp_path, "millstream-core", "0.2.0")
    plugin = installed(tmp_path, "millstream-kafka", "0.1.0", *requires)
    about_plugin = next(one for one in version_findings([core, plugin]) if one.what.startswith("millstream-kafka"))
    assert about_plugin.level == ("problem" if said else "ok")
    assert said in about_plugin.what
    assert about_plugin.fix == ("pip install --upgrade millstream-kafka" if said else "")


@pytest.mark.parametrize(
    ("versions", "allowed", "refused"),
    [
        (">=8.1.7,<9", ["8.1.7", "8.1.10", "8.5"], ["8.1.6", "8.1", "9", "9.0.0"]),
        ("~=1.4.2", ["1.4.2", "1.4.10"], ["1.4.1", "1.5"]),
        ("==2.*", ["2.0", "2.9.1"], ["1.9", "3"]),
        ("!=1.5,>1", ["1.6", "1.0.1"], ["1.5.0", "1"]),
        (">=1.0", ["1.0", "1.0.post1"], ["1.0rc1", "1.0.dev3"]),
        ("", ["0", "99"], []),
    ],
)
def test_ranges_are_read_as_pip_reads_them(versions: str, allowed: list[str], refused: list[str]) -> None:
    requirement = Requirement("x", versions, False)
    assert [version for version in [*allowed, *refused] if requirement.allows(version)] == allowed


# --- settings


def test_every_mistake_in_file_and_environment_is_told_with_its_place(invoke: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "millstream.toml").write_text('[checkpoint]\ninterval = "10s"\nintervall = "1s"\n[job]\nparallelism = 0\n[stat]\nbackend = "x"\n')
    monkeypatch.setenv("MILLSTREAM__JOB__NAMES", "orders")
    monkeypatch.setenv("MILLSTREAM__CHECKPOINT__MODE", "twice")
    problems = of(findings(invoke, exit_code=1), "settings", "problem")
    for said in [
        "There is no setting 'MILLSTREAM__JOB__NAMES' (environment). | Write 'MILLSTREAM__JOB__NAME'",
        "checkpoint.mode is 'twice' (environment MILLSTREAM__CHECKPOINT__MODE), which is not allowed. | Allowed: ",
        f"There is no setting 'checkpoint.intervall' ({folder}/millstream.toml:3). | Write 'checkpoint.interval'",
        f"job.parallelism is 0 ({folder}/millstream.toml:5)",
        f"There is no setting 'stat.backend' ({folder}/millstream.toml:7). | Write 'state.backend'",
    ]:
        assert any(text.startswith(said) for text in problems), (said, problems)
    assert len(problems) == 5


def test_a_job_is_not_looked_at_while_settings_are_wrong(invoke: Any, script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = script(GOOD)
    monkeypatch.setenv("MILLSTREAM__JOB__NAMES", "orders")
    assert "Correct the settings above first" in one_of(findings(invoke, path, exit_code=1), "job", "problem")


def test_a_file_that_is_no_toml_is_a_problem(invoke: Any, folder: Path) -> None:
    (folder / "millstream.toml").write_text("[job\n")
    assert "cannot be read" in one_of(findings(invoke, exit_code=1), "settings", "problem")


def test_values_that_do_not_go_together_are_judged_when_each_is_allowed() -> None:
    environ = {"MILLSTREAM__JOB__PARALLELISM": "300", "MILLSTREAM__JOB__MAX_PARALLELISM": "200"}
    (conflict,) = mistakes(environ, None)
    assert type(conflict).__name__ == "SettingsConflict"
    assert mistakes({**environ, "MILLSTREAM__JOB__MAX_PARALLELISM": "300"}, None) == []
    assert mistakes(environ, None, {"job.max_parallelism": "400"}) == []


@pytest.mark.parametrize(
    ("settings", "level", "said"),
    [
        (["checkpoint.interval=1s"], "warning", "checkpoint.storage is not"),
        (["checkpoint.interval=1s", "checkpoint.storage=memory"], "warning", "checkpoints end with the process"),
        (["checkpoint.interval=10min", "checkpoint.storage=chk", "checkpoint.timeout=1s"], "warning", "checkpoint.timeout is less"),
        (["checkpoint.mode=at_least_once", "job.guarantee=exactly_once"], "problem", "every job is refused"),
        (["state.backend=memry"], "problem", "state.backend is memry (command line)"),
        (["metrics.reporters=log,statsd:8125"], "problem", "metrics.reporters is statsd"),
    ],
)
def test_settings_that_contradict_each_other_or_name_nobody(invoke: Any, settings: list[str], level: str, said: str) -> None:
    found = findings(invoke, *(word for pair in settings for word in ("-s", pair)), exit_code=1 if level == "problem" else 0)
    assert said in one_of(found, "settings", level)


def test_wrong_settings_of_the_command_line_are_wrong_usage(invoke: Any) -> None:
    assert invoke("doctor", "-s", "job.parallelism=0").exit_code == 2


# --- storage


class Failing(LocalStorage):
    """A file system on which one thing fails, or does something else."""

    def __init__(self, method: str) -> None:
        self.method = method

    def make_folder(self, path: str) -> None:
        self._fail("make_folder")
        super().make_folder(path)

    def sync_file(self, file: BinaryIO) -> None:
        self._fail("sync_file")
        super().sync_file(file)

    def rename_new(self, source: str, target: str) -> None:
        self._fail("rename_new")
        if self.method == "overwrites":
            super().rename(source, target)
        else:
            super().rename_new(source, target)

    def rename(self, source: str, target: str) -> None:
        if self.method != "forgets":
            super().rename(source, target)

    def _fail(self, method: str) -> None:
        if method == self.method:
            raise PermissionError(1, "Operation not permitted")


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("make_folder", "cannot be written: Operation not permitted"),
        ("sync_file", "cannot be made durable: fsync failed"),
        ("rename_new", "cannot be published in one step"),
        ("overwrites", "does not do what it says"),
        ("forgets", "does not do what it says"),
    ],
)
def test_a_folder_on_which_checkpoints_would_not_be_safe_is_a_problem(tmp_path: Path, broken: str, said: str) -> None:
    found = list(folder_findings(str(tmp_path / "chk"), Failing(broken), ManualClock()))
    (problem,) = [one for one in found if one.level == "problem"]
    assert said in problem.what
    assert list(tmp_path.iterdir()) == []


def test_a_slow_disk_is_a_warning(tmp_path: Path) -> None:
    clock = ManualClock()

    class Slow(LocalStorage):
        def sync_folder(self, path: str) -> None:
            clock.advance(0.3)

    assert any("took 300 ms" in one.what for one in folder_findings(str(tmp_path), Slow(), clock) if one.level == "warning")


def test_a_file_in_place_of_the_folder_is_a_problem(invoke: Any, folder: Path) -> None:
    (folder / "chk").write_text("")
    assert "is a file" in one_of(findings(invoke, "--checkpoint-dir", "chk/root", exit_code=1), "storage", "problem")


MOUNTS = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:20 / /tmp rw shared:2 - tmpfs tmpfs rw
24 22 0:31 / /mnt/our\040share rw - nfs4 server:/x rw
25 22 0:44 / /mnt/our\040share/local rw - xfs /dev/sdb rw
26 23 0:45 / /tmp/x rw - overlay overlay rw
27 23 0:46 / /tmp/x rw - tmpfs late rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/chk", "ext4"),
        ("/tmp", "tmpfs"),
        ("/tmpfiles", "ext4"),
        ("/mnt/our share/a", "nfs4"),
        ("/mnt/our share/local/a", "xfs"),
        ("/tmp/x/y", "tmpfs"),
    ],
)
def test_the_file_system_of_a_path_is_that_of_the_nearest_mount(path: str, kind: str) -> None:
    assert kind_of(path, MOUNTS) == kind


@pytest.mark.parametrize(
    ("kind", "level", "said"),
    [
        ("ext4", "ok", ""),
        ("tmpfs", "warning", "memory"),
        ("nfs4", "warning", "network"),
        ("overlay", "warning", "container"),
        (None, "warning", "cannot be told"),
    ],
)
def test_memory_network_and_containers_are_warnings(kind: str | None, level: str, said: str) -> None:
    found = file_system_finding("/srv", kind)
    assert (found.level, said in found.what) == (level, True)


def test_little_free_space_is_told() -> None:
    assert [free_space_finding("/srv", size).level for size in (10**6, 5 * 10**8, 10**10)] == ["problem", "warning", "ok"]


def test_what_an_unfinished_run_left_is_told_with_the_way_on(invoke: Any, checkpoints: Path) -> None:
    run = checkpoints / "readings" / "run"
    run.write_bytes(run.read_bytes().replace(b"finished", b"running"))
    found = findings(invoke, "--checkpoint-dir", str(checkpoints), exit_code=0)
    (left,) = [text for text in of(found, "storage", "warning") if "readings" in text]
    assert left.startswith("Job 'readings' runs now, or its last run did not come to its end: 2 checkpoints in ")
    assert "--resume auto" in left
    decided = findings(invoke, "--checkpoint-dir", str(checkpoints), "-s", "job.resume=auto", exit_code=0)
    assert not [text for text in of(decided, "storage", "warning") if "readings" in text]


def test_half_checkpoints_and_damaged_ones_are_told(invoke: Any, checkpoints: Path) -> None:
    (checkpoints / "readings" / "chk-900").mkdir()
    found = findings(invoke, "--checkpoint-dir", str(checkpoints), exit_code=0)
    assert any("1 checkpoint in " in text and "never completed" in text for text in of(found, "storage", "warning"))
    assert any("came to its end and kept 2 checkpoints" in text for text in of(found, "storage", "ok"))
    newest = max(checkpoints.glob("readings/chk-*/_metadata"), key=lambda path: int(path.parent.name[4:]))
    newest.write_bytes(newest.read_bytes()[:-2])
    assert "does not match its own checksum" in one_of(findings(invoke, "--checkpoint-dir", str(checkpoints), exit_code=1), "storage", "problem")


# --- plugins


class Offers:
    @hookimpl
    def millstream_sinks(self) -> list[SinkEntry]:
        return [
            SinkEntry(name="queue", factory="doctor_sinks:Queue", description="A queue"),
            SinkEntry(name="gone", factory="doctor_sinks:Gone", description="Not there"),
        ]

    @hookimpl
    def millstream_sources(self) -> list[SourceEntry]:
        return [SourceEntry(name="own", factory="module_of_this_plugin_that_is_missing:Source", description="Not shipped")]


class Broken:
    @hookimpl
    def millstream_sinks(self) -> list[SinkEntry]:
        raise RuntimeError("no sinks today")


def test_what_cannot_be_loaded_is_a_problem_and_a_missing_library_a_warning(invoke: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "doctor_sinks.py").write_text("import client_library_that_is_missing\n")
    monkeypatch.syspath_prepend(str(folder))
    manager = PluginManager.with_plugins([("queue-for-millstream", Offers()), ("broken-plugin", Broken()), ("another", Offers())])
    monkeypatch.setattr("millstream.cli.doctor.command.default_manager", lambda: manager)
    monkeypatch.delitem(sys.modules, "doctor_sinks", raising=False)
    found = findings(invoke, exit_code=1)
    warnings, problems = of(found, "plugins", "warning"), of(found, "plugins", "problem")
    assert "sink 'queue' of queue-for-millstream needs the library 'client_library_that_is_missing'" in warnings[0]
    assert "pip install client_library_that_is_missing" in warnings[0]
    assert any("source 'own' of queue-for-millstream cannot be loaded" in text for text in problems)
    assert any("broken-plugin 0, plugin 'broken-plugin', cannot be loaded: RuntimeError: no sinks today." in text for text in problems)
    assert any("The sink 'queue' is offered by queue-for-millstream and by another" in text for text in problems)


# --- jobs


def test_all_uids_that_are_missing_or_double_are_told_not_only_the_first(invoke: Any, script: Any) -> None:
    body = """
    numbers = env.from_collection([1])
    numbers.key_by(str).reduce(max).sink_to(FileSink("a"), uid="same")
    numbers.sink_to(FileSink("b"), uid="same")
    env.execute("job")
    """
    path = script(body)
    found = findings(invoke, path, "-s", "checkpoint.interval=1s", "--checkpoint-dir", "chk", exit_code=1)
    problems = of(found, "job", "problem")
    assert [text.split(" |")[0].split(" keeps")[0] for text in problems] == [
        "Operator 'collection'",
        "Operator 'reduce(max)'",
        "Operators 'sink(FileSink)' and 'sink(FileSink)' both have uid 'same'.",
    ]
    without = findings(invoke, path, exit_code=1)
    assert len([text for text in of(without, "job", "warning") if "has no uid" in text]) == 2


def test_a_job_that_is_refused_or_cannot_be_deployed_is_a_problem(invoke: Any, script: Any) -> None:
    path = script('env.from_collection([1], uid="one").print()\nenv.execute()')
    refused = of(findings(invoke, path, "-s", "job.guarantee=at_least_once", exit_code=1), "job", "problem")
    assert any(text.startswith("Refused: job.guarantee asks for at_least_once") for text in refused)
    path = script('env.from_collection([1], uid="one").map(str).set_parallelism(4).set_max_parallelism(2).print()\nenv.execute()')
    assert any("only 2 key groups" in text for text in of(findings(invoke, path, exit_code=1), "job", "problem"))


@pytest.mark.parametrize(
    ("ending", "guarded"),
    [
        ("env.execute()", False),
        ("def main():\n    env.execute()\nmain()", False),
        ("if __name__ == '__main__':\n    env.execute()", True),
        ('def main():\n    env.execute()\nif "__main__" == __name__:\n    main()', True),
        ("if __name__ != '__mp_main__':\n    env.execute()", False),
        ("if __name__ == '__main__':\n    pass\nelse:\n    pass\nenv.execute()", False),
    ],
)
def test_a_job_that_runs_when_its_script_is_imported_is_a_warning(invoke: Any, script: Any, ending: str, guarded: bool) -> None:
    path = script('env.from_collection([1], uid="one").print()\n' + ending)
    warnings = [text for text in of(findings(invoke, path, exit_code=0), "job", "warning") if "is imported" in text]
    assert (warnings == []) is guarded


@pytest.mark.parametrize(("body", "said"), [("", "executed no job"), ("raise SystemExit(7)", "exit code 7"), ("1 / 0", "exit code 1")])
def test_a_script_that_runs_no_job_is_a_problem(invoke: Any, script: Any, body: str, said: str) -> None:
    assert said in one_of(findings(invoke, script(body), exit_code=1), "job", "problem")


def test_a_checkpoint_storage_that_is_not_installed_is_a_problem_with_what_to_install(invoke: Any, script: Any) -> None:
    path = script('env.from_collection([1], uid="one").print()\nenv.execute()')
    found = findings(invoke, path, "-s", "checkpoint.interval=1s", "--checkpoint-dir", "s3://bucket/x", exit_code=1)
    assert "millstream-s3" in one_of(found, "storage", "problem")
