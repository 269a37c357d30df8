"""What the test kit adds to the command `millstream`; see `millstream.plugins`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from millstream.plugins import CliCommandEntry, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator


@hookimpl
def millstream_cli_commands() -> Iterator[CliCommandEntry]:
    yield CliCommandEntry(
        name="new",
        factory="millstream_testkit.new.command:new",
        description="Write the package of a new connector.",
    )
