"""Where the command `millstream` begins.

Nothing else is imported before it is known that more than the version is asked for: `millstream --version` answers within what Python
itself takes to start.
"""

from __future__ import annotations

import sys

from millstream.__about__ import __version__


def main() -> None:
    """Runs the command line of this process."""
    if sys.argv[1:] == ["--version"]:
        print("millstream", __version__)
        return
    from millstream.cli.app import app

    app(prog_name="millstream")


if __name__ == "__main__":
    main()
