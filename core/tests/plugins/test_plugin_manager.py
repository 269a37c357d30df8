"""The plugin manager: bad plugins harm nobody who does not ask for them, and everybody learns what to do."""

from __future__ import annotations

import logging
import pickle
import sys
from textwrap import dedent
from types import ModuleType, SimpleNamespace

import pytest

from millstream.errors import (
    DuplicatePlugin,
    InvalidArgument,
    PluginBroken,
    PluginContractMismatch,
    UnknownPlugin,
)
from millstream.plugins import (
    CheckpointCompleted,
    FormatEntry,
    JobFailed,
    JobStarted,
    PluginManager,
    SinkEntry,
    default_manager,
    hookimpl,
)


def plugin(**hooks):
    """A plugin module with these functions as its hooks."""
    module = ModuleType("some_plugin")
    for name, function in hooks.items():
        function.__name__ = name
        setattr(module, name, hookimpl(function))
    return module


def sink(name="queue", **changes):
    return SinkEntry(name=name, factory="millstream_queue.sink:QueueSink", description="Appends to a queue", **changes)


def offering(*entries):
    return plugin(millstream_sinks=lambda: list(entries))


def raises_at_once():
    raise RuntimeError("no queue today")


def raises_late():
    yield sink()
    raise RuntimeError("no queue today")


def exits():
    raise SystemExit(3)


def endless():
    while True:
        yield sink()


async def asynchronous():
    return [sink()]


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("not even this")


def raises_unprintable():
    raise Unprintable


class RaisingProperty:
    @property
    def millstream_sinks(self):
        raise RuntimeError("a property that raises")


def takes_too_much(queue):
    return [sink(queue)]


def undecorated():
    module = ModuleType("undecorated")
    module.millstream_sinks = lambda: [sink()]
    return module


BAD_PLUGINS = {
    "raises": (plugin(millstream_sinks=raises_at_once), "RuntimeError: no queue today"),
    "raises after its first entry": (plugin(millstream_sinks=raises_late), "RuntimeError: no queue today"),
    "exits": (plugin(millstream_sinks=exits), "SystemExit: 3"),
    "raises what cannot be printed": (plugin(millstream_sinks=raises_unprintable), "Unprintable"),
    "has a property that raises": (RaisingProperty(), "a property that raises"),
    "returns None": (plugin(millstream_sinks=lambda: None), "millstream_sinks returned None"),
    "returns a text": (plugin(millstream_sinks=lambda: "queue"), "millstream_sinks returned a value of type str"),
    "returns one entry": (plugin(millstream_sinks=lambda: sink()), "millstream_sinks returned a value of type SinkEntry"),
    "returns a number": (plugin(millstream_sinks=lambda: 3), "millstream_sinks returned a value of type int"),
    "returns names": (plugin(millstream_sinks=lambda: ["queue"]), "millstream_sinks yielded a value of type str"),
    "returns entries of another role": (
        plugin(millstream_sources=lambda: [sink()]),
        "millstream_sources yielded a value of type SinkEntry",
    ),
    "returns the entry's class": (plugin(millstream_sinks=lambda: [SinkEntry]), "yielded a value of type type"),
    "never ends": (plugin(millstream_sinks=endless), "more than 1000 entries"),
    "is asynchronous": (plugin(millstream_sinks=asynchronous), "returned a value of type coroutine"),
    "describes an entry badly": (plugin(millstream_sinks=lambda: [sink("My Queue")]), "name is 'My Queue'"),
    "uses a field of a later core": (plugin(millstream_sinks=lambda: [sink(colour="red")]), "colour"),
    "has an unknown hook": (plugin(millstream_sink=lambda: [sink()]), "Call it millstream_sinks"),
    "has a hook of no likeness": (plugin(millstream_zzz=lambda: [sink()]), "The hooks are: millstream_sources"),
    "has a hook with an unknown argument": (plugin(millstream_sinks=takes_too_much), "queue"),
    "forgot the marker": (undecorated(), "millstream_sinks is not marked as a hook"),
    "has no hook": (ModuleType("empty"), "implements no hook"),
    "is not a plugin": (None, "implements no hook"),
    "is of a later contract": (offering(sink(contract=2)), "asks for plugin contract 2"),
}


@pytest.mark.parametrize("kind", BAD_PLUGINS)
def test_bad_plugin_is_listed_and_harms_no_other(kind):
    bad, reason = BAD_PLUGINS[kind]
    manager = PluginManager.with_plugins([("before", offering(sink("one"))), ("bad", bad), ("after", offering(sink("two")))], builtins=False)
    [failure] = manager.failures
    assert (failure.dist, failure.version, failure.entry_point) == ("bad", "0", "bad")
    assert reason in failure.error
    assert "\n" not in failure.error
    assert failure.traceback.startswith("Traceback")
    assert [entry.name for entry in manager.entries("sink")] == ["one", "two"]
    assert manager.find("sink", "two").dist == "after"


@pytest.mark.parametrize("kind", BAD_PLUGINS)
def test_unknown_name_names_the_plugins_that_could_not_be_asked(kind):
    bad, reason = BAD_PLUGINS[kind]
    manager = PluginManager.with_plugins([("millstream-bad", bad)])
    with pytest.raises(UnknownPlugin) as caught:
        manager.find("sink", "flume")
    assert "millstream-bad" in str(caught.value)
    assert reason in str(caught.value)


def test_job_that_asks_for_a_name_of_a_broken_plugin_learns_why():
    manager = PluginManager.with_plugins([("millstream-kafka", plugin(millstream_sinks=raises_at_once))])
    with pytest.raises(PluginBroken, match=r"The sink 'kafka' belongs to millstream-kafka 0.*no queue today") as caught:
        manager.find("sink", "kafka")
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert "pip install --upgrade millstream-kafka" in str(caught.value)


def test_name_that_was_offered_before_the_plugin_broke_is_known_to_be_its():
    manager = PluginManager.with_plugins([("millstream-queue", plugin(millstream_sinks=raises_late))])
    assert manager.failures[0].offers == (("sink", "queue"),)
    with pytest.raises(PluginBroken):
        manager.find("sink", "queue")


@pytest.mark.parametrize(("contract", "upgrade"), [(2, "millstream-core"), (99, "millstream-core")])
def test_entry_of_a_later_contract_is_refused_with_the_command_that_helps(contract, upgrade):
    manager = PluginManager.with_plugins([("millstream-queue", offering(sink(contract=contract)))])
    for _ in range(2):
        with pytest.raises(PluginContractMismatch) as caught:
            manager.find("sink", "queue")
    assert caught.value.contract == contract
    assert f"pip install --upgrade {upgrade}" in str(caught.value)


def test_entry_of_an_older_contract_than_is_kept_asks_for_a_newer_plugin(monkeypatch):
    monkeypatch.setattr("millstream.plugins.compat.OLDEST_CONTRACT", 2)
    monkeypatch.setattr("millstream.plugins.compat.CONTRACT", 3)
    manager = PluginManager.with_plugins([("millstream-queue", offering(sink()))], builtins=False)
    with pytest.raises(PluginContractMismatch, match=r"keeps contracts 2 to 3.*pip install --upgrade millstream-queue"):
        manager.find("sink", "queue")


def test_misspelled_name_gets_the_nearest():
    with pytest.raises(UnknownPlugin, match=r"There is no format 'jsn'. Known: csv, json, raw, text\. Did you mean 'json'\?"):
        PluginManager.with_plugins([]).find("format", "jsn")


@pytest.mark.parametrize(
    ("name", "dist"),
    [("kafka", "millstream-kafka"), ("Postgres", "millstream-jdbc"), ("mariadb", "millstream-jdbc"), ("file", "millstream-filesystem")],
)
def test_name_of_a_known_system_says_what_to_install(name, dist):
    with pytest.raises(UnknownPlugin, match=f"pip install {dist}`") as caught:
        PluginManager.with_plugins([]).find("sink", name)
    assert caught.value.dist == dist


def test_name_of_a_plugin_that_is_installed_but_has_no_such_role_is_not_offered_for_installation():
    manager = PluginManager.with_plugins([("Millstream_Redis", offering(sink("redis")))])
    with pytest.raises(UnknownPlugin) as caught:
        manager.find("source", "redis")
    assert "millstream-redis is installed, but offers no source of that name" in str(caught.value)
    assert "The name exists as: sink." in str(caught.value)
    assert "pip install" not in str(caught.value)


def test_two_plugins_with_one_name_stop_only_the_job_that_asks_for_it():
    manager = PluginManager.with_plugins([("one-queue", offering(sink(), sink("other"))), ("two-queue", offering(sink()))])
    with pytest.raises(DuplicatePlugin, match="sink 'queue' is offered by one-queue and by two-queue"):
        manager.find("sink", "queue")
    assert manager.find("sink", "other").dist == "one-queue"
    assert [duplicate.dists for duplicate in manager.duplicates] == [("one-queue", "two-queue")]


def test_one_plugin_with_one_name_twice_is_told_apart_from_two():
    manager = PluginManager.with_plugins([("one-queue", offering(sink(), sink()))])
    with pytest.raises(DuplicatePlugin, match="offered 2 times by one-queue"):
        manager.find("sink", "queue")


def test_one_name_in_two_roles_is_no_duplicate():
    both = plugin(
        millstream_sinks=lambda: [sink("queue")],
        millstream_formats=lambda: (FormatEntry(name="queue", factory="q:F", description="Its wire format") for _ in range(1)),
    )
    manager = PluginManager.with_plugins([("queue", both)], builtins=False)
    assert manager.duplicates == ()
    assert manager.find("format", "queue").dist == "queue"


def test_plugin_cannot_pass_for_another_distribution():
    manager = PluginManager.with_plugins([("impostor", offering(sink(dist="millstream-core", dist_version="9")))])
    assert (manager.find("sink", "queue").dist, manager.find("sink", "queue").dist_version) == ("impostor", "0")


def test_wrapper_of_one_plugin_does_not_touch_what_another_offers():
    def millstream_sinks():
        yield
        return []

    wrapper = SimpleNamespace(millstream_sinks=hookimpl(wrapper=True)(millstream_sinks))
    manager = PluginManager.with_plugins([("wrapper", wrapper), ("queue", offering(sink()))], builtins=False)
    assert [entry.name for entry in manager.entries("sink")] == ["queue"]


def test_hook_of_a_later_core_may_be_marked_optional():
    module = offering(sink())
    module.millstream_catalogs = hookimpl(optionalhook=True)(lambda: [])  # noqa: PIE807 - pluggy marks the function, and `list` is not one
    manager = PluginManager.with_plugins([("queue", module)])
    assert manager.failures == ()


def test_built_ins_come_through_the_same_manager():
    manager = PluginManager.with_plugins([])
    assert manager.failures == ()
    assert {entry.name for entry in manager.entries("format")} == {"csv", "json", "raw", "text"}
    assert manager.find("cluster_backend", "embedded").dist == "millstream-core"
    assert manager.find("source", "socket").load_capabilities().replayable is False


def test_role_that_does_not_exist_is_refused():
    manager = PluginManager.with_plugins([])
    for ask in (lambda: manager.entries("sinks"), lambda: manager.find("sinks", "print")):
        with pytest.raises(InvalidArgument, match="source, sink, state_backend"):
            ask()


def test_errors_keep_their_fields_between_processes():
    with pytest.raises(UnknownPlugin) as caught:
        PluginManager.with_plugins([]).find("sink", "kafka")
    again = pickle.loads(pickle.dumps(caught.value))
    assert str(again) == str(caught.value)


class TestNotices:
    started = JobStarted(job="orders", run_id="r1", attempt=1)

    def test_every_listener_is_told(self):
        heard = []
        listeners = [
            plugin(
                millstream_job_started=lambda notice: heard.append(notice),
                millstream_checkpoint_completed=lambda notice: heard.append(notice.checkpoint_id),
                millstream_job_failed=lambda notice: heard.append(notice.error_code),
            ),
            plugin(millstream_job_started=lambda: heard.append("without the notice")),
        ]
        manager = PluginManager.with_plugins([(f"listener-{index}", one) for index, one in enumerate(listeners)])
        manager.notice(self.started)
        manager.notice(CheckpointCompleted(job="orders", run_id="r1", checkpoint_id=7, duration_ms=12, state_bytes=300))
        manager.notice(JobFailed(job="orders", run_id="r1", error_code="user-function-failed", message="It failed."))
        assert heard == [self.started, "without the notice", 7, "user-function-failed"]

    @pytest.mark.parametrize("error", [RuntimeError("deaf"), SystemExit(1), Unprintable()])
    def test_listener_that_raises_is_logged_and_the_next_is_told(self, caplog, error):
        def raising(notice):
            raise error

        heard = []
        manager = PluginManager.with_plugins(
            [
                ("deaf-one", plugin(millstream_job_started=raising)),
                ("good-one", plugin(millstream_job_started=lambda notice: heard.append(notice))),
            ]
        )
        with caplog.at_level(logging.ERROR, "millstream.plugins"):
            manager.notice(self.started)
        assert heard == [self.started]
        [record] = caplog.records
        assert "deaf-one 0 raised in millstream_job_started" in record.getMessage()
        assert record.exc_info[1] is error

    def test_nobody_listening_is_fine(self):
        PluginManager.with_plugins([], builtins=False).notice(self.started)


class TestDiscovery:
    @pytest.fixture
    def install(self, tmp_path, monkeypatch):
        """Installs a distribution with one plugin module for the time of the test."""
        monkeypatch.syspath_prepend(tmp_path)
        modules = []

        def install(dist, source, *, metadata=None, module=None):
            name = module or dist.replace("-", "_") + "_plugin"
            modules.append(name)
            (tmp_path / f"{name}.py").write_text(dedent(source))
            info = tmp_path / f"{dist.replace('-', '_')}-1.2.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.2\n" if metadata is None else metadata)
            (info / "entry_points.txt").write_text(f"[millstream]\nqueue = {name}\n")

        yield install
        for name in modules:
            sys.modules.pop(name, None)

    GOOD = """
        from millstream.plugins import SinkEntry, hookimpl

        @hookimpl
        def millstream_sinks():
            yield SinkEntry(name="zz-queue", factory="zz_queue:Sink", description="Appends to a queue")
    """

    def test_installed_plugin_is_found_with_its_version(self, install):
        install("zz-queue", self.GOOD)
        manager = PluginManager.discover()
        entry = manager.find("sink", "zz-queue")
        assert (entry.dist, entry.dist_version) == ("zz-queue", "1.2")
        assert manager.find("sink", "print").dist == "millstream-core"

    @pytest.mark.parametrize(
        ("source", "reason"),
        [
            ("import a_client_nobody_installed", "ModuleNotFoundError: No module named 'a_client_nobody_installed'"),
            ("def broken(:", "SyntaxError"),
            ("raise SystemExit('no licence')", "SystemExit: no licence"),
            ("from millstream.plugins import HookOfTomorrow", "ImportError: cannot import name 'HookOfTomorrow'"),
        ],
    )
    def test_plugin_that_cannot_be_imported_is_kept_as_a_failure_and_others_work(self, install, source, reason):
        install("zz-bad", source)
        install("zz-queue", self.GOOD)
        manager = PluginManager.discover()
        [failure] = [failure for failure in manager.failures if failure.dist == "zz-bad"]
        assert (failure.version, failure.entry_point) == ("1.2", "queue")
        assert reason in failure.error
        assert manager.find("sink", "zz-queue").name == "zz-queue"

    def test_entry_point_without_its_module_is_a_failure(self, install, tmp_path):
        install("zz-bad", "", module="zz_gone")
        (tmp_path / "zz_gone.py").unlink()
        [failure] = [failure for failure in PluginManager.discover().failures if failure.dist == "zz-bad"]
        assert "No module named 'zz_gone'" in failure.error

    def test_distribution_with_damaged_metadata_is_still_named_somehow(self, install):
        install("zz-bad", "import a_client_nobody_installed", metadata="\n")
        failures = [failure for failure in PluginManager.discover().failures if "a_client_nobody_installed" in failure.error]
        assert [(failure.dist, failure.version) for failure in failures] == [("an unnamed distribution", "of unknown version")]

    def test_default_manager_is_made_once(self):
        default_manager.cache_clear()
        assert default_manager() is default_manager()
        default_manager.cache_clear()
