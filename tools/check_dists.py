"""Installs the built distributions into empty virtualenvs, once from wheels and once from sdists, and tries the command there.

    python tools/check_dists.py DIST_FOLDER WORK_FOLDER

The files are given to pip one by one: their names could never be mistaken for projects of an index.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

VERSION_LIMIT_MS = 100
ROUNDS = 11
EXPECTED_PLUGINS = ("memory", "filesystem", "kafka", "prometheus")
EXPECTED_DISTS = 7
TEMPLATES = Path(__file__).parents[1] / "packages/testkit/src/millstream_testkit/new/connector"


def main() -> int:
    dists, work = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    problems = []
    for kind, pattern in (("wheels", "*.whl"), ("sdists", "*.tar.gz")):
        files = sorted(dists.glob(pattern))
        if len(files) != EXPECTED_DISTS:
            problems.append(f"{kind}: expected {EXPECTED_DISTS} files in {dists}, found {[file.name for file in files]}")
            continue
        problems += check(kind, files, work / kind)
    for problem in problems:
        print(f"FAILED {problem}")
    return 1 if problems else 0


def check(kind: str, files: list[Path], folder: Path) -> list[str]:
    """Installs `files` into a new virtualenv in `folder`; returns what is wrong with the result."""
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "virtualenv", "--quiet", str(folder)], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", *map(str, files)], check=True)
    subprocess.run([*pip, "check"], check=True)
    command = str(folder / "bin" / "millstream")
    # Elsewhere than the checkout, so that nothing is found in the current folder.
    first = subprocess.run([command, "--version"], cwd=folder, capture_output=True, text=True, check=False)
    if first.returncode != 0:
        return [f"{kind}: `millstream --version` ended with exit code {first.returncode}:\n{first.stderr}"]
    median_ms = median_start_ms(command)
    version = first.stdout.strip()
    print(f"{kind}: `millstream --version` says {version!r}, median {median_ms:.0f} ms of {ROUNDS} starts (limit {VERSION_LIMIT_MS} ms)")
    problems = [] if median_ms < VERSION_LIMIT_MS else [f"{kind}: `millstream --version` took {median_ms:.0f} ms"]
    listing = subprocess.run([command, "plugins"], cwd=folder, capture_output=True, text=True, check=False)
    print(listing.stdout + listing.stderr)
    if listing.returncode != 0:
        problems.append(f"{kind}: `millstream plugins` ended with exit code {listing.returncode}")
    problems += [f"{kind}: `millstream plugins` does not list {name}" for name in EXPECTED_PLUGINS if name not in listing.stdout]
    return problems + [f"{kind}: {problem}" for problem in new_connector_problems(command, folder / "new-connector")]


def new_connector_problems(command: str, package: Path) -> list[str]:
    """What `millstream new connector` of the installed distributions does not write: its templates are data, which a build may leave out."""
    written = subprocess.run([command, "new", "connector", "my-queue", "--directory", str(package)], capture_output=True, text=True, check=False)
    if written.returncode != 0:
        return [f"`millstream new connector` ended with exit code {written.returncode}:\n{written.stderr}"]
    expected = {str(path.relative_to(TEMPLATES)).removesuffix(".template").replace("PACKAGE", "millstream_my_queue") for path in files_in(TEMPLATES)}
    found = {str(path.relative_to(package)) for path in files_in(package)}
    return [] if found == expected else [f"`millstream new connector` wrote {sorted(found)} instead of {sorted(expected)}"]


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def median_start_ms(command: str) -> float:
    """Median wall time of `--version`; the caller has started it once, so that bytecode is compiled."""
    times_ms = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        subprocess.run([command, "--version"], stdout=subprocess.DEVNULL, check=True)
        times_ms.append((time.perf_counter() - started) * 1000)
    return statistics.median(times_ms)


if __name__ == "__main__":
    sys.exit(main())
