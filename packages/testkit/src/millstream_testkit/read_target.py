"""Reads a target in a process of its own, and prints what it finds as JSON.

python -m millstream_testkit.read_target HARNESS TARGET
"""

from __future__ import annotations

import json
import sys

from millstream_testkit.loading import load, take_over_import_path


def main() -> None:
    take_over_import_path()
    reference, target = sys.argv[1:]
    sys.stdout.write(json.dumps([list(row) for row in load(reference)().seen(target)]))


if __name__ == "__main__":
    main()
