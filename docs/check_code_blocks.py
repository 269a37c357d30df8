"""Runs every code block of README.md and docs/**/*.md, so that nothing printed there is wrong.

    python docs/check_code_blocks.py [FILE.md ...]

The blocks of one page run in order in one empty folder, and a page for each processor at a time. What happens to a block says its info string:

- `python`: runs as a program.  `python title=job.py`: is written to that file; a later block of the page must use it.
- `pycon`: runs as a doctest.
- any language with `title=NAME` (toml, csv, ...): is written to that file.
- `console`: each `$ millstream ...` or `$ python ...` line runs and must succeed (`exit=2`: must end with that code). The output
  printed below it, if any, must be what comes, where `...` stands for anything and runs of spaces count as one.
- `sh`: commands that make or change the reader's environment (ENVIRONMENT below); they run elsewhere in CI.
- anything else is not code to run: text, mermaid, data.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
TIMEOUT_S = 600
ENVIRONMENT = ("git clone", "cd ", "python3 dev", "pip install", "nox ", "#")
BLOCK = re.compile(r"^(?P<indent> *)```(?P<info>\w[^\n]*)\n(?P<body>.*?)^(?P=indent)```[ ]*$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One fenced block: `options` are the `name=value` words after the language, `line` is that of its opening fence."""

    page: Path
    line: int
    language: str
    options: dict[str, str]
    body: str


class BlockFailed(Exception):
    """A block did not do what the page says."""


def blocks(page: Path) -> list[Block]:
    text = page.read_text()
    found = []
    for match in BLOCK.finditer(text):
        language, *words = match["info"].split()
        options = dict(word.split("=", 1) for word in words if "=" in word)
        body = re.sub(rf"^{match['indent']}", "", match["body"], flags=re.MULTILINE)
        found.append(Block(page, text.count("\n", 0, match.start()) + 1, language, options, body))
    return found


def run(command: list[str], folder: Path, expected_code: int = 0) -> str:
    """Runs a command in the page's folder and returns what it printed, both streams in their order."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MILLSTREAM")}
    environment |= {"COLUMNS": "140", "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    done = subprocess.run(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT_S, check=False
    )
    if done.returncode != expected_code:
        raise BlockFailed(f"`{shlex.join(command)}` ended with exit code {done.returncode}, not {expected_code}:\n{done.stdout}")
    return done.stdout


def run_console(block: Block, folder: Path) -> None:
    for step in re.split(r"^\$ ", block.body, flags=re.MULTILINE)[1:]:
        line, _, printed = step.replace("\\\n", " ").partition("\n")
        command = shlex.split(line, comments=True)
        if command[0] not in {"millstream", "python"}:
            raise BlockFailed(f"`{line}` cannot run here; a block that changes the reader's environment is `sh`")
        came = run(command, folder, int(block.options.get("exit", "0")))
        pattern = ".*".join(r"\s+".join(map(re.escape, part.split())) for part in printed.split("..."))
        if printed.strip() and not re.fullmatch(rf"\s*{pattern}\s*", came, re.DOTALL):
            raise BlockFailed(f"`{line}` printed:\n{came}\nwhich is not what the page shows:\n{printed}")


def run_block(block: Block, folder: Path) -> str:
    """Does what the block's info string asks; returns one word for the report."""
    if "title" in block.options:
        file = folder / block.options["title"]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block.body)
        return "written"
    match block.language:
        case "python" | "pycon":
            file = folder / f"block_{block.line}.{'py' if block.language == 'python' else 'txt'}"
            file.write_text(block.body)
            run([sys.executable, *(["-m", "doctest"] if block.language == "pycon" else []), file.name], folder)
        case "console":
            run_console(block, folder)
        case "sh" | "bash" | "shell":
            foreign = [line for line in block.body.splitlines() if line.strip() and not line.startswith(ENVIRONMENT)]
            if foreign:
                raise BlockFailed(f"`{foreign[0]}` would never be run: write it in a `console` block, after `$ `")
            return "left to CI"
        case _:
            return "not code"
    return "ran"


def check_page(page: Path) -> list[str]:
    """Runs one page's blocks; returns a sentence for each that fails."""
    failures = []
    found = blocks(page)
    with tempfile.TemporaryDirectory() as name:
        for index, block in enumerate(found):
            where = f"{page.relative_to(ROOT)}:{block.line}"
            try:
                outcome = run_block(block, Path(name))
                title = block.options.get("title")
                if title and not any(Path(title).stem in later.body for later in found[index + 1 :]):
                    raise BlockFailed(f"no later block uses {title}, so nothing shows that it works")
                print(f"{where}: {block.language}: {outcome}", flush=True)
            except (BlockFailed, subprocess.TimeoutExpired) as failure:
                failures.append(f"{where}: {failure}")
    return failures


def main() -> int:
    pages = [Path(name).resolve() for name in sys.argv[1:]] or [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        failures = [failure for found in pool.map(check_page, pages) for failure in found]
    for failure in failures:
        print(f"\nFAILED {failure}")
    print(f"\n{len(pages)} pages, {len(failures)} failed blocks")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
