"""docs/reference has a page for every hook and contract, names all that is there, and nothing that is not."""

from __future__ import annotations

import builtins
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import pytest

import millstream.contracts
import millstream.errors
import millstream.plugins
from millstream.config import SPECS
from millstream.errors import JobFailedError
from millstream.plugins import PluginManager, hookimpl, specs

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs/reference"
PAGES = sorted(path for path in REFERENCE.glob("*.md") if path.name != "README.md")
HOOKS = [name for name in vars(specs) if name.startswith("millstream_")]
CONTRACTS = [f"millstream.contracts.{path.stem}" for path in sorted(Path(millstream.contracts.__path__[0]).glob("*.py")) if path.stem != "__init__"]


def described(page: Path) -> list[str]:
    """Hooks and modules that a page says it is about."""
    found = re.search(r"^<!-- reference: (.+) -->$", page.read_text(), re.MULTILINE)
    assert found is not None, f"{page.name} does not say what it is about"
    return found[1].split(", ")


def prose(page: Path) -> str:
    """A page without its examples, which are run, and its comments."""
    return re.sub(r"^```.*?^```$|<!--.*?-->", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def modules(page: Path) -> list[ModuleType]:
    return [import_module(name) for name in described(page) if "." in name]


def public_in(module: ModuleType) -> dict[str, Any]:
    """Classes, functions and type aliases that a module defines."""
    aliases = re.findall(r"^(\w+): TypeAlias", inspect.getsource(module), re.MULTILINE)
    own = {name: value for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__ and hasattr(value, "__name__")}
    found = {**own, **{name: vars(module)[name] for name in aliases}}
    return {name: value for name, value in found.items() if not name.startswith("_") and not isinstance(value, TypeVar)}


def methods_of(cls: type) -> dict[str, str]:
    """Methods that a class itself defines, as a page writes them: `fetch(max_records)`."""
    found = {}
    for name, value in vars(cls).items():
        function = value.__func__ if isinstance(value, staticmethod | classmethod) else value
        if not name.startswith("_") and inspect.isfunction(function):
            found[name] = signature(function)
    return found


def signature(function: Any) -> str:
    names = [name for name in inspect.signature(function).parameters if name != "self"]
    return f"{function.__name__}({', '.join(names)})"


def calls(page: Path) -> Iterator[tuple[str, str]]:
    """Heading above it, and first cell, of each row of a table of calls."""
    heading = ""
    for line in prose(page).splitlines():
        if match := re.match(r"#+ (.+)", line):
            heading = match[1]
        elif match := re.match(r"\| `(\w+\([^`]*\))` \|", line):
            yield heading, match[1]


def test_every_hook_and_contract_has_one_page() -> None:
    told = [name for page in PAGES for name in described(page)]
    assert sorted(told) == sorted([*HOOKS, *CONTRACTS])


def test_the_index_leads_to_every_page_and_names_every_hook_and_contract() -> None:
    index = (REFERENCE / "README.md").read_text()
    assert re.findall(r"^\| \[[^\]]+\]\((.+?)\)", index, re.MULTILINE) != []
    assert sorted(re.findall(r"^\| \[[^\]]+\]\((.+?)\)", index, re.MULTILINE)) == [page.name for page in PAGES]
    assert [name for name in [*HOOKS, *CONTRACTS] if f"`{name}`" not in index] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_an_example_that_runs_and_says_on_which_thread(page: Path) -> None:
    assert re.search(r"^## Example$.*^```(python|pycon)", page.read_text(), re.MULTILINE | re.DOTALL)
    pure_data = ("guarantee", "keys", "cli-commands")
    assert page.stem in pure_data or "thread" in prose(page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_names_every_class_function_and_method_with_its_parameters(page: Path) -> None:
    text, rows = prose(page), set(calls(page))
    assert [name for name in described(page) if name.startswith("millstream_") and name not in text] == []
    missing = []
    for name, value in ((name, value) for module in modules(page) for name, value in public_in(module).items()):
        if inspect.isfunction(value):
            missing += [] if f"`{signature(value)}`" in text else [signature(value)]
        elif inspect.isclass(value) and methods_of(value):
            missing += [f"{name}: {call}" for call in methods_of(value).values() if (name, call) not in rows]
        elif not re.search(rf"`{name}`|\*\*{name}\.\*\*", text):
            missing.append(name)
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_call_in_a_table_exists_as_it_is_written(page: Path) -> None:
    known = {name: value for module in modules(page) for name, value in public_in(module).items()}
    functions = {signature(value) for value in known.values() if inspect.isfunction(value)}
    wrong = []
    for heading, call in calls(page):
        cls = known.get(heading)
        exists = call in methods_of(cls).values() if inspect.isclass(cls) else call in functions or call.partition("(")[0] in HOOKS
        wrong += [] if exists else [f"{heading}: {call}"]
    assert wrong == []


@pytest.mark.parametrize("page", [*PAGES, REFERENCE / "README.md"], ids=lambda page: page.stem)
def test_a_page_names_nothing_that_does_not_exist(page: Path) -> None:
    text = prose(page)
    names = {token for token in re.findall(r"`([^`\n]+)`", text) if re.fullmatch(r"[A-Za-z_][\w.]*(\([^)]*\))?", token)}
    source = "\n".join(inspect.getsource(module) for module in (modules(page) if page in PAGES else [import_module(name) for name in CONTRACTS]))
    source += inspect.getsource(specs) + inspect.getsource(import_module("millstream.plugins.entries"))
    source += inspect.getsource(import_module("millstream.plugins.notices"))
    assert sorted(name for name in names if not exists(name, source, page)) == []


def exists(name: str, source: str, page: Path) -> bool:
    bare = name.partition("(")[0]
    if bare in HOOKS or bare in SPECS or bare in KNOWN_WORDS.get(page.stem, ()):
        return True
    first, _, rest = bare.partition(".")
    if first == "millstream":
        return resolves(bare)
    if bare[0].isupper():
        homes = [millstream, millstream.errors, millstream.plugins, builtins, *(import_module(one) for one in CONTRACTS)]
        found = [vars(home).get(first, getattr(home, first, None)) for home in homes if hasattr(home, first)]
        return any(not rest or has(value, rest) for value in found) or (bare.isupper() and re.search(rf"\b{bare}\b", source) is not None)
    last = bare.rpartition(".")[2]
    return re.search(rf"\b{last}\b", source) is not None


KNOWN_WORDS = {
    "README": ("factory", "permanent"),
    "formats": ("on_error", "FileSource"),
    "functions": ("on_error",),
    "metrics": ("open",),
    "sources": ("read_csv_file",),
    "watermarks": ("on_error", "assign_timestamps_and_watermarks"),
    "write-ahead": ("max_commit_records",),
}
"""Words of other parts of Millstream that a page may use, and where: names and settings that the source of its contract does not have."""


def has(value: Any, path: str) -> bool:
    for part in path.split("."):
        if not hasattr(value, part) and part not in getattr(value, "__annotations__", {}):
            return False
        value = getattr(value, part, None)
    return True


def resolves(name: str) -> bool:
    module, path = name, ""
    while module:
        try:
            return not path or has(import_module(module), path)
        except ModuleNotFoundError:
            module, _, last = module.rpartition(".")
            path = f"{last}.{path}" if path else last
    return False


def test_the_engine_calls_every_hook() -> None:
    called: list[str] = []

    def recording(name: str) -> Any:
        if name in {"millstream_job_started", "millstream_checkpoint_completed", "millstream_job_failed"}:

            def told(notice: object) -> None:
                called.append(name)

            told.__name__ = name
            return hookimpl(told)

        def asked() -> tuple[()]:
            called.append(name)
            return ()

        asked.__name__ = name
        return hookimpl(asked)

    plugin = type("Plugin", (), {name: staticmethod(recording(name)) for name in HOOKS})()
    plugins = PluginManager.with_plugins([plugin, import_module("millstream_memory.plugin")])
    assert plugins.failures == ()
    env = millstream.StreamExecutionEnvironment(plugins=plugins)
    env.from_collection([1]).print()
    env.execute("well")
    env.from_collection([0]).map(lambda number: 1 // number).print()
    with pytest.raises(JobFailedError):
        env.execute("badly")
    assert sorted(set(called)) == sorted(HOOKS)
