"""Entries: what a plugin author may write, and what happens when a job uses one."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import pytest

from millstream.contracts.guarantee import SinkCapabilities, SourceCapabilities
from millstream.errors import PluginEntryInvalid, PluginLoadFailed
from millstream.plugins import ROLES, FormatEntry, SinkEntry, SourceEntry, StateBackendEntry

PLAIN = SinkCapabilities(kind="plain")
NOT_CAPABILITIES = "plain"


@dataclass(frozen=True)
class BackendFacts:
    incremental: bool


@dataclass
class LooseFacts:
    incremental: bool


class QueueSink:
    """Stands for a sink."""


@pytest.fixture
def queue_module(tmp_path, monkeypatch):
    """A module that fails when it is imported, as one does whose client library is missing."""
    (tmp_path / "queue_client_absent.py").write_text("import a_client_nobody_installed\n")
    (tmp_path / "queue_that_exits.py").write_text("raise SystemExit('no licence')\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in ("queue_client_absent", "queue_that_exits"):
        sys.modules.pop(name, None)


def sink(**changes):
    fields = {"name": "queue", "factory": f"{__name__}:QueueSink", "description": "Appends to a queue"}
    return SinkEntry(**{**fields, **changes})


def test_factory_is_imported_when_it_is_loaded(monkeypatch):
    monkeypatch.setitem(sys.modules, __name__, sys.modules[QueueSink.__module__])
    assert sink().load() is QueueSink


def test_factory_may_be_an_attribute_of_a_class():
    assert sink(factory="pathlib:Path.cwd").load().__name__ == "cwd"


def test_factory_that_is_missing_costs_nothing_until_it_is_loaded(queue_module):
    entry = sink(factory="queue_client_absent:QueueSink", dist="millstream-queue")
    with pytest.raises(PluginLoadFailed) as caught:
        entry.load()
    assert caught.value.dist == "millstream-queue"
    assert "No module named 'a_client_nobody_installed'" in caught.value.reason
    assert "pip install --force-reinstall millstream-queue" in str(caught.value)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_factory_whose_module_exits_does_not_end_the_process(queue_module):
    with pytest.raises(PluginLoadFailed, match="SystemExit: no licence"):
        sink(factory="queue_that_exits:QueueSink").load()


@pytest.mark.parametrize(
    ("factory", "reason"),
    [
        ("pathlib:Pth", "no attribute 'Pth'"),
        ("pathlib:__name__", "str instead of something callable"),
        ("no_such_module:X", "No module named"),
    ],
)
def test_factory_that_leads_nowhere_is_named(factory, reason):
    with pytest.raises(PluginLoadFailed, match=reason) as caught:
        sink(factory=factory).load()
    assert caught.value.target == factory


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "Queue"),
        ("name", "my queue"),
        ("name", "../queue"),
        ("name", None),
        ("factory", "queue"),
        ("factory", "queue:"),
        ("factory", QueueSink),
        ("factory", "queue:__import__('os')"),
        ("description", ""),
        ("description", "two\nlines"),
        ("description", None),
        ("options", "Options"),
        ("options", 3),
        ("capabilities", SourceCapabilities(replayable=True)),
        ("capabilities", "plain"),
        ("guarantees", "exactly_once"),
        ("guarantees", ("exactly-once",)),
        ("guarantees", ["exactly_once"]),
        ("contract", 0),
        ("contract", "1"),
        ("contract", True),
    ],
)
def test_field_that_makes_no_sense_is_refused_by_name(field, value):
    with pytest.raises(PluginEntryInvalid) as caught:
        sink(**{field: value})
    assert caught.value.field == field
    assert repr(value) in str(caught.value)


def test_capabilities_are_given_as_an_object_or_by_name(monkeypatch):
    monkeypatch.setitem(sys.modules, "queue_facts", sys.modules[QueueSink.__module__])
    assert sink(capabilities=PLAIN).load_capabilities() is PLAIN
    assert sink(capabilities="queue_facts:PLAIN").load_capabilities() is PLAIN
    assert sink().load_capabilities() is None


def test_capabilities_of_the_wrong_type_are_refused_when_they_are_loaded(monkeypatch):
    monkeypatch.setitem(sys.modules, "queue_facts", sys.modules[QueueSink.__module__])
    with pytest.raises(PluginLoadFailed, match="str instead of a SinkCapabilities"):
        sink(capabilities="queue_facts:NOT_CAPABILITIES").load_capabilities()


def test_roles_without_capabilities_of_their_own_take_any_frozen_dataclass():
    facts = BackendFacts(incremental=True)
    fields = {"name": "tree", "factory": "tree:Backend", "description": "State in a tree"}
    assert StateBackendEntry(**fields, capabilities=facts).load_capabilities() is facts
    for wrong in (LooseFacts(incremental=True), BackendFacts, object()):
        with pytest.raises(PluginEntryInvalid, match="frozen dataclass"):
            StateBackendEntry(**fields, capabilities=wrong)


def test_options_are_given_as_a_class_or_by_name():
    assert sink(options=BackendFacts).load_options() is BackendFacts
    assert sink(options="pathlib:PurePath").load_options().__name__ == "PurePath"
    assert sink().load_options() is None
    with pytest.raises(PluginLoadFailed, match="instead of a class"):
        sink(options="os.path:join").load_options()


def test_labels_are_what_people_read():
    entry = SourceEntry(name="queue", factory="q:S", description="Reads a queue")
    assert entry.label == "source 'queue'"
    assert FormatEntry(name="avro", factory="a:F", description="Avro").label == "format 'avro'"
    assert ROLES[2:4] == ("state_backend", "checkpoint_storage")
