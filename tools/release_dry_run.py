"""Does everything of a release but publish it, and prints the commands that would.

    python tools/release_dry_run.py WORK_FOLDER

Checks the ranges of siblings, drafts the changelogs, builds every distribution twice (from two folders) and compares the files byte by
byte, checks their metadata, and installs the wheels one after the other, in the order of publication, into an empty virtualenv.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from packaging.requirements import Requirement
from siblings import ROOT, Dist, dists, problems

LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.egg-info", ".pytest_cache", "dist")


class NotReady(Exception):
    """The release could not be published as it is."""


def main() -> int:
    work = Path(sys.argv[1]).resolve()
    shutil.rmtree(work, ignore_errors=True)
    all_dists = dists()
    try:
        check_siblings(all_dists)
        for dist in all_dists:
            draft_changelog(dist)
        first, second = work / "dist", work / "again"
        copy = copy_of_checkout(all_dists, work / "copy")
        for dist in all_dists:
            build(dist.folder, first)
            build(copy / dist.folder.relative_to(ROOT), second)
        compare(first, second)
        for dist in all_dists:
            check_metadata(dist, first)
        run("-m", "twine", "check", "--strict", *map(str, sorted(first.iterdir())))
        install(all_dists, first, work / "venv")
    except NotReady as reason:
        print(f"\nFAILED {reason}")
        return 1
    print_commands(all_dists, first)
    return 0


def check_siblings(all_dists: list[Dist]) -> None:
    wrong = problems(all_dists)
    if wrong:
        raise NotReady("\n".join(wrong))
    print("Versions: " + ", ".join(f"{dist.name} {dist.version}" for dist in all_dists) + "; each fits the ranges of the others.")


def draft_changelog(dist: Dist) -> None:
    """Prints what towncrier would add to the changelog; it must be something, or be there already."""
    changelog = dist.folder / "CHANGELOG.md"
    released = changelog.exists() and f"## {dist.version} " in changelog.read_text()
    fragments = [path for path in (dist.folder / "changes").glob("*.md") if not path.name.startswith(".")]
    if released and fragments:
        names = ", ".join(path.name for path in fragments)
        raise NotReady(f"{dist.name}: {changelog} has a section for {dist.version} already, but there are fragments: {names}. Raise the version.")
    if not released and not fragments:
        raise NotReady(f"{dist.name}: nothing says what is new in {dist.version}. Add a fragment to {dist.folder}/changes.")
    if not released:
        config = str(dist.folder / "pyproject.toml")
        print(f"\n===== changelog of {dist.name} {dist.version}")
        run("-m", "towncrier", "build", "--draft", "--dir", str(dist.folder), "--config", config, "--version", str(dist.version))


def build(folder: Path, out: Path) -> None:
    run("-m", "build", "--no-isolation", "--outdir", str(out), str(folder), quiet=True)


def copy_of_checkout(all_dists: list[Dist], where: Path) -> Path:
    """The same distributions in another place, with other times and permissions."""
    for dist in all_dists:
        shutil.copytree(dist.folder, where / dist.folder.relative_to(ROOT), ignore=LEFT_OUT, copy_function=shutil.copyfile)
    # The backend reads .gitignore, which it looks for up to the folder that has .git.
    (where / ".git").mkdir()
    shutil.copyfile(ROOT / ".gitignore", where / ".gitignore")
    return where


def compare(first: Path, second: Path) -> None:
    """Raises unless both folders hold the same files, byte by byte."""
    one, other = hashes(first), hashes(second)
    if one != other:
        raise NotReady(f"Two builds differ: {sorted(name for name in {*one, *other} if one.get(name) != other.get(name))}")
    print(f"\n{len(one)} files, built twice from two folders, are the same byte by byte:")
    for name, digest in one.items():
        print(f"  {digest}  {name}")


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def check_metadata(dist: Dist, folder: Path) -> None:
    """The wheel says the name, the version and the requirements that the repository says."""
    (wheel,) = folder.glob(f"{dist.stem}-*.whl")
    with zipfile.ZipFile(wheel) as file:
        metadata = Parser().parsestr(file.read(f"{dist.stem}.dist-info/METADATA").decode())
        licensed = any("/licenses/" in name for name in file.namelist())
    said = {str(Requirement(line)).replace(" ", "") for line in metadata.get_all("Requires-Dist") or []}
    wanted = {str(requirement).replace(" ", "") for requirement in dist.requirements}
    if (metadata["Name"], metadata["Version"], said) != (dist.name, str(dist.version), wanted):
        raise NotReady(f"{wheel.name} says {metadata['Name']} {metadata['Version']} needs {sorted(said)}, the repository says {sorted(wanted)}")
    if not licensed or not metadata["Requires-Python"]:
        raise NotReady(f"{wheel.name} lacks its licence or Requires-Python")


def install(all_dists: list[Dist], folder: Path, venv: Path) -> None:
    """Installs one wheel after the other: a sibling must be there when it is asked for, for no index has it yet."""
    run("-m", "virtualenv", "--quiet", str(venv))
    python = str(venv / "bin" / "python")
    for dist in all_dists:
        (wheel,) = folder.glob(f"{dist.stem}-*.whl")
        run("-m", "pip", "--disable-pip-version-check", "install", "--quiet", str(wheel), python=python)
    run("-m", "pip", "--disable-pip-version-check", "check", python=python)
    command = str(venv / "bin" / "millstream")
    for arguments in (["--version"], ["doctor"]):
        done = subprocess.run([command, *arguments], cwd=venv, check=False)
        if done.returncode != 0:
            raise NotReady(f"`millstream {' '.join(arguments)}` of the installed wheels ended with exit code {done.returncode}")


def print_commands(all_dists: list[Dist], folder: Path) -> None:
    print("\nReady. Nothing was published. In this order, from a clean checkout of the commit that was tested:")
    for dist in all_dists:
        files = " ".join(f"dist/{path.name}" for path in sorted(folder.glob(f"{dist.stem}[-.]*")))
        print(f"  git tag {dist.name}-{dist.version}")
        print(f"  python -m twine upload {files}")
    print("  git push --tags")


def run(*arguments: str, python: str = sys.executable, quiet: bool = False) -> None:
    done = subprocess.run([python, *arguments], cwd=ROOT, capture_output=quiet, text=True, check=False)
    if done.returncode != 0:
        raise NotReady(f"`python {' '.join(arguments)}` ended with exit code {done.returncode}\n{(done.stdout or '') + (done.stderr or '')}")


if __name__ == "__main__":
    sys.exit(main())
