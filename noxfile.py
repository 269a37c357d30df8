"""The repository's tasks. `python3 dev` lists them, `python3 dev TASK` runs one; with nox installed, `nox -s TASK` does the same.

Every session installs the distributions from this checkout into a virtualenv of its own. Nothing is downloaded but packages
from the configured index.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nox

ROOT = Path(__file__).parent
SUPPORTED = ("3.11", "3.12", "3.13")
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
DISTS = ("core", "plugins/memory", "plugins/filesystem", "plugins/prometheus", "plugins/kafka", "packages/testkit")
"""Distributions with code; packages/millstream, the umbrella, only depends on them."""

REQUIRED = set(os.environ.get("MILLSTREAM_REQUIRE", "").split(","))
STRICT = os.environ.get("CI", "").lower() in {"1", "true"} or "python" in REQUIRED
"""Test every supported interpreter, and fail when one is absent."""

GROUPS = nox.project.load_toml(ROOT / "pyproject.toml")

nox.needs_version = ">=2025.11"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.default_venv_backend = "virtualenv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = STRICT
nox.options.reuse_venv = "no" if STRICT else "yes"


def interpreter(version: str) -> str:
    """The path of an interpreter of that version, or the bare version, which nox then reports as missing.

    pyenv is searched by folder: its shims stand on PATH for every version it has, and fail for all that are not activated.
    """
    if version == RUNNING:
        return sys.executable
    found = shutil.which(f"python{version}")
    if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
        return found
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    installed = sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}"), key=lambda path: patch_number(path.parts[-3]))
    return str(installed[-1]) if installed else version


def patch_number(release: str) -> int:
    """9 of `3.12.9`; -1 for pre-releases such as `3.14.0rc1`, which come last."""
    patch = release.split(".")[2]
    return int(patch) if patch.isdigit() else -1


def install(session: nox.Session, *groups: str) -> None:
    """Installs all distributions editable, with dependency groups of the root pyproject.toml."""
    session.install(*nox.project.dependency_groups(GROUPS, "backend", *groups))
    session.install("--no-build-isolation", *(argument for dist in DISTS for argument in ("-e", dist)))


def workers() -> str:
    """Test processes: one more than processors, since many wait for a server, and at most 8."""
    return str(min((os.cpu_count() or 1) + 1, 8))


@nox.session
def demo(session: nox.Session) -> None:
    """Run the main job while it is killed again and again; an independent reader gives the verdict (under 2 minutes)."""
    install(session)
    session.run("python", "examples/demo/run.py", *session.posargs)


@nox.session(python=False)
def tests(session: nox.Session) -> None:
    """Run the whole test suite in random order, on this Python; with CI=true on every supported one."""
    versions = SUPPORTED if STRICT else (RUNNING,)
    if not STRICT:
        others = ", ".join(f"tests-{version}" for version in SUPPORTED if version != RUNNING)
        session.log(f"On Python {RUNNING} only. Others by name ({others}), all of them with MILLSTREAM_REQUIRE=python.")
    for version in versions:
        session.notify(f"tests-{version}")


def run_tests(session: nox.Session) -> None:
    """Run the test suite on one Python version; of all those of CI only the first also runs those that kill real processes or take long."""
    if session.name.removeprefix("tests-") not in SUPPORTED:
        session.warn(f"Python {RUNNING} is untested: CI runs {', '.join(SUPPORTED)}.")
    install(session, "tests")
    chosen = session.posargs
    if STRICT and not chosen:
        if session.name == f"tests-{RUNNING}":
            session.log("Tests marked `fault_gate` are left out: the session of that name runs all of them.")
            chosen = ["-m", "not fault_gate"]
        else:
            session.log(f"Tests marked `faults` or `one_python` are left out: they run on Python {RUNNING}, and take most of the time.")
            chosen = ["-m", "not faults and not one_python"]
    # pytest-randomly prints the seed in the header; `-- --randomly-seed=N` repeats an order.
    # What shares a server or a long preparation is in one group, for one process.
    session.run("pytest", "-n", workers(), "--dist", "loadgroup", *chosen)


for tested in sorted({*SUPPORTED, RUNNING}):
    nox.session(name=f"tests-{tested}", python=interpreter(tested))(run_tests)


@nox.session
def faults(session: nox.Session) -> None:
    """Run only the tests that kill real processes with SIGKILL at named crash points, all of them (`tests` runs a sample)."""
    install(session, "tests")
    session.run("pytest", "-n", workers(), "-m", "faults", "--millstream-full", *session.posargs)


@nox.session
def fault_gate(session: nox.Session) -> None:
    """Run the faults that CI runs once: over 200 of real processes, each crash point and action among them, and 1,000 simulated seeds."""
    install(session, "tests")
    session.run("pytest", "-n", workers(), "-m", "fault_gate", *session.posargs)


@nox.session
def planted(session: nox.Session) -> None:
    """Plant known mistakes in a copy of the sources, one at a time, and fail when the tests do not find one; `-- NAME` for one of them."""
    install(session, "tests")
    session.run("python", "integration-tests/planted/run.py", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting, which way imports point, changelog fragments, and the ranges of sibling distributions."""
    session.install(*nox.project.dependency_groups(GROUPS, "lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    sources = os.pathsep.join(str(ROOT / dist / "src") for dist in DISTS)
    session.run("lint-imports", "--no-logo", "--no-cache", env={"PYTHONPATH": sources})
    session.run("python", "tools/check_changes.py")
    session.run("python", "tools/siblings.py")


@nox.session
def types(session: nox.Session) -> None:
    """Check types: mypy strict everywhere; the public API also as pyright sees it."""
    install(session, "tests", "types")
    session.run("mypy")
    session.run("mypy", "noxfile.py", *map(str, sorted(ROOT.glob("tools/*.py"))), "docs/check_code_blocks.py")
    session.run("mypy", "core/typing_tests")
    session.run("pyright", env={"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"})


@nox.session
def docs(session: nox.Session) -> None:
    """Run every code block of README.md and docs/, and the examples in docstrings."""
    install(session, "tests")
    session.run("python", "docs/check_code_blocks.py", *session.posargs)
    session.run("pytest", "--doctest-modules", "-p", "no:randomly", *(f"{dist}/src" for dist in DISTS))


@nox.session
def wheels(session: nox.Session) -> None:
    """Build wheels and sdists of every distribution, install each kind into an empty virtualenv and try the command."""
    session.install(*nox.project.dependency_groups(GROUPS, "backend", "wheels"))
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    for dist in (*DISTS, "packages/millstream"):
        session.run("python", "-m", "build", "--no-isolation", "--outdir", "dist", dist, silent=True)
    session.run("python", "tools/check_dists.py", "dist", session.create_tmp())


@nox.session
def release_dry_run(session: nox.Session) -> None:
    """Do everything of a release but publish: versions, changelogs, two equal builds, metadata, an install in order (docs/releasing.md)."""
    session.install(*nox.project.dependency_groups(GROUPS, "backend", "wheels", "release"))
    session.run("python", "tools/release_dry_run.py", session.create_tmp())


@nox.session(python=False)
def bench(session: nox.Session) -> None:
    """Print the engine's speed as ratios to hand-written loops, on Python 3.11 and 3.13 where present."""
    for version in ("3.11", "3.13"):
        if interpreter(version) == version:
            session.warn(f"No Python {version} here: its table is left out.")
        else:
            session.notify(f"bench-{version}")


def run_bench(session: nox.Session) -> None:
    """Print the speed table of one Python version."""
    install(session)
    # bytewax is a peer to compare with, never needed: it has no wheels for some platforms and versions.
    session.install("--only-binary=:all:", "bytewax>=0.21,<1", success_codes=[0, 1])
    session.run("python", "benchmarks/run.py", *session.posargs)


for measured in ("3.11", "3.13"):
    nox.session(name=f"bench-{measured}", python=interpreter(measured))(run_bench)


@nox.session
def bench_kafka(session: nox.Session) -> None:
    """Print the speed of the Kafka plugin as ratios to loops by hand on the same broker, and to quixstreams."""
    install(session, "tests")
    session.install("quixstreams>=3.20,<4", success_codes=[0, 1])  # a peer to compare with, never needed
    session.run("python", "benchmarks/kafka/run_kafka.py", *session.posargs)


@nox.session
def bench_faults(session: nox.Session) -> None:
    """Run fault cases of processes and simulated seeds for an hour (`-- --minutes N`), and note it in integration-tests/faults/ledger.csv."""
    install(session, "tests")
    session.run("python", "integration-tests/faults/long_run.py", *session.posargs)


@nox.session
def kafka_e2e(session: nox.Session) -> None:
    """Kafka -> windows -> Kafka, exactly once, over 1 M records while everything is killed; `-- --long` on two versions of Kafka."""
    install(session, "tests")
    session.run("python", "integration-tests/kafka_e2e/run.py", *(session.posargs or ["--gate"]))
