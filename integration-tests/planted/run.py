"""Plants one mistake after another in a copy of the source tree, and sees whether the tests tell.

    python integration-tests/planted/run.py [NAME ...]

First the tests are run on the copy as it is, where they must pass: a test that fails anyway finds nothing. Exit code 1 when a mistake is not
found. The checkout is not touched.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from defects import Defect, defects

ROOT = Path(__file__).resolve().parents[2]
TREES = ("core", "plugins", "packages", "integration-tests")
PASSED, FAILED = 0, 1


def main() -> int:
    chosen = [defect for defect in defects() if not sys.argv[1:] or defect.name in sys.argv[1:]]
    unknown = set(sys.argv[1:]) - {defect.name for defect in chosen}
    if unknown:
        print(f"There is no patch {', '.join(sorted(unknown))}. There is {', '.join(defect.name for defect in defects())}.")
        return 2
    with tempfile.TemporaryDirectory(prefix="millstream-planted-") as folder:
        tree = Path(folder).resolve() / "tree"
        _copy(tree)
        tests = sorted({test for defect in chosen for test in defect.found_by})
        if _run(tree, tests, stop_early=False) != PASSED:
            print("The tests fail without any defect: they would find everything. See above.")
            return 1
        missed = [defect.name for defect in chosen if not _is_found(defect, tree)]
    print(f"{len(chosen) - len(missed)} of {len(chosen)} planted defects were found." + (f" NOT found: {', '.join(missed)}" if missed else ""))
    return 1 if missed else 0


def _copy(tree: Path) -> None:
    left_out = shutil.ignore_patterns("__pycache__", "*.egg-info", ".venv", "dist")
    for name in TREES:
        shutil.copytree(ROOT / name, tree / name, ignore=left_out)
    shutil.copy(ROOT / "pyproject.toml", tree)


def _is_found(defect: Defect, tree: Path) -> bool:
    started_s = time.monotonic()
    defect.apply(tree)
    try:
        code = _run(tree, list(defect.found_by), stop_early=True)
    finally:
        defect.apply(tree, "--reverse")
    verdict = {PASSED: "NOT FOUND", FAILED: "found"}.get(code, f"pytest ended with {code}")
    print(f"{verdict:10} {time.monotonic() - started_s:5.1f} s  {defect.name}: {defect.what}", flush=True)
    return code == FAILED


def _run(tree: Path, tests: list[str], *, stop_early: bool) -> int:
    """The exit code of pytest, in the copy."""
    sources = os.pathsep.join(str(path) for pattern in ("core/src", "plugins/*/src", "packages/*/src") for path in sorted(tree.glob(pattern)))
    environment = {**os.environ, "PYTHONPATH": sources, "PYTHONPYCACHEPREFIX": str(tree.parent / "compiled")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--no-header",
        "--tb=line",
        "-p",
        "no:randomly",
        "-p",
        "no:cacheprovider",
        *(["-x"] if stop_early else []),
    ]
    # One run for each: what is selected by -k is meant for its own file.
    codes = [_one(command, shlex.split(test), tree, environment, stop_early) for test in tests]
    return max(codes, default=PASSED)


def _one(command: list[str], arguments: list[str], tree: Path, environment: dict[str, str], quiet: bool) -> int:
    run = subprocess.run([*command, *arguments], cwd=tree, env=environment, capture_output=True, text=True, check=False)
    if run.returncode not in (PASSED, FAILED) or (run.returncode == FAILED and not quiet):
        print(run.stdout[-3_000:], run.stderr[-2_000:], flush=True)
    return run.returncode


if __name__ == "__main__":
    sys.exit(main())
