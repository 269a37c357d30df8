"""Plants one mistake after another in a copy of the source tree, and sees whether the tests tell.

    python integration-tests/planted/run.py [NAME ...]

First the tests are run on a copy as it is, where they must pass: a test that fails anyway finds nothing. Exit code 1 when a mistake is not
found. The checkout is not touched. There is a copy for each processor, and as many mistakes are tried at a time.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from defects import Defect, defects

ROOT = Path(__file__).resolve().parents[2]
TREES = ("core", "plugins", "packages", "integration-tests")
PASSED, FAILED = 0, 1

T = TypeVar("T")


def main() -> int:
    chosen = [defect for defect in defects() if not sys.argv[1:] or defect.name in sys.argv[1:]]
    unknown = set(sys.argv[1:]) - {defect.name for defect in chosen}
    if unknown:
        print(f"There is no patch {', '.join(sorted(unknown))}. There is {', '.join(defect.name for defect in defects())}.")
        return 2
    with tempfile.TemporaryDirectory(prefix="millstream-planted-") as folder:
        trees = [Path(folder).resolve() / str(number) / "tree" for number in range(os.cpu_count() or 1)]
        for tree in trees:
            _copy(tree)
        # One run for each: what is selected by -k is meant for its own file.
        tests = sorted({test for defect in chosen for test in defect.found_by})
        if any(code != PASSED for code in _on_trees(trees, _run, tests)):
            print("The tests fail without any defect: they would find everything. See above.")
            return 1
        found = _on_trees(trees, _is_found, chosen)
    missed = [defect.name for defect, was_found in zip(chosen, found) if not was_found]
    print(f"{len(chosen) - len(missed)} of {len(chosen)} planted defects were found." + (f" NOT found: {', '.join(missed)}" if missed else ""))
    return 1 if missed else 0


def _on_trees(trees: list[Path], work: Callable[[T, Path], int], items: Iterable[T]) -> list[int]:
    """What `work` returns for each item and a tree that is its own for as long, in the order of the items."""
    idle: SimpleQueue[Path] = SimpleQueue()
    for tree in trees:
        idle.put(tree)

    def in_a_tree(item: T) -> int:
        tree = idle.get()
        try:
            return work(item, tree)
        finally:
            idle.put(tree)

    with ThreadPoolExecutor(len(trees)) as pool:
        return list(pool.map(in_a_tree, items))


def _copy(tree: Path) -> None:
    left_out = shutil.ignore_patterns("__pycache__", "*.egg-info", ".venv", "dist")
    for name in TREES:
        shutil.copytree(ROOT / name, tree / name, ignore=left_out)
    shutil.copy(ROOT / "pyproject.toml", tree)


def _is_found(defect: Defect, tree: Path) -> bool:
    started_s = time.monotonic()
    defect.apply(tree)
    try:
        codes = [_run(test, tree, expected=FAILED) for test in defect.found_by]
    finally:
        defect.apply(tree, "--reverse")
    code = max(codes, default=PASSED)
    verdict = {PASSED: "NOT FOUND", FAILED: "found"}.get(code, f"pytest ended with {code}")
    print(f"{verdict:10} {time.monotonic() - started_s:5.1f} s  {defect.name}: {defect.what}", flush=True)
    return code == FAILED


def _run(test: str, tree: Path, expected: int = PASSED) -> int:
    """The exit code of pytest for arguments of it, in the copy. What it says is printed where that is neither success nor the expected."""
    sources = os.pathsep.join(str(path) for pattern in ("core/src", "plugins/*/src", "packages/*/src") for path in sorted(tree.glob(pattern)))
    environment = {**os.environ, "PYTHONPATH": sources, "PYTHONPYCACHEPREFIX": str(tree.parent / "compiled")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    quiet = ["-q", "--no-header", "--tb=line", "-p", "no:randomly", "-p", "no:cacheprovider"]
    command = [sys.executable, "-m", "pytest", *quiet, *(["-x"] if expected == FAILED else []), *shlex.split(test)]
    run = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    if run.returncode not in (PASSED, expected):
        print(run.stdout[-3_000:], run.stderr[-2_000:], flush=True)
    return run.returncode


if __name__ == "__main__":
    sys.exit(main())
